"""How surprising a line is where new lines are rare, and where they are common."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.model.history import History
from logwarden.model.novelty import BRAKED_LINES, distinct_before
from tests.oracles import plain_signs


def surprise_of_a_new_line(lines: int, kinds: int) -> float:
    """Returns the bits of a line never logged, after `lines` lines of which `kinds` were new at sight."""
    history = History(1)
    history.observe(np.zeros(lines, np.int64), np.arange(lines) % kinds, plain_signs(lines))
    seen = history.observe(np.zeros(1, np.int64), np.array([-1]), plain_signs(1))
    return float(seen.log_age[0] - seen.log_count[0])


def test_a_new_line_is_a_surprise_where_new_lines_are_rare() -> None:
    """A hundred kinds in ten thousand lines, or in a thousand, brake nothing."""
    assert surprise_of_a_new_line(10_000, 100) == pytest.approx(np.log2(10_001), abs=1e-4)
    assert surprise_of_a_new_line(1_000, 90) == pytest.approx(np.log2(1_001), abs=1e-4)


def test_a_new_line_is_none_where_every_second_line_is_new() -> None:
    """The surprise is that of the share of new lines, and rises without a step towards the full one."""
    assert surprise_of_a_new_line(1_000, 500) == pytest.approx(1.0, abs=0.01)
    assert surprise_of_a_new_line(1_000, 999) < 0.1
    bits = [surprise_of_a_new_line(1_000, kinds) for kinds in range(80, 400, 20)]
    assert bits == sorted(bits, reverse=True)
    assert max(np.diff(bits)) <= 0
    assert min(np.diff(bits)) > -1.5


def test_a_familiar_line_stays_familiar_beside_new_ones() -> None:
    """The brake only takes surprise away."""
    history = History(1)
    hashes = np.where(np.arange(1_000) % 2 == 0, -1, np.arange(1_000))
    history.observe(np.zeros(1_000, np.int64), hashes, plain_signs(1_000))
    seen = history.observe(np.zeros(1, np.int64), np.array([-1]), plain_signs(1))
    assert seen.log_count[0] == pytest.approx(np.log2(501), abs=0.01)


def test_the_first_lines_of_a_service_brake_nothing() -> None:
    """Nearly all of them are new, which says nothing about the service yet."""
    lines = BRAKED_LINES - 1
    assert surprise_of_a_new_line(lines, lines) == pytest.approx(np.log2(lines + 1), abs=1e-4)


def test_distinct_lines_before_each_line_of_a_batch() -> None:
    """New lines of the same slot count for the lines behind them, in any order of slots."""
    slots, first = np.array([0, 1, 0, 0, 1]), np.array([0, 3, 4])
    assert distinct_before(np.array([5, 7, 5, 5, 7]), slots, first).tolist() == [5, 7, 6, 6, 7]
    assert distinct_before(np.array([5]), np.array([0]), np.zeros(0, np.int64)).tolist() == [5]
