"""Evaluates NetworkPolicies as Kubernetes does, as far as the chart uses them: pods of one namespace, and ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Labels = Mapping[str, str]
Objects = Sequence[Mapping[str, Any]]


def allows(objects: Objects, source: Labels | None, target: Labels | None, port: int) -> bool:
    """Returns True if a pod reaches a port of another. None: something outside the namespace, which nothing selects."""
    return _passes(objects, "Egress", "egress", "to", source, target, port) and _passes(
        objects, "Ingress", "ingress", "from", target, source, port
    )


def _passes(
    objects: Objects, kind: str, rules: str, peers: str, own: Labels | None, other: Labels | None, port: int
) -> bool:
    """Returns True if the policies of one side let the other side through. Without a policy everything passes."""
    if own is None:
        return True
    policies = [
        each["spec"]
        for each in objects
        if each["kind"] == "NetworkPolicy"
        and kind in each["spec"]["policyTypes"]
        and _selects(each["spec"]["podSelector"], own)
    ]
    return not policies or any(
        (peers not in rule or any(_selects_peer(peer, other) for peer in rule[peers]))
        and ("ports" not in rule or port in [each["port"] for each in rule["ports"]])
        for policy in policies
        for rule in policy.get(rules, ())
    )


def _selects_peer(peer: Mapping[str, Any], other: Labels | None) -> bool:
    return other is not None and "namespaceSelector" not in peer and _selects(peer["podSelector"], other)


def _selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    for each in selector.get("matchExpressions", ()):
        is_among = labels.get(each["key"]) in each["values"]
        assert each["operator"] in ("In", "NotIn"), each
        if is_among is not (each["operator"] == "In"):
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
