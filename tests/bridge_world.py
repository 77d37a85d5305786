"""A topic, a pager and couriers in virtual time: thousands of incidents, a pager that fails, couriers that are killed.

The pager behaves as PagerDuty does: it has one open alert for a key, a trigger of a key without one opens another, a
resolve ends it. What it does with a request and what the caller learns of it are two things: it may take a request and
then fail.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from logwarden.daemon.bridges.choice import IncidentChoice
from logwarden.daemon.bridges.courier import Courier, CourierLimits
from logwarden.daemon.bridges.dead_letters import Graveyard
from logwarden.daemon.bridges.facts import DestinationFacts
from logwarden.daemon.bridges.notice import Notice
from logwarden.daemon.errors import DestinationUnavailable, NoticeRefused
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.records import Bounds, Committed, Fetched, Partition
from tests.fakes import FakeSink
from tests.sim.stand_ins import VirtualClock

TOPIC = "incidents"


class Published(NamedTuple):
    """A record of the topic, as a consumer returns it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class IncidentsTopic:
    """The records, and what the group of one destination has committed. Offsets rise with gaps, as after compaction."""

    def __init__(self, partitions: int = 3) -> None:
        self.records: dict[Partition, list[Published]] = {Partition(TOPIC, n): [] for n in range(partitions)}
        self.committed: dict[Partition, Committed] = {}
        self.arrived = asyncio.Event()

    def publish(self, record: IncidentRecord, now_ms: int, *, value: bytes | None = None) -> None:
        """Appends a record to the partition of its key."""
        partition = Partition(TOPIC, sum(record.id.encode()) % len(self.records))
        log = self.records[partition]
        offset = log[-1].offset + 1 + len(log) % 2 if log else 0
        key = record.id.encode()
        log.append(Published(TOPIC, partition.partition, offset, now_ms, key, value or record.encode()))
        self.arrived.set()

    def bounds(self, partition: Partition) -> Bounds:
        log = self.records[partition]
        return Bounds(0, log[-1].offset + 1 if log else 0, "topic-a")


class TopicSource:
    """A member of the group that has all partitions. Implements `daemon/ports.py: Source`."""

    def __init__(self, topic: IncidentsTopic, most: int = 200) -> None:
        self._topic = topic
        self._most = most
        self._next: dict[Partition, int] = {}
        self._moved: set[Partition] = set()
        self._paused: set[Partition] = set()
        self.commits = 0

    async def start(self, listener: Any) -> None:
        await listener.on_assigned(list(self._topic.records))

    async def fetch(self) -> Fetched:
        records: dict[Partition, Sequence[Published]] = {}
        positions: dict[Partition, int] = {}
        for partition, place in self._next.items():
            if partition in self._paused:
                continue
            found = [one for one in self._topic.records[partition] if one.offset >= place][: self._most]
            if found:
                records[partition] = found
                self._next[partition] = found[-1].offset + 1
            if found or partition in self._moved:
                positions[partition] = self._next[partition]
        self._moved.clear()
        if not records:
            self._topic.arrived.clear()
            try:
                async with asyncio.timeout(0.1):
                    await self._topic.arrived.wait()
            except TimeoutError:
                pass
        return Fetched(records=records, positions=positions)

    async def committed(self, partitions: Sequence[Partition] | None) -> Mapping[Partition, Committed]:
        return dict(self._topic.committed)

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        return {partition: self._topic.bounds(partition) for partition in partitions}

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        self.commits += 1
        self._topic.committed.update(positions)

    def seek(self, partition: Partition, offset: int) -> None:
        self._next[partition] = offset
        self._moved.add(partition)

    def pause(self, partitions: Any) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Any) -> None:
        self._paused -= set(partitions)

    def silent_s(self) -> float:
        return 0.0

    def missing_topics(self) -> list[str]:
        return []

    def end(self, partition: Partition) -> int | None:
        return None

    async def stop(self) -> None: ...


class Taken(NamedTuple):
    """A request that the pager took."""

    id: str
    action: str
    revision: int
    is_told: bool
    """True if the caller learned that it was taken."""


@dataclass
class Pager:
    """The destination. `failing`: share of requests that fail, in four ways. `refused`: ids that it never takes."""

    random: random.Random
    failing: float = 1 / 3
    refused: frozenset[str] = frozenset()
    all_updates: bool = True
    remind_s: float | None = None
    name: str = "pager"
    at_once: int = 8
    round_trips: int = 1
    taken: list[Taken] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    openings: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    most_at_once: int = 0
    reminded: list[str] = field(default_factory=list)
    is_down: bool = False
    fails_once: set[str] = field(default_factory=set)
    """Ids whose next notice fails."""
    _now: Counter[str] = field(default_factory=Counter)

    async def deliver(self, notice: Notice) -> None:
        self.attempts += 1
        id = notice.record.id
        self._now[id] += 1
        assert self._now[id] == 1, "one notice about an incident at a time"
        self.most_at_once = max(self.most_at_once, self._now.total())
        try:
            await self._answer(notice)
        except asyncio.CancelledError:  # killed: the request may be on its way already
            if self.random.random() < 0.5:
                self._take(notice, is_told=False)
            raise
        finally:
            self._now[id] -= 1

    async def _answer(self, notice: Notice) -> None:
        await asyncio.sleep(self.random.uniform(0.001, 0.05))
        if self.is_down or notice.record.id in self.fails_once:
            self.fails_once.discard(notice.record.id)
            raise DestinationUnavailable("the pager is down")
        if notice.record.id in self.refused:
            raise NoticeRefused("the pager answered with status 400")
        if self.random.random() < self.failing:
            way = self.random.randrange(4)
            if way == 0:
                raise DestinationUnavailable("the pager answered with status 429", retry_after_s=0.2)
            if way == 1:
                self._take(notice, is_told=False)  # and closes the connection
            if way == 2:
                await asyncio.sleep(60.0)  # longer than the courier waits
            raise DestinationUnavailable("the pager answered with status 500")
        self._take(notice, is_told=True)

    def _take(self, notice: Notice, *, is_told: bool) -> None:
        id, action = notice.record.id, notice.action.value
        self.taken.append(Taken(id, action, notice.record.logwarden.revision, is_told))
        if action == "resolve":
            self.open.discard(id)
        elif id not in self.open:
            self.open.add(id)
            self.openings[id] += 1

    async def remind(self, records: Sequence[IncidentRecord]) -> None:
        await asyncio.sleep(0.01)
        for record in records:
            assert not self._now[record.id], "no reminder beside a notice"
            self.reminded.append(record.id)

    async def close(self) -> None: ...


class Counts:
    """Counts what couriers report. Implements `daemon/bridges/facts.py: BridgeTelemetry`."""

    def __init__(self) -> None:
        self.facts: Counter[str] = Counter()
        self.delays: list[float] = []
        self.waiting = 0

    def delivered(self, destination: str, action: str, delay_s: float) -> None:
        self.facts[f"delivered {action}"] += 1
        self.delays.append(delay_s)

    def retried(self, destination: str) -> None:
        self.facts["retried"] += 1

    def left_out(self, destination: str, reason: str) -> None:
        self.facts[reason] += 1

    def buried(self, destination: str) -> None:
        self.facts["buried"] += 1

    def standing(self, destination: str, *, waiting: int, oldest_s: float, announced: int, is_failing: bool) -> None:
        self.waiting = waiting


class World:
    """A topic and a pager, with one courier at a time."""

    def __init__(
        self, pager: Pager, *, choice: IncidentChoice | None = None, limits: CourierLimits | None = None
    ) -> None:
        self.topic = IncidentsTopic()
        self.pager = pager
        self.counts = Counts()
        self.sink = FakeSink()
        self.clock = VirtualClock()
        self._choice = choice or IncidentChoice()
        self._limits = limits or CourierLimits(timeout_s=2.0)
        self.courier: Courier | None = None
        self.facts = DestinationFacts("pager", self.clock.monotonic)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts a courier."""
        source = TopicSource(self.topic)
        self.courier = Courier(
            self.pager,
            source,
            Graveyard("dead", self.sink, self.clock),
            self.clock,
            self.counts,
            self.facts,
            choice=self._choice,
            limits=self._limits,
            random=random.Random(7),
        )
        await source.start(self.courier)
        self._serving = asyncio.create_task(self.courier.serve())

    async def kill(self) -> None:
        """Ends the courier without any last word."""
        assert self._serving is not None, "started"
        self._serving.cancel()
        await asyncio.wait([self._serving])

    async def stop(self) -> None:
        """Ends the courier as a signal does."""
        assert self.courier is not None, "started"
        await self.courier.close()
        await self.kill()

    async def until_all_is_done(self, timeout_s: float = 100_000.0) -> None:
        """Waits until everything that is in the topic is committed."""
        async with asyncio.timeout(timeout_s):
            while any(  # noqa: ASYNC110 - no event to await
                (committed := self.topic.committed.get(partition)) is None
                or committed.offset < self.topic.bounds(partition).end
                for partition in self.topic.records
            ):
                await asyncio.sleep(0.5)
