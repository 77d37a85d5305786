"""What the kinds of a run's alerts are worth: faults found, planned changes, false ones."""

from __future__ import annotations

import numpy as np

from logwarden.model.kinds import KINDS, RATE_UP_PROBABILITY
from logwarden.model.schema import AlertKind
from logwarden.training.benchmark.kinds import kind_figures, kind_section, summed_kinds
from logwarden.training.benchmark.methods import Answers, with_rates
from logwarden.training.benchmark.silences import RunSilences
from logwarden.training.evaluation.replay import log_odds
from tests.unit.training.benchmark.test_incidents import run_of

NEW, RATE = KINDS.index(AlertKind.NEW_LINE), KINDS.index(AlertKind.FAILURE_RATE_UP)


def test_kinds_are_counted_apart() -> None:
    """Two faults, a planned change and a calm line; the second fault is found by its rate alone."""
    run = run_of([110.0, 410.0, 710.0, 900.0, 950.0])
    kinds = np.array([NEW, RATE, NEW, RATE, RATE])
    alerts = np.array([True, False, True, False, False])
    silences = RunSilences(np.array([420.0, 705.0]), np.array([[False, False], [True, False]]), np.array([False, True]))
    found = kind_figures(
        run, Answers(np.zeros(5), alerts), kinds, silent=np.array([False] * 4 + [True]), silences=silences
    )
    assert (found["new_line"].found, found["failure_rate_up"].found) == ([0], [1])
    assert (found["new_line"].plans, found["new_line"].outside) == (1, 0)
    assert (found["failure_rate_up"].plans, found["failure_rate_up"].outside) == (0, 1)
    assert found["rate_up"].alerts == 0
    assert (found["silence"].alerts, found["silence"].found, found["silence"].plans) == (2, [1], 1)
    sums = summed_kinds({"x": found, "y": found}, hours=4.0)
    assert (sums["failure_rate_up"]["found"], sums["failure_rate_up"]["found_by_no_other"]) == (2, 0)
    assert sums["new_line"]["found_by_no_other"] == 2
    assert sums["failure_rate_up"]["outside_plans_per_hour"] == 0.5
    assert "| calm | new_line | 4 | 2 | 2 | 2 | 0.00 |" in kind_section({"peace": sums}, {"peace": "calm"})


def test_a_rate_of_failures_raises_the_odds() -> None:
    """As the daemon does by default; the rate of other lines does not."""
    kinds = np.array([NEW, RATE, RATE, KINDS.index(AlertKind.RATE_UP)])
    odds = with_rates(np.array([-5.0, -5.0, 5.0, -5.0]), kinds)
    np.testing.assert_allclose(odds, [-5.0, log_odds(RATE_UP_PROBABILITY), 5.0, -5.0])
