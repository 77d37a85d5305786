"""The sentences and rows of README, docs and model card that quote figures, made from the file of figures.

`python -m logwarden.training.benchmark.quoted FIGURES` prints them, to be copied where a test finds one missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Figures = Mapping[str, Any]
README, DETECTION, CARD = "README.md", "docs/detection.md", "model/weights/MODEL_CARD.md"


def quotes(figures: Figures) -> dict[str, list[str]]:
    """Returns document → what stands in it, in one line each."""
    peace, faults = (figures["faultlab"][past] for past in ("peace", "faults"))
    ours, again, rule = peace["logwarden"], faults["logwarden"], "keyword in a new line"
    first, third = ours["at_threshold"], again["at_threshold"]
    by_rule, rule_again = peace[rule]["at_threshold"], faults[rule]["at_threshold"]
    readme = [
        f"{first['found']} of {first['faults']} faults, {_whole(first['false_per_million'])} false alarms per million "
        f"lines, average precision {_share(ours['ap'])}",
        f"Rarity alone has {_share(peace['rarity']['ap'])}",
        f"The keyword rule has {by_rule['found']} of {by_rule['faults']} faults with "
        f"{_whole(by_rule['false_per_million'])} false alarms",
        f"{third['found']} of {third['faults']} are found (keyword rule: {rule_again['found']}), with "
        f"{_whole(third['false_per_million'])} false alarms per million",
    ]
    detection = [
        f"After two earlier occurrences, {third['found']} of {third['faults']} faults raised an alert, where "
        f"{first['found']} did at first sight",
        *(f"| {_row(name, methods[method])}" for methods in (peace, faults) for name, method in _NAMED.items()),
        f"Model {figures['model']}, threshold {_share(figures['threshold'], 1)}",
    ]
    card = [f"Revision {figures['model']}", *(_past(figures, past, name) for past, name in _PASTS.items())]
    error, named = figures["calibration"], figures["explanations"]
    card.append(f"on systems left out: {_share(error['ece'], 3)}, worst {_share(error['worst'], 3)}")
    card.append(
        f"in {named['peace']['named']:.0%} of the faults, after a past with faults in {named['faults']['named']:.0%}"
    )
    public = _public(figures)
    return {README: [*readme, *public], DETECTION: [*detection, *public], CARD: card}


_NAMED = {"logwarden": "logwarden", "10 bits of surprise": "rarity", "keyword in a new line": "keyword in a new line"}
_PASTS = {
    "peace": "fault-free time of two runs",
    "faults": "two runs, each with the same faults",
    "repeated": "the same, each fault twice as often",
}


def _row(name: str, method: Figures) -> str:
    own = method["at_threshold"]
    cells = (
        name,
        _share(method["ap"]),
        f"{own['found']} of {own['faults']}",
        _whole(own["false_per_million"]),
    )
    return " | ".join(cells) + " |"


def _past(figures: Figures, past: str, name: str) -> str:
    one = figures["faultlab"][past]["logwarden"]
    own = one["at_threshold"]
    worst = f"{_share(one['worst_ap'])} ({one['worst_system']})"
    return (
        f"| {name} | {_share(one['ap'])} | {worst} | {own['found']} of {own['faults']} | "
        f"{_whole(own['false_per_million'])} |"
    )


_RUNS = "logwarden, sessions as runs, fence of their past"


def _public(figures: Figures) -> list[str]:
    """The rows of the public data sets: a session as one run, and as its highest line. Empty until all are measured."""
    tables = [figures["public"].get(data, {}).get("rows", []) for data in ("hdfs", "openstack-vm", "openstack-faults")]
    if not all(tables):
        return []
    names = {_RUNS: "logwarden, a session as a run (no labels)", "logwarden": "logwarden, its highest line (no labels)"}
    rows = []
    for method, name in names.items():
        # Of several tables about one data set the first is about all sessions.
        own = [next(row["figures"] for row in table if row["method"] == method) for table in tables]
        rows.append(f"| {name} | " + " | ".join(f"{_value(one, 'AP')} ({_value(one, 'F1')})" for one in own) + " |")
    return rows


def _value(figures: Figures, name: str) -> str:
    return _share(figures[name]["value"])


def _share(value: float, places: int = 2) -> str:
    return f"{value:.{places}f}".removeprefix("0")


def _whole(value: float) -> str:
    return f"{value:,.0f}"


if __name__ == "__main__":
    for document, lines in quotes(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))).items():
        print(document, *lines, sep="\n  ")
