"""Finds the line with which a service begins to repeat itself more often than ever before.

Not every fault logs a new line: a known one may come in numbers. Lines are counted within periods of ten seconds. The
line at which a count passes what any earlier period reached, by half and by three, is a *rate up*; a period has at most
one. Counted are each line of a service, its severe lines together, and its refusals (statuses 4xx) together.

The periods of a service follow the times of its lines. A line dated up to a minute before the newest one counts in the
present period, as does a line without a time. One dated still earlier begins a period: the clock was wrong before.
Batches leave no trace. Knows rows of the history and slots; knows no text.

Legend: n lines of a batch · k rows · g slots · t tracks, each with counts of its own
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from logwarden.model.arrays import Bools, Floats, Ints, running_max
from logwarden.model.rhythm import SLOT_RHYTHM, Rhythm, Silence

PERIOD_MS = 10_000
FACTOR, MORE = 1.5, 3
"""A count is up when it is above FACTOR times the greatest earlier one, plus MORE."""
LATE_PERIODS = 6
OF_LINE, OF_SEVERE, OF_REFUSED, OF_SILENCE = range(4)
"""What was counted, see `RateUp.of`."""
RATE_COLUMNS = ("rate", "rate_before", "rate_of")
"""Names of the measures where they are columns, in the order of `RateUp`."""
CLASSES = 2
SLOT_RATES = 2 + 2 * CLASSES + SLOT_RHYTHM
"""Figures of a slot, see `Rates.of_slots`."""
_LATEST = 1 << 40
"""A bucket beyond every calendar."""


class RateUp(NamedTuple):
    """Measures of n lines; all 0 except for a line at which a count passed its bound."""

    counted: Floats
    """(n,) lines counted within the period, with this one."""
    before: Floats
    """(n,) the greatest count of an earlier period."""
    of: Floats
    """(n,) what was counted: the same line, severe lines or refusals of the service."""


def no_rates(lines: int) -> RateUp:
    """Returns the measures of lines that are not counted."""
    return RateUp(*np.zeros((3, lines), np.float32))


class Rates:
    """The counts of the rows and slots of one history, which assigns the rows."""

    def __init__(self, max_slots: int) -> None:
        self._bucket = np.full(max_slots, -1)  # ten seconds since the epoch, of the present period
        self._period = np.zeros(max_slots, np.int64)  # periods that the slot has begun
        self._rhythm = Rhythm(max_slots)
        self._rows = _Counts(0)
        self._classes = _Counts(CLASSES * max_slots)

    def silent(self, slots: Ints, now_ms: int) -> Silence:
        """Returns those of these slots that are silent, see `Rhythm.silent`."""
        return self._rhythm.silent(slots, now_ms)

    def observe(self, rows: Ints, slots: Ints, at_ms: Ints, severe: Bools, refused: Bools) -> RateUp:
        """Measures n lines in order and counts them."""
        periods = self._periods(slots, at_ms)
        self._rhythm.observe(slots, at_ms)
        found = np.zeros((3, len(rows)), np.float32)
        # From the widest to the narrowest: where several counts pass their bounds, the line's own is shown.
        for number, members in ((OF_REFUSED, refused), (OF_SEVERE, severe)):
            places = np.flatnonzero(members)
            if len(places):
                tracks = slots[places] * CLASSES + number - 1
                found[:, places] = self._up(self._classes, tracks, periods[places], number, found[:, places])
        return RateUp(*self._up(self._rows, rows, periods, OF_LINE, found))

    @staticmethod
    def _up(counts: _Counts, tracks: Ints, periods: Ints, number: int, found: Floats) -> Floats:
        """Returns the measures (3, n) with those of these counts where a bound is passed."""
        now, before = counts.observe(tracks, periods)
        # Greatest count so far 4: the bound is 9, the tenth line passes it, and the eleventh does not again.
        bounds = np.floor(FACTOR * before) + MORE
        passed = (before > 0) & (now == bounds + 1)
        if not passed.any():
            return found
        return np.where(passed, np.stack([now, before, np.full(len(now), number)]), found).astype(np.float32)

    def _periods(self, slots: Ints, at_ms: Ints) -> Ints:
        """Returns (n,) the number of the period of each line's slot, and advances the slots."""
        # One slot whose present bucket is 7, its third period. Times in buckets:
        #   bucket    7  9  8  -1  9  10     -1: no time
        #   newest    7  9  9   9  9  10
        #   period    3  4  4   4  4   5
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        is_first = np.r_[True, ordered[1:] != ordered[:-1]]
        starts = np.flatnonzero(is_first)
        ends = np.r_[starts[1:], len(order)]
        present = self._bucket[ordered[starts]]
        buckets = np.minimum(np.where(at_ms >= 0, at_ms // PERIOD_MS, -1)[order], _LATEST)
        newest = running_max(np.where(is_first, np.maximum(buckets, self._bucket[ordered]), buckets), is_first)
        late = (buckets >= 0) & (buckets < newest - LATE_PERIODS)
        if late.any():
            for group in np.unique(np.searchsorted(starts, np.flatnonzero(late), side="right") - 1).tolist():
                part = slice(starts[group], ends[group])
                newest[part] = _newest_of(buckets[part].tolist(), int(present[group]))
        previous = np.r_[-1, newest[:-1]]
        previous[starts] = present
        begun = np.cumsum(newest != previous)
        before = np.r_[0, begun[ends[:-1] - 1]]  # begun in the slots before
        numbers = self._period[ordered] + begun - np.repeat(before, ends - starts)
        self._bucket[ordered[starts]] = newest[ends - 1]
        self._period[ordered[starts]] = numbers[ends - 1]
        periods = np.empty(len(order), np.int64)
        periods[order] = numbers
        return periods

    # ---------------------------------------------------------------- rows and slots, as the history assigns them

    def grow(self, more: int) -> None:
        """Adds rows."""
        self._rows.grow(more)

    def begin(self, rows: list[int]) -> None:
        """Gives rows to new lines."""
        self._rows.clear(rows)

    def clear(self, slots: Ints) -> None:
        """Empties slots."""
        self._bucket[slots] = -1
        self._period[slots] = 0
        self._rhythm.clear(slots)
        self._classes.clear(_tracks(slots))

    def of_rows(self, rows: Ints | list[int], slots: Ints) -> Ints:
        """Returns the state (k, 2) of rows: the count of the present period, and the greatest of those before it."""
        return self._rows.of(rows, self._period[slots])

    def set_rows(self, rows: Ints, slots: Ints, state: Ints) -> None:
        """Sets the state of rows, as `of_rows` returns it. Their slots must be set before."""
        self._rows.set(rows, self._period[slots], state)

    def of_slots(self, slots: Ints) -> Ints:
        """Returns the state (g, SLOT_RATES) of slots: present bucket, periods begun, each class as a row,
        and the rhythm."""
        tracks = _tracks(slots)
        classes = self._classes.of(tracks, self._period[tracks // CLASSES]).reshape(len(slots), -1)
        return np.column_stack([self._bucket[slots], self._period[slots], classes, self._rhythm.of_slots(slots)])

    def set_slots(self, slots: Ints, state: Ints) -> None:
        """Sets the state of slots, as `of_slots` returns it."""
        self._bucket[slots], self._period[slots] = state[:, 0], state[:, 1]
        tracks = _tracks(slots)
        self._classes.set(tracks, self._period[tracks // CLASSES], state[:, 2:-SLOT_RHYTHM].reshape(-1, 2))
        self._rhythm.set_slots(slots, state[:, -SLOT_RHYTHM:])


class _Counts:
    """Of each track the count of its newest period, and the greatest of the periods before it."""

    def __init__(self, tracks: int) -> None:
        self._period = np.full(tracks, -1)
        self._count = np.zeros(tracks, np.int64)
        self._most = np.zeros(tracks, np.int64)

    def observe(self, tracks: Ints, periods: Ints) -> tuple[Ints, Ints]:
        """Counts n ≥ 1 lines. Returns (n,) the count of the period with each, and the greatest before the period."""
        # One track, whose newest period 7 has counted 2, and whose greatest before was 1. Lines in periods 7 7 8 8 8:
        #   runs             7 7 | 8 8 8
        #   carried          2   | 0          from the batch before
        #   count            3 4 | 1 2 3
        #   greatest before  1 1 | 4 4 4      of a run: that before the run before, and that run's count
        order = np.argsort(tracks, kind="stable")
        track, period = tracks[order], periods[order]
        is_first = np.r_[True, track[1:] != track[:-1]]
        is_start = is_first | np.r_[True, period[1:] != period[:-1]]
        starts = np.flatnonzero(is_start)
        lengths = np.diff(np.r_[starts, len(order)])
        at, first = track[starts], is_first[starts]  # of each run; the rest is about runs, too
        goes_on = first & (self._period[at] == period[starts])
        carried = np.where(goes_on, self._count[at], 0)
        totals = carried + lengths
        stored = np.where(goes_on, self._most[at], np.maximum(self._most[at], self._count[at]))
        most = running_max(np.where(first, stored, np.r_[0, totals[:-1]]), first)
        last = np.r_[first[1:], True]
        self._period[at[last]], self._count[at[last]], self._most[at[last]] = (
            column[last] for column in (period[starts], totals, most)
        )
        counts = np.empty((2, len(order)), np.int64)
        within = np.arange(len(order)) - np.repeat(starts, lengths) + 1
        counts[:, order] = within + np.repeat(carried, lengths), np.repeat(most, lengths)
        return counts[0], counts[1]

    def grow(self, more: int) -> None:
        self._period = np.concatenate([self._period, np.full(more, -1)])
        self._count, self._most = (np.concatenate([c, np.zeros(more, np.int64)]) for c in (self._count, self._most))

    def clear(self, tracks: Ints | list[int]) -> None:
        self._period[tracks] = -1
        self._count[tracks] = self._most[tracks] = 0

    def of(self, tracks: Ints | list[int], present: Ints) -> Ints:
        """Returns (t, 2) count and greatest, given the present periods (t,). The count is 0 where the newest ended."""
        is_present = self._period[tracks] == present
        count, most = self._count[tracks], self._most[tracks]
        return np.column_stack([np.where(is_present, count, 0), np.where(is_present, most, np.maximum(most, count))])

    def set(self, tracks: Ints, present: Ints, state: Ints) -> None:
        self._period[tracks] = np.where(state[:, 0] > 0, present, -1)
        self._count[tracks], self._most[tracks] = state[:, 0], state[:, 1]


def _newest_of(buckets: list[int], present: int) -> list[int]:
    """Returns the present bucket as of each line of one slot whose clock went back."""
    found = []
    for bucket in buckets:
        present = bucket if 0 <= bucket < present - LATE_PERIODS else max(present, bucket)
        found.append(present)
    return found


def _tracks(slots: Ints) -> Ints:
    return np.asarray((slots[:, None] * CLASSES + np.arange(CLASSES)).ravel())
