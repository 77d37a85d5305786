"""Familiarity: what each service has said before, and how well a line fits into that.

For every (slot, masked line) it keeps how often the line was seen, and how far it is from the nearest line that the
slot knew when it first came; for every slot its age in lines. Each line is measured against the lines before it, then
counted, in stream order: the result does not depend on how the stream was cut into batches.

Lines are named by their stable 64-bit hash (`logwarden.model.masking.line_hash`), never by a row of this process's
table, so that a snapshot can be restored elsewhere. Bounded in lines per slot and in all; the rarest, longest unseen go
first. Knows nothing of text, windows or torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from logwarden.model import masking
from logwarden.model.defaults import MAX_HISTORY_LINES

AGE_CAP_BITS = 14.0
"""Ages count up to 2**14 lines: else a new normal line of a service that has run for a year would stay surprising for
months (log2(1e9 / 1e3) is still 20 bits), and the scale would grow with uptime."""

_MIX = np.int64(-7046029254386353131)  # odd, from the golden ratio: spreads slots over the key space
_EVICTED_SHARE = 4  # evict a quarter at once, so that the scan over all rows is paid rarely

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What the history says of n lines, each measured just before it was counted."""

    log_count: Floats
    """(n,) log2(1 + times this line was seen in its slot)."""
    log_age: Floats
    """(n,) log2(1 + lines of the slot so far), at most AGE_CAP_BITS."""
    rows: Ints
    """(n,) row of the (slot, line) pair, for `distances` and `set_distances`."""
    first: Ints
    """Places of the lines that their slot had never seen, in stream order."""


class History:
    """Counts for at most `max_slots` slots and `max_lines_per_slot` distinct lines each; `max_rows` pairs in all."""

    def __init__(
        self, max_slots: int, *, max_lines_per_slot: int = MAX_HISTORY_LINES, max_rows: int = 1_000_000
    ) -> None:
        self._max_lines = max_lines_per_slot
        self._max_rows = max_rows
        self._age = np.zeros(max_slots, np.int64)
        self._distinct = np.zeros(max_slots, np.int64)
        self._rows: dict[int, int] = {}
        self._rows_of: dict[int, list[int]] = {}  # by slot, in the order of first sight
        self._free: list[int] = []
        self._count = np.zeros(0, np.int64)
        self._seen_at = np.zeros(0, np.int64)  # the slot's age when the line was last seen
        self._slot = np.zeros(0, np.int64)  # -1 = free row
        self._hash = np.zeros(0, np.int64)
        self._distance = np.zeros(0, np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def age(self, slots: Ints) -> Ints:
        """Lines counted so far in each of these slots."""
        return np.asarray(self._age[slots])

    def observe(self, slots: Ints, hashes: Ints) -> Familiarity:
        """Measures n ≥ 1 lines in order and counts them."""
        keys = _key(slots, hashes)
        unique, at, inverse, sizes = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        known = list(map(self._rows.get, unique.tolist()))
        # In stream order, not in that of the keys: what is handed on must not depend on how the stream was cut.
        new = sorted((i for i, row in enumerate(known) if row is None), key=at.__getitem__)
        if new:
            for i, row in zip(new, self._allocate(unique[new], slots[at[new]], hashes[at[new]]), strict=True):
                known[i] = row
        unique_rows = np.array(known, np.int64)
        rows = unique_rows[inverse]
        counts = self._count[rows] + _rank(inverse)
        _, slot_inverse = np.unique(slots, return_inverse=True)
        ages = self._age[slots] + _rank(slot_inverse)
        self._count[unique_rows] += sizes
        np.add.at(self._age, slots, 1)
        np.maximum.at(self._seen_at, rows, ages)
        return Familiarity(
            log_count=np.log2(counts + 1).astype(np.float32),
            log_age=np.minimum(np.log2(ages + 1), AGE_CAP_BITS).astype(np.float32),
            rows=rows,
            first=np.sort(at[new]),
        )

    def peek(self, slot: int, hashes: Ints) -> Familiarity:
        """Measures lines of one slot as `observe` would, but counts nothing; rows are -1 where the line is unknown."""
        _, inverse = np.unique(hashes, return_inverse=True)
        rows = np.array(
            [self._rows.get(key, -1) for key in _key(np.full(len(hashes), slot), hashes).tolist()], np.int64
        )
        counts = np.where(rows >= 0, self._count[rows], 0) + _rank(inverse) if self._rows else _rank(inverse)
        ages = self._age[slot] + np.arange(len(hashes))
        return Familiarity(
            log_count=np.log2(counts + 1).astype(np.float32),
            log_age=np.minimum(np.log2(ages + 1), AGE_CAP_BITS).astype(np.float32),
            rows=rows,
            first=np.flatnonzero((rows < 0) & (_rank(inverse) == 0)),
        )

    def distances(self, rows: Ints) -> Floats:
        """Distance of each pair's line to the nearest one known when it first came: 0 = alike, 1 = nothing like it."""
        return np.asarray(self._distance[rows])

    def set_distances(self, rows: Ints, distances: Floats) -> None:
        """Stores what was measured for lines that were new to their slot."""
        self._distance[rows] = distances

    def known_hashes(self, slot: int) -> Ints:
        """Hashes of the lines that a slot knows, in the order of first sight."""
        return np.asarray(self._hash[self._rows_of.get(slot, [])])

    def trim(self) -> Ints:
        """Evicts where a bound is passed; returns the slots whose own bound it was. Call between batches."""
        crowded = np.flatnonzero(self._distinct > self._max_lines)
        for slot in crowded.tolist():
            self._evict(np.array(self._rows_of[slot]), self._max_lines)
        if len(self._rows) > self._max_rows:
            self._evict(np.flatnonzero(self._slot >= 0), self._max_rows)
        return crowded

    def clear(self, slots: Ints) -> None:
        """Forgets everything about these slots."""
        self._drop(np.array([row for slot in slots.tolist() for row in self._rows_of.get(slot, [])], np.int64))
        self._age[slots] = 0

    def snapshot(self, slot: int) -> dict[str, object]:
        """The slot's state as plain values, valid in another process of the same masking version."""
        rows = self._rows_of.get(slot, [])
        return {
            "masking": masking.VERSION,
            "age": int(self._age[slot]),
            "lines": [
                [int(h), int(c), int(s), round(float(d), 4)]
                for h, c, s, d in zip(
                    self._hash[rows], self._count[rows], self._seen_at[rows], self._distance[rows], strict=True
                )
            ],
        }

    def restore(self, slot: int, state: Mapping[str, object]) -> bool:
        """Takes a snapshot into an empty slot. False if it was made under other masking rules: the slot learns anew."""
        if state.get("masking") != masking.VERSION:
            return False
        assert self._age[slot] == 0, "a snapshot is restored into an empty slot"
        lines = state["lines"]
        assert isinstance(lines, list)
        hashes = np.array([line[0] for line in lines], np.int64)
        slots = np.full(len(lines), slot)
        rows = np.array(self._allocate(_key(slots, hashes), slots, hashes), np.int64)
        self._count[rows] = [line[1] for line in lines]
        self._seen_at[rows] = [line[2] for line in lines]
        self._distance[rows] = [line[3] for line in lines]
        self._age[slot] = int(str(state["age"]))
        return True

    def _allocate(self, keys: Ints, slots: Ints, hashes: Ints) -> list[int]:
        if len(keys) > len(self._free):
            self._grow(max(len(keys), len(self._count), 1024))
        rows = [self._free.pop() for _ in range(len(keys))]
        self._rows.update(zip(keys.tolist(), rows, strict=True))
        for slot, row in zip(slots.tolist(), rows, strict=True):
            self._rows_of.setdefault(slot, []).append(row)
        self._slot[rows] = slots
        self._hash[rows] = hashes
        self._count[rows] = 0
        self._seen_at[rows] = 0
        self._distance[rows] = 0.0
        np.add.at(self._distinct, slots, 1)
        return rows

    def _grow(self, more: int) -> None:
        size = len(self._count)
        self._free.extend(range(size + more - 1, size - 1, -1))
        for name in ("_count", "_seen_at", "_hash", "_distance"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(more, column.dtype)]))
        self._slot = np.concatenate([self._slot, np.full(more, -1)])

    def _evict(self, rows: Ints, bound: int) -> None:
        surplus = len(rows) - bound + bound // _EVICTED_SHARE
        unseen = self._age[self._slot[rows]] - self._seen_at[rows]
        self._drop(rows[np.lexsort((-unseen, self._count[rows]))[:surplus]])

    def _drop(self, rows: Ints) -> None:
        for key in _key(self._slot[rows], self._hash[rows]).tolist():
            del self._rows[key]
        np.subtract.at(self._distinct, self._slot[rows], 1)
        dropped = set(rows.tolist())
        for slot in np.unique(self._slot[rows]).tolist():
            self._rows_of[slot] = [row for row in self._rows_of[slot] if row not in dropped]
            if not self._rows_of[slot]:
                del self._rows_of[slot]
        self._slot[rows] = -1
        self._free.extend(rows.tolist())


def _key(slots: Ints, hashes: Ints) -> Ints:
    """One 64-bit key per pair; among a million pairs two collide with a chance of about 3e-8."""
    with np.errstate(over="ignore"):
        return np.asarray(hashes ^ (slots * _MIX))


def _rank(inverse: Ints) -> Ints:
    """For each element how many equal ones come before it."""
    order = np.argsort(inverse, kind="stable")
    ordered = inverse[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.empty(len(inverse), np.int64)
    rank[order] = np.arange(len(inverse)) - np.repeat(starts, np.diff(np.r_[starts, len(inverse)]))
    return rank
