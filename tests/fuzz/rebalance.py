"""Fuzzes rebalances: the real listener, intake, checkpoint and ledgers under random schedules, around a fake source.

The group revokes and assigns at any moment, another member commits in between, fetches return late, commits are slow,
fail or arrive after their answer was given up, retention deletes records, topics are created again. Oracle: sets of
offsets, and who owns what.

- the records of a period arrive without a gap and without a repeat, from where its reading begins;
- nothing is committed for a partition that the member does not own, at the begin of a request or at its end;
- every offset below a commit was done by some owner;
- a revoke keeps to its budget, and each ended assignment is dropped once;
- when the schedule ends, everything is done and committed.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import structlog

from logwarden.daemon.errors import BrokerUnavailable, OffsetsGone, TopicRecreated
from logwarden.daemon.pipeline.ledger import encode_metadata
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.rebalance import LAST_COMMIT_S
from logwarden.daemon.records import Bounds, Committed, Fetched, Partition, Record
from tests.fakes import BUDGET_S, LOGS, FakeSource, World
from tests.oracles import LogRecord
from tests.sim.loop import now_s, run_virtual

END = 120
"""Records of each partition."""
GRACE_S = 0.5


class FuzzSource(FakeSource):
    """A consumer whose group, records and requests follow a random schedule."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng
        self.calm = False
        self.owned: set[Partition] = set()
        self.positions: dict[Partition, int] = {}
        self.earliest = dict.fromkeys(LOGS, 0)
        self.incarnation = dict.fromkeys(LOGS, 1)
        self.known: dict[Partition, int] = {}
        self.done: dict[tuple[Partition, int], set[int]] = defaultdict(set)
        """By partition and incarnation of its topic: the offsets that some owner has done."""
        self.reassigning = False
        self.generation = 0
        self.wire = asyncio.Lock()  # one connection: requests arrive in the order of their sending
        self.errors: list[str] = []
        self.requests: set[asyncio.Task[None]] = set()

    def strikes(self, chance: float) -> bool:
        """Returns True if a fault of this chance happens now."""
        return self.rng.random() < chance and not self.calm

    async def fetch(self) -> Fetched:
        await asyncio.sleep(self.rng.uniform(0.001, 0.05))
        if self.reassigning:
            await asyncio.sleep(0.1)
            return Fetched()
        other = [p for p in self.positions if self.known.get(p, self.incarnation[p]) != self.incarnation[p]]
        if other:
            raise TopicRecreated(other)
        gone = [p for p, position in self.positions.items() if position < self.earliest[p] and p not in self.paused]
        if gone:
            raise OffsetsGone(gone)
        records: dict[Partition, Sequence[Record]] = {}
        for partition in [p for p in self.positions if p not in self.paused and self.rng.random() < 0.7]:
            begin = self.positions[partition]
            stop = min(END, begin + self.rng.randint(1, 20))
            if begin < stop:
                records[partition] = [
                    LogRecord(b"x", offset=o, partition=partition.partition, timestamp=self.incarnation[partition])
                    for o in range(begin, stop)
                ]
            self.positions[partition] = max(begin, stop)
        fetched = Fetched(records=records, positions=dict(self.positions))
        await asyncio.sleep(self.rng.uniform(0, 3) if self.strikes(0.2) else 0.01)
        return fetched

    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self.owned:
            self.errors.append(f"a seek in {partition}, which is not assigned")
        self.positions[partition] = offset

    async def committed(self, partitions: Sequence[Partition] | None) -> Mapping[Partition, Committed]:
        await self._ask()
        partitions = list(self.offsets) if partitions is None else partitions
        return {partition: self.offsets[partition] for partition in partitions if partition in self.offsets}

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        await self._ask()
        self.known |= {p: self.incarnation[p] for p in partitions}
        return {p: Bounds(self.earliest[p], END, f"id-{self.incarnation[p]}") for p in partitions}

    async def _ask(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.001, 0.1))
        if self.strikes(0.2):
            raise BrokerUnavailable("fuzz", "no answer")

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        self._must_own(positions, "begins")
        request = asyncio.create_task(self._request(dict(positions), dict(self.known), self.generation))
        self.requests.add(request)
        request.add_done_callback(self._ended)
        try:
            await asyncio.shield(request)
        finally:
            self._must_own(positions, "ends")

    def _ended(self, request: asyncio.Task[None]) -> None:
        self.requests.discard(request)
        if not request.cancelled():
            request.exception()  # the caller may have given up: nobody else reads it

    def _must_own(self, positions: Mapping[Partition, Committed], when: str) -> None:
        foreign = set(positions) - self.owned
        if foreign:
            self.errors.append(f"a commit {when} that names {sorted(foreign)}, which this member does not own")

    async def _request(
        self, positions: dict[Partition, Committed], incarnation: dict[Partition, int], generation: int
    ) -> None:
        async with self.wire:
            await asyncio.sleep(self.rng.uniform(0, 25) if self.strikes(0.2) else self.rng.uniform(0.001, 0.05))
        if self.strikes(0.1) or generation != self.generation:
            raise BrokerUnavailable("fuzz", "refused")  # a commit of an earlier generation is fenced
        for partition, position in positions.items():
            if self.incarnation[partition] == incarnation[partition]:
                self.take(partition, position)
        if self.strikes(0.1):
            raise BrokerUnavailable("fuzz", "the answer was lost")

    def take(self, partition: Partition, position: Committed) -> None:
        """Stores a commit, and looks for an offset below it that nobody did."""
        done = self.done[partition, self.incarnation[partition]]
        undone = set(range(self.earliest[partition], position.offset)) - done
        if undone:
            self.errors.append(f"{partition} is committed at {position.offset}, and {sorted(undone)[:5]} are not done")
        self.offsets[partition] = position


class Run:
    """One member's life: its loops, and the group that moves its partitions."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.source = FuzzSource(rng)
        self.world = World(self.source)
        self.next: dict[int, int] = {}
        """By generation of an assignment: the offset of its next record."""
        self.queue: list[tuple[Assignment, int, list[int]]] = []
        """(assignment, incarnation of the topic, offsets of records that are not done)."""

    async def live(self) -> None:
        """Runs the schedule, then waits until everything is committed."""
        loops = [asyncio.create_task(loop()) for loop in (self._fetch, self._finish, self._commit)]
        async with asyncio.timeout(3600):
            for _ in range(self.rng.randint(1, 8)):
                await self._rebalance()
                await asyncio.sleep(self.rng.uniform(0, 8))
                self._misfortune()
            self.source.calm = True
            await self._revoke()
            await self._assign(LOGS)
            while any(self.source.offsets.get(p, Committed(0, "")).offset < END for p in LOGS):
                assert now_s() < 3000, f"not everything is committed: {self.source.offsets}"
                assert not self.source.errors, self.source.errors[0]
                for loop in loops:
                    if loop.done():
                        loop.result()
                await asyncio.sleep(1.0)
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, *self.source.requests, return_exceptions=True)
        assert not self.source.errors, self.source.errors[0]
        dropped = [assignment.generation for assignment in self.world.dropped]
        assert len(dropped) == len(set(dropped)), "each ended assignment is dropped once"

    # ---------------------------------------------------------------- the group

    async def _rebalance(self) -> None:
        await self._revoke()
        partitions = [partition for partition in LOGS if self.rng.random() < 0.7]
        for partition in [p for p in LOGS if p not in partitions]:
            if self.rng.random() < 0.5:
                self._another_member(partition)
        await asyncio.sleep(self.rng.uniform(0, 1))
        await self._assign(partitions)

    async def _revoke(self) -> None:
        self.source.reassigning = True
        began = now_s()
        await self.world.listener.on_revoked(sorted(self.source.owned))
        took_s = now_s() - began
        assert took_s <= BUDGET_S + LAST_COMMIT_S + GRACE_S, f"the revoke took {took_s:.1f} s"
        self.source.owned = set()
        self.source.positions = {}
        self.source.paused = set()
        self.source.generation += 1

    async def _assign(self, partitions: Sequence[Partition]) -> None:
        self.source.owned = set(partitions)
        self.source.positions = {}
        self.source.known = {}
        self.source.reassigning = False
        await self.world.listener.on_assigned(list(partitions))

    def _another_member(self, partition: Partition) -> None:
        """Lets another member do and commit some lines."""
        begin = self.source.offsets.get(partition, Committed(0, "")).offset
        stop = self.rng.randint(begin, END)
        self.source.done[partition, self.source.incarnation[partition]] |= set(range(begin, stop))
        context = self.rng.randint(max(0, stop - 10), stop)
        self.source.offsets[partition] = Committed(stop, encode_metadata(context))

    def _misfortune(self) -> None:
        partition = self.rng.choice(LOGS)
        if self.rng.random() < 0.2:
            earliest = self.rng.randint(self.source.earliest[partition], END)
            self.source.earliest[partition] = earliest
        elif self.rng.random() < 0.2:
            self.source.incarnation[partition] += 1
            self.source.earliest[partition] = 0
            self.source.offsets.pop(partition, None)

    # ---------------------------------------------------------------- the member's loops

    async def _fetch(self) -> None:
        while True:
            chunks = await self.world.intake.next_chunks()
            assert chunks is not None, "this member never drains"
            for assignment, records in chunks:
                self._check_chunk(assignment, records[0].timestamp, [record.offset for record in records])
            await asyncio.sleep(0)

    def _check_chunk(self, assignment: Assignment, incarnation: int, offsets: list[int]) -> None:
        begin = self.next.get(assignment.generation, assignment.ledger.read_from)
        lowest = self.source.earliest[assignment.partition]
        expected = begin if offsets[0] == begin else max(begin, lowest)
        if offsets[0] < begin or (offsets[0] != begin and offsets[0] > expected):
            self.source.errors.append(f"{assignment.partition} continues at {offsets[0]}, not at {expected}")
        self.next[assignment.generation] = offsets[-1] + 1
        self.queue.append((assignment, incarnation, [o for o in offsets if o >= assignment.ledger.score_from]))

    async def _finish(self) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(0, 0.2))
            if not self.queue:
                continue
            assignment, incarnation, offsets = self.queue.pop(self.rng.randrange(len(self.queue)))
            self.rng.shuffle(offsets)
            now = offsets[: self.rng.randint(1, 20)]
            if offsets[len(now) :]:
                self.queue.append((assignment, incarnation, offsets[len(now) :]))
            if assignment.ended or not now:
                continue  # whatever finishes after its period is discarded
            self.source.done[assignment.partition, incarnation] |= set(now)
            self.world._done(assignment, np.array(now, np.int64))

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self.world.checkpoint.commit_held(BUDGET_S)


def fuzz(seed: int) -> None:
    """Lives through one random schedule in virtual time."""

    async def story() -> None:
        await Run(random.Random(f"rebalance {seed}")).live()

    with structlog.testing.capture_logs():
        run_virtual(story())
