"""A whole world: producers, a group of daemons, a schedule of misfortunes, and the checks. One seed, one history.

The deeds a scenario may ask for: kill (SIGKILL, another one starts later), restart (drain, another one starts), join
(one more member, which later drains), cut (nothing reaches a member for a while), deafen (only its heartbeats are
lost, so that it goes on as a zombie), truncate (retention takes the oldest records of a partition).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from logwarden.daemon.records import Committed, Partition
from tests.sim import invariants
from tests.sim.broker import SimBroker
from tests.sim.evidence import ANOMALOUS, BLANK, PLAIN, POISON, Breach, Evidence, Produced
from tests.sim.loop import now_s, run_virtual
from tests.sim.member import Member
from tests.sim.scenarios import Scenario
from tests.sim.stand_ins import EPOCH_MS, MARKER
from tests.sim.weather import CALM, Weather

T = TypeVar("T")

LONGEST_S = 3600.0
"""No story takes longer: one that does waits for something that never comes."""
PATIENCE_S = 300.0
"""So long may the group take, once all is calm, to work off what is left."""
_TEMPLATES = ("request {} took {} ms", "user {} logged in", "cache miss for key-{}", "disk {} at {} percent", "tick")
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "lagoon")


class Violation(AssertionError):
    """An invariant did not hold. Says how to see it again."""

    def __init__(self, scenario: Scenario, seed: int, breaches: list[Breach]) -> None:
        first = breaches[0]
        super().__init__(
            f"{first} (and {len(breaches) - 1} more); replay: "
            f"python -m tests.sim --scenario {scenario.name} --seed {seed}"
        )
        self.invariants = {breach.invariant for breach in breaches}


@dataclass(slots=True)
class Outcome:
    """What a world left behind."""

    evidence: Evidence
    broker: SimBroker
    ended_at_s: float


def simulate(scenario: Scenario, seed: int, tell: Callable[[str], None] | None = None) -> Outcome:
    """Lives through one world; raises Violation if anything that must hold did not."""
    world = World(scenario, seed, tell)
    play(world, world.live())
    if world.evidence.breaches:
        raise Violation(scenario, seed, world.evidence.breaches)
    return Outcome(world.evidence, world.broker, world.ended_at_s)


def play(world: World, story: Coroutine[Any, Any, T]) -> T:
    """Lets a story happen in a world, its own or one that a test tells."""

    async def life() -> T:
        expiring = asyncio.create_task(world.broker.expire_forever(), name="session time-outs")
        try:
            async with asyncio.timeout(LONGEST_S):
                return await story
        finally:
            expiring.cancel()

    with structlog.testing.capture_logs() as world.logs:
        return run_virtual(life())


class World:
    """See the module."""

    def __init__(self, scenario: Scenario, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.scenario = scenario
        self.evidence = Evidence(tell=tell, step=scenario.step)
        self.partitions = [Partition("input", number) for number in range(scenario.partitions)]
        self.broker = SimBroker(self.partitions, self._on_commit)
        self.weather = Weather(scenario.faults)
        self.members: list[Member] = []
        self._ever: list[Member] = []  # the dead too: what they waited for stays for ever undone
        self.ended_at_s = 0.0
        self.logs: Sequence[Mapping[str, Any]] = []
        """What the daemons logged."""
        self._seed = f"{seed}"
        self._rng = random.Random(f"{seed} world")
        self._made = 0
        self._checked = dict.fromkeys(self.partitions, 0)
        self._deeds = {
            "kill": self._kill,
            "restart": self._restart,
            "join": self._join,
            "cut": self._cut,
            "deafen": self._deafen,
            "truncate": self._truncate,
        }

    async def live(self) -> None:
        """From the first member's start to the last one's drain."""
        for _ in range(self.scenario.members):
            await self.start_member()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._produce_all(), name="producer")
            group.create_task(self._misfortunes(), name="misfortunes")
        await self.settle()
        await asyncio.sleep(2.0)  # whatever a rebalance of the last moment began is over
        for member in self.members:
            if member.strangers:
                self.evidence.breach("nothing_kept", f"{member.name} still holds services of {member.strangers}")
        for member in list(self.members):
            self.members.remove(member)
            if not await member.drain():
                self.evidence.breach("drains", f"{member.name} had nothing to do and did not drain in its budget")
        self.check()
        self.ended_at_s = now_s()

    async def start_member(self) -> Member:
        self._made += 1
        name = f"member-{self._made}"
        member = Member(name, self.scenario, self.broker, self.weather, self.evidence, self._seed)
        self.members.append(member)
        self._ever.append(member)
        await member.start()
        return member

    async def settle(self) -> None:
        """All is calm: waits until everything is committed."""
        self.weather.faults = CALM
        for member in self.members:
            member.line.cut = member.line.deaf = False
        self.evidence.note("calm", "world")
        deadline = now_s() + PATIENCE_S
        while self.broker.lag() and now_s() < deadline:  # noqa: ASYNC110  # virtual time: polling costs nothing
            await asyncio.sleep(0.5)

    def produce(self, partition: Partition, service: str, kind: str) -> None:
        """One record of a kind."""
        text, value = self._line(partition, service, kind)
        offset = self.broker.produce(partition, service.encode(), value, EPOCH_MS + int(now_s() * 1000))
        self.evidence.produced.setdefault(partition, []).append(Produced(offset, service, kind, text))

    def check(self) -> None:
        """Everything that can be said at the end."""
        evidence, broker, scenario = self.evidence, self.broker, self.scenario
        self._read_outputs()
        found = {
            "no_hole": invariants.no_hole(evidence, broker),
            "same_alert_ids": invariants.same_alert_ids(evidence),
            "only_anomalies": invariants.only_anomalies(evidence),
            "no_lag_left": invariants.no_lag_left(evidence, broker),
        }
        if scenario.members == 1 and not scenario.deeds and scenario.faults == CALM:
            found["scored_once"] = invariants.scored_once(evidence)
        for name, breaches in found.items():
            for breach in breaches:
                evidence.breach(name, breach)

    # ---------------------------------------------------------------- what happens

    async def _produce_all(self) -> None:
        scenario, rng = self.scenario, self._rng
        kinds = (PLAIN, ANOMALOUS, BLANK, POISON)
        chances = (0.94 - scenario.anomalous, scenario.anomalous, 0.03, 0.03)
        left = scenario.lines
        while left:
            burst = min(left, rng.choice((1, 1, 2, 5, 20)))
            left -= burst
            for _ in range(burst):
                service = f"svc-{rng.randrange(scenario.services)}"
                self.produce(rng.choice(self.partitions), service, rng.choices(kinds, chances)[0])
            await asyncio.sleep(rng.uniform(0, 2) * scenario.over_s * burst / scenario.lines)

    def _line(self, partition: Partition, service: str, kind: str) -> tuple[bytes, bytes | None]:
        rng = self._rng
        if kind == BLANK:
            return b"", rng.choice((b"", b" \n", None))
        if kind == POISON:
            return b"", rng.choice((b'{"broken', b"{}", b'{"message": '))
        words = (rng.choice(_WORDS), rng.randrange(1000))
        text = f"p{partition.partition} {service} {rng.choice(_TEMPLATES).format(*words)} {rng.choice(_WORDS)}".encode()
        if kind == ANOMALOUS:
            text += b" " + MARKER
        as_json = rng.random() < 0.2
        return text, b'{"message": "%s", "service": "%s"}' % (text, service.encode()) if as_json else text

    async def _misfortunes(self) -> None:
        times = sorted(self._rng.uniform(0.5, self.scenario.over_s) for _ in range(self.scenario.deed_count))
        async with asyncio.TaskGroup() as group:
            for at_s in times:
                await asyncio.sleep(max(0.0, at_s - now_s()))
                name = self._rng.choice(self.scenario.deeds)
                group.create_task(self._deeds[name](), name=name)

    def _anybody(self) -> Member | None:
        """A member that is up; None if only one is."""
        return self._rng.choice(self.members) if len(self.members) > 1 else None

    async def _kill(self) -> None:
        member = self._anybody()
        if member:
            self.members.remove(member)
            await member.kill()
        await asyncio.sleep(self._rng.uniform(0, 10))
        await self.start_member()

    async def _restart(self) -> None:
        member = self._anybody()
        if member:
            self.members.remove(member)
            await member.drain(self._rng.choice((0.5, 10.0)))
            await self.start_member()

    async def _join(self) -> None:
        member = await self.start_member()
        await asyncio.sleep(self._rng.uniform(1, 15))
        if member in self.members and len(self.members) > 1:
            self.members.remove(member)
            await member.drain()

    async def _cut(self) -> None:
        member = self._rng.choice(self.members)
        self.evidence.note("cut", member.name)
        member.line.cut = True
        await asyncio.sleep(self._rng.uniform(0.5, 15))
        member.line.cut = False

    async def _deafen(self) -> None:
        member = self._rng.choice(self.members)
        self.evidence.note("deafen", member.name)
        member.line.deaf = True
        await asyncio.sleep(self._rng.uniform(5, 15))
        member.line.deaf = False

    async def _truncate(self) -> None:
        partition = self._rng.choice(self.partitions)
        log = self.broker.logs[partition]
        self.broker.truncate(partition, self._rng.randint(log.earliest, log.end))
        self.evidence.note("truncate", "world", partition=partition.partition, earliest=log.earliest, end=log.end)

    # ---------------------------------------------------------------- what is looked at while it happens

    def _on_commit(self, partition: Partition, position: Committed) -> None:
        self._read_outputs()
        start = self._checked[partition]
        for breach in invariants.done_below(self.evidence, self.broker, partition, start, position.offset):
            self.evidence.breach("no_early_commit", breach)
        self._checked[partition] = max(start, position.offset)

    def _read_outputs(self) -> None:
        fresh = self.evidence.take_outputs(self.broker)
        scenario = self.scenario
        for breach in invariants.windows_whole(
            self.evidence, self.broker, fresh, scenario.size, scenario.max_context_records
        ):
            self.evidence.breach("windows_whole", breach)
