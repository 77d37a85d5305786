"""Familiarity: the known lines of each service, and how well a new line fits among them.

For every pair of a slot and a masked line it keeps a count, and the distance to the nearest line that the slot knew at
first sight; for every slot its age in lines. Each line is measured against the lines before it, then counted, in
stream order. The result does not depend on the batches that the stream was split into.

Lines are named by their stable 64-bit hash (`logwarden.model.masking.line_hash`), never by a row of this process's
table, so that what is taken out of it is valid elsewhere. Bounded in lines per slot and in all: the rarest lines are
evicted first, and of these the longest unseen. Knows nothing of text, windows or torch.

Legend: n lines of a batch · k pairs · g slots
"""

from __future__ import annotations

import numpy as np

from logwarden.model.arrays import Bools, Floats, Ints, rank_among_equals
from logwarden.model.calm import CalmCounts, Signs
from logwarden.model.defaults import MAX_HISTORY_LINES
from logwarden.model.novelty import Familiarity, distinct_before, familiarity_of
from logwarden.model.rates import Rates, no_rates
from logwarden.model.rhythm import Silence
from logwarden.model.slot_state import KnownLines, SlotHistory

_MIX = np.int64(-7046029254386353131)  # odd, from the golden ratio: spreads slots over the key space
_EVICTED_SHARE = 4  # evict a quarter at once, so that the scan over all rows is rare


class History:
    """Counts lines for at most `max_slots` slots, `max_lines_per_slot` distinct lines each, `max_rows` pairs in all.

    Pairs are rows of flat arrays that grow by doubling; a dictionary leads from a pair's key to its row.
    """

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
        self._rates = Rates(max_slots)
        self._system = np.zeros(max_slots, np.int64)
        self._calm = CalmCounts(self._system)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def room(self) -> int:
        """Pairs that find room before pairs are evicted."""
        return self._max_rows - len(self._rows)

    def age(self, slots: Ints) -> Ints:
        """Returns the number of lines counted so far in each of these slots."""
        return np.asarray(self._age[slots])

    def distinct(self, slots: Ints) -> Ints:
        """Returns the number of known lines of each of these slots."""
        return np.asarray(self._distinct[slots])

    def join(self, slots: Ints, systems: Ints) -> None:
        """Puts empty slots into systems, which are numbers. Slots of a system share what they log in calm time."""
        self._system[slots] = systems

    def first_ms(self, slots: Ints) -> Ints:
        """Returns the time of each slot's first line that has one; -1 without such a line."""
        return self._calm.first_ms(slots)

    def silent(self, slots: Ints, now_ms: int) -> Silence:
        """Returns those of these slots that are silent, see `logwarden.model.rhythm`."""
        return self._rates.silent(slots, now_ms)

    def observe(self, slots: Ints, hashes: Ints, signs: Signs) -> Familiarity:
        """Measures n ≥ 1 lines in order and counts them."""
        # One slot of age 10 that knows line A, 4 times, and not B. The batch is A B A B:
        #   inverse   0 1 0 1         index of each line's key among the distinct keys
        #   rank      0 0 1 1         equal lines of the batch before it
        #   counts    4 0 5 1         times seen in the slot, plus rank
        #   ages      10 11 12 13     age of the slot, plus the batch's lines of the slot before it
        #   first     1               place of B's first occurrence
        # Afterwards the slot has age 14 and knows A 6 times, B twice.
        keys = _key(slots, hashes)
        unique, at, inverse, sizes = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        known = list(map(self._rows.get, unique.tolist()))
        distinct = self._distinct[slots]
        # In stream order, not in that of the keys: snapshots must not depend on the batches.
        new = sorted((i for i, row in enumerate(known) if row is None), key=at.__getitem__)
        if new:
            for i, row in zip(new, self._allocate(unique[new], slots[at[new]], hashes[at[new]]), strict=True):
                known[i] = row
        unique_rows = np.array(known, np.int64)
        rows = unique_rows[inverse]  # (n,)
        counts = self._count[rows] + rank_among_equals(inverse)
        _, slot_inverse = np.unique(slots, return_inverse=True)
        ages = self._age[slots] + rank_among_equals(slot_inverse)
        calm = self._calm.observe(rows, slots, counts, ages, signs)
        rates = self._rates.observe(rows, slots, signs.at_ms, signs.severe, signs.refused)
        self._count[unique_rows] += sizes
        np.add.at(self._age, slots, 1)
        np.maximum.at(self._seen_at, rows, ages)
        first = np.sort(at[new])
        return familiarity_of(counts, ages, distinct_before(distinct, slots, first), rows, first, calm, rates)

    def peek(self, slot: int, hashes: Ints, levels: Ints) -> Familiarity:
        """Measures lines of one slot as `observe` would, but counts nothing. Rows are -1 where the line is unknown.

        `levels` (n,): see `Signs`. The lines are taken for lines of calm time.
        """
        rows, counts, rank = self._find(slot, hashes)
        ages = self._age[slot] + np.arange(len(hashes))
        first = np.flatnonzero((rows < 0) & (rank == 0))
        slots = np.full(len(hashes), slot)
        distinct = distinct_before(self._distinct[slots], slots, first)
        calm = self._calm.peek(slot, rows, self._peer_keys(slots, hashes), rank, levels, ages, counted=False)
        return familiarity_of(counts + rank, ages, distinct, rows, first, calm, no_rates(len(rows)))

    def recall(self, slot: int, hashes: Ints, levels: Ints) -> Familiarity:
        """Measures lines of one slot that are already counted, and counts nothing. Rows are -1 where unknown.

        Each is measured as the newest counted line would be, without itself: a count of 1 means never seen before. A
        line that was evicted in the meantime is new.
        """
        rows, counts, rank = self._find(slot, hashes)
        ages = np.full(len(hashes), max(0, int(self._age[slot]) - 1))
        first = np.flatnonzero((rows < 0) & (rank == 0))
        distinct = np.full(len(hashes), max(0, int(self._distinct[slot]) - 1))
        keys = self._peer_keys(np.full(len(hashes), slot), hashes)
        calm = self._calm.peek(slot, rows, keys, rank, levels, ages, counted=True)
        counts = np.maximum(counts - 1, 0)
        return familiarity_of(counts, ages, distinct, rows, first, calm, no_rates(len(rows)))

    def _find(self, slot: int, hashes: Ints) -> tuple[Ints, Ints, Ints]:
        """(n,) each: row (-1 = unknown), times the line was seen, how many of `hashes` before it are equal."""
        _, inverse = np.unique(hashes, return_inverse=True)
        keys = _key(np.full(len(hashes), slot), hashes).tolist()
        rows = np.array([self._rows.get(key, -1) for key in keys], np.int64)
        counts = np.zeros(len(rows), np.int64)
        counts[rows >= 0] = self._count[rows[rows >= 0]]
        return rows, counts, rank_among_equals(inverse)

    def distances(self, rows: Ints) -> Floats:
        """Returns each line's distance to the nearest line known at first sight: 0 = alike, 1 = nothing like it."""
        return np.asarray(self._distance[rows])

    def set_distances(self, rows: Ints, distances: Floats) -> None:
        """Stores the distances of lines that were new to their slot."""
        self._distance[rows] = distances

    def known_hashes(self, slot: int) -> Ints:
        """Returns the hashes of a slot's known lines, in the order of first sight."""
        return np.asarray(self._hash[self._rows_of.get(slot, [])])

    def trim(self) -> None:
        """Evicts pairs where a bound is passed. Call it between batches."""
        for slot in np.flatnonzero(self._distinct > self._max_lines).tolist():
            self._evict(np.array(self._rows_of[slot]), self._max_lines)
        if len(self._rows) > self._max_rows:
            self._evict(np.flatnonzero(self._slot >= 0), self._max_rows)

    def clear(self, slots: Ints) -> None:
        """Drops ages and pairs of these slots."""
        self._drop(np.array([row for slot in slots.tolist() for row in self._rows_of.get(slot, [])], np.int64))
        self._age[slots] = 0
        self._calm.clear(slots)
        self._rates.clear(slots)

    def take(self, slot: int) -> SlotHistory:
        """Returns everything about a slot, for `put` into another history of the same masking."""
        rows, own = self._rows_of.get(slot, []), np.array([slot])
        calm, minutes = self._calm.of_rows(rows)
        return SlotHistory(
            age=int(self._age[slot]),
            calm=self._calm.of_slots(own)[0],
            rates=self._rates.of_slots(own)[0],
            lines=KnownLines(
                hashes=self._hash[rows],
                counts=self._count[rows],
                seen_at=self._seen_at[rows],
                distances=self._distance[rows],
                calm=calm,
                minutes=minutes,
                rates=self._rates.of_rows(rows, np.repeat(own, len(rows))),
            ),
        )

    def put(self, slot: int, state: SlotHistory) -> None:
        """Puts what `take` returned into an empty slot."""
        assert self._age[slot] == 0, "a state is put into an empty slot"
        lines = state.lines
        slots = np.full(len(lines.hashes), slot)
        rows = np.array(self._allocate(_key(slots, lines.hashes), slots, lines.hashes), np.int64)
        self._count[rows] = lines.counts
        self._seen_at[rows] = lines.seen_at
        self._distance[rows] = lines.distances
        self._calm.set_rows(rows, lines.calm, lines.minutes)
        self._calm.set_slots(np.array([slot]), state.calm[None])
        self._rates.set_slots(np.array([slot]), state.rates[None])
        self._rates.set_rows(rows, slots, lines.rates)
        self._age[slot] = state.age

    def knows(self, slot: int, hashes: Ints) -> Bools:
        """Returns (n,) True for the lines that a slot has logged before."""
        return np.array([key in self._rows for key in _key(np.full(len(hashes), slot), hashes).tolist()], bool)

    def _allocate(self, keys: Ints, slots: Ints, hashes: Ints) -> list[int]:
        """Gives k new pairs a row each, with all counts at zero."""
        if len(keys) > len(self._free):
            self._grow(max(len(keys), len(self._count), 1024))
        # The lowest row is the last of the free ones, and is handed out first.
        rows = self._free[: -1 - len(keys) : -1]
        del self._free[len(self._free) - len(rows) :]
        self._rows.update(zip(keys.tolist(), rows, strict=True))
        if len(keys) and (slots == slots[0]).all():
            self._rows_of.setdefault(int(slots[0]), []).extend(rows)
        else:
            for slot, row in zip(slots.tolist(), rows, strict=True):
                self._rows_of.setdefault(slot, []).append(row)
        self._slot[rows] = slots
        self._hash[rows] = hashes
        self._count[rows] = 0
        self._seen_at[rows] = 0
        self._distance[rows] = 0.0
        self._calm.begin(rows, self._peer_keys(slots, hashes))
        self._rates.begin(rows)
        np.add.at(self._distinct, slots, 1)
        return rows

    def _peer_keys(self, slots: Ints, hashes: Ints) -> Ints:
        return _key(self._system[slots], hashes)

    def _grow(self, more: int) -> None:
        # From 3 rows by 2: the free list gets 4, 3, so that `pop` hands the lowest row out first.
        size = len(self._count)
        self._free.extend(range(size + more - 1, size - 1, -1))
        for name in ("_count", "_seen_at", "_hash", "_distance"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(more, column.dtype)]))
        self._slot = np.concatenate([self._slot, np.full(more, -1)])
        self._calm.grow(more)
        self._rates.grow(more)

    def _evict(self, rows: Ints, bound: int) -> None:
        # 9 lines, a bound of 8: 9 - 8 + 8 // 4 = 3 are evicted, and 6 stay. Rows are sorted by count, then by the lines
        # of the slot since the line was last seen, the most first.
        surplus = len(rows) - bound + bound // _EVICTED_SHARE
        unseen = self._age[self._slot[rows]] - self._seen_at[rows]
        self._drop(rows[np.lexsort((-unseen, self._count[rows]))[:surplus]])

    def _drop(self, rows: Ints) -> None:
        for key in _key(self._slot[rows], self._hash[rows]).tolist():
            del self._rows[key]
        self._calm.end(rows)
        np.subtract.at(self._distinct, self._slot[rows], 1)
        dropped = set(rows.tolist())
        for slot in np.unique(self._slot[rows]).tolist():
            self._rows_of[slot] = [row for row in self._rows_of[slot] if row not in dropped]
            if not self._rows_of[slot]:
                del self._rows_of[slot]
        self._slot[rows] = -1
        self._free.extend(rows.tolist())


def _key(slots: Ints, hashes: Ints) -> Ints:
    """(k,) one 64-bit key per pair. Among a million pairs two collide with a chance of about 3e-8."""
    with np.errstate(over="ignore"):
        return np.asarray(hashes ^ (slots * _MIX))
