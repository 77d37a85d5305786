"""Topics in memory: input partitions with holes, incarnations and damage, and output topics with fates of their own.

Owns records and what a reader sees of them. Every offset below the end exists; at some of them a reader sees no record:
transaction markers, records of aborted transactions, records that compaction removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from logwarden.daemon.records import Bounds, Message, Partition
from tests.sim.loop import now_s

MARKER, ABORTED, COMPACTED, SKIPPED = "marker", "aborted", "compacted", "skipped"


class Era(NamedTuple):
    """A partition in one incarnation of its topic: offsets name lines within an era only."""

    topic: str
    partition: int
    incarnation: int = 0

    @property
    def place(self) -> Partition:
        return Partition(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class SimRecord:
    """A record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class PartitionLog:
    """Records by offset; retention has deleted those below `earliest`."""

    era: Era
    reports_incarnation: bool = True
    """False: a broker of an old version, which knows no topic ids."""
    records: list[SimRecord] = field(default_factory=list)
    earliest: int = 0
    hidden: dict[int, str] = field(default_factory=dict)
    """Offsets at which a reader sees no record, and why."""
    damaged: set[int] = field(default_factory=set)
    """First offsets of batches that cannot be read."""
    skipped: set[int] = field(default_factory=set)
    """Offsets of damaged batches that an operator let the members skip."""

    @property
    def end(self) -> int:
        return len(self.records)

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.earliest, self.end, f"id-{self.era.incarnation}" if self.reports_incarnation else "")

    def append(self, key: bytes | None, value: bytes | None, timestamp_ms: int, hidden: str | None = None) -> int:
        """Appends a record. Returns its offset."""
        offset = self.end
        headers = (("era", b"%d" % self.era.incarnation),)  # a dead letter keeps it
        self.records.append(SimRecord(*self.era.place, offset, timestamp_ms, key, value, headers))
        if hidden is not None:
            self.hidden[offset] = hidden
        return offset

    def skip(self, offsets: Iterable[int]) -> None:
        """Lets members pass these offsets, as an operator does whose damaged batch cannot be repaired."""
        self.skipped.update(offsets)
        self.hidden |= dict.fromkeys(self.skipped, SKIPPED)

    def read(self, position: int, most: int, *, committed_only: bool = True) -> tuple[list[SimRecord], int]:
        """Returns the records of up to `most` offsets, and the position after them; stops in front of damage."""
        stop = min([self.end, position + most, *(offset for offset in self.damaged if offset >= position)])
        if not self.hidden:
            return self.records[position:stop], stop
        seen = [
            record
            for record in self.records[position:stop]
            if record.offset not in self.hidden or (not committed_only and self.hidden[record.offset] == ABORTED)
        ]
        return seen, stop


@dataclass(slots=True)
class OutputTopic:
    """An output topic of one partition."""

    name: str
    records: list[SimRecord] = field(default_factory=list)
    missing: bool = False
    stuck: bool = False
    """True: requests to its leader run into their time-out."""
    max_bytes: int | None = None
    """Largest value that the topic takes."""
    refuses: Callable[[Message], bool] | None = None
    """True for a message that the topic will never take."""
    compacted: set[int] = field(default_factory=set)
    """Offsets whose records compaction has removed."""
    writer: object | None = None
    """Whose transaction is open."""
    undecided: list[int] = field(default_factory=list)
    """Offsets of its records. No reader gets beyond the first of them."""
    void: set[int] = field(default_factory=set)
    """Offsets of records of transactions that were not committed."""
    seen_at_ms: dict[int, int] = field(default_factory=dict)
    """For offsets that waited behind a transaction: when it ended."""

    @property
    def end(self) -> int:
        """The offset up to which readers get."""
        return self.undecided[0] if self.undecided else len(self.records)

    def has(self, record: SimRecord) -> bool:
        """Returns True for a record that a reader sees."""
        return record.offset not in self.compacted and record.offset not in self.void

    def compact(self) -> None:
        """Removes each record behind which the topic has another one with its key, as compaction does."""
        records = [record for record in self.records[: self.end] if record.offset not in self.void]
        newest = {record.key: record.offset for record in records}
        self.compacted |= {record.offset for record in records if newest[record.key] != record.offset}

    def end_transaction(self, *, commits: bool) -> None:
        """Ends the open transaction, if there is one."""
        self.seen_at_ms |= dict.fromkeys(range(self.end, len(self.records)), int(now_s() * 1000))
        if not commits:
            self.void.update(self.undecided)
        self.writer, self.undecided = None, []

    def write(self, message: Message, timestamp_ms: int, *, in_transaction: bool = False) -> None:
        """Appends a message."""
        if in_transaction:
            self.undecided.append(len(self.records))
        record = SimRecord(
            self.name, 0, len(self.records), timestamp_ms, message.key, message.value, tuple(message.headers)
        )
        self.records.append(record)
