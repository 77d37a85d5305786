"""The judgement of whole runs: evidence adds over distinct lines, and a fence needs no labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.runs import fence, run_evidence


def evidence(*lines: tuple[int, int, float], runs: int = 2) -> list[float]:
    """Returns the evidence of runs of lines (run, kind, log-odds)."""
    run, kind, odds = (np.array(column) for column in zip(*lines, strict=True))
    return [float(value) for value in run_evidence(run, kind, odds.astype(np.float64), runs)]


def test_a_run_is_anomalous_if_any_of_its_kinds_is() -> None:
    """Two kinds at even odds leave a quarter for a good run, and a kind that repeats counts once."""
    two = evidence((0, 5, 0.0), (0, 5, 0.0), (0, 7, 0.0), (1, 5, -2.0))
    assert math.exp(-two[0]) == pytest.approx(0.25)
    assert math.exp(-two[1]) == pytest.approx(1 - 1 / (1 + math.exp(2)))


def test_a_kind_counts_with_its_worst_line() -> None:
    """Ten harmless repetitions do not outweigh the one that was not."""
    assert evidence((0, 5, -9.0), (0, 5, 3.0), (0, 5, -9.0))[0] == pytest.approx(math.log1p(math.exp(3)))


def test_lines_that_are_not_judged_are_no_evidence() -> None:
    """A line of a learning service, and one that was not scored, leave the run silent."""
    assert evidence((0, 1, -math.inf), (0, 2, math.nan)) == [0.0, 0.0]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(-30, 30)), min_size=1, max_size=40))
def test_fast_evidence_is_the_slow_one(lines: list[tuple[int, int, float]]) -> None:
    """A loop over runs and kinds gives the same sums."""
    for run, found in enumerate(evidence(*lines, runs=4)):
        worst: dict[int, float] = {}
        for owner, kind, odds in lines:
            if owner == run:
                worst[kind] = max(worst.get(kind, -math.inf), odds)
        assert found == pytest.approx(sum(math.log1p(math.exp(odds)) for odds in worst.values()))


def test_a_fence_survives_a_past_with_failures() -> None:
    """A fifth of the past failed as hard as a run can, and the fence stays where the good runs put it."""
    good = np.exp(np.linspace(-9, -8, 80))
    assert fence(np.concatenate([good, np.full(20, 9.0)])) < 0.1 < 9.0
    assert fence(good) > good.max()


def test_a_silent_past_has_a_fence_near_zero() -> None:
    """Where no run ever had evidence, the least evidence is far out."""
    assert 0 < fence(np.zeros(10)) < 1e-9
