"""Sums up over all systems how well alerts name the lines that carry them, and what young services get.

Legend: L window size
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from logwarden.model.defaults import WINDOW_SIZE
from logwarden.training.benchmark.guilt import FirstAlert, area_between, mean_curves, named_share
from logwarden.training.benchmark.youth import AGES, Young


def explanation_figures(alerts: Mapping[str, Sequence[FirstAlert]]) -> dict[str, Any]:
    """Returns the share of alerts that name the first evidence, why others do not, and the deletion curves."""
    every = [one for its in alerts.values() for one in its]
    missed = [one for one in every if not one.named]
    by_weight, at_random = mean_curves(every, WINDOW_SIZE)
    return {
        "alerts": len(every),
        "named": named_share(every),
        "newest": sum(one.newest for one in every) / max(len(every), 1),
        "named_in_window": _share_in_window(every),
        "missed": {
            "in the window, with less weight": sum(one.in_window for one in missed),
            "more than a window before the alert": sum(not one.in_window and one.same_service for one in missed),
            "in another service": sum(not one.in_window and not one.same_service for one in missed),
        },
        "area": area_between(every),
        "by_weight": by_weight.tolist(),
        "at_random": at_random.tolist(),
    }


def _share_in_window(alerts: Sequence[FirstAlert]) -> float:
    inside = [one for one in alerts if one.in_window or one.newest]
    return sum(one.named for one in inside) / max(len(inside), 1)


def summed_young(systems: Sequence[Sequence[Young]]) -> dict[str, dict[str, float]]:
    """Returns age → figures over all systems."""
    found = {}
    for age in AGES:
        every = [one for its in systems for one in its if one.age == age]
        normal = max(sum(one.normal for one in every), 1)
        found[str(age)] = {
            "found": sum(one.found for one in every),
            "found_by_rule": sum(one.found_by_rule for one in every),
            "faults": sum(one.faults for one in every),
            "false_per_million": 1e6 * sum(one.false_alarms for one in every) / normal,
            "false_per_million_by_rule": 1e6 * sum(one.false_alarms_by_rule for one in every) / normal,
            "normal": normal,
        }
    return found
