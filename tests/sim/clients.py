"""The daemon's port to Kafka's consumer group, simulated: a member that reads.

Behaves as aiokafka does where its behaviour can harm the pipeline:

- An exception of the listener is swallowed.
- Each rebalance revokes every partition.
- Fetching begins at the committed offset before the listener has returned.
- A seek in a partition that is not assigned to the member raises.
- A commit that the caller cancelled may still arrive.
- The position passes offsets without a record: markers, aborted and compacted records.
- A partition stands still in front of a batch that cannot be read, and the others continue.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping, Sequence

from logwarden.daemon.errors import (
    BrokerUnavailable,
    FatalError,
    LogwardenError,
    OffsetsGone,
    TopicRecreated,
    UnreadableBatch,
)
from logwarden.daemon.ports import RebalanceListener
from logwarden.daemon.records import Bounds, Committed, Fetched, Partition, Record
from tests.sim.broker import HEARTBEAT_S, Fenced, SimBroker
from tests.sim.connection import Line
from tests.sim.evidence import Evidence
from tests.sim.loop import now_s
from tests.sim.topics import PartitionLog
from tests.sim.weather import Weather, latency_s

MAX_POLL_RECORDS = 25
FETCH_WAIT_S = 0.3
UNREADABLE_RETRY_S = 5.0
SLOW_S = 3.0


class SimSource:
    """A member of the group. See `logwarden.daemon.ports.Source`."""

    def __init__(
        self,
        name: str,
        line: Line,
        broker: SimBroker,
        weather: Weather,
        evidence: Evidence,
        rng: random.Random,
        *,
        max_poll_records: int = MAX_POLL_RECORDS,
    ) -> None:
        self.name = name
        self.generation = -1
        self.swallowed_error: BaseException | None = None
        """The exception that the listener raised and this source swallowed."""
        self.resumed = self.paused_times = 0
        self._line = line
        self._broker = broker
        self._weather = weather
        self._evidence = evidence
        self._rng = rng
        self._max_poll_records = max_poll_records
        self._positions: dict[Partition, int | None] = {}
        self._paused: set[Partition] = set()
        self._reassigning = True
        self._joining = False
        self._rejoin = asyncio.Event()
        self._assigned: list[Partition] = []  # from the call of on_assigned to the return of on_revoked
        self._wire = asyncio.Lock()  # one connection: requests arrive in the order of their sending
        self._committing: list[Mapping[Partition, Committed]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._requests: list[asyncio.Task[None]] = []
        self._incarnations: dict[Partition, str] = {}
        self._pending: list[LogwardenError] = []
        self._retry_at: dict[tuple[Partition, int], float] = {}
        self._answered_at = now_s()

    # ---------------------------------------------------------------- life

    async def start(self, listener: RebalanceListener) -> None:
        await self._line.through(self._usual(0.02))
        self._rejoin.set()
        self._tasks = [
            asyncio.create_task(self._coordinate(listener), name=f"{self.name} coordinator"),
            asyncio.create_task(self._beat(), name=f"{self.name} heartbeat"),
        ]

    async def stop(self) -> None:
        await self.vanish()
        if not self._line.cut:
            self._broker.group.leave(self.name)

    async def vanish(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S * self._rng.uniform(0.5, 1.0))
            if self._line.cut or self._line.deaf or self._line.frozen or self._line.dead:
                continue
            if not self._joining and not self._broker.group.heartbeat(self.name, self.generation):
                self._rejoin.set()

    async def _coordinate(self, listener: RebalanceListener) -> None:
        while True:
            await self._rejoin.wait()
            self._reassigning = True
            revoked = list(self._positions)
            await self._call(listener.on_revoked(revoked))
            self._end_revoke(revoked)
            await self._line.clear()
            self._rejoin.clear()
            self._joining = True  # heartbeats continue during a revoke, and stop during a join
            self.generation, partitions = await self._broker.group.join(self.name)
            self._joining = False
            await asyncio.sleep(self._usual(0.01))
            await self._line.thawed()
            self._positions = dict.fromkeys(partitions)
            self._incarnations, self._pending, self._retry_at = {}, [], {}
            self._paused = set()
            self._reassigning = False
            self._assigned = list(partitions)
            self._evidence.note("assigned", self.name, generation=self.generation, partitions=len(partitions))
            begin = asyncio.create_task(self._begin_where_committed(partitions))
            await self._call(listener.on_assigned(partitions))
            await begin

    async def _call(self, answer: object) -> None:
        try:
            await answer  # type: ignore[misc]
        except Exception as error:  # aiokafka swallows it too
            self.swallowed_error = error
            self._evidence.note("listener_failed", self.name, error=repr(error))

    def _end_revoke(self, revoked: Sequence[Partition]) -> None:
        """Notes that the listener's revoke has returned: another member may own these partitions from now on."""
        self._assigned = []
        for positions in self._committing:
            late = [partition for partition in positions if partition in revoked]
            if late:
                self._evidence.breach("nothing_after_revoke", f"{self.name} still commits {late} after its revoke")
        self._evidence.note("revoked", self.name, partitions=len(revoked))

    async def _begin_where_committed(self, partitions: Sequence[Partition]) -> None:
        """Sets the position of partitions without a seek, beside the listener, as aiokafka's fetcher does."""
        await asyncio.sleep(self._usual(0.02))
        for partition in partitions:
            committed = self._broker.committed.get(partition)
            if committed is not None and self._positions.get(partition, 0) is None:
                self._positions[partition] = committed.offset

    # ---------------------------------------------------------------- reading

    async def fetch(self) -> Fetched:
        self._evidence.look(self.name)
        if self._pending:
            raise self._pending.pop(0)
        try:
            await self._line.through(self._usual(0.01))
        except BrokerUnavailable:
            return Fetched()
        self._answered_at = now_s()
        if self.name in self._broker.group.evicted:
            raise FatalError(f"another member has the instance id of {self.name}")
        silent = self._weather.strikes(self._rng, "fetch_silent")
        late = self._weather.strikes(self._rng, "fetch_late")
        if silent or self._reassigning:
            await asyncio.sleep(5 * FETCH_WAIT_S if silent else FETCH_WAIT_S)
            return Fetched()
        fetched = self._take()
        if not fetched.records:
            await asyncio.sleep(FETCH_WAIT_S)
        elif late:  # the positions are already after these records
            await asyncio.sleep(self._rng.uniform(0, 4))
        await self._line.thawed()  # frozen meanwhile: it continues with what it has
        return fetched

    def _take(self) -> Fetched:
        self._look_for_other_topics()
        fetched: dict[Partition, Sequence[Record]] = {}
        out_of_range: list[Partition] = []
        room = self._max_poll_records
        partitions = list(self._positions)
        self._rng.shuffle(partitions)
        for partition in partitions:
            position = self._positions[partition]
            if position is None or partition in self._paused or not room:
                continue
            log = self._broker.logs[partition]
            if not log.earliest <= position <= log.end:
                out_of_range.append(partition)
                continue
            self._report_damage(log, position)
            records, self._positions[partition] = log.read(position, self._rng.randint(1, room))
            if records:
                fetched[partition] = records
                room -= len(records)
        if out_of_range and not fetched:
            raise OffsetsGone(out_of_range)
        known = {partition: position for partition, position in self._positions.items() if position is not None}
        return Fetched(records=fetched, positions=known)

    def _look_for_other_topics(self) -> None:
        """Raises TopicRecreated for partitions whose topic is not the one that `bounds` described."""
        now = {partition: self._broker.logs[partition].bounds.incarnation for partition in self._positions}
        known = self._incarnations
        other = [partition for partition in now if known.get(partition) and known[partition] != now[partition]]
        if other:
            raise TopicRecreated(other)

    def _report_damage(self, log: PartitionLog, position: int) -> None:
        """Lets the next fetch raise UnreadableBatch, once in a while, for a partition that stands still."""
        partition = log.era.place
        if position in log.damaged and self._retry_at.get((partition, position), 0.0) <= now_s():
            self._retry_at[partition, position] = now_s() + UNREADABLE_RETRY_S
            self._pending.append(UnreadableBatch(partition, position, "its checksum is wrong"))

    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self._positions:
            raise RuntimeError(f"{partition} is not assigned to {self.name}")
        self._positions[partition] = offset

    def silent_s(self) -> float:
        return now_s() - self._answered_at

    def stands_at(self, partition: Partition) -> int | None:
        """Returns where an assigned partition is read next. Returns None if that is not known yet."""
        return self._positions.get(partition)

    def missing_topics(self) -> list[str]:
        return []

    def end(self, partition: Partition) -> int | None:
        assert partition in self._positions, "aiokafka asserts this too"
        return self._broker.logs[partition].end

    def pause(self, partitions: Collection[Partition]) -> None:
        self._paused |= set(partitions)
        self.paused_times += 1

    def resume(self, partitions: Collection[Partition]) -> None:
        self._paused -= set(partitions)
        self.resumed += 1

    # ---------------------------------------------------------------- offsets

    async def committed(self, partitions: Sequence[Partition] | None) -> Mapping[Partition, Committed]:
        await self._look_up()
        partitions = list(self._broker.logs) if partitions is None else partitions
        return {p: self._broker.committed[p] for p in partitions if p in self._broker.committed}

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        await self._look_up()
        bounds = {p: self._broker.logs[p].bounds for p in partitions}
        self._incarnations |= {partition: found.incarnation for partition, found in bounds.items()}
        return bounds

    async def _look_up(self) -> None:
        await self._line.through(self._usual(0.02))
        if self._weather.strikes(self._rng, "lookup_refused"):
            raise BrokerUnavailable("sim", "no answer")

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        self._evidence.committing(self.name, positions)
        foreign = [partition for partition in positions if partition not in self._assigned]
        if foreign and not self._line.dead:
            self._evidence.breach("nothing_after_revoke", f"{self.name} begins to commit {foreign} after its revoke")
        request = asyncio.create_task(self._request(self.generation, dict(positions)), name=f"{self.name} commit")
        self._requests = [r for r in self._requests if not r.done()] + [request]
        request.add_done_callback(lambda r: r.cancelled() or r.exception())
        self._committing.append(positions)
        try:
            await asyncio.shield(request)
        finally:
            self._committing.remove(positions)

    async def _request(self, generation: int, positions: Mapping[Partition, Committed]) -> None:
        """Sends a commit. Continues even if the caller no longer waits for the answer."""
        slow = self._weather.strikes(self._rng, "commit_slow")
        refused = self._weather.strikes(self._rng, "commit_refused")
        answer_lost = self._weather.strikes(self._rng, "commit_answer_lost")
        async with self._wire:
            await self._line.through(self._usual(0.02) + SLOW_S * slow * self._rng.random())
        if refused:
            raise BrokerUnavailable("sim", "commit refused")
        try:
            self._broker.commit(self.name, generation, positions)
        except Fenced as error:
            self._evidence.note("fenced", self.name, reason=str(error))
            raise BrokerUnavailable("sim", str(error)) from None
        if answer_lost:
            raise BrokerUnavailable("sim", "commit answer lost")

    def _usual(self, seconds: float) -> float:
        return latency_s(self._rng, seconds)
