"""Hand-written stand-ins for aiokafka's classes, with the traps that the daemon's Kafka modules know.

Like the real consumer, this one drops the records of a poll that meets an unreadable batch. A seek in a partition that
is not assigned is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, IllegalStateError, KafkaError

from logwarden.daemon.errors import BatchSkipped, UnreadableBatch
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.kafka.metadata import TopicsAnswer
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
    """Raised by the next calls of `getmany` or `commit_offsets`, one each."""
    max_poll: int = 100
    markers: dict[TopicPartition, int] = field(default_factory=dict)
    """Offsets behind the last record that contain none, such as the marker of a transaction."""
    value: Callable[[int], bytes] = lambda offset: b"%d" % offset

    def __post_init__(self) -> None:
        self.positions = dict.fromkeys(self.lengths, 0)
        self.stopped_partitions: set[TopicPartition] = set()
        self.fetches: list[tuple[TopicPartition, ...]] = []
        self.commits: list[Mapping[TopicPartition, Any]] = []
        self.watermarks: dict[TopicPartition, int] = {}
        self.trace: list[str] = []
        self.subscribed: dict[str, Any] | None = None
        self.during_fetch: Callable[[], None] = lambda: None
        self.answered_ms: dict[TopicPartition, int] = {}
        self.coordinator_errors: list[Exception] = []
        self.known_topics: set[str] = set()
        self.subscribed_topics: set[str] = set()
        self._subscription = SimpleNamespace(reassignment_in_progress=False)
        self._coordinator = SimpleNamespace(
            check_errors=self._check_errors, commit_offsets=self._commit, member_id="me", coordinator_dead=lambda: None
        )
        self._fetcher = FakeFetcher(self)
        self._client: Any = None

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        self.trace.append("start")

    async def stop(self) -> None:
        self.trace.append("stop")

    def subscribe(self, **chosen: Any) -> None:
        self.subscribed = chosen

    def _check_errors(self) -> None:
        if self.coordinator_errors:
            raise self.coordinator_errors.pop(0)

    # ------------------------------------------------------------ partitions

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    def subscription(self) -> frozenset[str]:
        return frozenset(self.subscribed_topics)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0} if topic in self.known_topics else None

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

    async def position(self, partition: TopicPartition) -> int:
        self._require(partition)
        return self.positions[partition]

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

    def has_more(self, partition: TopicPartition) -> bool:
        end = self.lengths[partition] + self.markers.get(partition, 0)
        return self.positions[partition] < end

    async def getmany(
        self, partition: TopicPartition, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[LogRecord]]:
        assert not timeout_ms, "the daemon waits elsewhere, for all partitions at once"
        self._check_errors()
        self.fetches.append((partition,))
        self.during_fetch()
        if self.errors:
            raise self.errors.pop(0)
        if partition not in self.positions or partition in self.stopped_partitions:
            return {}
        records = self._take(partition, min(max_records, self.max_poll))
        return {partition: records} if records else {}

    def _take(self, partition: TopicPartition, room: int) -> list[LogRecord]:
        """Returns records and moves on; raises where a batch cannot be read, and what was taken is lost."""
        records: list[LogRecord] = []
        position = self.positions[partition]
        while len(records) < room and position < self.lengths[partition]:
            if self.unreadable.get(partition) == position:
                raise self.broken()
            value = self.value(position)
            records.append(LogRecord(value, position, partition.topic, partition.partition))
            position += 1
        if len(records) < room:  # the client passes what contains no record once it looks for the next one
            position = max(position, self.lengths[partition] + self.markers.get(partition, 0))
        self.positions[partition] = position
        return records

    # ------------------------------------------------------------ offsets

    async def _commit(self, assignment: object, offsets: Mapping[TopicPartition, Any]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.commits.append(offsets)

    def highwater(self, partition: TopicPartition) -> int | None:
        assert partition in self.positions, "Partition is not assigned"
        return self.watermarks.get(partition)

    def last_poll_timestamp(self, partition: TopicPartition) -> int | None:
        return self.answered_ms.get(partition)


class FakeFetcher:
    """The buffer of the client: all that the broker has, in the order of the assignment."""

    def __init__(self, consumer: FakeConsumer) -> None:
        self._consumer = consumer
        self.error_future: asyncio.Future[None] | None = None
        self.waiters: list[asyncio.Future[None]] = []

    @property
    def _records(self) -> dict[TopicPartition, None]:
        return {partition: None for partition in self._consumer.positions if self._consumer.has_more(partition)}

    def _create_fetch_waiter(self) -> asyncio.Future[None]:
        self.waiters.append(asyncio.get_running_loop().create_future())
        return self.waiters[-1]


class FakeClient:
    """What the cluster answers to a reader. `identities` names the topic ids."""

    def __init__(self, consumer: FakeConsumer) -> None:
        self._consumer = consumer
        self.identities: dict[str, str] = {}
        self.incarnations: Mapping[str, str] = {}
        self.in_doubt = False
        self.first = 0
        self.codes: dict[str, int] = {}
        self.errors: list[Exception] = []
        self.batch_ends: dict[TopicPartition, int] = {}
        self.asked: list[str] = []

    async def identify(self, topics: Collection[str]) -> Mapping[str, str]:
        self._answer("identify")
        self.incarnations = {topic: self.identities[topic] for topic in topics if topic in self.identities}
        return self.incarnations

    async def confirm(self, topics: Collection[str]) -> None:
        self.in_doubt = False
        await self.identify(topics)

    async def describe(self, topics: Collection[str] | None) -> TopicsAnswer:
        self._answer("describe")
        return TopicsAnswer(
            brokers=[],
            controller_id=1,
            topics=[(self.codes.get(topic, 0), topic, False, []) for topic in topics or ()],
            incarnations={},
            knows_ids=True,
        )

    async def offsets(self, partitions: Sequence[TopicPartition], which: int) -> dict[TopicPartition, int]:
        self._answer("offsets")
        return {p: self._consumer.lengths[p] if which == -1 else self.first for p in partitions}

    async def end_of_batch(self, partition: TopicPartition, offset: int) -> int:
        self._answer("header")
        if partition not in self.batch_ends:
            raise KafkaError("no answer")
        return self.batch_ends[partition]

    def _answer(self, name: str) -> None:
        self.asked.append(name)
        if self.errors:
            raise self.errors.pop(0)


def source_of(consumer: FakeConsumer, **settings: Any) -> KafkaSource:
    """Returns a source that has joined with this consumer, and sought to the begin of each partition."""
    source = KafkaSource(KafkaSettings(**settings))
    consumer._fetcher.error_future = asyncio.get_running_loop().create_future()
    consumer._client = FakeClient(consumer)
    source._use(cast(Any, consumer), consumer._client, cast(Any, None))
    for partition in consumer.assignment():
        source.seek(Partition(*partition), 0)
    return source


@dataclass
class Reading:
    """What a reader got from a source: offsets by partition, in order, and each unreadable batch with its time."""

    offsets: dict[Partition, list[int]] = field(default_factory=dict)
    unreadable: list[tuple[float, Partition, int]] = field(default_factory=list)
    skipped: list[BatchSkipped] = field(default_factory=list)

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
            except BatchSkipped as skipped:
                self.skipped.append(skipped)
                continue
            for partition, records in found.items():
                self.offsets.setdefault(partition, []).extend(record.offset for record in records)
        return self


def partitions_of(count: int) -> list[TopicPartition]:
    return [TopicPartition("logs", number) for number in range(count)]
