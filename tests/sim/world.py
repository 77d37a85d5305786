"""A simulated world: producers, a group of daemons, a schedule of faults, and the checks. A seed fixes its history.

The deeds of a scenario:

- kill: a member gets SIGKILL, and another one starts later.
- restart: a member drains, and another one starts.
- join: one more member starts, and drains later.
- cut: a member loses its connection for a while.
- deafen: a member loses its heartbeats only, and continues as a zombie.
- truncate: retention deletes the oldest records of a partition.
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
"""Time limit of a story. A longer one waits for an event that never happens."""
PATIENCE_S = 300.0
"""Time limit of the group for the remaining lag, once the faults have ended."""
_TEMPLATES = ("request {} took {} ms", "user {} logged in", "cache miss for key-{}", "disk {} at {} percent", "tick")
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "lagoon")


class Violation(AssertionError):
    """An invariant was broken. The sentence contains the command that replays the world."""

    def __init__(self, scenario: Scenario, seed: int, breaches: list[Breach]) -> None:
        first = breaches[0]
        super().__init__(
            f"{first} (and {len(breaches) - 1} more); replay: "
            f"python -m tests.sim --scenario {scenario.name} --seed {seed}"
        )
        self.invariants = {breach.invariant for breach in breaches}


@dataclass(slots=True)
class Outcome:
    """State of a world at its end."""

    evidence: Evidence
    broker: SimBroker
    ended_at_s: float


def simulate(scenario: Scenario, seed: int, tell: Callable[[str], None] | None = None) -> Outcome:
    """Runs one world to its end. Raises Violation if an invariant was broken."""
    world = World(scenario, seed, tell)
    play(world, world.live())
    if world.evidence.breaches:
        raise Violation(scenario, seed, world.evidence.breaches)
    return Outcome(world.evidence, world.broker, world.ended_at_s)


def play(world: World, story: Coroutine[Any, Any, T]) -> T:
    """Runs a story in a world in virtual time: the world's own story, or a test's. Returns the story's result."""

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
        self._ever: list[Member] = []  # killed members too: their pending futures must not be collected
        self.ended_at_s = 0.0
        self.logs: Sequence[Mapping[str, Any]] = []
        """Log events of the daemons."""
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
        """Runs the world from the first member's start to the last member's drain."""
        for _ in range(self.scenario.members):
            await self.start_member()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._produce_all(), name="producer")
            group.create_task(self._misfortunes(), name="misfortunes")
        await self.settle()
        await asyncio.sleep(2.0)  # a rebalance that began in the last moment has ended
        for member in self.members:
            if member.strangers:
                self.evidence.breach("nothing_kept", f"{member.name} still has services of {member.strangers}")
        for member in list(self.members):
            self.members.remove(member)
            if not await member.drain():
                self.evidence.breach("drains", f"{member.name} had no work and did not drain within its budget")
        self.check()
        self.ended_at_s = now_s()

    async def start_member(self) -> Member:
        self._made += 1
        name = f"member-{self._made}"
        member = Member(name, self.scenario, self.broker, self.weather, self.evidence, self._seed)
        self._ever.append(member)
        await member.start()
        self.members.append(member)  # not before: a deed that killed it while it joins would leave this wait for ever
        return member

    async def settle(self) -> None:
        """Ends every fault and waits until every record is committed."""
        self.weather.faults = CALM
        for member in self.members:
            member.line.cut = member.line.deaf = False
        self.evidence.note("calm", "world")
        deadline = now_s() + PATIENCE_S
        while self.broker.lag() and now_s() < deadline:  # noqa: ASYNC110  # virtual time: polling costs nothing
            await asyncio.sleep(0.5)

    def produce(self, partition: Partition, service: str, kind: str) -> None:
        """Produces one record of a kind."""
        texts, value = self._record(partition, service, kind)
        offset = self.broker.produce(partition, service.encode(), value, EPOCH_MS + int(now_s() * 1000))
        self.evidence.produced.setdefault(partition, []).append(Produced(offset, service, kind, texts))

    def check(self) -> None:
        """Checks the invariants of the end."""
        evidence, broker, scenario = self.evidence, self.broker, self.scenario
        self._read_outputs()
        breaches_of = {
            "no_hole": invariants.no_hole(evidence, broker),
            "same_alert_ids": invariants.same_alert_ids(evidence),
            "only_anomalies": invariants.only_anomalies(evidence),
            "no_lag_left": invariants.no_lag_left(evidence, broker),
        }
        if scenario.members == 1 and not scenario.deeds and scenario.faults == CALM:
            breaches_of["scored_once"] = invariants.scored_once(evidence)
        for name, breaches in breaches_of.items():
            for breach in breaches:
                evidence.breach(name, breach)

    # ---------------------------------------------------------------- producers and deeds

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

    def _record(self, partition: Partition, service: str, kind: str) -> tuple[tuple[bytes, ...], bytes | None]:
        """Returns the lines of a record and its value."""
        rng = self._rng
        if kind == BLANK:
            return (), rng.choice((b"", b" \n", None))
        if kind == POISON:
            return (), rng.choice((b'{"broken', b"{}", b'{"message": '))
        counts = self.scenario.lines_of_a_record
        texts = [self._line(partition, service) for _ in range(rng.choice(counts) if len(counts) > 1 else counts[0])]
        if kind == ANOMALOUS:
            for index in {0, len(texts) - 1}:
                texts[index] += b" " + MARKER
        if len(texts) == 1 and rng.random() < 0.2:
            return tuple(texts), b'{"message": "%s", "service": "%s"}' % (texts[0], service.encode())
        return tuple(texts), b"\n".join(texts)

    def _line(self, partition: Partition, service: str) -> bytes:
        rng = self._rng
        words = (rng.choice(_WORDS), rng.randrange(1000))
        return f"p{partition.partition} {service} {rng.choice(_TEMPLATES).format(*words)} {rng.choice(_WORDS)}".encode()

    async def _misfortunes(self) -> None:
        times = sorted(self._rng.uniform(0.5, self.scenario.over_s) for _ in range(self.scenario.deed_count))
        async with asyncio.TaskGroup() as group:
            for at_s in times:
                await asyncio.sleep(max(0.0, at_s - now_s()))
                name = self._rng.choice(self.scenario.deeds)
                group.create_task(self._deeds[name](), name=name)

    def _any_member(self) -> Member | None:
        """Returns a running member, or None if only one runs."""
        return self._rng.choice(self.members) if len(self.members) > 1 else None

    async def _kill(self) -> None:
        member = self._any_member()
        if member:
            self.members.remove(member)
            await member.kill()
        await asyncio.sleep(self._rng.uniform(0, 10))
        await self.start_member()

    async def _restart(self) -> None:
        member = self._any_member()
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

    # ---------------------------------------------------------------- checks at every commit

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
