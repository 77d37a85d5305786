"""Slow, obvious twins of the fast parts, and the few lines that feed both.

A property compares a part with its twin on inputs that nobody would think of; the twin is right because it is plain.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

import numpy as np

from model.windowing import NUMERIC_COLUMNS, WindowBatch, WindowRings


def columns(offsets: list[int]) -> dict[str, np.ndarray]:
    """Lines that can be told apart in every column by their offset."""
    at = np.array(offsets, np.int64)
    numeric = {name: (at + 1).astype(kind) for name, kind in NUMERIC_COLUMNS.items()} | {"offset": at}
    return numeric | {"text": np.array([b"line %d" % offset for offset in offsets], object)}


def push(rings: WindowRings, slots: list[int], offsets: list[int], now: float = 0.0) -> WindowBatch:
    return rings.push(np.array(slots, np.int64), columns(offsets), now)


def held(batch: WindowBatch) -> list[tuple[int, list[int], int]]:
    """(slot, offsets of the window, how many of them are fresh) of every window."""
    rows = batch.windows("offset")
    return [
        (int(batch.slots[i]), rows[i, batch.size - batch.filled[i] :].tolist(), int(batch.fresh[i]))
        for i in range(len(batch))
    ]


@dataclass
class NaiveRings:
    """The same promise kept slowly: a deque per slot."""

    size: int
    step: int = 1
    lines: dict[int, deque[int]] = field(default_factory=dict)
    pending: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def push(self, slots: list[int], offsets: list[int]) -> list[tuple[int, list[int], int]]:
        due = []
        for slot, offset in zip(slots, offsets, strict=True):
            ring = self.lines.setdefault(slot, deque(maxlen=self.size))
            ring.append(offset)
            self.pending[slot] += 1
            if self.pending[slot] == self.step:
                due.append((slot, list(ring), self.step))
                self.pending[slot] = 0
        return sorted(due, key=lambda window: window[0])  # by slot, in order within a slot

    def flush(self, slots: list[int]) -> list[tuple[int, list[int], int]]:
        out = [(slot, list(self.lines[slot]), self.pending[slot]) for slot in slots if self.pending[slot]]
        for slot in slots:
            self.pending[slot] = 0
        return out

    def clear(self, slots: list[int]) -> None:
        for slot in slots:
            self.lines.pop(slot, None)
            self.pending.pop(slot, None)

    def oldest(self, slot: int) -> int | None:
        """The oldest line that the next window will hold."""
        ring = self.lines.get(slot)
        if not ring:
            return None
        return list(ring)[1] if len(ring) == self.size and self.size > 1 else ring[0]
