"""Rates are those of a plain count, in any batches, and wherever a state was handed over."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from logwarden.model import rates
from logwarden.model.rates import Rates

SLOTS, ROWS = 3, 12  # rows of a slot: four
STEPS = st.sampled_from([0, 0, 0, 100, 3_000, 11_000, -4_000, -30_000, -200_000, None])
LINES = st.tuples(st.integers(0, ROWS - 1), STEPS, st.booleans(), st.booleans(), st.integers(1, 9))
BATCHES = st.lists(st.lists(LINES, min_size=1, max_size=12), min_size=1, max_size=8)
Line = tuple[int, int, bool, bool]
Seen = tuple[int, int, int]


@dataclass
class NaiveRates:
    """Oracle: counts in dictionaries, one line at a time."""

    bucket: dict[int, int] = field(default_factory=dict)
    period: dict[int, int] = field(default_factory=dict)
    counts: dict[object, list[int]] = field(default_factory=dict)

    def observe(self, row: int, at_ms: int, severe: bool, refused: bool) -> Seen:
        slot, found = row % SLOTS, (0, 0, 0)
        present, bucket = self.bucket.get(slot, -1), at_ms // rates.PERIOD_MS if at_ms >= 0 else -1
        newest = bucket if 0 <= bucket < present - rates.LATE_PERIODS else max(present, bucket)
        if newest != present:
            self.bucket[slot] = newest
            self.period[slot] = self.period.get(slot, 0) + 1
        tracks = [(rates.OF_REFUSED, refused, ("refused", slot)), (rates.OF_SEVERE, severe, ("severe", slot))]
        for number, counts, name in [*tracks, (rates.OF_LINE, True, row)]:
            if counts:
                found = self._count(name, self.period.get(slot, 0), number) or found
        return found

    def _count(self, name: object, period: int, number: int) -> Seen | None:
        known = self.counts.setdefault(name, [period, 0, 0])
        if known[0] != period:
            known[:] = [period, 0, max(known[1:])]
        known[1] += 1
        bound = rates.FACTOR * known[2] + rates.MORE
        return (known[1], known[2], number) if known[2] and known[1] > bound >= known[1] - 1 else None


def timed(batches: list[list[tuple[int, int | None, bool, bool, int]]]) -> list[list[Line]]:
    """Steps become times, and lines are repeated; a step of None is a line without a time."""
    now, out = 1_000_000, []
    for batch in batches:
        part: list[Line] = []
        for row, step, severe, refused, times in batch:
            now = max(now + (step or 0), 0)
            part += [(row, -1 if step is None else now, severe, refused)] * times
        out.append(part)
    return out


def empty() -> Rates:
    found = Rates(SLOTS)
    found.grow(ROWS)
    found.begin(list(range(ROWS)))
    return found


def observe(found: Rates, lines: list[Line]) -> list[Seen]:
    rows, times, severe, refused = (np.array(column) for column in zip(*lines, strict=True))
    columns = found.observe(rows, rows % SLOTS, times, severe, refused)
    return [(int(count), int(before), int(of)) for count, before, of in zip(*columns, strict=True)]


def moved(found: Rates) -> Rates:
    """Returns rates that continue from the states of these."""
    slots, rows, other = np.arange(SLOTS), np.arange(ROWS), empty()
    other.set_slots(slots, found.of_slots(slots))
    other.set_rows(rows, rows % SLOTS, found.of_rows(rows, rows % SLOTS))
    return other


@given(BATCHES, st.sets(st.integers(0, 7)))
def test_rates_are_those_of_the_plain_rule(
    batches: list[list[tuple[int, int | None, bool, bool, int]]], moves: set[int]
) -> None:
    """Which line passes its bound, with both counts, line by line, whichever process goes on."""
    found, naive = empty(), NaiveRates()
    for number, batch in enumerate(timed(batches)):
        expected = [naive.observe(*line) for line in batch]
        assert observe(found, batch) == expected
        event(f"passed: {any(count for count, _, _ in expected)}")
        if number in moves:
            found = moved(found)


@given(BATCHES)
def test_the_cut_into_batches_leaves_no_trace_in_rates(
    batches: list[list[tuple[int, int | None, bool, bool, int]]],
) -> None:
    """The state is the same, whatever the batches."""
    lines, cut, whole = timed(batches), empty(), empty()
    for batch in lines:
        observe(cut, batch)
    observe(whole, [line for batch in lines for line in batch])
    slots, rows = np.arange(SLOTS), np.arange(ROWS)
    np.testing.assert_array_equal(cut.of_slots(slots), whole.of_slots(slots))
    np.testing.assert_array_equal(cut.of_rows(rows, rows % SLOTS), whole.of_rows(rows, rows % SLOTS))
