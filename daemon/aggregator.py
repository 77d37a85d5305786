"""Keeps each (partition, service) in a slot of the log stream, and turns fetched records into windows to score.

Synchronous; one worker thread owns it. It knows partitions, services and records; of masking, rings and familiarity it
only knows `logwarden.model.stream`; of scores, alerts and commits it knows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from logwarden.daemon.decoding import Decoded, Decoder
from logwarden.daemon.offsets import Assignment
from logwarden.daemon.records import DeadLetter, Record
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.windowing import WindowBatch

Ints = npt.NDArray[np.int64]
Chunk = tuple[Assignment, Sequence[Record]]


@dataclass(slots=True)
class Work:
    """Windows to score, with all that is needed to act on the result after their slots have moved on."""

    windows: WindowBatch
    assignments: npt.NDArray[np.object_]
    """(w,) the Assignment that each window's lines came from."""
    services: npt.NDArray[np.object_]
    """(w,) service names."""
    pushes: int
    """How many batches of the log stream to report as scored afterwards."""

    def __len__(self) -> int:
        return len(self.windows)


@dataclass(slots=True)
class Ingested:
    """What became of a fetch."""

    work: list[Work] = field(default_factory=list)
    blank: list[tuple[Assignment, Ints]] = field(default_factory=list)
    dead: list[tuple[Assignment, DeadLetter]] = field(default_factory=list)
    lines: int = 0
    new_lines: int = 0
    """Distinct masked lines met for the first time, each embedded."""
    context_lines: int = 0
    replaced: int = 0
    cut: int = 0
    overflowed: int = 0


class Aggregator:
    """All services of our partitions. At most `max_services` of them; the longest quiet one goes first."""

    def __init__(self, decoder: Decoder, stream: LogStream, *, max_services: int) -> None:
        self._decoder = decoder
        self._stream = stream
        self._max_services = max_services
        self._slots: dict[int, dict[str, int]] = {}  # by assignment number, then service
        self._free = list(range(max_services - 1, -1, -1))
        self._owner = np.empty(max_services, object)  # Assignment of each slot
        self._service = np.empty(max_services, object)
        self._last_used = np.zeros(max_services, np.int64)
        self._tick = 0
        self._embedded = 0
        self._overflowed = 0

    @property
    def waits(self) -> bool:
        """Whether lines may wait for their window's step to fill."""
        return self._stream.rings.step > 1

    @property
    def services(self) -> int:
        """Slots in use."""
        return self._max_services - len(self._free)

    @property
    def table_rows(self) -> int:
        """Distinct masked lines in the line table."""
        return len(self._stream.table)

    def scored(self, pushes: int) -> None:
        """Says that the oldest pushes were scored, so that their lines' rows may be given up."""
        for _ in range(pushes):
            self._stream.scored()

    def ingest(self, chunks: Sequence[Chunk], now: float) -> Ingested:
        """Takes what one fetch returned; records in order within each assignment."""
        out = Ingested()
        for assignment, records in chunks:
            first = int(records[0].offset)
            assignment.ledger.note_context(first, self._oldest_needed(assignment, first))
        records_of = [(assignment, record) for assignment, records in chunks for record in records]
        decoded = self._decoder.decode([record for _, record in records_of])
        out.dead = [
            (records_of[place][0], letter) for place, letter in decoded.dead if self._is_ours(*records_of[place])
        ]
        out.blank = _by_assignment([records_of[p] for p in decoded.blank if self._is_ours(*records_of[p])])
        out.replaced, out.cut, out.lines = decoded.replaced, decoded.cut, len(decoded.lines)
        if decoded.lines:
            self._take_lines([records_of[place] for place in decoded.places], decoded, out, now)
        table = self._stream.table
        out.new_lines, self._embedded = table.counts.embedded - self._embedded, table.counts.embedded
        out.overflowed, self._overflowed = table.counts.overflowed - self._overflowed, table.counts.overflowed
        return out

    def flush(self, before: float) -> list[Work]:
        """Windows of lines that have waited since `before` or longer for their step to fill."""
        slots = self._stream.rings.waiting(before)
        return [self._flush(slots)] if len(slots) else []

    def drop(self, assignments: Sequence[Assignment]) -> None:
        """Forgets everything about these assignments."""
        for assignment in assignments:
            slots = list(self._slots.pop(assignment.number, {}).values())
            self._release(np.array(slots, np.int64))

    @staticmethod
    def _is_ours(assignment: Assignment, record: Record) -> bool:
        """Context records were dealt with by the previous owner."""
        return record.offset >= assignment.ledger.score_from

    def _oldest_needed(self, assignment: Assignment, otherwise: int) -> int:
        slots = np.array(list(self._slots.get(assignment.number, {}).values()), np.int64)
        oldest = self._stream.rings.oldest_offsets(slots)
        return int(oldest.min()) if len(oldest) else otherwise

    def _take_lines(self, sources: list[tuple[Assignment, Record]], lines: Decoded, out: Ingested, now: float) -> None:
        """Pushes lines to the stream, in parts whose services fit into the slots at once."""
        keys = [(assignment.number, service) for (assignment, _), service in zip(sources, lines.services, strict=True)]
        replaying = not all(self._is_ours(*source) for source in sources)
        start = 0
        while start < len(keys):
            end = len(keys)
            while len(set(keys[start:end])) > self._max_services:
                end = start + (end - start) // 2
            part = slice(start, end)
            slots = self._slots_for([assignment for assignment, _ in sources[part]], lines.services[part], out)
            offsets = np.fromiter((record.offset for _, record in sources[part]), np.int64, end - start)
            batch = self._stream.push(
                LineColumns(
                    texts=lines.lines[part],
                    slots=slots,
                    offset=offsets,
                    index=np.zeros(end - start, np.int32),
                    timestamp=np.array(lines.timestamps[part], np.int64),
                ),
                now,
            )
            work = self._work(batch)
            if replaying or self.waits:  # with a step, context may wait in the rings long after it was read
                ours = self._ours(work)
                out.context_lines += int(work.windows.fresh.sum() - ours.windows.fresh.sum())
                work = ours
            out.work.append(work)
            start = end

    @staticmethod
    def _ours(work: Work) -> Work:
        """The windows that hold lines that are ours to judge: context fills rings and history and is never new."""
        batch = work.windows
        score_from = np.fromiter((a.ledger.score_from for a in work.assignments), np.int64, len(batch))
        places, window = batch.fresh_lines()
        lines = batch.columns["offset"][places] >= score_from[window]
        fresh = np.bincount(window[lines], minlength=len(batch))  # the newest ones, as a slot's offsets rise
        ours = fresh > 0
        return Work(replace(batch, fresh=fresh).select(ours), work.assignments[ours], work.services[ours], work.pushes)

    def _work(self, batch: WindowBatch) -> Work:
        return Work(batch, self._owner[batch.slots], self._service[batch.slots], pushes=1)

    def _flush(self, slots: Ints) -> Work:
        return self._ours(self._work(self._stream.flush(slots)))

    def _slots_for(self, assignments: list[Assignment], services: list[str], out: Ingested) -> Ints:
        self._tick += 1
        found: list[int | None] = []
        for assignment, service in zip(assignments, services, strict=True):
            found.append(self._slots.setdefault(assignment.number, {}).get(service))
        known = np.array([slot for slot in found if slot is not None], np.int64)
        self._last_used[known] = self._tick  # before any eviction, so that no slot of this batch is given up
        if len(known) < len(found):
            for place, slot in enumerate(found):
                if slot is None:
                    found[place] = self._slot_for(assignments[place], services[place], out)
        return np.array(found, np.int64)

    def _slot_for(self, assignment: Assignment, service: str, out: Ingested) -> int:
        slots = self._slots[assignment.number]
        if service in slots:  # its second line in the batch that brought it
            return slots[service]
        if not self._free:
            self._evict(out)
        slot = slots[service] = self._free.pop()
        self._owner[slot] = assignment
        self._service[slot] = service
        self._last_used[slot] = self._tick
        return slot

    def _evict(self, out: Ingested) -> None:
        """Gives up the services longest quiet, a sixteenth at a time, but none of the batch at hand."""
        candidates = np.flatnonzero(self._last_used < self._tick)
        share = max(1, self._max_services // 16)
        victims = candidates[np.argsort(self._last_used[candidates], kind="stable")][:share]
        assert len(victims), "a batch never holds more services than there are slots"
        out.work.append(self._flush(victims))
        for slot in victims.tolist():
            del self._slots[self._owner[slot].number][self._service[slot]]
        self._release(victims)

    def _release(self, slots: Ints) -> None:
        self._stream.clear(slots)
        self._owner[slots] = None
        self._service[slots] = None
        self._last_used[slots] = 0
        self._free.extend(slots.tolist())


def _by_assignment(sources: Sequence[tuple[Assignment, Record]]) -> list[tuple[Assignment, Ints]]:
    offsets: dict[int, tuple[Assignment, list[int]]] = {}
    for assignment, record in sources:
        offsets.setdefault(assignment.number, (assignment, []))[1].append(record.offset)
    return [(assignment, np.array(values, np.int64)) for assignment, values in offsets.values()]


def by_assignment(owners: npt.NDArray[np.object_], offsets: Ints) -> list[tuple[Assignment, Ints]]:
    """Groups offsets (n,) by their Assignment (n,)."""
    numbers = np.fromiter((owner.number for owner in owners), np.int64, len(owners))
    groups: list[tuple[Assignment, Ints]] = []
    for number in np.unique(numbers).tolist():
        places: npt.NDArray[Any] = np.flatnonzero(numbers == number)
        groups.append((owners[places[0]], offsets[places]))
    return groups
