"""Folds the alerts of a judged run into incidents as the daemon does, and counts what that finds and what it disturbs.

An incident belongs to every fault that one of its alerts is in reach of, up to the end of the tail behind the fault. An
incident that belongs to none is false; it is a planned change's if it overlaps one.

Legend: n lines of the run
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from logwarden.model.arrays import Bools, Doubles, Floats
from logwarden.model.defaults import WINDOW_SIZE
from logwarden.model.feedback import Feedback, FeedbackBook, FeedbackKind
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incidents import ODD_BITS, Finding, Incident
from logwarden.training.benchmark.methods import AT, Answers
from logwarden.training.benchmark.runs import JudgedRun
from logwarden.training.evaluation.tables import Grid
from logwarden.training.faultlab.recording import RECOVERY_TAIL_S

ANNOUNCED = "logwarden, changes announced"
SEVERITY_WORDS = "critical", "error", "warning"


@dataclass(frozen=True, slots=True)
class IncidentFigures:
    """The incidents of one run."""

    faults: int
    found_by_lines: int
    """Faults that an alert is in reach of."""
    found: int
    """Faults that an incident belongs to."""
    per_fault: list[int]
    """Incidents of each fault found."""
    alone: int
    """Faults found of which at least one incident belongs to no other."""
    incidents: int
    outside_plans: int
    """False incidents that overlap no planned change."""
    plans: int
    plans_with_one: int
    """Planned changes that a false incident overlaps."""
    severities: dict[str, int]
    """Of the incidents of faults."""
    false_severities: dict[str, int]
    quiet_s: float


def incident_figures(run: JudgedRun, answers: Answers, inputs: Floats, *, announced: bool = False) -> IncidentFigures:
    """Returns the figures of one method's alerts on one run. `inputs` (n, F).

    `announced`: each planned change is announced as maintenance of all services. What is planned then is left out.
    """
    assert answers.alerts is not None, "only a method with alerts has incidents"
    book = FeedbackBook(_windows(run) if announced else ())
    places = np.flatnonzero(answers.alerts)
    places = places[np.argsort(run.times[places], kind="stable")]
    incidents, lines_of = folded(_findings(run, answers.scores, inputs, places.tolist(), book))
    incidents = [one for one in incidents if one.plan is None]
    opened = [(one, run.reached[:, lines_of[one.id]].any(axis=1)) for one in incidents]
    of_faults = [(one, faults) for one, faults in opened if faults.any()]
    false = [one for one, faults in opened if not faults.any()]
    per_fault = np.sum([faults for _, faults in of_faults], axis=0, dtype=np.int64).reshape(-1)
    shared = {number for _, faults in of_faults if faults.sum() > 1 for number in np.flatnonzero(faults).tolist()}
    own = {number for _, faults in of_faults if faults.sum() == 1 for number in np.flatnonzero(faults).tolist()}
    spans = np.array([(one.first_ms / 1000, one.last_ms / 1000) for one in false]).reshape(-1, 2)
    # Rows: false incidents; columns: planned changes.
    overlaps = (spans[:, :1] <= run.plans[:, 1]) & (spans[:, 1:] >= run.plans[:, 0])
    return IncidentFigures(
        faults=run.faults,
        found_by_lines=int((run.reached & answers.alerts).any(axis=1).sum()),
        found=len(own | shared),
        per_fault=[int(number) for number in per_fault if number],
        alone=len(own),
        incidents=len(incidents),
        outside_plans=int((~overlaps.any(axis=1)).sum()),
        plans=len(run.plans),
        plans_with_one=int(overlaps.any(axis=0).sum()),
        severities=dict(Counter(one.gates.severity for one, _ in of_faults)),
        false_severities=dict(Counter(one.gates.severity for one in false)),
        quiet_s=run.quiet_s,
    )


def folded(findings: Iterable[Finding]) -> tuple[list[Incident], dict[str, list[int]]]:
    """Folds findings that are published as they are logged. Returns the last record about each incident that opened.

    Returns beside them incident → the lines folded into it.
    """
    fold, newest, lines_of = IncidentFold(), dict[str, Incident](), dict[str, list[int]]()
    for finding in findings:
        newest |= {one.id: one for one in fold.advance(finding.clock_ms)}
        incident = fold.add(finding)
        assert incident is not None, "every line has an id of its own"
        lines_of.setdefault(incident, []).append(int(finding.id))
    for _ in range(2):  # at the first an incident opens and is resolved, at the second nothing is left
        newest |= {one.id: one for one in fold.advance(np.inf)}
    return list(newest.values()), lines_of


def summed_incidents(results: Mapping[str, IncidentFigures]) -> dict[str, Any]:
    """Returns the incidents of all systems together."""
    every = list(results.values())
    hours = sum(one.quiet_s for one in every) / 3600
    per_fault = [number for one in every for number in one.per_fault]
    plans = sum(one.plans for one in every)
    outside = sum(one.outside_plans for one in every)
    return {
        "faults": sum(one.faults for one in every),
        "found_by_lines": sum(one.found_by_lines for one in every),
        "found": sum(one.found for one in every),
        "per_fault": float(np.mean(per_fault)) if per_fault else 0.0,
        "most_per_fault": max(per_fault, default=0),
        "alone": sum(one.alone for one in every),
        "incidents": sum(one.incidents for one in every),
        "outside_plans": outside,
        "outside_plans_per_hour": outside / hours,
        "plans": plans,
        "plans_with_one": sum(one.plans_with_one for one in every),
        "severities": _added(one.severities for one in every),
        "false_severities": _added(one.false_severities for one in every),
    }


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    return {word: number for one in [sum(map(Counter, counts), Counter())] for word, number in sorted(one.items())}


def _windows(run: JudgedRun) -> Iterator[Feedback]:
    """Yields each planned change as a maintenance, which ends when the change does."""
    for number, (begin, end) in enumerate(run.plans.tolist()):
        yield Feedback(
            key=f"maintenance/{number}",
            kind=FeedbackKind.MAINTENANCE,
            given_ms=number,
            from_ms=round(1000 * begin),
            until_ms=round(1000 * (end - RECOVERY_TAIL_S)),
        )


def _findings(
    run: JudgedRun, odds: Doubles, inputs: Floats, places: list[int], book: FeedbackBook
) -> Iterator[Finding]:
    """Yields the alerts at these places, in the order of their times."""
    odd = _odd_shares(run, inputs[:, AT["surprise"]] >= ODD_BITS)
    evidence = np.logaddexp(0.0, odds)
    for place in places:
        at, service = round(1000 * float(run.times[place])), str(int(run.service[place]))
        is_failure = bool(inputs[place, AT["severe"]] > 0)
        yield Finding(
            id=str(place),
            service=service,
            kind=f"{service}:{int(run.kind[place])}",
            time_ms=at,
            clock_ms=at,
            evidence=float(evidence[place]),
            is_failure=is_failure,
            surprise=float(inputs[place, AT["surprise"]]),
            odd_share=float(odd[place]),
            plan=book.plan(service, at, is_failure=is_failure),
        )


def _odd_shares(run: JudgedRun, is_odd: Bools) -> Doubles:
    """Returns (n,) the share of odd lines among the lines of the same service in the window before each."""
    shares = np.zeros(len(is_odd))
    for service in range(run.services):
        own = np.flatnonzero(run.service == service)
        # odd lines   1 0 1 1      before each, at most two:   sums 0 1 1 2 3
        # before      0 1 1 1      sum to it less the sum to two before it
        sums = np.concatenate([[0], np.cumsum(is_odd[own])])
        ends = np.arange(len(own))
        begins = np.maximum(ends - (WINDOW_SIZE - 1), 0)
        shares[own] = (sums[ends] - sums[begins]) / np.maximum(ends - begins, 1)
    return shares


def incident_section(found: Mapping[str, Mapping[str, Any]], past_names: Mapping[str, str]) -> str:
    """Returns the section of BENCHMARKS.md. `found`: past → method → the sums of `summed_incidents`."""
    rows: list[tuple[str, ...]] = [
        (
            past_names[past],
            method,
            f"{one['found']} of {one['found_by_lines']}",
            f"{one['per_fault']:.2f} · {one['most_per_fault']}",
            str(one["alone"]),
            str(one["incidents"]),
            f"{one['plans_with_one']} of {one['plans']}",
            f"{one['outside_plans_per_hour']:.2f}",
            " · ".join(str(one["severities"].get(word, 0)) for word in SEVERITY_WORDS),
            " · ".join(str(one["false_severities"].get(word, 0)) for word in SEVERITY_WORDS),
        )
        for past, methods in found.items()
        for method, one in methods.items()
    ]
    header = (
        *("past", "method", "faults found of those found by lines", "incidents a fault, mean · most"),
        *("faults with one of their own", "incidents", "planned changes with one", "other false ones, an hour"),
        *(f"{' · '.join(SEVERITY_WORDS)}, {whose}" for whose in ("of faults", "false")),
    )
    table = Grid("", header, rows).markdown().removeprefix("****\n\n")
    return f"""## Incidents

The alerts of the table before, folded as the daemon folds them. The pause between a fault's recovery and the next
fault is 13 s at least and 33 s in the median, so an incident often spans two faults: *faults with one of their own*
counts those of which an incident belongs to no other fault. *Changes announced*: each planned change is a maintenance
of all services until it ends, and its planned incident is left out.

{table}"""
