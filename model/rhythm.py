"""Knows how long each service has paused at most, and which services are silent for longer now.

Time is that of the lines, so a pause is as long in a replay. A line without a time is in no pause, and one dated before
the newest line of its service begins none. Knows slots; knows no text.

Legend: n lines of a batch · g slots
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from logwarden.model.arrays import Ints, running_max

FACTOR, MORE_MS = 1.5, 3_000
"""A silence is longer than FACTOR times the longest pause so far, plus MORE_MS."""
SLOT_RHYTHM = 2
"""Figures of a slot, see `Rhythm.of_slots`."""


class Silence(NamedTuple):
    """g silent slots."""

    slots: Ints
    after_ms: Ints
    """(g,) time of the newest line."""
    since_ms: Ints
    """(g,) milliseconds since the newest line."""
    longest_ms: Ints
    """(g,) the longest pause before."""


class Rhythm:
    """The newest line and the longest pause of each slot."""

    def __init__(self, max_slots: int) -> None:
        self._newest = np.full(max_slots, -1)
        self._longest = np.zeros(max_slots, np.int64)

    def observe(self, slots: Ints, at_ms: Ints) -> None:
        """Counts n ≥ 1 lines, in order."""
        # One slot whose newest line is of second 10, and whose longest pause is of 4 s:
        #   lines at          11  -  18  15  19     -: no time
        #   newest before     10 11  11  18  18
        #   newest            11 11  18  18  19
        #   pause              1  0   7   0   1     so the longest is of 7 s
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        is_first = np.r_[True, ordered[1:] != ordered[:-1]]
        starts = np.flatnonzero(is_first)
        present = self._newest[ordered[starts]]
        times = np.minimum(at_ms[order], _LATEST_MS)
        times[starts] = np.maximum(times[starts], present)
        newest = running_max(np.maximum(times, -1), is_first)
        before = np.r_[-1, newest[:-1]]
        before[starts] = present
        pauses = np.where(before >= 0, newest - before, 0)
        own = ordered[starts]
        self._longest[own] = np.maximum(self._longest[own], np.maximum.reduceat(pauses, starts))
        self._newest[own] = newest[np.r_[starts[1:], len(order)] - 1]

    def silent(self, slots: Ints, now_ms: int) -> Silence:
        """Returns those of these slots that are silent. `now_ms`: by the clock of the lines, at most that of the world.

        The present time is that of the newest line of any of the slots: where nobody logs, nobody is silent.
        """
        newest = self._newest[slots]
        present = min(int(newest.max(initial=-1)), now_ms)
        since, longest = present - newest, self._longest[slots]
        places = np.flatnonzero((newest >= 0) & (longest > 0) & (since > FACTOR * longest + MORE_MS))
        return Silence(slots[places], newest[places], since[places], longest[places])

    def clear(self, slots: Ints) -> None:
        """Empties slots."""
        self._newest[slots] = -1
        self._longest[slots] = 0

    def of_slots(self, slots: Ints) -> Ints:
        """Returns the state (g, SLOT_RHYTHM) of slots: time of the newest line, longest pause."""
        return np.column_stack([self._newest[slots], self._longest[slots]])

    def set_slots(self, slots: Ints, state: Ints) -> None:
        """Sets the state of slots, as `of_slots` returns it."""
        self._newest[slots], self._longest[slots] = state[:, 0], state[:, 1]


_LATEST_MS = 1 << 48
"""Beyond every calendar; keeps sums within 64 bits."""
