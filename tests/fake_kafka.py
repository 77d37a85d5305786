"""Hand-written stand-ins for aiokafka's classes, with the traps that the daemon's Kafka modules know.

Like the real consumer, this one drops the records of a fetch that meets an unreadable batch. A seek in a partition that
is not assigned is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, IllegalStateError

from logwarden.daemon.errors import UnreadableBatch
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.records import Partition
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.oracles import LogRecord


@dataclass
class FakeConsumer:
    """Reads partitions of records numbered from 0. `unreadable` names the offsets whose batch cannot be decoded."""

    lengths: dict[TopicPartition, int] = field(default_factory=dict)
    unreadable: dict[TopicPartition, int] = field(default_factory=dict)
    broken: Callable[[], Exception] = lambda: CorruptRecordException("a wrong checksum")
    errors: list[Exception] = field(default_factory=list)
    """Raised by the next calls of `getmany`, one each."""
    first: int = 0
    """The oldest offset kept."""
    max_poll: int = 100
    delay_s: float = 0.0
    """Seconds that each fetch takes."""

    def __post_init__(self) -> None:
        self.positions = dict.fromkeys(self.lengths, 0)
        self.stopped_partitions: set[TopicPartition] = set()
        self.fetches: list[tuple[TopicPartition, ...]] = []
        self.commits: list[Mapping[TopicPartition, Any]] = []
        self.watermarks: dict[TopicPartition, int] = {}
        self.trace: list[str] = []
        self.subscribed: tuple[list[str], Any] | None = None
        self.during_fetch: Callable[[], None] = lambda: None

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        self.trace.append("start")

    async def stop(self) -> None:
        self.trace.append("stop")

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self.subscribed = (topics, listener)

    # ------------------------------------------------------------ partitions

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    def paused(self) -> set[TopicPartition]:
        return set(self.stopped_partitions)

    def pause(self, *partitions: TopicPartition) -> None:
        self._require(*partitions)
        self.stopped_partitions |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._require(*partitions)
        self.stopped_partitions -= set(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._require(partition)
        self.positions[partition] = offset

    def revoke_all(self) -> None:
        self.positions.clear()
        self.stopped_partitions.clear()

    def assign_all(self) -> None:
        self.positions = dict.fromkeys(self.lengths, 0)

    def _require(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            if partition not in self.positions:
                raise IllegalStateError(f"No current assignment for partition {partition}")

    # ------------------------------------------------------------ records

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int | None = None
    ) -> dict[TopicPartition, list[LogRecord]]:
        self.fetches.append(partitions)
        self.during_fetch()
        await asyncio.sleep(self.delay_s)
        if self.errors:
            raise self.errors.pop(0)
        room = max_records or self.max_poll
        taken: dict[TopicPartition, list[LogRecord]] = {}
        for partition in sorted(self.positions):
            if partition in self.stopped_partitions or (partitions and partition not in partitions):
                continue
            records = self._take(partition, room)
            room -= len(records)
            if records:
                taken[partition] = records
            if not room:
                break
        if not taken:
            await asyncio.sleep(timeout_ms / 1000)
        return taken

    def _take(self, partition: TopicPartition, room: int) -> list[LogRecord]:
        """Returns records and moves on; raises where a batch cannot be read, and what was taken is lost."""
        records: list[LogRecord] = []
        while len(records) < room and self.positions[partition] < self.lengths[partition]:
            offset = self.positions[partition]
            if self.unreadable.get(partition) == offset:
                raise self.broken()
            records.append(LogRecord(b"%d" % offset, offset, partition.topic, partition.partition))
            self.positions[partition] = offset + 1
        return records

    # ------------------------------------------------------------ offsets

    async def commit(self, offsets: Mapping[TopicPartition, Any]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.commits.append(offsets)

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if self.errors:
            raise self.errors.pop(0)
        return dict.fromkeys(partitions, self.first)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.lengths[partition] for partition in partitions}

    def highwater(self, partition: TopicPartition) -> int | None:
        return self.watermarks.get(partition)


def source_of(consumer: FakeConsumer, **settings: Any) -> KafkaSource:
    """Returns a source that has joined with this consumer, and sought to the begin of each partition."""
    source = KafkaSource(KafkaSettings(**settings))
    source._consumer = cast(Any, consumer)
    for partition in consumer.assignment():
        source.seek(Partition(*partition), 0)
    return source


@dataclass
class Reading:
    """What a reader got from a source: offsets by partition, in order, and each unreadable batch with its time."""

    offsets: dict[Partition, list[int]] = field(default_factory=dict)
    unreadable: list[tuple[float, Partition, int]] = field(default_factory=list)

    async def read(self, source: KafkaSource, until_s: float) -> Reading:
        """Fetches until a virtual second."""
        loop = asyncio.get_running_loop()
        while loop.time() < until_s:
            try:
                found = (await source.fetch()).records
            except UnreadableBatch as error:
                partition = Partition(error.topic, error.partition)
                self.unreadable.append((loop.time(), partition, error.offset))
                continue
            for partition, records in found.items():
                self.offsets.setdefault(partition, []).extend(record.offset for record in records)
        return self


def partitions_of(count: int) -> list[TopicPartition]:
    return [TopicPartition("logs", number) for number in range(count)]
