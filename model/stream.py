"""Lines in, windows out: masking, line ids, familiarity and rings for one batch of lines.

The one path that daemon, `scan`, the Python API and training share, so that they cannot drift apart. Synchronous and
owned by one thread at a time. Knows nothing of Kafka, of scores or of where a slot's lines come from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from logwarden.model.arrays import Bools, Column, Floats, Ids, Ints, Texts
from logwarden.model.history import NO_PAIRS, Familiarity, History, HistoryDelta
from logwarden.model.lines import LineTable
from logwarden.model.masking import mask_blob
from logwarden.model.schema import truncated_utf8
from logwarden.model.windowing import WindowBatch, WindowRings

_MEASURED = ("log_count", "log_age", "distance")
"""Columns that the history measures."""
_BLOCK = 512
"""New lines compared at a time: ten thousand against each other at once would take gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineColumns:
    """n lines in stream order, as columns."""

    texts: list[bytes]
    """Raw lines, UTF-8, without a newline inside."""
    slots: Ints
    """(n,) which service and partition, as a row of the rings."""
    offset: Ints
    """(n,)"""
    index: Ids
    """(n,) position within the record."""
    timestamp: Ints
    """(n,) milliseconds since the epoch; -1 = unknown."""


class LogStream:
    """Turns lines into windows. Bounded by its arguments.

    Two kinds of state, so that either can be exchanged alone. `rings` and `history` belong to the services and are
    built here; a service's history survives its model. `table` belongs to the model and is given: line ids, embeddings
    and, by way of its `store`, the rows where windows are scored. Only the ids in the rings join the two.
    `shown_chars`: raw lines are kept up to this many characters, for people to read in alerts.
    """

    def __init__(
        self,
        table: LineTable,
        *,
        size: int = 32,
        step: int = 1,
        max_slots: int = 20_000,
        max_lines_per_slot: int = 1024,
        shown_chars: int = 1024,
    ) -> None:
        self.rings = WindowRings(size, max_slots, step=step)
        self.history = History(max_slots, max_lines_per_slot=max_lines_per_slot)
        self.table = table
        self._max_slots = max_slots
        self._shown_chars = shown_chars
        self._unscored: deque[Ids] = deque()
        # Of the newest push: slots and history rows of the lines that it counted, and the pairs that it evicted.
        self._counted: tuple[Ints, Ints] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._evicted = NO_PAIRS

    def push(self, lines: LineColumns, now: float = 0.0, *, counted: Bools | None = None) -> WindowBatch:
        """Takes n ≥ 1 lines and returns the windows that became due. Call `scored` once they are done with.

        `counted` (n,): False for a line that the history counted before, such as one that is replayed behind a restored
        snapshot. It fills the rings like any other, is measured against the history, and leaves that as it is.
        """
        keys = mask_blob(b"\n".join(lines.texts) + b"\n")
        assert len(keys) == len(lines.texts), "a line contains no newline"
        ids, hashes = self.table.lookup(keys, self._live_ids)
        if counted is None or counted.all():
            measured, self._counted = self._count(lines.slots, hashes, ids)
        else:
            measured, self._counted = self._count_some(lines.slots, hashes, ids, counted)
        columns: dict[str, Column] = {"id": ids, "text": self._shown(lines.texts)}
        columns |= {"offset": lines.offset, "index": lines.index, "timestamp": lines.timestamp}
        batch = self.rings.push(lines.slots, columns | measured, now)
        self._evicted = self.history.trim()
        self._unscored.append(np.unique(batch.columns["id"]))
        return batch

    def delta(self) -> HistoryDelta:
        """Returns what the newest push changed in the history. Call it before the next `push` or `clear`."""
        return self.history.delta(*self._counted, self._evicted)

    def flush(self, slots: Ints) -> WindowBatch:
        """The windows of lines that wait for their step to fill. Call `scored` once they are done with."""
        batch = self.rings.flush(slots)
        self._unscored.append(np.unique(batch.columns["id"]))
        return batch

    def peek(self, lines: LineColumns, histories: Sequence[int | None]) -> WindowBatch:
        """Windows of texts that are asked about, not learned: nothing is remembered of them.

        `lines.slots` numbers the texts from 0; `histories[i]` is the slot whose history text i is measured against, or
        None for no history at all. Step 1: a window for every line. Call `scored` once they are done with.
        """
        ids, hashes = self.table.lookup(mask_blob(b"\n".join(lines.texts) + b"\n"), self._live_ids)
        columns: dict[str, Column] = {name: np.zeros(len(ids), np.float32) for name in _MEASURED}
        for number, slot in enumerate(histories):
            if slot is None:
                continue
            places = np.flatnonzero(lines.slots == number)
            seen = self.history.peek(slot, hashes[places])
            for name, values in self._peeked(slot, seen, hashes[places], ids[places]).items():
                columns[name][places] = values
        columns |= {"id": ids, "text": self._shown(lines.texts)}
        columns |= {"offset": lines.offset, "index": lines.index, "timestamp": lines.timestamp}
        batch = WindowRings(self.rings.size, len(histories)).push(lines.slots, columns)
        self._unscored.append(np.unique(ids))
        return batch

    def scored(self) -> None:
        """Says that the oldest batch not yet reported is done with; its lines' rows may be given up from now on."""
        self._unscored.popleft()

    def clear(self, slots: Ints) -> None:
        """Forgets these slots entirely; they may serve other services afterwards."""
        self.rings.clear(slots)
        self.history.clear(slots)

    def _live_ids(self) -> Ids:
        return np.concatenate([self.rings.live_ids(self._max_slots), *list(self._unscored)])

    def _count(self, slots: Ints, hashes: Ints, ids: Ids) -> tuple[dict[str, Column], tuple[Ints, Ints]]:
        """Measures and counts n lines → the three columns (n,), and slots and history rows (n,) of what was counted."""
        seen = self.history.observe(slots, hashes)
        if len(seen.first):
            self._measure_distances(seen.first, seen.rows, slots, ids)
        distance = self.history.distances(seen.rows)
        return {"log_count": seen.log_count, "log_age": seen.log_age, "distance": distance}, (slots, seen.rows)

    def _count_some(
        self, slots: Ints, hashes: Ints, ids: Ids, counted: Bools
    ) -> tuple[dict[str, Column], tuple[Ints, Ints]]:
        """Does as `_count` where `counted`; elsewhere only measures. Seldom: while lines are replayed.

        A line is measured against what was counted before it, so runs of equal `counted` are taken one after another.
        """
        columns: dict[str, Column] = {name: np.empty(len(ids), np.float32) for name in _MEASURED}
        rows = np.full(len(ids), -1)
        # counted   0 0 0 1 1 0       edges   3 5       runs   [0, 3) [3, 5) [5, 6)
        edges = np.flatnonzero(counted[1:] != counted[:-1]) + 1
        for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(ids)], strict=True):
            run = np.arange(start, end)
            if counted[start]:
                measured, (_, rows[run]) = self._count(slots[run], hashes[run], ids[run])
                for name, values in measured.items():
                    columns[name][run] = values
                continue
            for slot in np.unique(slots[run]).tolist():
                places = run[slots[run] == slot]
                seen = self.history.recall(slot, hashes[places])
                for name, values in self._peeked(slot, seen, hashes[places], ids[places]).items():
                    columns[name][places] = values
        return columns, (slots[counted], rows[counted])

    def _peeked(self, slot: int, seen: Familiarity, hashes: Ints, ids: Ids) -> dict[str, Column]:
        distance = self._peeked_distances(slot, seen, hashes, ids)
        return {"log_count": seen.log_count, "log_age": seen.log_age, "distance": distance}

    def _measure_distances(self, first: Ints, rows: Ints, slots: Ints, ids: Ids) -> None:
        """Distance of each line that is new to its slot to the nearest line the slot knew before it.

        Cold path: once per (slot, line). 1 - the greatest cosine; 1 for the first line of all.
        """
        for slot in np.unique(slots[first]).tolist():
            places = first[slots[first] == slot]
            hashes = self.history.known_hashes(slot)
            known = hashes[: len(hashes) - len(places)]  # without those that were just added
            self.history.set_distances(rows[places], self._distances(known, ids[places]))

    def _peeked_distances(self, slot: int, seen: Familiarity, hashes: Ints, ids: Ids) -> Floats:
        """(n,) what `push` would have measured; an unknown line said twice is as far the second time."""
        distances = np.zeros(len(ids), np.float32)
        known = seen.rows >= 0
        distances[known] = self.history.distances(seen.rows[known])
        measured = self._distances(self.history.known_hashes(slot), ids[seen.first])
        order = np.argsort(hashes[seen.first])
        distances[~known] = measured[order][np.searchsorted(hashes[seen.first][order], hashes[~known])]
        return distances

    def _distances(self, known: Ints, new: Ids) -> Floats:
        """(n,) distance of each new line to the nearest of the known lines and of the new lines before it."""
        if not len(new):
            return np.zeros(0, np.float32)
        known_ids = self.table.known(known)
        vectors = self.table.embeddings(np.concatenate([known_ids, new.astype(np.int64)]))  # k+n, D
        nearest = np.zeros(len(new), np.float32)
        for start in range(0, len(new), _BLOCK):
            end = min(start + _BLOCK, len(new))
            places = np.arange(len(known_ids) + start, len(known_ids) + end)  # of the block in `vectors`
            similar = vectors[places] @ vectors[: places[-1] + 1].T  # b, k+end
            similar[places[:, None] <= np.arange(places[-1] + 1)] = 0.0
            nearest[start:end] = similar.max(axis=1)
        return np.asarray((1.0 - nearest).clip(0.0, 1.0))

    def _shown(self, texts: Sequence[bytes]) -> Texts:
        """(n,) the lines as people will read them, none longer than `shown_chars` characters."""
        column = np.empty(len(texts), object)
        column[:] = texts
        # A line of few bytes has few characters, and almost every line has few bytes: only the others are looked at.
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        for i in np.flatnonzero(sizes > self._shown_chars).tolist():
            column[i] = truncated_utf8(texts[i], self._shown_chars)
        return column
