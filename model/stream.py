"""Lines in, windows out: masking, line ids, familiarity and rings for one batch of lines.

The one path that daemon, `scan`, the Python API and training share, so that they cannot drift apart. Synchronous and
owned by one thread at a time. Knows nothing of Kafka, of scores or of where a slot's lines come from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from logwarden.model.defaults import MAX_HISTORY_LINES, WINDOW_SIZE
from logwarden.model.history import Familiarity, History
from logwarden.model.lines import Encode, LineIndex, Store
from logwarden.model.masking import mask_blob
from logwarden.model.windowing import WindowBatch, WindowRings

_BLOCK = 512
"""New lines compared at a time: ten thousand against each other at once would take gigabytes."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineColumns:
    """n lines in stream order, as columns."""

    texts: list[bytes]
    """Raw lines, UTF-8, without a newline inside."""
    slots: Ints
    """(n,) which service and partition, as a row of the rings."""
    offset: Ints
    """(n,)"""
    index: npt.NDArray[np.int32]
    """(n,) position within the record."""
    timestamp: Ints
    """(n,) milliseconds since the epoch; -1 = unknown."""


class LogStream:
    """All state that turns lines into windows. Bounded by its arguments.

    `encode`: texts → embeddings (n, D) of length 1; `store(ids, embeddings)`: puts them where windows are scored.
    `shown_chars`: raw lines are kept up to this length, for people to read in alerts.
    """

    def __init__(
        self,
        encode: Encode,
        store: Store,
        *,
        size: int = WINDOW_SIZE,
        step: int = 1,
        max_slots: int = 20_000,
        table_rows: int = 32_768,
        max_lines_per_slot: int = MAX_HISTORY_LINES,
        shown_chars: int = 1024,
    ) -> None:
        self.rings = WindowRings(size, max_slots, step=step)
        self.history = History(max_slots, max_lines_per_slot=max_lines_per_slot)
        self.index = LineIndex(table_rows, encode, store, self._live_ids)
        self._max_slots = max_slots
        self._shown_chars = shown_chars
        self._unscored: deque[npt.NDArray[np.int32]] = deque()

    def push(self, lines: LineColumns, now: float = 0.0) -> WindowBatch:
        """Takes n ≥ 1 lines and returns the windows that became due. Call `scored` once they are done with."""
        keys = mask_blob(b"\n".join(lines.texts) + b"\n")
        assert len(keys) == len(lines.texts), "a line holds no newline"
        ids, hashes = self.index.lookup(keys)
        seen = self.history.observe(lines.slots, hashes)
        if len(seen.first):
            self._measure_distances(seen.first, seen.rows, lines.slots, ids)
        batch = self.rings.push(
            lines.slots,
            {
                "id": ids,
                "log_count": seen.log_count,
                "log_age": seen.log_age,
                "distance": self.history.distances(seen.rows),
                "offset": lines.offset,
                "index": lines.index,
                "timestamp": lines.timestamp,
                "text": self._shown(lines.texts),
            },
            now,
        )
        self.history.trim()
        self._unscored.append(np.unique(batch.columns["id"]))
        return batch

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
        ids, hashes = self.index.lookup(mask_blob(b"\n".join(lines.texts) + b"\n"))
        columns: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(len(ids), np.float32) for name in ("log_count", "log_age", "distance")
        }
        for number, slot in enumerate(histories):
            if slot is None:
                continue
            places = np.flatnonzero(lines.slots == number)
            seen = self.history.peek(slot, hashes[places])
            columns["log_count"][places] = seen.log_count
            columns["log_age"][places] = seen.log_age
            columns["distance"][places] = self._peeked_distances(slot, seen, hashes[places], ids[places])
        rings = WindowRings(self.rings.size, len(histories))
        texts = self._shown(lines.texts)
        columns |= {"id": ids, "offset": lines.offset, "index": lines.index, "timestamp": lines.timestamp}
        batch = rings.push(lines.slots, {**columns, "text": texts})
        self._unscored.append(np.unique(ids))
        return batch

    def scored(self) -> None:
        """Says that the oldest batch not yet reported is done with; its lines' rows may be given up from now on."""
        self._unscored.popleft()

    def clear(self, slots: Ints) -> None:
        """Forgets these slots entirely; they may serve other services afterwards."""
        self.rings.clear(slots)
        self.history.clear(slots)

    def _live_ids(self) -> npt.NDArray[np.int32]:
        return np.concatenate([self.rings.live_ids(self._max_slots), *list(self._unscored)])

    def _measure_distances(self, first: Ints, rows: Ints, slots: Ints, ids: npt.NDArray[np.int32]) -> None:
        """Distance of each line that is new to its slot to the nearest line the slot knew before it.

        Cold path: once per (slot, line). 1 - the greatest cosine; 1 for the first line of all.
        """
        for slot in np.unique(slots[first]).tolist():
            places = first[slots[first] == slot]
            hashes = self.history.known_hashes(slot)
            known = hashes[: len(hashes) - len(places)]  # without those that were just added
            self.history.set_distances(rows[places], self._distances(known, ids[places]))

    def _peeked_distances(
        self, slot: int, seen: Familiarity, hashes: Ints, ids: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]:
        """(n,) what `push` would have measured; an unknown line said twice is as far the second time."""
        distances = np.zeros(len(ids), np.float32)
        known = seen.rows >= 0
        distances[known] = self.history.distances(seen.rows[known])
        measured = self._distances(self.history.known_hashes(slot), ids[seen.first])
        order = np.argsort(hashes[seen.first])
        distances[~known] = measured[order][np.searchsorted(hashes[seen.first][order], hashes[~known])]
        return distances

    def _distances(self, known: Ints, new: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """(n,) distance of each new line to the nearest of the known lines and of the new lines before it."""
        if not len(new):
            return np.zeros(0, np.float32)
        known_ids = self.index.known(known)
        vectors = self.index.embeddings(np.concatenate([known_ids, new.astype(np.int64)]))  # k+n, D
        nearest = np.zeros(len(new), np.float32)
        for start in range(0, len(new), _BLOCK):
            end = min(start + _BLOCK, len(new))
            places = np.arange(len(known_ids) + start, len(known_ids) + end)  # of the block in `vectors`
            similar = vectors[places] @ vectors[: places[-1] + 1].T  # b, k+end
            similar[places[:, None] <= np.arange(places[-1] + 1)] = 0.0
            nearest[start:end] = similar.max(axis=1)
        return np.asarray((1.0 - nearest).clip(0.0, 1.0))

    def _shown(self, texts: Sequence[bytes]) -> npt.NDArray[np.object_]:
        column = np.empty(len(texts), object)
        column[:] = texts
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        for i in np.flatnonzero(lengths > self._shown_chars).tolist():
            column[i] = texts[i][: self._shown_chars]
        return column
