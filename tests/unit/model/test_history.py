"""Familiarity by example: counting, forgetting, and a snapshot that another process goes on from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from logwarden.model.calm import AGE_CAP_BITS
from logwarden.model.history import History
from logwarden.model.novelty import Familiarity
from tests.oracles import plain_signs, plain_state


def observe(history: History, slots: list[int], lines: list[int]) -> Familiarity:
    return history.observe(np.array(slots, np.int64), np.array(lines, np.int64), plain_signs(len(lines)))


def counts(seen: Familiarity) -> list[int]:
    return [round(2**bits - 1) for bits in seen.log_count.tolist()]


def ages(seen: Familiarity) -> list[int]:
    return [round(2**bits - 1) for bits in seen.log_age.tolist()]


def test_a_line_is_measured_before_it_is_counted() -> None:
    """The first sight of a line says 0 times seen; services do not share what they know."""
    seen = observe(History(2), [0, 0, 1, 0], [7, 7, 7, 8])
    assert counts(seen) == [0, 1, 0, 0]
    assert ages(seen) == [0, 1, 0, 2]
    assert seen.first.tolist() == [0, 2, 3]


def test_ages_count_up_to_a_cap() -> None:
    """A new line of a service that has run for a year is as surprising as one of a service that has run for a day."""
    history = History(1)
    for _ in range(5):
        observe(history, [0] * 4000, [1] * 4000)
    seen = observe(history, [0], [2])
    assert seen.log_age.tolist() == [AGE_CAP_BITS]
    assert history.age(np.array([0])).tolist() == [20_001]


def test_known_lines_come_in_the_order_of_first_sight() -> None:
    """The order is that of the stream, whatever the hashes are and however it was cut."""
    stream = [5, -9, 3, 5, -2, 3, 10]
    together, apart = History(1), History(1)
    observe(together, [0] * 7, stream)
    for line in stream:
        observe(apart, [0], [line])
    assert together.known_hashes(0).tolist() == [5, -9, 3, -2, 10]
    assert apart.known_hashes(0).tolist() == [5, -9, 3, -2, 10]


def test_the_rarest_and_longest_unseen_go_first() -> None:
    """A crowded slot keeps the lines it sees often and those it saw lately; others lose nothing."""
    history = History(2, max_lines_per_slot=8)
    observe(history, [1] * 8, list(range(100, 108)))
    observe(history, [0] * 4, [1, 2, 1, 2])
    observe(history, [0] * 7, [3, 4, 5, 6, 7, 8, 9])
    history.trim()
    kept = history.known_hashes(0).tolist()
    assert kept == [1, 2, 6, 7, 8, 9]  # a quarter below the bound, so that trimming is rare
    assert len(history.known_hashes(1)) == 8
    assert len(history) == 14
    assert counts(observe(history, [0, 0, 0], [3, 1, 9])) == [0, 2, 1]  # what was evicted is new again


def test_the_bound_on_all_rows_holds_across_slots() -> None:
    """Many services together stay below the bound of the process."""
    history = History(50, max_lines_per_slot=100, max_rows=40)
    observe(history, list(range(50)), list(range(50)))
    history.trim()
    assert len(history) <= 40
    observe(history, [3, 3], [900, 901])
    assert len(history.known_hashes(3)) in (2, 3)


def test_a_cleared_slot_knows_nothing() -> None:
    """The next service in the slot is new, and the other slots keep what they know."""
    history = History(2)
    observe(history, [0, 0, 1], [1, 2, 1])
    history.clear(np.array([0]))
    assert history.age(np.array([0, 1])).tolist() == [0, 1]
    assert counts(observe(history, [0, 1], [1, 1])) == [0, 1]
    history.clear(np.array([], np.int64))  # nothing to forget is no error


def test_asking_counts_nothing() -> None:
    """A question is measured as its lines would be in the stream, repeats included, and leaves no trace."""
    history = History(1)
    observe(history, [0, 0, 0], [1, 1, 2])
    before = plain_state(history, 0)
    asked = history.peek(0, np.array([1, 3, 3, 2]), np.zeros(4, np.int64))
    assert plain_state(history, 0) == before
    told = observe(history, [0] * 4, [1, 3, 3, 2])
    assert (counts(asked), ages(asked), asked.first.tolist()) == (counts(told), ages(told), told.first.tolist())
    assert asked.rows.tolist()[1:3] == [-1, -1]


def test_asking_an_empty_history_finds_everything_new() -> None:
    """A service that never spoke has age 0, and its lines were seen 0 times."""
    asked = History(1).peek(0, np.array([4, 4]), np.zeros(2, np.int64))
    assert (counts(asked), ages(asked), asked.first.tolist()) == ([0, 1], [0, 1], [0])


def test_a_taken_slot_measures_the_same_elsewhere() -> None:
    """Another process, whose rows lie elsewhere, goes on exactly where this one stopped."""
    history, other = History(3), History(2)
    seen = observe(history, [2] * 5, [11, 12, 11, 13, 2**62])
    history.set_distances(seen.rows[seen.first], np.array([1.0, 0.25, 0.5, 0.125], np.float32))
    observe(other, [0, 0], [12, 99])
    other.put(1, history.take(2))
    assert plain_state(other, 1) == plain_state(history, 2)
    ours, theirs = observe(history, [2] * 3, [12, 2**62, 14]), observe(other, [1] * 3, [12, 2**62, 14])
    assert counts(ours) == counts(theirs) == [1, 1, 0]
    assert ages(ours) == ages(theirs) == [5, 6, 7]
    assert history.distances(ours.rows).tolist() == other.distances(theirs.rows).tolist() == [0.25, 0.125, 0.0]


def test_recalling_measures_a_line_without_itself() -> None:
    """A line that is replayed was counted before: seen once means never before, and nothing is counted again."""
    history = History(1)
    observe(history, [0] * 4, [1, 1, 2, 1])
    before = plain_state(history, 0)
    again = history.recall(0, np.array([2, 1, 1, 9, 9]), np.zeros(5, np.int64))
    assert (counts(again), ages(again)) == ([0, 2, 2, 0, 0], [3] * 5)
    assert (again.rows.tolist()[3:], again.first.tolist()) == ([-1, -1], [3])  # evicted in the meantime: new
    assert plain_state(history, 0) == before
    empty = History(1).recall(0, np.array([5]), np.zeros(1, np.int64))
    assert (counts(empty), ages(empty)) == ([0], [0])


def test_an_empty_snapshot_is_a_snapshot() -> None:
    """A service that has said nothing yet can be handed over too."""
    other = History(1)
    other.put(0, History(1).take(0))
    assert ages(observe(other, [0], [1])) == [0]


def test_bits_are_logarithms_of_one_more() -> None:
    """The columns that the head reads are log2(1 + n), so that 0 means never."""
    seen = observe(History(1), [0] * 4, [1] * 4)
    assert seen.log_count.tolist() == pytest.approx([math.log2(1 + n) for n in range(4)])


def test_growth_numbers_the_new_rows_once() -> None:
    """However often a history grows, each row is free or in use, and none lies beyond the columns."""
    history = History(4, max_lines_per_slot=10_000)
    for first in range(0, 5_000, 700):
        lines = list(range(first, first + 700))
        seen = observe(history, [first % 4] * 700, lines)
        assert history._count[seen.rows].tolist() == [1] * 700
        rows = sorted([*history._free, *history._rows.values()])
        assert rows == list(range(len(history._count)))
        assert len(history._count) == len(history._slot) == len(history._distance)
