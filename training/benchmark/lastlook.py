"""Measures the shipped model on systems that nobody had seen who changed it.

No twin judges here and nothing is chosen: trees, threshold, masking and words are what ships. The methods beside it are
those of the other tables. So this part shows whether the figures of systems left out hold where no choice was possible.

Legend: n lines of a run
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from logwarden.model.checkpoint import DECISION, SHIPPED, ModelCheckpoint, load_decision
from logwarden.training.benchmark import explained, figures
from logwarden.training.benchmark.incidents import ANNOUNCED
from logwarden.training.benchmark.material import PASTS, Material, SystemTask, material_of
from logwarden.training.benchmark.methods import OURS
from logwarden.training.benchmark.plots import PAST_NAMES
from logwarden.training.evaluation.tables import Grid
from logwarden.training.faultlab.release import LAST_LOOK_RECORDINGS, LabelledRun, load_last_look

Figures = Mapping[str, Any]
Over = Callable[[Callable[..., Any], Sequence[Any]], Iterable[Any]]
_SHOWN = ("ap", "worst_ap", "worst_system", "ap_by_system", "found_at", "at_threshold")


def last_look_tasks(cache: Path | None, root: Path = LAST_LOOK_RECORDINGS) -> list[SystemTask]:
    """Returns what a worker is given of each system of the last look."""
    runs: dict[str, list[LabelledRun]] = {}
    for run in load_last_look(root):
        runs.setdefault(run.system, []).append(run)
    return [
        SystemTask(system, its, twin=SHIPPED / DECISION, cache=cache, last_look=root) for system, its in runs.items()
    ]


def last_look_figures(model: ModelCheckpoint, tasks: Sequence[SystemTask], over_all: Over) -> dict[str, Any]:
    """Returns the figures of the last look, past by past and method by method."""
    materials: dict[str, Material] = dict(zip((t.system for t in tasks), over_all(material_of, tasks), strict=True))
    shipped = dict.fromkeys(materials, load_decision(SHIPPED / DECISION))
    compared = figures.compared(materials, shipped, {}, model.calibration)
    return {
        "systems": figures.facts_of(materials),
        "pasts": {
            past: {method: {name: one[name] for name in _SHOWN if name in one} for method, one in methods.items()}
            for past, methods in compared.items()
        },
        "incidents": figures.incidents_compared(materials, shipped, model.calibration),
        "named": {past: _share_named(materials, past) for past in next(iter(materials.values())).alerts},
    }


def _share_named(materials: Mapping[str, Material], past: str) -> dict[str, Any]:
    every = explained.explanation_figures({system: one.alerts[past] for system, one in materials.items()})
    return {name: every[name] for name in ("alerts", "named")}


def last_look_section(found: Figures, elsewhere: Figures) -> str:
    """Returns a section of BENCHMARKS.md. `elsewhere`: past → method → figures of the systems of the other tables."""
    facts = found["systems"]
    lines, faults = (sum(one[name] for one in facts.values()) for name in ("lines", "faults"))
    header = ("past, method", "AP by lines", "the other systems", "found at 100", "own threshold: found", "folded/M")
    rows = [
        (
            f"{PAST_NAMES[past]}, {method}",
            " · ".join(f"{system} {_share(ap)}" for system, ap in one["ap_by_system"].items()),
            _share(elsewhere[past][method]["ap"]) if method in elsewhere.get(past, {}) else "–",
            f"{one['found_at']['100']} of {faults}",
            *_own(one),
        )
        for past in PASTS
        for method, one in found["pasts"][past].items()
    ]
    return f"""## Last look

{" and ".join(facts)}: kinds of systems that none of the others is. Nobody who had seen them changed anything of model,
trees, threshold, masking or words, and training refuses them. The last run of each is judged
({lines:,} lines, {faults} faults) by what ships, at its default threshold; there are no twins.

{_table(header, rows)}

{_more(found)}

**What fell short.** {" ".join(_shortfalls(found, elsewhere)) or "Nothing."}"""


def _own(one: Figures) -> tuple[str, str]:
    own = one.get("at_threshold")
    if own is None:
        return "–", "–"
    return f"{own['found']} of {own['faults']}", f"{own['folded_per_million']:,.0f}"


def _more(found: Figures) -> str:
    header = (
        *("past, method", "faults with an incident", "incidents a fault, mean · most"),
        *("planned changes with one", "first alert names the first evidence"),
    )
    rows = [
        (
            f"{PAST_NAMES[past]}, {method}",
            f"{one['found']} of {one['faults']}",
            f"{one['per_fault']:.2f} · {one['most_per_fault']}",
            f"{one['plans_with_one']} of {one['plans']}",
            _named(found["named"].get(past)) if method == OURS else "–",
        )
        for past, methods in found["incidents"].items()
        for method, one in methods.items()
        if method != ANNOUNCED
    ]
    return _table(header, rows)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return Grid("", header, list(rows)).markdown().removeprefix("****\n\n")


def _named(named: Figures | None) -> str:
    return "–" if named is None else f"{named['named']:.0%} of {named['alerts']}"


def _shortfalls(found: Figures, elsewhere: Figures) -> list[str]:
    """Returns a sentence for each figure that is worse than on the other systems, or than another method's."""
    sentences = []
    for past in PASTS:
        methods, after = found["pasts"][past], f"After a {PAST_NAMES[past]},"
        ours, theirs = methods[OURS], elsewhere[past][OURS]
        own, other = ours["at_threshold"], theirs["at_threshold"]
        if ours["ap"] < theirs["ap"]:
            sentences.append(f"{after} AP is {_share(ours['ap'])} where the others have {_share(theirs['ap'])}.")
        if own["found"] * other["faults"] < other["found"] * own["faults"]:
            sentences.append(
                f"{after} {own['found']} of {own['faults']} faults are found at the default, elsewhere"
                f" {other['found']} of {other['faults']}."
            )
        if own["folded_per_million"] > other["folded_per_million"]:
            sentences.append(
                f"{after} {own['folded_per_million']:,.0f} folded false alarms per million lines are raised,"
                f" elsewhere {other['folded_per_million']:,.0f}."
            )
        for method, one in methods.items():
            if one["ap"] > ours["ap"] and not method.startswith(OURS):
                sentences.append(f"{after} {method} ranks better ({_share(one['ap'])}).")
    return sentences


def _share(value: float) -> str:
    return f"{value:.3f}"
