"""A Kafka in memory: topics, and the coordinator of one consumer group with eager rebalances.

Owns the records, their retention, the committed offsets and the members. Follows Kafka where the pipeline depends on
it: commits are fenced by generation, and a member without heartbeats for a session is removed. A rebalance waits for
every member to join again, up to its time-out. Latencies and faults belong to the clients in `tests.sim.clients`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from logwarden.daemon.records import Bounds, Committed, Partition
from tests.sim.loop import now_s

SESSION_TIMEOUT_S = 6.0
REBALANCE_TIMEOUT_S = 12.0
HEARTBEAT_S = 1.0


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

    records: list[SimRecord] = field(default_factory=list)
    earliest: int = 0

    @property
    def end(self) -> int:
        return len(self.records)


class Fenced(Exception):
    """The group has removed this member, or is at another generation."""


class Group:
    """The coordinator of the consumer group."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._partitions = list(partitions)
        self.generation = 0
        self.members: dict[str, float] = {}  # name → time of the last heartbeat
        self._waiting: dict[str, asyncio.Future[tuple[int, list[Partition]]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def rebalancing(self) -> bool:
        return self._timer is not None

    def join(self, name: str) -> asyncio.Future[tuple[int, list[Partition]]]:
        """Returns a future of generation and partitions, which is done once every member has joined again."""
        future = asyncio.get_running_loop().create_future()
        self.members[name] = now_s()
        self._waiting[name] = future
        self._begin()
        self._complete_if_all_are_here()
        return future

    def leave(self, name: str) -> None:
        if self.members.pop(name, None) is not None:
            self._waiting.pop(name, None)
            self._begin()
            self._complete_if_all_are_here()

    def heartbeat(self, name: str, generation: int) -> bool:
        """Notes a heartbeat. Returns False if the member must join again."""
        if name not in self.members:
            return False
        self.members[name] = now_s()
        return generation == self.generation and not self.rebalancing

    def expire(self) -> None:
        """Removes members without a heartbeat for a session."""
        for name, last_seen in list(self.members.items()):
            if name not in self._waiting and now_s() - last_seen > SESSION_TIMEOUT_S:
                self.leave(name)

    def check(self, name: str, generation: int) -> None:
        """Raises Fenced for a commit that Kafka would refuse."""
        if name not in self.members or generation != self.generation:
            raise Fenced(f"{name} at generation {generation}, the group is at {self.generation}")

    def _begin(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(REBALANCE_TIMEOUT_S, self._complete)

    def _complete_if_all_are_here(self) -> None:
        if self.rebalancing and len(self._waiting) == len(self.members):
            self._complete()

    def _complete(self) -> None:
        assert self._timer is not None, "a rebalance was begun"
        self._timer.cancel()
        self._timer = None
        self.generation += 1
        waiting, self._waiting = self._waiting, {}
        self.members = dict.fromkeys(waiting, now_s())  # a member that has not joined again is removed
        names = sorted(waiting)
        for number, name in enumerate(names):
            share = [p for i, p in enumerate(self._partitions) if i * len(names) // len(self._partitions) == number]
            if not waiting[name].done():
                waiting[name].set_result((self.generation, share))


class SimBroker:
    """Topics and the group."""

    def __init__(self, inputs: Sequence[Partition], on_commit: Callable[[Partition, Committed], None]) -> None:
        self.logs: dict[Partition, PartitionLog] = {partition: PartitionLog() for partition in inputs}
        self.outputs: dict[str, list[SimRecord]] = {}
        self.committed: dict[Partition, Committed] = {}
        self.group = Group(inputs)
        self._on_commit = on_commit

    def produce(self, partition: Partition, key: bytes | None, value: bytes | None, timestamp_ms: int) -> int:
        """Appends a record to an input topic. Returns its offset."""
        log = self.logs[partition]
        log.records.append(SimRecord(*partition, log.end, timestamp_ms, key, value))
        return log.end - 1

    def write(self, topic: str, key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> None:
        """Appends a record to an output topic, which has one partition."""
        records = self.outputs.setdefault(topic, [])
        records.append(SimRecord(topic, 0, len(records), 0, key, value, headers))

    def truncate(self, partition: Partition, earliest: int) -> None:
        """Deletes the records below `earliest`, as retention does."""
        log = self.logs[partition]
        log.earliest = max(log.earliest, min(earliest, log.end))

    def bounds(self, partition: Partition) -> Bounds:
        log = self.logs[partition]
        return Bounds(log.earliest, log.end)

    def commit(self, name: str, generation: int, positions: Mapping[Partition, Committed]) -> None:
        """Accepts a commit. Raises Fenced for one that Kafka would refuse."""
        self.group.check(name, generation)
        for partition, position in positions.items():
            self.committed[partition] = position
            self._on_commit(partition, position)

    def lag(self) -> int:
        """Returns the number of records that are kept and not committed."""
        return sum(
            log.end - max(log.earliest, self.committed[p].offset if p in self.committed else 0)
            for p, log in self.logs.items()
        )

    async def expire_forever(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.group.expire()
