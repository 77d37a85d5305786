"""A Kafka in memory: topics, and the coordinator of one consumer group with eager rebalances.

Owns the topics, the committed offsets and the members. Follows Kafka where the pipeline depends on it: commits are
fenced by generation, and a member without heartbeats for a session is removed. A rebalance waits for every member to
join again, up to its time-out. Latencies and faults belong to the clients in `tests.sim.clients`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from logwarden.daemon.pipeline.ledger import decode_topic
from logwarden.daemon.records import Committed, Partition
from tests.sim.loop import now_s
from tests.sim.topics import COMPACTED, Era, OutputTopic, PartitionLog

STATE = "state"
"""The state topic."""
FEEDBACK = "feedback"
"""The feedback topic."""
SESSION_TIMEOUT_S = 6.0
REBALANCE_TIMEOUT_S = 12.0
HEARTBEAT_S = 1.0


class Fenced(Exception):
    """The group has removed this member, or is at another generation."""


class Group:
    """The coordinator of the consumer group."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._partitions = list(partitions)
        self.generation = 0
        self.members: dict[str, float] = {}  # name → time of the last heartbeat
        self.evicted: set[str] = set()
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

    def evict(self, name: str) -> None:
        """Removes a member for good: another one has joined under its instance id."""
        self.evicted.add(name)
        self.leave(name)

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

    def __init__(
        self,
        inputs: Sequence[Partition],
        on_commit: Callable[[Partition, Committed], None],
        *,
        reports_incarnation: bool = True,
    ) -> None:
        self.logs: dict[Partition, PartitionLog] = {
            partition: PartitionLog(Era(*partition), reports_incarnation) for partition in inputs
        }
        self.eras: dict[Era, PartitionLog] = {log.era: log for log in self.logs.values()}
        """Every log that there ever was."""
        self.outputs: dict[str, OutputTopic] = {}
        self.committed: dict[Partition, Committed] = {}
        self.group = Group(inputs)
        self.is_up = True
        """False: no member reaches any broker, and no session expires."""
        self._on_commit = on_commit

    def output(self, topic: str) -> OutputTopic:
        """Returns an output topic, made at its first use."""
        return self.outputs.setdefault(topic, OutputTopic(topic))

    def state(self) -> list[tuple[bytes, bytes | None]]:
        """Returns the records of the state topic, key and value."""
        return [(record.key or b"", record.value) for record in self.output(STATE).records]

    def truncate(self, partition: Partition, earliest: int) -> None:
        """Deletes the records below `earliest`, as retention does."""
        log = self.logs[partition]
        log.earliest = max(log.earliest, min(earliest, log.end))

    def compact(self, partition: Partition, offsets: Iterable[int]) -> None:
        """Removes records, as compaction does: never the last one."""
        log = self.logs[partition]
        log.hidden |= {offset: COMPACTED for offset in offsets if offset < log.end - 1 and offset not in log.hidden}

    def recreate(self, topic: str, *, keeps_offsets: bool = False) -> None:
        """Deletes a topic and creates it again, empty. The coordinator deletes its offsets, unless it is late."""
        for partition, log in self.logs.items():
            if partition.topic == topic:
                era = log.era._replace(incarnation=log.era.incarnation + 1)
                self.logs[partition] = self.eras[era] = PartitionLog(era, log.reports_incarnation)
                if not keeps_offsets:
                    self.committed.pop(partition, None)

    def commit(self, name: str, generation: int, positions: Mapping[Partition, Committed]) -> None:
        """Accepts a commit. Raises Fenced for one that Kafka would refuse."""
        self.group.check(name, generation)
        for partition, position in positions.items():
            self.committed[partition] = position
            self._on_commit(partition, position)

    def position(self, partition: Partition) -> int:
        """Returns the committed offset; 0 if there is none, or it belongs to an earlier incarnation of the topic."""
        committed = self.committed.get(partition)
        return 0 if committed is None or self.is_stale(partition, committed) else committed.offset

    def is_stale(self, partition: Partition, committed: Committed) -> bool:
        """Returns True for a commit that names another incarnation of the topic: no member continues from there."""
        topic, bounds = decode_topic(committed.metadata), self.logs[partition].bounds
        return bool(topic and bounds.incarnation and topic != bounds.incarnation)

    def lag(self) -> int:
        """Returns the number of offsets that are kept and not committed."""
        return sum(log.end - max(log.earliest, min(log.end, self.position(p))) for p, log in self.logs.items())

    def go_down(self) -> None:
        """Begins an outage of every broker."""
        self.is_up = False

    def come_up(self) -> None:
        """Ends an outage. A new coordinator gives each member a whole session."""
        self.is_up = True
        self.group.members = dict.fromkeys(self.group.members, now_s())

    async def expire_forever(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if self.is_up:
                self.group.expire()
