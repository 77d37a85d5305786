"""The last lines of every service, kept as rings of arrays and turned into windows for a whole batch at once.

A *slot* is one row of the rings: one service in one partition (or one file). A window is the last `size` lines of a
slot, ending at a given line; with step 1 every line ends exactly one window, so windows depend on nothing but the
order of lines: not on batch boundaries, not on where a reader started.

Pure array logic: knows no line text, no model, no Kafka; time comes in as an argument.

Legend: n lines of the batch · w windows · L window size · m lines of the batch with their context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from logwarden.model.arrays import Bools, Column, Ids, Ints
from numpy.lib.stride_tricks import sliding_window_view

NUMERIC_COLUMNS: Mapping[str, type] = {
    "id": np.int32,  # row of the line table; 0 = no line (left padding)
    "log_count": np.float32,
    "log_age": np.float32,
    "distance": np.float32,
    "offset": np.int64,
    "index": np.int32,
    "timestamp": np.int64,
}
TEXT_COLUMN = "text"


@dataclass(slots=True)
class WindowBatch:
    """Windows that share one flat copy of their lines; a window is a slice of it."""

    size: int
    columns: dict[str, Column]
    """Flat columns (m,): for each slot its context, then its new lines."""
    ends: Ints
    """(w,) place of each window's newest line in the flat columns."""
    filled: Ints
    """(w,) lines in the window, 1…size; the places before them are padding."""
    fresh: Ints
    """(w,) how many of the window's last lines no earlier window judged, 1…step."""
    slots: Ints
    """(w,) the slot of each window."""

    def __len__(self) -> int:
        return len(self.ends)

    def windows(self, name: str) -> Column:
        """One column as windows (w, L), oldest line first, zero where there is no line."""
        if not len(self.ends):
            return np.zeros((0, self.size), self.columns[name].dtype)
        return np.asarray(sliding_window_view(self.columns[name], self.size)[self.ends - (self.size - 1)])

    def newest(self, name: str) -> Column:
        """One column of the newest lines (w,)."""
        return np.asarray(self.columns[name][self.ends])

    def fresh_lines(self) -> tuple[Ints, Ints]:
        """Places in the flat columns of all fresh lines, and for each the window that judges it."""
        window = np.repeat(np.arange(len(self)), self.fresh)
        back = np.arange(len(window)) - np.repeat(np.cumsum(self.fresh) - self.fresh, self.fresh)
        return self.ends[window] - back, window

    def select(self, keep: Column) -> WindowBatch:
        """The windows named by a mask or by indices; the lines are shared, not copied."""
        return WindowBatch(
            size=self.size,
            columns=self.columns,
            ends=self.ends[keep],
            filled=self.filled[keep],
            fresh=self.fresh[keep],
            slots=self.slots[keep],
        )


def concatenate(batches: Sequence[WindowBatch]) -> WindowBatch:
    """One batch of all windows, in the order given; at least one batch, all of one window size."""
    if len(batches) == 1:
        return batches[0]
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

    `step`: a window is due after so many new lines of a slot (1 = at every line); `flush` makes the window of a slot
    whose new lines have waited long enough. Memory: about 40 bytes a line of a ring, and the texts it refers to.
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
        self._pending = np.zeros(max_slots, np.int64)  # lines since the last due window
        self._waiting_since = np.full(max_slots, np.inf)  # when the oldest of them came, in the caller's clock

    def push(self, slots: Ints, columns: Mapping[str, Column], now: float = 0.0) -> WindowBatch:
        """Appends lines in order and returns the windows that became due, grouped by slot, in order within a slot.

        `slots` (n,) and every column (n,) belong to the same n ≥ 1 lines.
        """
        context = self.size - 1
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # (g,) where each slot's lines begin
        groups = ordered[first]
        counts = np.diff(np.r_[first, len(slots)])
        # Flat layout: the context of group 0, its lines, the context of group 1, its lines, …
        head = (first + np.arange(len(groups)) * context)[:, None] + np.arange(context)
        place = np.arange(len(slots)) + np.repeat((np.arange(len(groups)) + 1) * context, counts)
        last = place[first + counts - 1]
        flat: dict[str, Column] = {}
        for name, ring in self._rings.items():
            column = np.empty(len(slots) + len(groups) * context, ring.dtype)
            column[head] = ring[groups, 1:]
            column[place] = columns[name][order]
            ring[groups] = sliding_window_view(column, self.size)[last - context]
            flat[name] = column
        rank = np.arange(len(slots)) - np.repeat(first, counts)
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
        if self.step == 1:
            return np.ones(len(rank), bool)
        pending = self._pending[groups]
        due = np.asarray((np.repeat(pending, counts) + rank + 1) % self.step == 0)
        left = (pending + counts) % self.step
        started = (pending == 0) | (pending + counts >= self.step)  # the oldest pending line is one of these
        self._waiting_since[groups] = np.where(left == 0, np.inf, np.where(started, now, self._waiting_since[groups]))
        self._pending[groups] = left
        return due

    def waiting(self, before: float) -> Ints:
        """Slots with lines that no window holds as new yet and that came at or before the given time."""
        return np.flatnonzero((self._pending > 0) & (self._waiting_since <= before))  # so also for before = inf

    def flush(self, slots: Ints) -> WindowBatch:
        """The windows of these slots' pending lines, before their step is full. Slots without any give none."""
        slots = slots[self._pending[slots] > 0]
        batch = WindowBatch(
            size=self.size,
            columns={name: ring[slots].ravel() for name, ring in self._rings.items()},
            ends=np.arange(1, len(slots) + 1) * self.size - 1,
            filled=self._filled[slots],
            fresh=self._pending[slots],
            slots=slots,
        )
        self._pending[slots] = 0
        self._waiting_since[slots] = np.inf
        return batch

    def clear(self, slots: Ints) -> None:
        """Forgets these slots; they can serve other services afterwards. Pending lines are dropped: flush first."""
        for name, ring in self._rings.items():
            ring[slots] = b"" if name == TEXT_COLUMN else 0
        self._filled[slots] = 0
        self._pending[slots] = 0
        self._waiting_since[slots] = np.inf

    def oldest_offsets(self, slots: Ints) -> Ints:
        """Offset of the oldest line that the *next* window of each slot will hold; slots without lines are left out."""
        slots = slots[self._filled[slots] > 0]
        kept = np.minimum(self._filled[slots], self.size - 1)  # the next line pushes a full ring's first one out
        return np.asarray(self._rings["offset"][slots, self.size - kept])

    def live_ids(self, slots_in_use: int) -> Ids:
        """Distinct line ids that some ring of the first `slots_in_use` slots holds."""
        return np.unique(self._rings["id"][:slots_in_use])
