"""Turns the lines of log files into records for the daemon's decoder, and counts the events of each service.

A line is a record whose offset is its number in the file, from 0. Its topic names the service of the file, which the
decoder takes where a line states none. A line that states no time has that of the line before it, as a record of a
topic would have about that time; in a file without any, a line counts as a second. Knows nothing of models and alerts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from logwarden.daemon.commands.documents import DocumentFramer
from logwarden.daemon.commands.files import ServiceFile
from logwarden.daemon.commands.journal_entries import JournalFramer, is_begin
from logwarden.daemon.commands.reading import LogFile, NumberedLine
from logwarden.daemon.decoding.decoder import Decoded, Decoder
from logwarden.daemon.pipeline.backlog import LineBatch
from logwarden.daemon.pipeline.events import OpenEvents
from logwarden.daemon.pipeline.joining import JoinLimits
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.records import DeadLetter, Record
from logwarden.model.masking import mask_blob
from logwarden.model.schema import Verdict

COUNTED_LINES = 200_000
"""Lines of all files up to which the events of each service are counted before any is judged."""
MOST_COUNTED_MS = 100_000_000_000
"""Bound of the times that lines are given in a file without any: March 1973, before any that a line states."""


@dataclass(slots=True)
class FileClock:
    """The last time that a line of a file states, while the file is read."""

    last_ms: int = -1

    def time_ms(self, stated_ms: int, number: int) -> int:
        """Returns the time of a line, given what it states, -1 for nothing, and its number from 0."""
        if stated_ms >= 0:
            self.last_ms = stated_ms
        return self.last_ms if self.last_ms >= 0 else min(1_000 * number, MOST_COUNTED_MS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLine:
    """A line of a file in the form of a Kafka record."""

    topic: str
    """The service of a line that states none."""
    offset: int
    value: bytes
    partition: int = 0
    timestamp: int = -1
    """When the file was written last, or is read: a time without a year is of the year before it."""
    clock: FileClock = field(default_factory=FileClock)
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class FilePart:
    """The records of a part of a file, and the number of lines that were read for them."""

    records: list[FileLine]
    lines: int


def parts_of(file: LogFile, service: str) -> Iterator[FilePart]:
    """Yields the records of a file as they become readable."""
    framer: DocumentFramer | JournalFramer | None = None
    clock, written_ms = FileClock(), file.written_ms

    def record_of(line: NumberedLine) -> FileLine:
        return FileLine(topic=service, offset=line.number, value=line.text, timestamp=written_ms, clock=clock)

    for lines in file.lines():
        if framer is None and lines:
            framer = JournalFramer() if is_begin(lines[0].text) else DocumentFramer()
        framed = framer.framed(lines) if framer else ()
        yield FilePart([record_of(line) for line in framed], len(lines))
    if framer and (rest := framer.rest()):
        yield FilePart([record_of(line) for line in rest], 0)


class FileDecoder(Decoder):
    """Reads the lines of files as another decoder does, and gives a time to those that state none.

    `service`: that of all lines. None: the one that each states, or its file's. `only_stated`: -1 for lines without a
    time.
    """

    def __init__(self, decoder: Decoder, service: str | None = None, *, only_stated: bool = False) -> None:
        self._decoder = decoder
        self._service = service
        self._only_stated = only_stated

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Reads lines of files, in order."""
        decoded = self._decoder.decode(records)
        if self._service is not None:
            decoded.services = [self._service] * len(decoded.services)
        for row, (place, at_ms) in enumerate(zip(decoded.places, decoded.timestamps, strict=True)):
            record = records[place]
            assert isinstance(record, FileLine), "a file has no other records"
            # The decoder takes a record's own time for a line without one.
            stated_ms = -1 if at_ms == record.timestamp else at_ms
            decoded.timestamps[row] = stated_ms if self._only_stated else record.clock.time_ms(stated_ms, record.offset)
        return decoded


def stated(verdict: Verdict) -> Verdict:
    """Returns a verdict without the times that were only counted: its lines and those before them state none."""
    lines = verdict.window.lines
    if all(line.timestamp_ms is None or line.timestamp_ms >= MOST_COUNTED_MS for line in lines):
        return verdict
    shown = (replace(line, timestamp_ms=None) if (line.timestamp_ms or 0) < MOST_COUNTED_MS else line for line in lines)
    return replace(verdict, window=replace(verdict.window, lines=tuple(shown)))


@dataclass(frozen=True, slots=True)
class EventPart:
    """The events that ended in a part of a file, the records of it that contain none, and its number of lines."""

    events: LineBatch | None
    dead: list[tuple[int, DeadLetter]]
    lines: int


def events_of(source: ServiceFile, owner: Assignment, join: JoinLimits | None) -> Iterator[EventPart]:
    """Yields the events of a file as the daemon decodes and joins them. The offset of an event is its first line's."""
    events = OpenEvents(join, _masked)
    for part in parts_of(source.file, source.service):
        decoded = owner.profile.decoder.decode(part.records)
        ready = None
        if decoded.lines:
            ready = events.join(_batch(decoded, part.records, owner), set(decoded.indented), lambda _: -1, 0.0).ready
        yield EventPart(ready, decoded.dead, part.lines)
    if last := events.expire(0.0, all_of_them=True):
        yield EventPart(last, [], 0)


def count_events(files: Sequence[ServiceFile], owner: Assignment, join: JoinLimits | None) -> Counter[str] | None:
    """Returns the number of events of each service in files that can be read twice. Returns None if they are long."""
    counts: Counter[str] = Counter()
    left = COUNTED_LINES
    for each in (each for each in files if each.file.can_be_read_again):
        for part in events_of(each, owner, join):
            left -= part.lines
            if left < 0:
                return None
            counts.update(part.events.services if part.events is not None else ())
    for each in files:
        if not each.file.can_be_read_again:
            del counts[each.service]  # nothing is known of a pipe's length
    return counts


def _batch(decoded: Decoded, records: Sequence[FileLine], owner: Assignment) -> LineBatch:
    return LineBatch(
        owners=[owner] * len(decoded.lines),
        services=decoded.services,
        texts=decoded.lines,
        keys=_masked(decoded.lines),
        offsets=[records[place].offset for place in decoded.places],
        index=decoded.index,
        timestamps=decoded.timestamps,
    )


def _masked(texts: Sequence[bytes]) -> list[bytes]:
    return mask_blob(b"\n".join(texts) + b"\n")
