"""Splits the alerts of a judged run by their kind, and counts what each finds and how often it is wrong.

The kinds of the score are those of its alerts. Rates and silences count whatever the score is, as in the daemon.

Legend: n lines of the run
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from logwarden.model.arrays import Bools, Doubles, Ints
from logwarden.model.kinds import KINDS, is_rate
from logwarden.model.schema import DEFAULT_KINDS, AlertKind
from logwarden.training.benchmark.methods import Answers
from logwarden.training.benchmark.runs import JudgedRun
from logwarden.training.benchmark.silences import RunSilences
from logwarden.training.evaluation.tables import Grid


@dataclass(frozen=True, slots=True)
class KindFigures:
    """The alerts of one kind in one run."""

    alerts: int
    found: list[int]
    """Faults that one of them is in reach of."""
    plans: int
    """Planned changes with one."""
    outside: int
    """Alerts in fault-free time outside planned changes."""


def kind_figures(
    run: JudgedRun, answers: Answers, kinds: Ints, silent: Bools, silences: RunSilences
) -> dict[str, KindFigures]:
    """Returns the figures of each kind.

    `kinds` (n,): places in `KINDS`. `silent` (n,): the lines of services that are learning. `silences`: a silence has
    no line of its own.
    """
    assert answers.alerts is not None, "only a method with alerts has kinds"
    by_rate = is_rate(kinds)
    found = dict[str, KindFigures]()
    for number, kind in enumerate(KINDS):
        alerts = (kinds == number) & (answers.alerts | (by_rate & ~silent))
        found[kind] = _figures(run.plans, run.times[alerts], run.reached[:, alerts], run.normal[alerts])
    found[AlertKind.SILENCE] = _figures(run.plans, silences.times, silences.reached, silences.normal)
    return found


def _figures(plans: Doubles, times: Doubles, reached: Bools, normal: Bools) -> KindFigures:
    """Returns the figures of alerts at these times, given the faults that reach each."""
    false = times[normal]
    # Rows: planned changes; columns: alerts in fault-free time.
    within = (false >= plans[:, :1]) & (false <= plans[:, 1:])
    return KindFigures(
        alerts=len(times),
        found=np.flatnonzero(reached.any(axis=1)).tolist(),
        plans=int(within.any(axis=1).sum()),
        outside=int((~within.any(axis=0)).sum()),
    )


def summed_kinds(found: Mapping[str, Mapping[str, KindFigures]], hours: float) -> dict[str, Any]:
    """Returns the kinds of all systems together. `found`: system → kind → figures. `hours`: of fault-free time."""
    sums: dict[str, Any] = {}
    for kind in KINDS:
        every = {system: one[kind] for system, one in found.items()}
        others = {
            (system, fault) for system, one in found.items() for k in KINDS if k != kind for fault in one[k].found
        }
        faults = {(system, fault) for system, one in every.items() for fault in one.found}
        outside = sum(one.outside for one in every.values())
        sums[str(kind)] = {
            "alerts": sum(one.alerts for one in every.values()),
            "found": len(faults),
            "found_by_no_other": len(faults - others),
            "plans_with_one": sum(one.plans for one in every.values()),
            "outside_plans": outside,
            "outside_plans_per_hour": outside / hours,
        }
    return sums


def kind_section(found: Mapping[str, Mapping[str, Any]], past_names: Mapping[str, str]) -> str:
    """Returns the section of BENCHMARKS.md. `found`: past → kind → sums."""
    rows: list[tuple[str, ...]] = [
        (
            past_names[past],
            f"{kind}{'' if kind in DEFAULT_KINDS else ' (off by default)'}",
            str(one["alerts"]),
            str(one["found"]),
            str(one["found_by_no_other"]),
            str(one["plans_with_one"]),
            f"{one['outside_plans_per_hour']:.2f}",
        )
        for past, kinds in found.items()
        for kind, one in kinds.items()
    ]
    header = (
        *("past", "kind", "alerts", "faults found", "by no other kind", "planned changes with one"),
        "other false ones, an hour",
    )
    table = Grid("", header, rows).markdown().removeprefix("****\n\n")
    return f"""## Kinds of anomalies

Alerts at the default threshold by their kind, lines at which a rate went up, and services that fell silent. The table
of incidents has those that are on by default. `logwarden evaluate --benchmark . --only kinds` renews both tables.

{table}"""
