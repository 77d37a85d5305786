"""Checks the pods of the chart: names, variables as logwarden reads them, users, and who reaches whom."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from logwarden.daemon.commands.mcp import address_of, hosts_of
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from tests.deploy.policies import allows

Objects = Sequence[Mapping[str, Any]]
COMPONENT = "app.kubernetes.io/component"
KAFKA_PORT = 9092
STRANGER = {"app": "another program"}
LABEL = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"


def workloads(objects: Objects) -> dict[str, Mapping[str, Any]]:
    """Returns the templates of pods by component."""
    kinds = ("StatefulSet", "Deployment", "Job")
    templates = [each["spec"]["template"] for each in objects if each["kind"] in kinds]
    return {each["metadata"]["labels"][COMPONENT]: each for each in templates}


def settings_of(objects: Objects, component: str, folder: Path) -> Settings:
    """Returns the settings that a container reads. Files and folders that it mounts are made below `folder`.

    Raises ConfigurationError for what the container would end with.
    """
    pod = workloads(objects)[component]["spec"]
    [container] = pod["containers"]
    [shared] = [
        each["data"] for each in objects if each["kind"] == "ConfigMap" and "LOGWARDEN_LOG__FORMAT" in each["data"]
    ]
    variables = dict(shared) if container.get("envFrom") else {}
    for each in container["env"]:  # a value may name variables above it
        named = re.sub(r"\$\((\w+)\)", lambda found: str(variables[found[1]]), each.get("value", "pod-0"))
        variables[each["name"]] = named
    mounts = [each["mountPath"] for each in container["volumeMounts"]]
    for name, value in variables.items():
        if name.startswith("LOGWARDEN_") and any(value.startswith(f"{mount}/") for mount in mounts):
            variables[name] = str(folder / value.strip("/"))
            path = Path(variables[name])
            if name.endswith("FILE"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("text")
            else:
                path.mkdir(parents=True, exist_ok=True)
    return read_settings(variables)


def check_pods(objects: Objects, values: Mapping[str, Any], name: str) -> None:
    """Checks what no schema knows of the objects of one file of values. Raises AssertionError."""
    found = workloads(objects)
    with tempfile.TemporaryDirectory() as folder:
        for component in found.keys() - {"topics"}:
            settings = settings_of(objects, component, Path(folder))
            if component in ("daemon", "bridge"):
                pod = found[component]["spec"]
                assert pod["terminationGracePeriodSeconds"] >= settings.shutdown.drain_timeout_s + 10, name
            if component == "mcp":
                _agents_are_answered(found[component], settings, name)
    wanted = values.get("podSecurityContext", {}).get("runAsUser", 10001)
    for component, template in found.items():
        security = template["spec"]["securityContext"]
        assert security["runAsNonRoot"], name
        assert component == "topics" or security.get("runAsUser") == wanted, f"{name}: user of {component}"
        pull = template["spec"].get("imagePullSecrets")
        assert pull == values.get("imagePullSecrets"), f"{name}: the image of {component} cannot be pulled"
    _pods_reach(objects, values, name)


def _agents_are_answered(template: Mapping[str, Any], settings: Settings, name: str) -> None:
    [container] = template["spec"]["containers"]
    words = container["args"]
    assert words[:2] == ["mcp", "--http"], name
    host, port = address_of(words[2])
    assert port == container["ports"][0]["containerPort"], name
    assert settings.mcp.token_file is not None, name
    assert hosts_of(host, settings), name
    assert settings.kafka.sasl_password_file is None, f"{name}: a server for agents has the login to Kafka"
    assert len(words) >= 5, f"{name}: it asks no member"


def _pods_reach(objects: Objects, values: Mapping[str, Any], name: str) -> None:
    """Checks which pods reach which ports, with NetworkPolicies and without."""
    labels = {component: template["metadata"]["labels"] for component, template in workloads(objects).items()}
    ports = {
        component: template["spec"]["containers"][0].get("ports", [{"containerPort": 8080}])[0]["containerPort"]
        for component, template in workloads(objects).items()
    }
    restricted = values.get("networkPolicy", {}).get("enabled", False)
    daemon = labels["daemon"]
    assert allows(objects, daemon, daemon, ports["daemon"]), f"{name}: members do not reach each other"
    is_open = not restricted or not values["networkPolicy"].get("from")
    assert allows(objects, STRANGER, daemon, ports["daemon"]) is is_open, name
    for component in labels:
        assert allows(objects, labels[component], None, 53), f"{name}: {component} finds no address"
        reaches_kafka = allows(objects, labels[component], None, KAFKA_PORT)
        assert reaches_kafka is (component != "mcp" or not restricted), f"{name}: {component} and Kafka"
        assert allows(objects, labels[component], None, 25) is not restricted, f"{name}: {component} reaches everything"
    if "mcp" in labels:
        assert allows(objects, labels["mcp"], daemon, ports["daemon"]), f"{name}: the server for agents asks nobody"
        is_open = not restricted or not values["mcp"].get("from")
        assert allows(objects, STRANGER, labels["mcp"], ports["mcp"]) is is_open, name
        assert allows(objects, STRANGER, labels["mcp"], ports["daemon"]) is not restricted, name
    if "bridge" in labels:
        assert allows(objects, labels["bridge"], None, 443), f"{name}: the bridge reaches no pager"


def jobs_of(objects: Objects) -> dict[str, str]:
    """Returns the job under which Prometheus scrapes each component, as the ServiceMonitor relabels it."""
    [monitor] = [each["spec"] for each in objects if each["kind"] == "ServiceMonitor"]
    [endpoint] = monitor["endpoints"]
    [rule] = endpoint["relabelings"]
    meta = {"__meta_kubernetes_namespace": "default"}
    jobs = {}
    for service in (each for each in objects if each["kind"] == "Service"):
        labels = service["metadata"]["labels"]
        is_chosen = monitor["selector"]["matchLabels"].items() <= labels.items()
        if is_chosen and endpoint["port"] in [port["name"] for port in service["spec"].get("ports", ())]:
            meta["__meta_kubernetes_service_name"] = service["metadata"]["name"]
            assert rule["targetLabel"] == "job"
            jobs[labels[COMPONENT]] = rule["separator"].join(meta[label] for label in rule["sourceLabels"])
    return jobs


def check_names(releases: Mapping[str, Objects]) -> None:
    """Checks the names, labels and jobs of the objects of releases in one namespace. Raises AssertionError."""
    seen: dict[tuple[str, str], str] = {}
    scraped: list[str] = []
    for release, objects in releases.items():
        jobs = jobs_of(objects)
        assert jobs.keys() == {"daemon", "bridge"}, f"{release}: {jobs}"
        assert all("logwarden" in job for job in jobs.values()), f"{release}: no rule finds dead members of {jobs}"
        scraped += jobs.values()
        assert len(scraped) == len(set(scraped)), f"{release}: rules would add up two groups in {jobs}"
        for each in objects:
            kind, name = each["kind"], each["metadata"]["name"]
            assert seen.setdefault((kind, name), release) == release, (
                f"{release} and {seen[kind, name]} share {kind} {name}"
            )
            assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name), f"{release}: {kind} {name}"
            # The label with the hash of a revision has the set's name and eleven characters.
            assert kind != "StatefulSet" or len(name) <= 52, name
            templates = [each, each.get("spec", {}).get("template", {})]
            for labels in (part.get("metadata", {}).get("labels", {}) for part in templates):
                assert all(re.fullmatch(LABEL, value) for value in labels.values()), f"{release}: {labels}"
