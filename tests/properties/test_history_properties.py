"""The history counts as a dictionary does, in any batches, and stays within its bounds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.history import History
from tests.oracles import NaiveHistory, plain_signs, plain_state

SLOTS = 3
LINES = st.tuples(st.integers(0, SLOTS - 1), st.sampled_from([0, 1, 2, -1, 2**63 - 1, -(2**63), 7, 8]))
BATCHES = st.lists(st.lists(LINES, min_size=1, max_size=10), min_size=1, max_size=8)


def columns(batch: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([slot for slot, _ in batch], np.int64), np.array([line for _, line in batch], np.int64)


@given(BATCHES)
def test_the_history_counts_as_a_dictionary_does(batches: list[list[tuple[int, int]]]) -> None:
    """Times seen, age and first sight of every line equal those of a dictionary, line by line."""
    history, naive = History(SLOTS), NaiveHistory()
    for batch in batches:
        seen = history.observe(*columns(batch), plain_signs(len(batch)))
        expected = [naive.observe(*line) for line in batch]
        np.testing.assert_allclose(seen.log_count, np.log2([1 + count for count, _, _ in expected]), rtol=1e-6)
        np.testing.assert_allclose(seen.log_age, np.log2([1 + age for _, age, _ in expected]), rtol=1e-6)
        assert seen.first.tolist() == [i for i, (_, _, new) in enumerate(expected) if new]


@given(BATCHES)
def test_the_cut_into_batches_leaves_no_trace(batches: list[list[tuple[int, int]]]) -> None:
    """The state for the next owner is the same to the byte, whatever the batches."""
    cut, whole = History(SLOTS), History(SLOTS)
    for batch in batches:
        cut.observe(*columns(batch), plain_signs(len(batch)))
    lines = [line for batch in batches for line in batch]
    whole.observe(*columns(lines), plain_signs(len(lines)))
    for slot in range(SLOTS):
        assert plain_state(cut, slot) == plain_state(whole, slot)


@given(BATCHES, st.lists(LINES, min_size=1, max_size=10))
def test_an_answer_is_what_the_stream_would_say(
    batches: list[list[tuple[int, int]]], question: list[tuple[int, int]]
) -> None:
    """`peek` measures lines of a slot as `observe` does."""
    history = History(SLOTS)
    for batch in batches:
        history.observe(*columns(batch), plain_signs(len(batch)))
    _, lines = columns(question)
    peeked = history.peek(1, lines, np.zeros(len(lines), np.int64))
    observed = history.observe(np.full(len(lines), 1), lines, plain_signs(len(lines)))
    np.testing.assert_array_equal(peeked.log_count, observed.log_count)
    np.testing.assert_array_equal(peeked.log_age, observed.log_age)
    np.testing.assert_array_equal(peeked.first, observed.first)


@given(st.integers(1, 6), st.integers(1, 12), BATCHES)
def test_bounds_hold_after_every_trim(per_slot: int, rows: int, batches: list[list[tuple[int, int]]]) -> None:
    """No slot and no process keeps more lines than its bound, and every kept line is counted."""
    history = History(SLOTS, max_lines_per_slot=per_slot, max_rows=rows)
    for batch in batches:
        history.observe(*columns(batch), plain_signs(len(batch)))
        history.trim()
        known = [history.known_hashes(slot).tolist() for slot in range(SLOTS)]
        assert len(history) == sum(map(len, known)) <= rows
        assert all(len(set(lines)) == len(lines) <= per_slot for lines in known)
