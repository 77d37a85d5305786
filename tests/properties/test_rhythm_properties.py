"""Pauses are those of a plain rule, in any batches."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.rhythm import FACTOR, MORE_MS, Rhythm

SLOTS = 3
STEPS = st.sampled_from([0, 100, 100, 2_000, 9_000, 60_000, -5_000, None])
LINES = st.lists(st.tuples(st.integers(0, SLOTS - 1), STEPS), min_size=1, max_size=9)
BATCHES = st.lists(LINES, min_size=1, max_size=8)


@given(BATCHES, st.integers(0, 200_000), st.integers(0, 7))
def test_pauses_are_those_of_the_plain_rule(
    batches: list[list[tuple[int, int | None]]], ahead: int, moved: int
) -> None:
    """Which services are silent, after which line and for how long, whichever process goes on."""
    rhythm, now = Rhythm(SLOTS), 1_000_000
    newest, longest = [-1] * SLOTS, [0] * SLOTS
    for number, batch in enumerate(batches):
        times = []
        for slot, step in batch:
            now += step or 0
            times.append(-1 if step is None else now)
            if step is not None:
                if newest[slot] >= 0:
                    longest[slot] = max(longest[slot], now - newest[slot])
                newest[slot] = max(newest[slot], now)
        rhythm.observe(np.array([slot for slot, _ in batch]), np.array(times))
        if number == moved:
            other, slots = Rhythm(SLOTS), np.arange(SLOTS)
            other.set_slots(slots, rhythm.of_slots(slots))
            rhythm = other
    clock = now - 100_000 + ahead
    found = rhythm.silent(np.arange(SLOTS), clock)
    present = min(max(newest), clock)
    expected = [
        (slot, newest[slot], present - newest[slot], longest[slot])
        for slot in range(SLOTS)
        if newest[slot] >= 0 and longest[slot] and present - newest[slot] > FACTOR * longest[slot] + MORE_MS
    ]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
