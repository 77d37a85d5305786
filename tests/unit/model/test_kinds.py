"""Kinds by example: why a line is an anomaly, and which of them raise an alert."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from logwarden.model.kinds import RATE_UP_PROBABILITY
from logwarden.model.rates import OF_LINE, OF_REFUSED, OF_SEVERE
from logwarden.model.schema import AlertKind
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import NUMERIC_COLUMNS, WindowBatch, WindowRings

POLICY = AlertPolicy(threshold=0.5, learning_lines=0, model_revision="r1", kinds=tuple(AlertKind))


def windows(columns: dict[str, list[float]], *, step: int = 1) -> WindowBatch:
    """Returns the windows of lines with these measures; all others are 0."""
    lines = max((len(column) for column in columns.values()), default=1)
    values: dict[str, Any] = {name: np.zeros(lines, kind) for name, kind in NUMERIC_COLUMNS.items()}
    values |= {name: np.array(column, np.float32) for name, column in columns.items()}
    values["text"] = np.full(lines, b"", object)
    return WindowRings(4, 1, step=step).push(np.zeros(lines, np.int64), values)


def scores(batch: WindowBatch, probability: float = 0.01) -> Scores:
    n = len(batch)
    return Scores(np.zeros((n, 2), np.float32), np.full(n, probability), np.zeros((n, batch.size), np.float32))


@pytest.mark.parametrize(
    ("measures", "kind"),
    [
        ({}, AlertKind.NEW_LINE),
        ({"severe": 1}, AlertKind.NEW_LINE),
        ({"log_count": 3, "severe": 1}, AlertKind.FAILURE_AGAIN),
        ({"log_count": 3}, AlertKind.RARE_LINE),
        ({"log_count": 3, "rate": 20, "rate_before": 4}, AlertKind.RATE_UP),
        ({"log_count": 3, "rate": 20, "rate_before": 4, "severe": 1}, AlertKind.FAILURE_RATE_UP),
        ({"rate": 20, "rate_before": 4, "rate_of": OF_SEVERE, "severe": 1}, AlertKind.FAILURE_RATE_UP),
        ({"log_count": 3, "rate": 20, "rate_before": 4, "rate_of": OF_REFUSED}, AlertKind.FAILURE_RATE_UP),
    ],
)
def test_the_kind_of_a_line(measures: dict[str, float], kind: AlertKind) -> None:
    """A rate that went up comes before novelty, and novelty before what a known line states."""
    batch = windows({name: [value] for name, value in measures.items()})
    verdict = POLICY.verdict(batch, POLICY.judged(batch, scores(batch)), 0, service="s")
    assert verdict.kind == kind
    assert (verdict.rate is not None) == ("rate" in measures)


def test_a_rate_raises_an_alert_whatever_its_line_says() -> None:
    """The model sees 32 lines and no rate, so its score cannot be asked."""
    batch = windows({"log_count": [9], "rate": [34], "rate_before": [20], "rate_of": [OF_SEVERE], "severe": [1]})
    found = POLICY.judged(batch, scores(batch))
    assert found.probability.tolist() == [RATE_UP_PROBABILITY]
    assert POLICY.alerts_due(batch, found).tolist() == [True]
    rate = POLICY.verdict(batch, found, 0, service="s").rate
    assert rate is not None
    assert (rate.counted, rate.before, rate.of) == (34, 20, "failures")
    assert POLICY.judged(batch, scores(batch, 0.99)).probability.tolist() == [0.99]


def test_a_kind_that_is_not_wanted_raises_no_alert() -> None:
    """Of the wanted kinds each still does; a rate that nobody wants leaves the line what it would be without."""
    batch = windows({"log_count": [9], "rate": [34], "rate_before": [20], "rate_of": [OF_LINE], "severe": [1]})
    for wanted, kind in (
        ((AlertKind.FAILURE_RATE_UP,), AlertKind.FAILURE_RATE_UP),
        ((AlertKind.FAILURE_AGAIN,), AlertKind.FAILURE_AGAIN),
        ((AlertKind.NEW_LINE,), None),
    ):
        policy = replace(POLICY, kinds=wanted)
        found = policy.judged(batch, scores(batch, 0.9))
        assert policy.alerts_due(batch, found).tolist() == [kind is not None]
        assert kind is None or policy.verdict(batch, found, 0, service="s").kind == kind


def test_load_alone_raises_no_alert_by_default() -> None:
    """Every morning is busier than the night; whoever wants to know switches it on."""
    batch = windows({"log_count": [9], "rate": [34], "rate_before": [20]})
    policy = AlertPolicy(threshold=0.5, learning_lines=0, model_revision="r1")
    assert policy.alerts_due(batch, policy.judged(batch, scores(batch))).tolist() == [False]


def test_all_lines_of_a_step_count() -> None:
    """With a step of three lines, the first of them was new, and at the second a rate went up."""
    batch = windows({"log_count": [0, 4, 4], "rate": [0, 12, 0], "rate_before": [0, 5, 0], "severe": [0, 1, 0]}, step=3)
    found = POLICY.judged(batch, scores(batch))
    verdict = POLICY.verdict(batch, found, 0, service="s")
    assert (verdict.kind, verdict.rate and verdict.rate.counted) == (AlertKind.FAILURE_RATE_UP, 12)
    quiet = windows({"log_count": [4, 0, 4]}, step=3)
    assert POLICY.verdict(quiet, POLICY.judged(quiet, scores(quiet)), 0, service="s").kind == AlertKind.NEW_LINE
