"""Puts each (partition, service) into a slot of the log stream, and turns fetched records into windows to score.

Synchronous; the ingest worker owns it. Knows partitions, services and records; leaves masking, rings and familiarity to
`model/stream.py`; knows nothing of scores, alerts and commits, and writes into no ledger. Where more lines are new than
a step may embed, lines wait in a `Backlog`; the steps after this one take them from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from logwarden.daemon.decoding.decoder import Decoded, Decoder
from logwarden.daemon.pipeline.backlog import Backlog, LineBatch
from logwarden.daemon.pipeline.events import OpenEvents
from logwarden.daemon.pipeline.joining import JoinLimits
from logwarden.daemon.pipeline.limits import CutLimits
from logwarden.daemon.pipeline.memory import ServiceMemory
from logwarden.daemon.pipeline.partitions import Assignment, by_owner, keep_originals
from logwarden.daemon.pipeline.service_book import ServiceBook
from logwarden.daemon.pipeline.silences import Silences
from logwarden.daemon.pipeline.slots import ServiceSlots
from logwarden.daemon.pipeline.work import Begun, Ingested, Work
from logwarden.daemon.records import Record
from logwarden.daemon.state.journal import Cut
from logwarden.daemon.state.records import first_of
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.windowing import WindowBatch

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Chunk = tuple[Assignment, Sequence[Record]]
Sources = list[tuple[Assignment, Record]]

_MAX_PUSH_LINES = 8_192
"""Lines pushed to the stream at once: records of many lines must not make one batch of a whole poll's lines."""


class Ingestor:
    """All services of the assigned partitions, at most `max_services`; the one idle for longest is evicted first."""

    def __init__(
        self,
        stream: LogStream,
        *,
        max_services: int,
        join: JoinLimits | None = None,
        cuts: CutLimits | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """`cuts`: when the state of services is cut off for the state topic; None: it is not kept.

        `now_ms`: the wall clock by which services are silent; None: nobody wants to know.
        """
        self._stream = stream
        self._slots = ServiceSlots(max_services)
        self._embedded = 0
        self._overflowed = 0
        self.memory = None if cuts is None else ServiceMemory(stream, self._slots, cuts, masks=stream.table.fingerprint)
        self.silences = None if now_ms is None else Silences(stream, self._slots, now_ms)
        self.backlog = Backlog()
        self.events = OpenEvents(join, stream.mask)
        self.book = ServiceBook(stream, self._slots)

    @property
    def waits(self) -> bool:
        """True if lines may wait for their window's step to fill."""
        return self._stream.rings.step > 1

    @property
    def masks(self) -> str:
        """Fingerprint of the masking in use."""
        return self._stream.table.fingerprint

    @property
    def services(self) -> int:
        """Slots in use."""
        return len(self._slots)

    @property
    def table_rows(self) -> int:
        """Distinct masked lines in the line table."""
        return len(self._stream.table)

    def scored(self, pushes: int) -> None:
        """Records that the oldest `pushes` were scored, so that rows of their lines may be evicted."""
        for _ in range(pushes):
            self._stream.scored()

    def ingest(self, chunks: Sequence[Chunk], now: float, *, new_lines: int = _MAX_PUSH_LINES) -> Ingested:
        """Takes the records of one fetch, in order within each assignment.

        Where more than `new_lines` distinct lines are new, or lines wait already, new lines wait in the backlog.
        """
        out = Ingested()
        for assignment, records in chunks:
            first = int(records[0].offset)
            out.contexts.append((assignment, first, self._oldest_needed(assignment, first)))
        for decoder, group in _by_decoder(chunks):
            sources = [(assignment, record) for assignment, records in group for record in records]
            self._decode(decoder, sources, out, now, new_lines)
        for assignment, records in chunks:
            assignment.ingested_to = int(records[-1].offset) + 1
        if self.silences is not None:
            out.work += map(self._work, self.silences.windows([assignment for assignment, _ in chunks], now))
        if self.memory is not None:
            out.cuts += self._cuts(self.memory, chunks, now)
        return self._counted(out)

    def _cuts(self, memory: ServiceMemory, chunks: Sequence[Chunk], now: float) -> list[tuple[Assignment, Cut]]:
        """Returns the cuts that are due after this fetch."""
        cuts = []
        for assignment, records in chunks:
            end = int(records[-1].offset) + 1
            memory.arrived(assignment, sum(len(record.value or b"") for record in records), now)
            if memory.is_due(assignment, end, now, lines_wait=self.backlog.bytes_of(assignment) > 0):
                waiting = first_of(self.backlog.first_lines(assignment), self.events.first_lines(assignment))
                cut = memory.cut(assignment, end, waiting, now)
                if cut.entries:
                    cuts.append((assignment, cut))
        return cuts

    def advance(self, now: float, *, new_lines: int) -> Ingested:
        """Takes lines of the backlog, of which at most `new_lines` ≥ 1 are distinct new lines."""
        out = Ingested()
        waiting = self.backlog.take(new_lines, self._stream.table.__contains__, most=_MAX_PUSH_LINES)
        if waiting:
            self._push(LineBatch.of(waiting), out, now)
        return self._counted(out)

    def close_events(self, now: float, *, new_lines: int, all_of_them: bool) -> Ingested:
        """Takes the events that no line has continued for the time-out. `all_of_them`: every open event."""
        out = Ingested()
        closed = self.events.expire(now, all_of_them=all_of_them)
        if closed is not None:
            self._take_events(closed, out, now, new_lines)
        return self._counted(out)

    def flush(self, before: float) -> list[Work]:
        """Returns the windows of lines that have waited since `before` or longer for their step to fill."""
        slots = self._stream.rings.waiting(before)
        return [self._flush(slots)] if len(slots) else []

    def keep(self, assignments: Sequence[Assignment]) -> list[Assignment]:
        """Returns those of these assignments whose services may continue, because nothing of them waits.

        Drops everything about the others.
        """
        kept = [
            a
            for a in assignments
            if a.ingested_to == a.fetched_to and self.backlog.oldest(a) is None and self.events.oldest(a) is None
        ]
        self.drop([assignment for assignment in assignments if assignment not in kept])
        return kept

    def begin(self, begun: Begun, now: float) -> int:
        """Continues or brings back what services of new assignments have learned. Returns the number brought back."""
        for before, after in begun.resumed:
            self._slots.hand_over(before, after)
            if self.silences is not None:  # an alert that was on its way ended with the assignment
                self.silences.forget(self._slots.numbers_of(after))
            if self.memory is not None:
                self.memory.hand_over(before, after)
        if self.memory is None or begun.choice is None:
            return 0
        return self.memory.restore(begun.fresh, begun.choice, now)

    def skip(self, assignment: Assignment, offset: int) -> None:
        """Drops lines below an offset that wait, and all windows: none reaches across lines that were left out."""
        self.backlog.drop_below(assignment, offset)
        self.events.drop([assignment])
        self._stream.rings.clear(self._slots.numbers_of(assignment))

    def drop(self, assignments: Sequence[Assignment]) -> None:
        """Drops everything about these assignments."""
        for assignment in assignments:
            slots = self._slots.drop(assignment)
            self._clear(slots)
            if self.memory is not None:
                self.memory.drop(assignment, slots)
        self.backlog.drop(assignments)
        self.events.drop(assignments)

    def _clear(self, slots: Ints) -> None:
        self._stream.clear(slots)
        self.book.rates.clear(slots)
        if self.silences is not None:
            self.silences.forget(slots)

    def _counted(self, out: Ingested) -> Ingested:
        """Returns the result with what the line table counted meanwhile."""
        counts = self._stream.table.counts
        out.new_lines, self._embedded = counts.embedded - self._embedded, counts.embedded
        out.overflowed, self._overflowed = counts.overflowed - self._overflowed, counts.overflowed
        if self.memory is not None:
            out.memory = self.memory.take_counts()
        return out

    @staticmethod
    def _is_new(assignment: Assignment, record: Record) -> bool:
        """Returns False for a context record, which the previous owner has judged."""
        return record.offset >= assignment.ledger.score_from

    def _oldest_needed(self, assignment: Assignment, otherwise: int) -> int:
        oldest = self._stream.rings.oldest_offsets(self._slots.numbers_of(assignment))
        # The lines in backlog and open events are in no ring yet, and later windows need them.
        candidates = [int(oldest.min()) if len(oldest) else None]
        candidates += [self.backlog.oldest(assignment), self.events.oldest(assignment)]
        return min((offset for offset in candidates if offset is not None), default=otherwise)

    def _decode(self, decoder: Decoder, sources: Sources, out: Ingested, now: float, new_lines: int) -> None:
        decoded = decoder.decode([record for _, record in sources])
        out.dead += [(sources[place][0], letter) for place, letter in decoded.dead if self._is_new(*sources[place])]
        out.blank += _by_assignment([sources[p] for p in decoded.blank if self._is_new(*sources[p])])
        keep_originals(sources, decoded)
        out.replaced, out.odd = out.replaced + decoded.replaced, out.odd + decoded.odd
        out.cut += decoded.cut
        out.lines += len(decoded.lines)
        if any(decoded.index) or decoded.dead:
            out.grown += self._grown(sources, decoded)
        if decoded.lines:
            self._take_lines([sources[place] for place in decoded.places], decoded, out, now, new_lines)

    def _grown(self, sources: Sources, decoded: Decoded) -> list[tuple[Assignment, Ints, Ints]]:
        """Returns the new records that come out as more than one line, with the number of their lines.

        A dead letter counts as a line: a record of many events has one beside its lines if an event is broken.
        """
        # places  [0, 1, 1, 2]   the record of each line
        # dead    [1, 3]         the record of each dead letter
        # lines   [1, 3, 1, 1]   so record 1 grows
        places = [*decoded.places, *(place for place, _ in decoded.dead)]
        lines = np.bincount(places, minlength=len(sources))
        many = [place for place in np.flatnonzero(lines > 1).tolist() if self._is_new(*sources[place])]
        found: list[tuple[Assignment, Ints, Ints]] = []
        for assignment, offsets in _by_assignment([sources[place] for place in many]):
            counts = [lines[place] for place in many if sources[place][0] is assignment]
            found.append((assignment, offsets, np.array(counts, np.int64)))
        return found

    def _take_lines(self, sources: Sources, lines: Decoded, out: Ingested, now: float, new_lines: int) -> None:
        """Joins the lines to events, and takes those that ended."""
        batch = LineBatch(
            owners=[assignment for assignment, _ in sources],
            services=lines.services,
            texts=lines.lines,
            keys=self._stream.mask(lines.lines),
            offsets=[record.offset for _, record in sources],
            index=lines.index,
            timestamps=lines.timestamps,
        )
        taken = self.events.join(batch, set(lines.indented), lambda place: sources[place][1].timestamp, now)
        out.absorbed += by_owner(taken.absorbed)
        out.cut_events += taken.cut
        if taken.ready is not None:
            self._take_events(taken.ready, out, now, new_lines)

    def _take_events(self, batch: LineBatch, out: Ingested, now: float, new_lines: int) -> None:
        """Pushes n ≥ 1 events, or lets those wait that are too many to be embedded in this step."""
        new = self._stream.table.unknown(batch.keys)
        if self.backlog or len({batch.keys[place] for place in new}) > new_lines:
            ready = self.backlog.keep(batch, new)
            if not ready:
                return
            batch = LineBatch.of(ready)
        self._push(batch, out, now)

    def _push(self, lines: LineBatch, out: Ingested, now: float) -> None:
        """Pushes n ≥ 1 lines to the stream, in parts whose services fit into the slots at once."""
        offsets = zip(lines.owners, lines.offsets, strict=True)
        replaying = any(offset < owner.replay_until for owner, offset in offsets)
        counted = None
        if replaying and self.memory is not None:
            lines, counted = self.memory.unseen(lines)
        keys = [(owner.generation, service) for owner, service in zip(lines.owners, lines.services, strict=True)]
        start = 0
        while start < len(keys):
            end = min(len(keys), start + _MAX_PUSH_LINES)
            while len(set(keys[start:end])) > self._slots.max_services:
                end = start + (end - start) // 2
            part = None if counted is None else counted[start:end]
            work = self._work(self._push_part(lines.part(start, end), out, now, part))
            if replaying or self.waits:  # with a step, context may wait in the rings long after it was read
                new = work.without_context()
                out.context_lines += int(work.windows.fresh.sum() - new.windows.fresh.sum())
                work = new
            self.book.rates.count(work.windows, now)
            out.work.append(work)
            start = end

    def _push_part(self, lines: LineBatch, out: Ingested, now: float, counted: Bools | None = None) -> WindowBatch:
        columns = LineColumns(
            texts=lines.texts,
            slots=self._slots_for(lines, out),
            offset=np.array(lines.offsets, np.int64),
            index=np.array(lines.index, np.int32),
            timestamp=np.array(lines.timestamps, np.int64),
        )
        return self._stream.push(columns, now, counted=counted, keys=lines.keys)

    def _work(self, batch: WindowBatch) -> Work:
        slots = batch.slots
        first_ms = self._stream.history.first_ms(slots)
        return Work(batch, self._slots.owner[slots], self._slots.service[slots], first_ms, pushes=1)

    def _flush(self, slots: Ints) -> Work:
        return self._work(self._stream.flush(slots)).without_context()

    def _slots_for(self, lines: LineBatch, out: Ingested) -> Ints:
        slots = self._slots.find(lines.owners, lines.services, lambda owner, name: self._open_slot(owner, name, out))
        if self.memory is not None:
            self.memory.logging(slots)
        return slots

    def _open_slot(self, assignment: Assignment, service: str, out: Ingested) -> int:
        if not self._slots.free:
            self._evict(out)
        slot = self._slots.open(assignment, service)
        # The services of a partition are one system: their order is the same in every replay.
        self._stream.history.join(np.array([slot]), np.array([assignment.system]))
        if self.memory is not None:
            self.memory.opened(assignment, service, slot)
        return slot

    def _evict(self, out: Ingested) -> None:
        """Evicts the services idle for longest, but none of the current batch."""
        victims = self._slots.idle_longest()
        out.work.append(self._flush(victims))
        out.evicted += len(victims)
        if self.memory is not None:
            self.memory.evicted(victims)
        self._clear(victims)
        self._slots.release(victims)


def _by_decoder(chunks: Sequence[Chunk]) -> list[tuple[Decoder, list[Chunk]]]:
    """Groups chunks by the decoder of their topic; usually there is one."""
    groups: dict[Decoder, list[Chunk]] = {}
    for chunk in chunks:
        groups.setdefault(chunk[0].profile.decoder, []).append(chunk)
    return list(groups.items())


def _by_assignment(sources: Sequence[tuple[Assignment, Record]]) -> list[tuple[Assignment, Ints]]:
    """Groups the offsets of records by their assignment, in order."""
    return by_owner([(assignment, record.offset) for assignment, record in sources])
