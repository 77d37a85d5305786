"""The judgement of whole runs: strong lines add up, missing lines count, and a fence needs no labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.runs import STRONGEST, fence, lack_evidence, lacks, run_evidence


def evidence(*lines: tuple[int, float], runs: int = 2) -> list[float]:
    """Returns the evidence of runs of lines (run, log-odds)."""
    run, odds = (np.array(column) for column in zip(*lines, strict=True))
    return [float(value) for value in run_evidence(run, odds.astype(np.float64), runs)]


def test_a_run_is_anomalous_if_any_of_its_lines_is() -> None:
    """Two lines at even odds leave a quarter for a good run."""
    two = evidence((0, 0.0), (0, 0.0), (1, -2.0))
    assert math.exp(-two[0]) == pytest.approx(0.25)
    assert math.exp(-two[1]) == pytest.approx(1 - 1 / (1 + math.exp(2)))


def test_a_long_good_run_does_not_add_up_to_a_failure() -> None:
    """A thousand lines that are hardly odd stay below one line that is."""
    long, failed = evidence(*((0, -4.0) for _ in range(1000)), (1, 0.0))
    assert long == pytest.approx(STRONGEST * math.log1p(math.exp(-4)))
    assert long < failed


def test_lines_that_are_not_judged_are_no_evidence() -> None:
    """A line of a learning service, and one that was not scored, leave the run silent."""
    assert evidence((0, -math.inf), (0, math.nan)) == [0.0, 0.0]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-30, 30)), min_size=1, max_size=60))
def test_fast_evidence_is_the_slow_one(lines: list[tuple[int, float]]) -> None:
    """A loop over runs gives the same sums."""
    for run, found in enumerate(evidence(*lines, runs=4)):
        own = sorted((math.log1p(math.exp(odds)) for owner, odds in lines if owner == run), reverse=True)
        assert found == pytest.approx(sum(own[:STRONGEST]))


def runs_of(*rows: str) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Returns runs by kinds: one letter a kind, a dot for one that is missing."""
    return np.array([[letter != "." for letter in row] for row in rows])


def test_a_run_that_never_reports_its_end_lacks_it() -> None:
    """Of forty good runs all have three lines and some a fourth; a run without the third line and one with all."""
    past = runs_of(*["abc."] * 30, *["abcd"] * 10)
    missing, of_past = lacks(runs_of("ab..", "abcd", "abc."), past)
    assert missing.tolist() == [pytest.approx(math.log(40.5 / 0.5)), 0.0, 0.0]
    assert not of_past.any()
    torn, *whole = lack_evidence(missing, of_past).tolist()
    assert torn > 10 * max(whole)
    assert max(whole) < 0.001


def test_what_good_runs_lack_too_is_no_evidence() -> None:
    """Where every third good run ends early, a run that ends early is as good as they; where none does, it is not."""
    ends = "abcdefgh"
    torn = runs_of(*[ends] * 40, *["ab......"] * 20)
    whole = runs_of(*[ends] * 60)
    early = runs_of("ab......")
    assert lack_evidence(*lacks(early, torn))[0] == pytest.approx(0, abs=0.01)
    assert lack_evidence(*lacks(early, whole))[0] > 5


def test_an_earlier_run_is_compared_with_the_others() -> None:
    """The one earlier run without a line lacks it, although it counts itself."""
    _, of_past = lacks(runs_of("a"), runs_of(*["a"] * 20, "."))
    assert of_past[-1] == pytest.approx(math.log(20.5 / 0.5))
    assert not of_past[:-1].any()


def test_a_fence_survives_a_past_with_failures() -> None:
    """A fifth of the past failed as hard as a run can, and the fence stays where the good runs put it."""
    good = np.exp(np.linspace(-9, -8, 80))
    assert fence(np.concatenate([good, np.full(20, 9.0)])) < 0.1 < 9.0
    assert fence(good) > good.max()


def test_a_silent_past_has_a_fence_near_zero() -> None:
    """Where no run ever had evidence, the least evidence is far out."""
    assert 0 < fence(np.zeros(10)) < 1e-9
