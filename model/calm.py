"""Counts what a service logs in calm time, and how often it logs lines as severe as this one.

While something severe goes on, a service is not calm, and its lines must not become usual by being repeated: else a
fault that returns would be familiar. So a severe line hardly ever logged in calm time makes the next half minute of its
service suspicious. A line logged in suspicion counts a quarter, once a minute; any other line counts in full.

Each line is measured against the lines before it, then counted, in stream order; batches leave no trace. Times are
those of the lines. A line without a time is calm. Knows rows of the history and slots; knows no text.

Legend: n lines of a batch · g slots
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from logwarden.model.announcements import RARE, Announcements
from logwarden.model.arrays import Bools, Column, Doubles, Floats, Ints, sums_before
from logwarden.model.defaults import LEARNING_LINES
from logwarden.model.peers import PeerSums

SUSPICION_MS = 30_000
"""How long a severe line keeps its service suspicious. Also the bound for wrong clocks: a line dated earlier than the
one that raised the suspicion is calm."""
MATURE_LINES = LEARNING_LINES
"""Lines of a service from which a severe line is worth a suspicion: to a young one everything is new."""
SHARE_IN_SUSPICION = 0.25
_MINUTE_MS = 60_000
LEVELS = 3
"""Levels whose lines are counted: warnings, errors, critical lines."""
SLOT_STATES = 4 + LEVELS
"""Figures of a slot, see `CalmCounts.of_slots`."""
CALM_COLUMNS = ("calm_log_count", "calm_log_age", "suspicion", "elsewhere", "level_rarity", "announced")
"""Names of the measures where they are columns, in the order of `Calm`."""
EARLIEST_MS = 1_000_000_000_000
"""Times before this one, of September 2001, are those of clocks that were not set: nothing was first seen then."""
AGE_CAP_BITS = 14.0
"""Ages count up to 2**14 lines. Without the cap a new normal line of a service that has run for a year would stay
surprising for months (log2(1e9 / 1e3) is still 20 bits), and the scale would grow with uptime."""


@dataclass(frozen=True, slots=True)
class Signs:
    """Facts about the text of n lines that decide how they are counted, and when they were logged."""

    severe: Bools
    """(n,) the line states an error or names a failure."""
    level: Ints
    """(n,) 0 for none or a harmless level, 1 a warning, 2 an error, 3 critical."""
    refused: Bools
    """(n,) the line states a status 4xx or its like."""
    at_ms: Ints
    """(n,) milliseconds since the epoch; -1 = unknown."""
    announces: Bools
    """(n,) the line announces a stop or a restart, if it is rare."""


class Calm(NamedTuple):
    """Measures of n lines, each taken just before the line was counted."""

    log_count: Floats
    """(n,) log2(1 + occurrences of the line in calm time)."""
    log_age: Floats
    """(n,) log2(1 + lines of the slot in calm time)."""
    suspicion: Floats
    """(n,) 1 where something severe was logged within half a minute, else 0."""
    elsewhere: Floats
    """(n,) log2(1 + occurrences in calm time in the other slots of the system)."""
    level_rarity: Floats
    """(n,) log2 of the slot's lines over those at this level or above; 0 for lines below a warning."""
    announced: Floats
    """(n,) how recently another slot of the system announced a stop or a restart, see `Announcements.observe`."""


class CalmCounts:
    """The counts of the rows and slots of one history, which assigns the rows. `systems`: of each slot."""

    def __init__(self, systems: Ints) -> None:
        max_slots = len(systems)
        self._calm = np.zeros(0)
        self._minute = np.zeros(0, np.int64)  # in which the row's line was last logged
        self._peers = PeerSums()
        self._announcements = Announcements(systems)
        self._calm_age = np.zeros(max_slots, np.int64)
        self._suspicious_until = np.full(max_slots, -1)
        self._levels = np.zeros((max_slots, LEVELS), np.int64)  # lines at each level or above
        self._first_ms = np.full(max_slots, -1)  # time of the slot's first line that has one

    def observe(self, rows: Ints, slots: Ints, known: Ints, ages: Ints, signs: Signs) -> Calm:
        """Measures n lines in order and counts them.

        `known` and `ages` (n,): before each line its occurrences, and the lines of its slot.
        """
        # One slot, mature; line A is severe and new, B is not. Logged at seconds 0, 1, 2, 40:
        #   line         B    A    B    B
        #   until        -    31   31   31     as of the line itself
        #   suspicion    0    0    1    0      as of the line before it
        #   in full      1    0    0    1
        #   counts       1    ¼    0    1      the third is in the same minute as the first
        before, until = self._suspicion(rows, slots, ages, signs)
        full = ~_within(signs.at_ms, until)
        counts = np.ones(len(rows))
        minutes = signs.at_ms // _MINUTE_MS
        if not full.all():
            counts[~full] = SHARE_IN_SUSPICION * self._is_new_minute(rows, minutes)[~full]
        own = self._calm[rows] + sums_before(rows, counts)
        seen = Calm(
            log_count=_bits(own),
            log_age=_age_bits(self._calm_age[slots] + sums_before(slots, full.astype(np.int64))),
            elsewhere=_bits(self._peers.before(rows, counts) - own),
            suspicion=_within(signs.at_ms, before).astype(np.float32),
            level_rarity=self._level_rarity(slots, ages, signs.level),
            announced=self._announcements.observe(
                slots, signs.at_ms, signs.announces & (RARE * (known + 1) <= ages + 1)
            ),
        )
        np.add.at(self._calm, rows, counts)
        self._peers.add(rows, counts)
        np.add.at(self._calm_age, slots, full)
        for level in range(1, int(signs.level.max()) + 1):  # mostly none
            np.add.at(self._levels[:, level - 1], slots, signs.level >= level)
        self._minute[rows] = minutes  # of equal rows the last one stays, as of equal slots
        self._suspicious_until[slots] = until
        self._note_first(slots, signs.at_ms)
        return seen

    def peek(self, slot: int, rows: Ints, keys: Ints, ranks: Ints, levels: Ints, ages: Ints, *, counted: bool) -> Calm:
        """Measures lines of one slot and counts nothing. `rows` (n,) are -1 where the line is unknown.

        `keys` (n,): see `begin`. `ranks` (n,): equal lines before each. `ages` (n,): lines of the slot before each.
        `counted`: the lines are in the counts already, and each is measured without itself. All are taken for lines
        of calm time.
        """
        calm = np.zeros(len(rows))
        calm[rows >= 0] = self._calm[rows[rows >= 0]]
        ahead = np.zeros(len(rows)) if counted else np.arange(len(rows), dtype=np.float64)
        own = int(counted)
        slots = np.full(len(rows), slot)
        return Calm(
            log_count=_bits((calm - own).clip(0) + (0 if counted else ranks)),
            log_age=_age_bits((self._calm_age[slots] - own).clip(0) + ahead),
            suspicion=np.zeros(len(rows), np.float32),
            elsewhere=_bits((self._peers.of_keys(keys) - calm).clip(0)),
            level_rarity=self._level_rarity(slots, ages, levels, own=own),
            announced=np.zeros(len(rows), np.float32),
        )

    def _note_first(self, slots: Ints, at_ms: Ints) -> None:
        begins = np.flatnonzero((self._first_ms[slots] < 0) & (at_ms >= EARLIEST_MS))[::-1]
        self._first_ms[slots[begins]] = at_ms[begins]  # of equal slots the last one stays, which is the earliest line

    def first_ms(self, slots: Ints) -> Ints:
        """Returns the time of each slot's first line that has one; -1 without such a line."""
        return np.asarray(self._first_ms[slots])

    def _suspicion(self, rows: Ints, slots: Ints, ages: Ints, signs: Signs) -> tuple[Ints, Ints]:
        """Returns (n,) twice until when each line's slot is suspicious: as of the line before it, and as of itself."""
        until = self._suspicious_until[slots]
        severe = np.flatnonzero(signs.severe & (self._calm[rows] < 1.0))
        if not len(severe):
            return until, until
        raised = np.full(len(rows), -1)
        raised[severe] = self._raised(rows[severe], slots[severe], ages[severe], signs.at_ms[severe])
        # Of one slot, suspicious until 5 before the batch:
        #   raised    -1 -1 31 -1 40
        #   places     .  .  2  2  4       of the last line that raised it
        #   as of it   5  5 31 31 40
        #   before     5  5  5 31 31
        order = np.argsort(slots, kind="stable")
        is_first = np.r_[True, np.diff(slots[order]) != 0]
        places = np.arange(len(order))
        start = np.maximum.accumulate(np.where(is_first, places, 0))
        last = np.maximum.accumulate(np.where(raised[order] >= 0, places, -1))
        as_of = np.where(last >= start, raised[order][last], until[order])
        before = np.where(is_first, until[order], np.r_[0, as_of[:-1]])
        result = np.empty((2, len(order)), np.int64)
        result[:, order] = before, as_of
        return result[0], result[1]

    def _raised(self, rows: Ints, slots: Ints, ages: Ints, at_ms: Ints) -> list[int]:
        """Returns until when each of these severe lines makes its slot suspicious; -1 where it does not.

        In order and one by one, because a line logged often enough in calm time raises no suspicion, and whether it was
        calm depends on the lines before it. Few lines are severe.
        """
        calm = dict(zip(rows.tolist(), self._calm[rows].tolist(), strict=True))
        minute = dict(zip(rows.tolist(), self._minute[rows].tolist(), strict=True))
        until = dict(zip(slots.tolist(), self._suspicious_until[slots].tolist(), strict=True))
        raised = []
        for row, slot, age, now in zip(rows.tolist(), slots.tolist(), ages.tolist(), at_ms.tolist(), strict=True):
            rises = now >= 0 and age >= MATURE_LINES and calm[row] < 1.0
            if rises:
                until[slot] = now + SUSPICION_MS
            raised.append(until[slot] if rises else -1)
            if not 0 < until[slot] - now <= SUSPICION_MS:
                calm[row] += 1.0
            elif minute[row] != now // _MINUTE_MS:
                calm[row] += SHARE_IN_SUSPICION
            minute[row] = now // _MINUTE_MS
        return raised

    def _is_new_minute(self, rows: Ints, minutes: Ints) -> Bools:
        """(n,) True where the row's line was not logged before in this minute, as far as the last time shows."""
        order = np.argsort(rows, kind="stable")
        is_first = np.r_[True, np.diff(rows[order]) != 0]
        previous = np.where(is_first, self._minute[rows[order]], np.r_[-1, minutes[order][:-1]])
        result = np.empty(len(rows), bool)
        result[order] = minutes[order] != previous
        return result

    def _level_rarity(self, slots: Ints, ages: Ints, levels: Ints, own: int = 0) -> Floats:
        rarity = np.zeros(len(slots), np.float32)
        for level in np.unique(levels[levels > 0]).tolist():
            before = (self._levels[slots, level - 1] - own).clip(0) + (
                0 if own else sums_before(slots, (levels >= level).astype(np.float64))
            )
            bits = np.log2((ages + 1) / (before + 1)).clip(0, AGE_CAP_BITS)
            rarity[levels == level] = bits[levels == level]
        return rarity

    # ---------------------------------------------------------------- rows and slots, as the history assigns them

    def grow(self, more: int) -> None:
        """Adds rows."""
        self._calm = np.concatenate([self._calm, np.zeros(more)])
        self._minute = np.concatenate([self._minute, np.full(more, -1)])
        self._peers.grow(more)

    def begin(self, rows: list[int], keys: Ints) -> None:
        """Gives rows to new lines. `keys`: one per row, the same for the same line of the same system."""
        self._calm[rows] = 0.0
        self._minute[rows] = -1
        self._peers.begin(rows, keys)

    def end(self, rows: Ints) -> None:
        """Takes rows away from their lines."""
        self._peers.end(rows, self._calm[rows])

    def clear(self, slots: Ints) -> None:
        """Empties slots."""
        self._calm_age[slots] = 0
        self._suspicious_until[slots] = -1
        self._levels[slots] = 0
        self._first_ms[slots] = -1
        self._announcements.clear(slots)

    def of_rows(self, rows: Ints | list[int]) -> tuple[Doubles, Ints]:
        """Returns the state of rows: counts in calm time, and minutes of the last occurrence."""
        return self._calm[rows], self._minute[rows]

    def set_rows(self, rows: Ints, calm: Doubles, minutes: Ints) -> None:
        """Sets the state of rows."""
        self._peers.add(rows, calm - self._calm[rows])
        self._calm[rows] = calm
        self._minute[rows] = minutes

    def of_slots(self, slots: Ints) -> Ints:
        """Returns the state of slots (g, SLOT_STATES): calm age, end of suspicion, first time, announcement, levels."""
        announced = self._announcements.of_slots(slots)
        columns = (self._calm_age[slots], self._suspicious_until[slots], self._first_ms[slots], announced)
        return np.column_stack([*columns, self._levels[slots]])

    def set_slots(self, slots: Ints, state: Ints) -> None:
        """Sets the state of slots, as `of_slots` returns it."""
        self._calm_age[slots], self._suspicious_until[slots], self._first_ms[slots] = state[:, :3].T
        self._announcements.set_slots(slots, state[:, 3])
        self._levels[slots] = state[:, 4:]


def _within(at_ms: Ints, until: Ints) -> Bools:
    ahead = until - at_ms
    return np.asarray((at_ms >= 0) & (ahead > 0) & (ahead <= SUSPICION_MS))


def _bits(counts: Doubles) -> Floats:
    return np.log2(1 + counts).astype(np.float32)


def _age_bits(counts: Column) -> Floats:
    return np.minimum(_bits(counts), AGE_CAP_BITS).astype(np.float32)
