"""What the incidents of a run are worth: faults found, incidents for each, planned changes, false ones."""

from __future__ import annotations

import numpy as np

from logwarden.model.decision import INPUTS
from logwarden.training.benchmark.incidents import (
    IncidentFigures,
    incident_figures,
    incident_section,
    summed_incidents,
)
from logwarden.training.benchmark.methods import AT, Answers
from logwarden.training.benchmark.runs import JudgedRun
from logwarden.training.faultlab.labels import State


def run_of(times: list[float]) -> JudgedRun:
    """A run of one service with a line at each of these times.

    Its faults reach from 100 to 150 and from 400 to 450, its planned change from 700 to 720.
    """
    at, count = np.array(times), len(times)
    reached = np.stack([(at >= begin) & (at <= begin + 50) for begin in (100, 400)])
    return JudgedRun(
        system="x",
        states=np.where(reached.any(axis=0), State.EVIDENCE, State.NORMAL).astype(np.uint8),
        fault=np.full(count, -1, np.int16),
        faults=2,
        times=at,
        service=np.zeros(count, np.int64),
        services=1,
        kind=np.zeros(count, np.int64),
        keyword=np.zeros(count, bool),
        planned=np.zeros(count, bool),
        plans=np.array([[700.0, 720.0]]),
        reached=reached,
        quiet_s=1800.0,
    )


def figures_of(
    times: list[float], strong: list[bool], *, announced: bool = False, states_failure: bool = False
) -> IncidentFigures:
    """The figures of a run with an alert on each line, and enough evidence on the strong ones."""
    answers = Answers(np.where(strong, 3.0, -0.5), np.ones(len(times), bool))
    inputs = np.zeros((len(times), len(INPUTS)), np.float32)
    inputs[:, AT["severe"]] = states_failure
    return incident_figures(run_of(times), answers, inputs, announced=announced)


def test_each_incident_counts_for_what_it_reaches() -> None:
    """One fault has two incidents, one a weak alert only; a planned change has one, and one more has no cause."""
    found = figures_of([100, 140, 420, 705, 1200], [True, True, False, True, True])
    assert (found.faults, found.found_by_lines, found.found, found.per_fault) == (2, 2, 1, [2])
    assert (found.incidents, found.outside_plans, found.plans, found.plans_with_one) == (4, 1, 1, 1)
    assert (found.alone, found.severities, found.false_severities) == (1, {"warning": 2}, {"warning": 2})


def test_an_incident_that_spans_two_faults_is_no_fault_s_own() -> None:
    """Faults that follow each other in one incident are found, and the sums show that it is not one for each."""
    found = figures_of([step * 10.0 for step in range(10, 43)], [True] * 33)
    assert (found.found, found.per_fault, found.alone, found.incidents) == (2, [1, 1], 0, 1)
    sums = summed_incidents({"x": found, "y": found})
    assert (sums["faults"], sums["per_fault"], sums["outside_plans_per_hour"]) == (4, 1.0, 0.0)
    text = incident_section({"a": {"logwarden": sums}}, {"a": "clean"})
    assert "| clean | logwarden | 4 of 4 | 1.00 · 1 | 0 |" in text


def test_an_announced_change_raises_no_incident_and_hides_no_later_fault() -> None:
    """The plan ends 20 s before its span does: alerts up to 10 s after that are planned, and a later failure is not."""
    times, strong = [100.0, 702.0, 709.0, 740.0], [True] * 4
    assert figures_of(times, strong).plans_with_one == 1
    found = figures_of(times, strong, announced=True)
    assert (found.found, found.plans_with_one, found.incidents, found.outside_plans) == (1, 0, 2, 1)
    assert figures_of([711.0], [True], announced=True, states_failure=True).plans_with_one == 1
    assert [figures_of([at], [True], announced=True).plans_with_one for at in (711.0, 716.0)] == [0, 1]
