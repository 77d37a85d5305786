"""Turns the lines of log files into records for the daemon's decoder, and counts the events of each service.

A line is a record whose offset is its number in the file, from 0. Its topic names the service of the file, which the
decoder takes where a line states none. Knows nothing of models and alerts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from logwarden.daemon.commands.documents import DocumentFramer
from logwarden.daemon.commands.files import ServiceFile
from logwarden.daemon.commands.journal_entries import JournalFramer, is_begin
from logwarden.daemon.commands.reading import LogFile
from logwarden.daemon.decoding.decoder import Decoded, Decoder
from logwarden.daemon.pipeline.backlog import LineBatch
from logwarden.daemon.pipeline.events import OpenEvents
from logwarden.daemon.pipeline.joining import JoinLimits
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.records import DeadLetter, Record
from logwarden.model.masking import mask_blob

COUNTED_LINES = 200_000
"""Lines of all files up to which the events of each service are counted before any is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLine:
    """A line of a file in the form of a Kafka record."""

    topic: str
    """The service of a line that states none."""
    offset: int
    value: bytes
    partition: int = 0
    timestamp: int = -1
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
    for lines in file.lines():
        if framer is None and lines:
            framer = JournalFramer() if is_begin(lines[0].text) else DocumentFramer()
        framed = framer.framed(lines) if framer else ()
        yield FilePart([FileLine(topic=service, offset=line.number, value=line.text) for line in framed], len(lines))
    if framer and (rest := framer.rest()):
        yield FilePart([FileLine(topic=service, offset=line.number, value=line.text) for line in rest], 0)


class OneService(Decoder):
    """Reads records as another decoder does, and gives all lines to one service."""

    def __init__(self, decoder: Decoder, service: str) -> None:
        self._decoder = decoder
        self._name = service

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Reads records in order."""
        decoded = self._decoder.decode(records)
        decoded.services = [self._name] * len(decoded.services)
        return decoded


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
