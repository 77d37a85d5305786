"""Lines in, windows out: masking, line ids, familiarity and rings for one batch of lines.

Daemon, `scan`, the Python API and training share this one path, so that they cannot differ. Synchronous; one thread
at a time owns it. Knows nothing of Kafka, of scores or of the origin of a slot's lines.

Legend: n lines of a batch · w windows · k known lines of a slot · D width of an embedding
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Bools, Column, Floats, Ids, Ints, Texts
from logwarden.model.calm import CALM_COLUMNS, Signs
from logwarden.model.defaults import MAX_HISTORY_LINES, WINDOW_SIZE
from logwarden.model.history import History
from logwarden.model.lines import LineTable
from logwarden.model.masking import line_hash, mask_blob
from logwarden.model.novelty import Familiarity
from logwarden.model.rates import OF_SILENCE, RATE_COLUMNS
from logwarden.model.rhythm import Silence
from logwarden.model.schema import truncated_utf8
from logwarden.model.slot_state import SlotHistory, SlotRing, SlotState
from logwarden.model.windowing import WindowBatch, WindowRings

MEASURED = ("log_count", "log_age", "share_in_suspicion", "distance", *CALM_COLUMNS, *RATE_COLUMNS, "severe", "excused")
"""Columns with what the history measures of a line, and whether its text states a failure."""
SILENCE_KIND = line_hash("no line")
"""Stands for the kind of line where there is none: all silences of a service are of one kind."""
_BLOCK = 512
"""New lines compared at a time. Ten thousand against each other at once would take gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineColumns:
    """n lines in stream order, as columns."""

    texts: list[bytes]
    """Raw lines, UTF-8, without a newline inside."""
    slots: Ints
    """(n,) row of the rings for the line's service and partition."""
    offset: Ints
    """(n,) of the record that brought the line."""
    index: Ids
    """(n,) position within the record."""
    timestamp: Ints
    """(n,) milliseconds since the epoch; -1 = unknown."""


class LogStream:
    """Turns lines into windows. Bounded by its arguments.

    Its state has two halves that can be exchanged separately. `rings` and `history` belong to the services; a service's
    history outlives its model. `table` belongs to the model: line ids, embeddings and, by way of its `store`, the rows
    where windows are scored. The two meet in the ids in the rings alone.
    `shown_chars`: raw lines are kept up to this many characters, for people to read in alerts.
    """

    def __init__(
        self,
        table: LineTable,
        *,
        size: int = WINDOW_SIZE,
        step: int = 1,
        max_slots: int = 20_000,
        max_lines_per_slot: int = MAX_HISTORY_LINES,
        shown_chars: int = 1024,
    ) -> None:
        self.rings = WindowRings(size, max_slots, step=step)
        self.history = History(max_slots, max_lines_per_slot=max_lines_per_slot)
        self.table = table
        self._max_slots = max_slots
        self._shown_chars = shown_chars
        self._unscored: deque[Ids] = deque()
        self._asleep: dict[int, Callable[[], Sequence[str]]] = {}
        """Texts of the known lines of restored slots, which are embedded when their first new line comes."""

    def mask(self, texts: Sequence[bytes]) -> list[bytes]:
        """Returns the first-level keys (n,) of n ≥ 1 raw lines, for `push` and for `LineTable.unknown`."""
        keys = mask_blob(b"\n".join(texts) + b"\n")
        assert len(keys) == len(texts), "a line contains no newline"
        return keys

    def push(
        self,
        lines: LineColumns,
        now: float = 0.0,
        *,
        counted: Bools | None = None,
        keys: list[bytes] | None = None,
    ) -> WindowBatch:
        """Takes n ≥ 1 lines and returns the windows that became due. Call `scored` once they are scored.

        `keys` (n,): what `mask` returns for the lines, where the caller has them already.

        `counted` (n,): False for a line that the history has counted before, such as a line that is replayed behind a
        restored snapshot. It enters the rings, is measured against the history, and is not counted again.
        """
        ids, hashes = self.table.lookup(self.mask(lines.texts) if keys is None else keys, self._live_ids)
        if self._asleep:
            self._wake(lines.slots, hashes, ids)
        if counted is None or counted.all():
            measured = self._count(lines.slots, hashes, ids, lines.timestamp)
        else:
            measured = self._count_some(lines.slots, hashes, ids, lines.timestamp, counted)
        columns: dict[str, Column] = {"id": ids, "kind": hashes, "text": self._shown(lines.texts)}
        columns |= {"offset": lines.offset, "index": lines.index, "timestamp": lines.timestamp}
        batch = self.rings.push(lines.slots, columns | measured, now)
        self.history.trim()
        self._unscored.append(np.unique(batch.columns["id"]))
        return batch

    def flush(self, slots: Ints) -> WindowBatch:
        """Returns the windows of lines that wait for their step to fill. Call `scored` once they are scored."""
        batch = self.rings.flush(slots)
        self._unscored.append(np.unique(batch.columns["id"]))
        return batch

    def silent(self, found: Silence) -> WindowBatch:
        """Returns the newest windows of silent slots, without a fresh line. Call `scored` once they are scored.

        The newest line is of the kind of all silences, and its columns of rates are seconds: since then, and of the
        longest pause before.
        """
        batch = self.rings.latest(found.slots)
        places = np.searchsorted(found.slots, batch.slots, sorter=(order := np.argsort(found.slots)))
        measured = (found.since_ms // 1000, found.longest_ms // 1000, np.full(len(found.slots), OF_SILENCE))
        for name, values in zip(RATE_COLUMNS, measured, strict=True):
            batch.columns[name][batch.ends] = values[order[places]]
        batch.columns["kind"][batch.ends] = SILENCE_KIND
        self._unscored.append(np.unique(batch.columns["id"]))
        return batch

    def peek(self, lines: LineColumns, histories: Sequence[int | None]) -> WindowBatch:
        """Returns the windows of texts that are scored and not learned: rings and history stay as they are.

        `lines.slots` numbers the texts from 0. `histories[i]` is the slot whose history text i is measured against, or
        None for no history. Every line ends a window, whatever the step. Call `scored` once they are scored.
        """
        ids, hashes = self.table.lookup(self.mask(lines.texts), self._live_ids)
        columns: dict[str, Column] = {name: np.zeros(len(ids), np.float32) for name in MEASURED}
        for number, slot in enumerate(histories):
            if slot is None:
                continue
            places = np.flatnonzero(lines.slots == number)
            seen = self.history.peek(slot, hashes[places], self.table.severities(ids[places])[1])
            for name, values in self._peeked(slot, seen, hashes[places], ids[places]).items():
                columns[name][places] = values
        columns |= {"id": ids, "kind": hashes, "text": self._shown(lines.texts)}
        columns |= {"offset": lines.offset, "index": lines.index, "timestamp": lines.timestamp}
        batch = WindowRings(self.rings.size, len(histories)).push(lines.slots, columns)
        self._unscored.append(np.unique(ids))
        return batch

    def scored(self) -> None:
        """Reports the oldest unscored batch as scored. The rows of its lines may be evicted from now on."""
        self._unscored.popleft()

    def take(self, slot: int) -> SlotState:
        """Returns everything about a slot, for `put_history` and `put_ring` of another stream."""
        history, columns = self.history.take(slot), self.rings.take(slot)
        texts = self.table.texts_of(history.lines.hashes)
        if slot in self._asleep and "" in texts:
            known = {line_hash(text): text for text in self._asleep[slot]() if text}
            texts = [
                text or known.get(name, "") for text, name in zip(texts, history.lines.hashes.tolist(), strict=True)
            ]
        ring = SlotRing(texts=list(map(self.table.text, columns.pop("id").tolist())), columns=columns)
        return SlotState(history=history, texts=texts, ring=ring)

    def put_history(self, slot: int, history: SlotHistory, texts: Callable[[], Sequence[str]]) -> None:
        """Puts a history into an empty slot. `texts` returns the known lines; it is called when a new line comes."""
        self.history.put(slot, history)
        self._asleep[slot] = texts

    def put_ring(self, slot: int, ring: SlotRing) -> None:
        """Puts newest lines into a slot that has none. Embeds those that the table does not have."""
        ids = self.table.ids_of(ring.texts, self._live_ids)
        self.rings.put(slot, ring.columns | {"id": ids})

    def clear(self, slots: Ints) -> None:
        """Empties rings and history of these slots, which may serve other services afterwards."""
        self.rings.clear(slots)
        self.history.clear(slots)
        if self._asleep:
            for slot in slots.tolist():
                self._asleep.pop(slot, None)

    def _wake(self, slots: Ints, hashes: Ints, ids: Ids) -> None:
        """Embeds the known lines of restored slots that log a new line: its distance to them is measured next."""
        for slot in self._asleep.keys() & set(slots.tolist()):
            if not self.history.knows(slot, hashes[slots == slot]).all():
                self.table.ids_of(self._asleep.pop(slot)(), lambda: np.concatenate([self._live_ids(), ids]))

    def _live_ids(self) -> Ids:
        """Ids that a later window or an unscored one refers to. Read only when the table must evict rows."""
        return np.concatenate([self.rings.live_ids(self._max_slots), *list(self._unscored)])

    def _count(self, slots: Ints, hashes: Ints, ids: Ids, at_ms: Ints) -> dict[str, Column]:
        """Counts n lines, and returns the measured columns (n,)."""
        severe, level, refused = self.table.severities(ids)
        seen = self.history.observe(slots, hashes, Signs(severe, level, refused, at_ms, self.table.announcements(ids)))
        if len(seen.first):
            self._measure_distances(seen.first, seen.rows, slots, ids)
        return _columns(seen, self.history.distances(seen.rows), severe, self.table.connections(ids))

    def _count_some(self, slots: Ints, hashes: Ints, ids: Ids, at_ms: Ints, counted: Bools) -> dict[str, Column]:
        """Returns what `_count` does, but only measures lines that are not `counted`. Rare: while lines are replayed.

        Every line is measured against the lines counted before it, so the batch is taken in runs of equal `counted`.
        """
        columns: dict[str, Column] = {name: np.empty(len(ids), np.float32) for name in MEASURED}
        # counted   0 0 0 1 1 0       edges   3 5       runs   [0, 3) [3, 5) [5, 6)
        edges = np.flatnonzero(counted[1:] != counted[:-1]) + 1
        for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(ids)], strict=True):
            run = np.arange(start, end)
            if counted[start]:
                for name, values in self._count(slots[run], hashes[run], ids[run], at_ms[run]).items():
                    columns[name][run] = values
                continue
            for slot in np.unique(slots[run]).tolist():
                places = run[slots[run] == slot]
                seen = self.history.recall(slot, hashes[places], self.table.severities(ids[places])[1])
                for name, values in self._peeked(slot, seen, hashes[places], ids[places]).items():
                    columns[name][places] = values
        return columns

    def _peeked(self, slot: int, seen: Familiarity, hashes: Ints, ids: Ids) -> dict[str, Column]:
        """The measured columns (n,) of lines of one slot that are not counted."""
        distances, severe = self._peeked_distances(slot, seen, hashes, ids), self.table.severities(ids)[0]
        return _columns(seen, distances, severe, self.table.connections(ids))

    def _measure_distances(self, first: Ints, rows: Ints, slots: Ints, ids: Ids) -> None:
        """Stores the distance of each line that is new to its slot to the nearest line that the slot knew before it.

        The distance is 1 - the greatest cosine, and 1 for a slot's first line. Cold path: once per slot and line.
        """
        for slot in np.unique(slots[first]).tolist():
            places = first[slots[first] == slot]
            # The slot knew A B before the batch C A D: known_hashes is now A B C D, of which the last 2 are new.
            hashes = self.history.known_hashes(slot)
            known = hashes[: len(hashes) - len(places)]
            self.history.set_distances(rows[places], self._distances(known, ids[places]))

    def _peeked_distances(self, slot: int, seen: Familiarity, hashes: Ints, ids: Ids) -> Floats:
        """(n,) distances as `push` would have measured them. All occurrences of an unknown line have the same one."""
        # Hashes 9 4 9 7, of which 7 is known. Unknown at first sight: 9 4, measured as 0.3 and 0.8:
        #   order                        1 0            sorted hashes 4 9, distances 0.8 0.3
        #   unknown occurrences 9 4 9    found at 1 0 1 among the sorted hashes
        #   distances                    0.3 0.8 0.3
        distances = np.zeros(len(ids), np.float32)
        known = seen.rows >= 0
        distances[known] = self.history.distances(seen.rows[known])
        measured = self._distances(self.history.known_hashes(slot), ids[seen.first])
        order = np.argsort(hashes[seen.first])
        distances[~known] = measured[order][np.searchsorted(hashes[seen.first][order], hashes[~known])]
        return distances

    def _distances(self, known: Ints, new: Ids) -> Floats:
        """(n,) distance of each new line to the nearest of the known lines and of the new lines before it.

        A known line that is not in the table, because its row was evicted or its history restored, is left out.
        """
        if not len(new):
            return np.zeros(0, np.float32)
        # Known lines K1 K2, new lines C D E, blocks of 2. The first block is C D, at places 2 3 of `vectors`:
        #   similar      rows C D, columns K1 K2 C D
        #   set to 0     C beside C D, D beside D: a line is compared only with the lines before it
        known_ids = self.table.known(known)
        vectors = self.table.embeddings(np.concatenate([known_ids, new.astype(np.int64)]))  # k+n, D
        nearest = np.zeros(len(new), np.float32)
        for start in range(0, len(new), _BLOCK):
            end = min(start + _BLOCK, len(new))
            places = np.arange(len(known_ids) + start, len(known_ids) + end)  # b: of the block in `vectors`
            similar = vectors[places] @ vectors[: places[-1] + 1].T  # b, k+end
            similar[places[:, None] <= np.arange(places[-1] + 1)] = 0.0
            nearest[start:end] = similar.max(axis=1)
        return np.asarray((1.0 - nearest).clip(0.0, 1.0))

    def _shown(self, texts: Sequence[bytes]) -> Texts:
        """(n,) the lines as people read them, none longer than `shown_chars` characters."""
        column = np.empty(len(texts), object)
        column[:] = texts
        # A line of few bytes has few characters, and almost every line has few bytes: only the others are looked at.
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        for i in np.flatnonzero(sizes > self._shown_chars).tolist():
            column[i] = truncated_utf8(texts[i], self._shown_chars)
        return column


def _columns(seen: Familiarity, distances: Floats, severe: Bools, connects: Bools) -> dict[str, Column]:
    past = (seen.log_count, seen.log_age, seen.share_in_suspicion, distances)
    excused = seen.calm.announced * connects  # a lost connection, where a peer has announced that it stops
    return dict(zip(MEASURED, (*past, *seen.calm, *seen.rates, severe.astype(np.float32), excused), strict=True))
