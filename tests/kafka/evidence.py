"""Evidence about the daemons from a broker's topics: the lines sent, the lines scored, the ids of their alerts.

Knows Kafka by aiokafka and alerts by their JSON; refuses to know the daemon. A line counts as scored when an alert ends
at it. The daemons under test therefore publish an alert for every line (see `EVERY_LINE`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.lines import fault, usual

POLL_S, FAULT_S = 0.05, 0.1
EVERY_LINE: Mapping[str, object] = {"ALERTS__THRESHOLD": 1e-12, "ALERTS__LEARNING_LINES": 0}
"""Settings under which every line raises an alert."""


class Place(NamedTuple):
    """The place of a line, which identifies the window that ends at it."""

    topic: str
    partition: int
    service: str
    offset: int


@dataclass(slots=True)
class Delivered:
    """All alerts of one place."""

    ids: set[str] = field(default_factory=set)
    windows: set[tuple[int, ...]] = field(default_factory=set)
    """The offsets of the lines that each alert quotes; one entry if all deliveries saw the same window."""
    times: int = 0


class AlertLog:
    """The alerts topic, read from its beginning and as it grows."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.places: dict[Place, Delivered] = {}
        self.records: list[Any] = []
        """The first `KEPT` records, whole."""

    KEPT = 1_000

    @classmethod
    @asynccontextmanager
    async def reading(cls, bootstrap: str, topic: str) -> AsyncIterator[Self]:
        """Reads partition 0, the only one of a test's alerts topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_poll_records=10_000)
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, 0)])
            yield cls(consumer)
        finally:
            await consumer.stop()

    async def read(self) -> None:
        """Reads the alerts that have arrived."""
        for records in (await self._consumer.getmany(timeout_ms=50)).values():
            for record in records:
                self._take(record)

    async def read_to_end(self) -> None:
        """Reads all alerts that the topic has now."""
        (partition,) = self._consumer.assignment()
        end = (await self._consumer.end_offsets([partition]))[partition]
        while await self._consumer.position(partition) < end:
            await self.read()

    async def covers(self, sent: Iterable[Place]) -> bool:
        """Returns True if all of these lines are scored by now."""
        await self.read()
        return all(place in self.places for place in sent)

    async def covers_offsets(self, offsets: Iterable[int]) -> bool:
        """Returns True if all offsets of a topic with one partition are scored by now."""
        await self.read()
        return {place.offset for place in self.places}.issuperset(offsets)

    async def covers_partition(self, partition: int, offsets: Iterable[int]) -> bool:
        """Whether these lines of one partition are scored by now."""
        await self.read()
        return self.covers_partition_now(partition, offsets)

    def covers_partition_now(self, partition: int, offsets: Iterable[int]) -> bool:
        """The same, of the alerts read so far."""
        return {place.offset for place in self.places if place.partition == partition}.issuperset(offsets)

    def _take(self, record: Any) -> None:
        alert = msgspec.json.decode(record.value)
        source = alert["logwarden"]["source"]
        place = Place(source["topic"], source["partition"], alert["service"]["name"], source["last_offset"])
        delivered = self.places.setdefault(place, Delivered())
        delivered.times += 1
        delivered.ids.add(alert["id"])
        delivered.windows.add(tuple(line["offset"] for line in alert["logwarden"]["lines"]))
        if len(self.records) < self.KEPT:
            self.records.append(record)

    def findings(self, sent: Sequence[Place]) -> Findings:
        """Returns the figures about the lines that were sent."""
        ids = [next(iter(delivered.ids)) for delivered in self.places.values()]
        return Findings(
            sent=len(sent),
            not_scored=sum(place not in self.places for place in sent),
            never_sent=len(self.places.keys() - set(sent)),
            ids_that_differ=sum(len(delivered.ids) > 1 for delivered in self.places.values()),
            ids_shared=len(ids) - len(set(ids)),
            windows_that_differ=sum(len(delivered.windows) > 1 for delivered in self.places.values()),
            delivered_again=sum(delivered.times - 1 for delivered in self.places.values()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Figures of a run; `faults` must be 0."""

    sent: int
    not_scored: int
    never_sent: int
    ids_that_differ: int
    """Places whose deliveries do not all carry one id."""
    ids_shared: int
    """Ids that two places have in common."""
    windows_that_differ: int
    """Places whose deliveries do not all quote the same lines."""
    delivered_again: int
    """Deliveries beyond the first, which at-least-once allows."""

    @property
    def faults(self) -> int:
        return self.not_scored + self.never_sent + self.ids_that_differ + self.ids_shared + self.windows_that_differ


class Traffic:
    """Services that write lines, each to its own partition. `sent` grows by what the broker has acknowledged."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, partitions: int, seed: int, services: int | None = None
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._services = services or 2 * partitions
        self._random = random.Random(seed)
        self._number = 0
        self.sent: list[Place] = []

    @classmethod
    @asynccontextmanager
    async def to(
        cls, bootstrap: str, topic: str, *, partitions: int = 4, seed: int = 1, services: int | None = None
    ) -> AsyncIterator[Traffic]:
        """Yields traffic through an idempotent producer: an acknowledged line is in the topic once.

        `services`: their number; None: two in each partition.
        """
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5)
        await producer.start()
        try:
            yield cls(producer, topic, partitions, seed, services)
        finally:
            await producer.stop()

    async def send(self, count: int, *, line: bytes | None = None) -> list[Place]:
        """Sends `count` lines of services chosen at random and waits until they are acknowledged.

        `line`: the text of all of them; None: lines of a few kinds.
        """
        return await self.send_of([self._random.randrange(self._services) for _ in range(count)], line=line)

    async def send_faults(self, number: int) -> list[Place]:
        """Sends a fault of every service, one after the other. No two services of a partition log the same one.

        A pause behind each lets it be embedded before the next: order among lines that wait would depend on time.
        """
        places: list[Place] = []
        for service in range(self._services):
            places += await self.send_of([service], line=fault(number, service // self._partitions))
            await asyncio.sleep(FAULT_S)
        return places

    async def send_of(self, numbers: Iterable[int], *, line: bytes | None = None) -> list[Place]:
        """Sends one line of each of these services, in this order, and waits until they are acknowledged."""
        services = [f"service-{number}" for number in numbers]
        pending = []
        for service in services:
            self._number += 1
            pending.append(
                await self._producer.send(
                    self._topic,
                    key=service.encode(),
                    value=usual(self._number) if line is None else line,
                    partition=int(service.rpartition("-")[2]) % self._partitions,
                )
            )
        places = [
            Place(self._topic, answer.partition, service, answer.offset)
            for service, answer in zip(services, await asyncio.gather(*pending), strict=True)
        ]
        self.sent.extend(places)
        return places

    @asynccontextmanager
    async def flowing(self, lines_per_s: int) -> AsyncIterator[None]:
        """Sends lines in the background until the block ends."""
        flowing = True

        async def flow() -> None:
            while flowing:
                await self.send(max(1, lines_per_s // 10))
                await asyncio.sleep(0.1)

        task = asyncio.create_task(flow(), name="traffic")
        try:
            yield
        finally:
            flowing = False
            await task


async def eventually(condition: Callable[[], Awaitable[object] | object], timeout_s: float, what: str) -> None:
    """Polls until the condition, or its awaited result, is true. Raises AssertionError with `what` at the time
    limit."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        await asyncio.sleep(POLL_S)


async def produce(
    bootstrap: str,
    topic: str,
    records: Sequence[tuple[bytes | None, bytes | None, int | None]],
    *,
    headers: Mapping[int, list[tuple[str, bytes | None]]] | None = None,
) -> None:
    """Sends (key, value, partition) in order, some with headers by their place, and waits for all of them."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=262_144, max_request_size=32 * 1024 * 1024
    )
    await producer.start()
    try:
        pending = []
        for place, (key, value, partition) in enumerate(records):
            given = headers.get(place) if headers else None
            pending.append(await producer.send(topic, key=key, value=value, partition=partition, headers=given))
        await asyncio.gather(*pending)
    finally:
        await producer.stop()


async def read_all(bootstrap: str, topic: str, *, partitions: int = 1) -> list[Any]:
    """Returns every record of a topic up to its present end."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_poll_records=10_000)
    await consumer.start()
    try:
        wanted = [TopicPartition(topic, p) for p in range(partitions)]
        consumer.assign(wanted)
        ends = await consumer.end_offsets(wanted)
        await consumer.seek_to_beginning(*wanted)
        records: list[Any] = []
        while any([await consumer.position(p) < ends[p] for p in wanted]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records.extend(batch)
        return records
    finally:
        await consumer.stop()


class Group:
    """A consumer group as Kafka's own tools see it."""

    def __init__(self, bootstrap: str, group: str, topic: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._wanted = [TopicPartition(topic, p) for p in range(partitions)]

    async def committed(self) -> dict[int, Any]:
        """Returns partition → committed offset and metadata, for partitions that have them."""
        async with _started(AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)) as admin:
            offsets = await admin.list_consumer_group_offsets(self._group, partitions=self._wanted)
        return {p.partition: entry for p, entry in offsets.items() if entry.offset >= 0}

    async def ends(self) -> dict[int, int]:
        """Returns partition → offset of its next record."""
        async with _started(AIOKafkaConsumer(bootstrap_servers=self._bootstrap)) as consumer:
            ends = await consumer.end_offsets(self._wanted)
        return {p.partition: end for p, end in ends.items()}

    async def commit(self, partition: int, offset: int) -> None:
        """Commits for a group without members, as an operator who resets offsets does."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=self._group,
            enable_auto_commit=False,  # otherwise its end commits its own position, which may be the end by then
        )
        async with _started(consumer):
            wanted = self._wanted[partition]
            consumer.assign([wanted])
            await consumer.commit({wanted: offset})

    async def lag(self) -> int:
        """Returns the number of records that the group has not committed."""
        ends, committed = await self.ends(), await self.committed()
        return sum(end - (committed[p].offset if p in committed else 0) for p, end in ends.items())

    def has_committed(self, offsets: Mapping[int, int]) -> Callable[[], Awaitable[bool]]:
        """Returns the question whether exactly these offsets are committed."""

        async def asked() -> bool:
            return {partition: entry.offset for partition, entry in (await self.committed()).items()} == offsets

        return asked

    async def is_done(self) -> bool:
        """Returns True if the lag is 0."""
        return await self.lag() == 0


@asynccontextmanager
async def _started(client: Any) -> AsyncIterator[Any]:
    try:
        await client.start()
        yield client
    finally:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
