"""Keeps the last lines of every service as rings of arrays, and makes the windows of a whole batch at once.

A *slot* is one row of the rings: one service in one partition (or one file). A window is the last `size` lines of a
slot, ending at a given line. With step 1 every line ends exactly one window, so windows depend only on the order of the
lines: neither on batch boundaries nor on the place where a reader started.

Pure array logic: knows no line text, no model, no Kafka. Time is an argument.

Legend: n lines of the batch · g slots in it · w windows · L window size · m lines of the batch and their contexts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from logwarden.model.arrays import Bools, Column, Ids, Ints

NUMERIC_COLUMNS: Mapping[str, type] = {
    "id": np.int32,  # row of the line table; 0 = no line (left padding)
    "kind": np.int64,  # hash of the canonical text, the same in every process
    "log_count": np.float32,
    "log_age": np.float32,
    "share_in_suspicion": np.float32,
    "distance": np.float32,
    "calm_log_count": np.float32,
    "calm_log_age": np.float32,
    "suspicion": np.float32,
    "elsewhere": np.float32,
    "level_rarity": np.float32,
    "announced": np.float32,
    "rate": np.float32,
    "rate_before": np.float32,
    "rate_of": np.float32,
    "severe": np.float32,
    "excused": np.float32,
    "offset": np.int64,
    "index": np.int32,
    "timestamp": np.int64,
}
TEXT_COLUMN = "text"


@dataclass(slots=True)
class WindowBatch:
    """Windows that share one flat copy of their lines. A window is a slice of it."""

    size: int
    columns: dict[str, Column]
    """Flat columns (m,): for each slot its context, then its new lines."""
    ends: Ints
    """(w,) place of each window's newest line in the flat columns."""
    filled: Ints
    """(w,) lines in the window, 1…size; the places before them are padding."""
    fresh: Ints
    """(w,) number of the window's last lines that no earlier window judged, 1…step."""
    slots: Ints
    """(w,) slot of each window."""

    def __len__(self) -> int:
        return len(self.ends)

    def windows(self, name: str) -> Column:
        """Returns one column as windows (w, L), oldest line first, zero where there is no line."""
        if not len(self.ends):
            return np.zeros((0, self.size), self.columns[name].dtype)
        # Windows of 3 that end at places 2 and 4 of the flat column:
        #   column                        0 a b c d       (0 = padding)
        #   row i of the sliding view     column[i : i + 3], a view of m - 2 rows
        #   rows ends - 2 = 0, 2          0 a b | b c d
        return np.asarray(sliding_window_view(self.columns[name], self.size)[self.ends - (self.size - 1)])

    def newest(self, name: str) -> Column:
        """Returns one column of the newest lines (w,)."""
        return np.asarray(self.columns[name][self.ends])

    def fresh_lines(self) -> tuple[Ints, Ints]:
        """Returns the places of all fresh lines in the flat columns, and for each the window that judges it."""
        # Windows that end at places 9 and 14, with 3 and 2 fresh lines:
        #   window    0 0 0 1 1
        #   back      0 1 2 0 1          steps from the window's end, counted from 0 in every window
        #   places    9 8 7 14 13
        window = np.repeat(np.arange(len(self)), self.fresh)
        back = np.arange(len(window)) - np.repeat(np.cumsum(self.fresh) - self.fresh, self.fresh)
        return self.ends[window] - back, window

    def select(self, keep: Column) -> WindowBatch:
        """Returns the windows at a mask or at indices. The lines are shared, not copied."""
        return WindowBatch(
            size=self.size,
            columns=self.columns,
            ends=self.ends[keep],
            filled=self.filled[keep],
            fresh=self.fresh[keep],
            slots=self.slots[keep],
        )


def concatenate(batches: Sequence[WindowBatch]) -> WindowBatch:
    """Returns one batch of all windows, in the order given; at least one batch, all of one window size."""
    if len(batches) == 1:
        return batches[0]
    # Batches of 5, 3 and 4 flat lines are laid one behind the other: their places shift by 0, 5 and 8.
    shift = np.cumsum([0] + [len(b.columns["id"]) for b in batches[:-1]])
    return WindowBatch(
        size=batches[0].size,
        columns={name: np.concatenate([b.columns[name] for b in batches]) for name in batches[0].columns},
        ends=np.concatenate([b.ends + s for b, s in zip(batches, shift, strict=True)]),
        filled=np.concatenate([b.filled for b in batches]),
        fresh=np.concatenate([b.fresh for b in batches]),
        slots=np.concatenate([b.slots for b in batches]),
    )


class WindowRings:
    """Rings of the last `size` lines of at most `max_slots` slots.

    `step`: new lines of a slot from one window to the next (1 = a window at every line). `flush` makes the window of a
    slot whose new lines have waited long enough. Memory: about 76 bytes per line of a ring, and the texts.
    """

    def __init__(self, size: int, max_slots: int, *, step: int = 1) -> None:
        if not 1 <= step <= size:
            raise ValueError(f"the window step must lie between 1 and the window size {size}, not {step}")
        self.size = size
        self.step = step
        self._rings: dict[str, Column] = {
            name: np.zeros((max_slots, size), dtype) for name, dtype in NUMERIC_COLUMNS.items()
        }
        self._rings[TEXT_COLUMN] = np.full((max_slots, size), b"", object)
        self._filled = np.zeros(max_slots, np.int64)
        # A ring is filled from the right: its newest line is in the last column, padding in the first ones.
        self._pending = np.zeros(max_slots, np.int64)  # lines since the last due window
        self._waiting_since = np.full(max_slots, np.inf)  # arrival of the oldest of them, on the caller's clock

    def push(self, slots: Ints, columns: Mapping[str, Column], now: float = 0.0) -> WindowBatch:
        """Appends lines in order and returns the windows that became due, grouped by slot, in order within a slot.

        `slots` (n,) and every column (n,) belong to the same n ≥ 1 lines.
        """
        # Window size 3, so every slot brings 2 lines of context. Slot 5 has the ring (p q r), slot 2 the ring (0 0 x):
        #   slots of the lines a b c     5 2 5
        #   ordered by slot              2: b       5: a c
        #   flat column                  0 x b | q r a c
        #   place of b, a, c             2           5 6
        #   windows end at               2           5 6     (0 x b), (q r a), (r a c)
        #   rings afterwards             2: (0 x b), 5: (r a c)
        context = self.size - 1
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # (g,) where each slot's lines begin
        groups = ordered[first]  # (g,) slots, ascending
        counts = np.diff(np.r_[first, len(slots)])  # (g,) lines of each
        # (g, L-1) places of the contexts: group i is preceded by i whole contexts and by the lines of groups before it.
        head = (first + np.arange(len(groups)) * context)[:, None] + np.arange(context)
        place = np.arange(len(slots)) + np.repeat((np.arange(len(groups)) + 1) * context, counts)  # (n,)
        last = place[first + counts - 1]  # (g,) place of each group's newest line
        flat: dict[str, Column] = {}
        for name, ring in self._rings.items():
            column = np.empty(len(slots) + len(groups) * context, ring.dtype)
            column[head] = ring[groups, 1:]  # the oldest line of a full ring is in no window of a new line
            column[place] = columns[name][order]
            ring[groups] = sliding_window_view(column, self.size)[last - context]
            flat[name] = column
        rank = np.arange(len(slots)) - np.repeat(first, counts)  # (n,) number of a line within its group, from 0
        filled = np.minimum(np.repeat(self._filled[groups], counts) + rank + 1, self.size)
        self._filled[groups] = np.minimum(self._filled[groups] + counts, self.size)
        due = self._due(groups, counts, rank, now)
        return WindowBatch(
            size=self.size,
            columns=flat,
            ends=place[due],
            filled=filled[due],
            fresh=np.full(int(due.sum()), self.step),
            slots=ordered[due],
        )

    def _due(self, groups: Ints, counts: Ints, rank: Ints, now: float) -> Bools:
        """(n,) True for the lines that end a window; keeps account of those that wait for their step to fill."""
        if self.step == 1:
            return np.ones(len(rank), bool)
        # Step 3, one slot with 2 pending lines, 5 new ones:
        #   pending + rank + 1     3 4 5 6 7
        #   due                    1 0 0 1 0       at every multiple of 3
        #   left                   7 % 3 = 1       the last line waits, since now
        pending = self._pending[groups]
        due = np.asarray((np.repeat(pending, counts) + rank + 1) % self.step == 0)
        left = (pending + counts) % self.step
        started = (pending == 0) | (pending + counts >= self.step)  # the oldest line that waits is a new one
        self._waiting_since[groups] = np.where(left == 0, np.inf, np.where(started, now, self._waiting_since[groups]))
        self._pending[groups] = left
        return due

    def waiting(self, before: float) -> Ints:
        """Returns the slots whose oldest line that waits for its step came at or before the given time."""
        # Both conditions, because a slot without such a line has the time inf, and `before` may be inf.
        return np.flatnonzero((self._pending > 0) & (self._waiting_since <= before))

    def flush(self, slots: Ints) -> WindowBatch:
        """Returns the windows of these slots' pending lines, before their step is full. Skips slots without any."""
        slots = slots[self._pending[slots] > 0]
        batch = self._at(slots, self._pending[slots])
        self._pending[slots] = 0
        self._waiting_since[slots] = np.inf
        return batch

    def latest(self, slots: Ints) -> WindowBatch:
        """Returns the newest windows of these slots once more, without a fresh line. Skips slots without a line."""
        slots = slots[self._filled[slots] > 0]
        return self._at(slots, np.zeros(len(slots), np.int64))

    def _at(self, slots: Ints, fresh: Ints) -> WindowBatch:
        return WindowBatch(
            size=self.size,
            columns={name: ring[slots].ravel() for name, ring in self._rings.items()},
            ends=np.arange(1, len(slots) + 1) * self.size - 1,  # rings in a row: with size 3 they end at 2, 5, 8, …
            filled=self._filled[slots],
            fresh=fresh,
            slots=slots,
        )

    def clear(self, slots: Ints) -> None:
        """Empties these slots, which can serve other services afterwards. Drops pending lines: flush first."""
        for name, ring in self._rings.items():
            ring[slots] = b"" if name == TEXT_COLUMN else 0
        self._filled[slots] = 0
        self._pending[slots] = 0
        self._waiting_since[slots] = np.inf

    def newest_timestamps(self, slots: Ints) -> Ints:
        """Returns the time of each slot's newest line; -1 where it has none, or no line."""
        return np.where(self._filled[slots] > 0, self._rings["timestamp"][slots, -1], -1)

    def oldest_offsets(self, slots: Ints) -> Ints:
        """Returns the offset of the oldest line that the *next* window of each slot will contain.

        Skips slots without such a line; with windows of one line these are all.
        """
        if self.size == 1:
            return np.zeros(0, np.int64)
        slots = slots[self._filled[slots] > 0]
        # Size 4: a ring (0 0 a b) keeps 2 lines, of which a in column 2 is the oldest. A full ring (a b c d) keeps 3,
        # because the next line pushes a out: b in column 1.
        kept = np.minimum(self._filled[slots], self.size - 1)
        return np.asarray(self._rings["offset"][slots, self.size - kept])

    def take(self, slot: int) -> dict[str, Column]:
        """Returns the lines (n,) that the next window of a slot contains beside the next line, for `put`."""
        kept = min(int(self._filled[slot]), self.size - 1)
        return {name: ring[slot, self.size - kept :].copy() for name, ring in self._rings.items()}

    def put(self, slot: int, columns: Mapping[str, Column]) -> None:
        """Puts the lines (n,) of `take` into an empty slot, as lines that were judged."""
        assert not self._filled[slot], "lines are put into an empty slot"
        lines = min(len(columns["id"]), self.size - 1)
        for name, ring in self._rings.items():
            ring[slot, self.size - lines :] = columns[name][len(columns[name]) - lines :]
        self._filled[slot] = lines

    def live_ids(self, slots_in_use: int) -> Ids:
        """Returns the distinct line ids in the rings of the first `slots_in_use` slots."""
        return np.unique(self._rings["id"][:slots_in_use])
