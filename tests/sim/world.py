"""A simulated world: producers, a group of daemons, a schedule of faults, and the checks. A seed fixes its history."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.records import Committed, Message, Partition
from tests.sim import invariants
from tests.sim.broker import FEEDBACK, SimBroker
from tests.sim.contract import Contract
from tests.sim.deeds import Deeds
from tests.sim.evidence import ALERTS, Breach, Evidence
from tests.sim.familiarity import Familiar
from tests.sim.loop import now_s, run_virtual
from tests.sim.member import Member
from tests.sim.people import People
from tests.sim.producers import Producers
from tests.sim.scenarios import Scenario
from tests.sim.topics import Era
from tests.sim.watch import Watch
from tests.sim.weather import CALM, Weather

T = TypeVar("T")

LONGEST_S = 3600.0
"""Time limit of a story. A longer one waits for an event that never happens."""
FORGET_S = 30.0
"""Time limit of a member for what belongs to an ended assignment."""
PATIENCE_S = 300.0
"""Time limit of the group for the remaining lag, once the faults have ended."""


def _refuses(message: Message) -> bool:
    """Returns True for one message of three, always the same ones."""
    return zlib.crc32(message.value or b"") % 3 == 0


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
    recovered_s: float
    """Seconds from the end of all faults to the commit of every record."""


def simulate(scenario: Scenario, seed: int, tell: Callable[[str], None] | None = None) -> Outcome:
    """Runs one world to its end. Raises Violation if an invariant was broken."""
    world = World(scenario, seed, tell)
    play(world, world.live())
    if world.evidence.breaches:
        raise Violation(scenario, seed, world.evidence.breaches)
    return Outcome(world.evidence, world.broker, world.ended_at_s, world.recovered_s)


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
        self.evidence.partitions = self.partitions
        self.broker = SimBroker(self.partitions, self._on_commit, reports_incarnation=scenario.reports_incarnation)
        if scenario.alert_bytes is not None:
            self.broker.output(ALERTS).max_bytes = scenario.alert_bytes
        for output in scenario.refusing:
            self.broker.output(output).refuses = _refuses
        self._familiar: Familiar | None = None
        if scenario.checks_familiarity:
            self._familiar = Familiar(self.evidence, self.broker, in_order=not scenario.joins)
        self.weather = Weather(scenario.faults)
        self.members: list[Member] = []
        self.ever: list[Member] = []  # killed members too: their pending futures must not be collected
        self.ended_at_s = self.recovered_s = 0.0
        self.logs: Sequence[Mapping[str, Any]] = []
        """Log events of the daemons."""
        self._seed = f"{seed}"
        self._rng = random.Random(f"{seed} world")
        self._made = 0
        self._checked: dict[Era, int] = {}
        self.producers = Producers(scenario, self.broker, self.evidence, self._rng)
        self._deeds = Deeds(self, self._rng)
        self.contract: Contract | None = None
        if scenario.feedback:
            self.contract = Contract(self.broker.output(FEEDBACK), self.evidence)
            rng = random.Random(f"{seed} people")
            self._people = People(scenario, self.broker, self.weather, self.evidence, self.contract, rng)

    async def live(self) -> None:
        """Runs the world from the first member's start to the last member's drain."""
        if self.contract is not None:
            self._people.begin()
        self.producers.produce_some(self.scenario.before)
        self.evidence.leaves_out = self.scenario.learn_s < LONGEST_S
        self.evidence.before = {era: log.end for era, log in self.broker.eras.items()}
        for _ in range(self.scenario.members):
            await self.start_member()
        watch = Watch(self)
        watching = asyncio.create_task(watch.look_forever(), name="watch")
        async with asyncio.TaskGroup() as group:
            group.create_task(self.producers.produce_all(), name="producer")
            group.create_task(self.producers.make_noise(), name="noise")
            group.create_task(self._deeds.do_all(), name="misfortunes")
            if self.contract is not None:
                group.create_task(self._people.act_all(), name="people")
        await self.settle()
        await watch.until_feedback_is_everywhere()
        assert not watching.done(), watching.exception()
        watching.cancel()
        await watch.until_ready()
        await self._forget()
        for member in list(self.members):
            self.members.remove(member)
            if not await member.drain():
                self.evidence.breach("drains", f"{member.name} had no work and did not drain within its budget")
        self.check()
        self.ended_at_s = now_s()

    async def start_member(self) -> Member:
        self._made += 1
        name = f"member-{self._made}"
        member = Member(
            name, self.scenario, self.broker, self.weather, self.evidence, self._seed, self._familiar, self.contract
        )
        self.ever.append(member)
        while True:
            try:
                await member.start()
                break
            except BrokerUnavailable:
                await asyncio.sleep(1.0)  # as the daemon's own start does
        self.members.append(member)  # not before: a deed that killed it while it joins would leave this wait for ever
        return member

    async def settle(self) -> None:
        """Ends every fault and waits until every record is committed."""
        self.weather.faults = CALM
        for member in self.members:
            member.line.is_cut = member.line.deaf = member.line.frozen = False
        self.evidence.note("calm", "world")
        began = now_s()
        while self.broker.lag() and now_s() < began + PATIENCE_S:  # noqa: ASYNC110  # virtual time: polling costs nothing
            await asyncio.sleep(0.5)
        self.recovered_s = now_s() - began

    async def _forget(self) -> None:
        """Waits until no member has services of an ended assignment: a rebalance may have begun in the last moment."""
        deadline = now_s() + FORGET_S
        while kept := {member.name: member.strangers for member in self.members if member.strangers}:
            if now_s() > deadline:
                self.evidence.breach("nothing_kept", f"services of ended assignments are still there: {kept}")
                return
            await asyncio.sleep(0.5)

    def produce(self, partition: Partition, service: str, kind: str) -> None:
        """Produces one record of a kind."""
        self.producers.produce(partition, service, kind)

    def check(self) -> None:
        """Checks the invariants of the end."""
        evidence, broker, scenario = self.evidence, self.broker, self.scenario
        self._read_outputs()
        breaches_of = {
            "no_hole": invariants.no_hole(evidence, broker),
            "same_alert_ids": invariants.same_alert_ids(evidence),
            "only_anomalies": invariants.only_anomalies(evidence),
            "only_lines_scored": invariants.only_lines_scored(evidence),
            "learned_not_judged": invariants.learned_not_judged(evidence),
            "no_lag_left": invariants.no_lag_left(evidence, broker),
        }
        if self.contract is not None:
            breaches_of["feedback_kept"] = self.contract.check_kept()
            breaches_of["feedback_ends"] = self.contract.check_silence(evidence.anomalous.items())
        if scenario.members == 1 and not scenario.deeds and scenario.faults == CALM:
            breaches_of["scored_once"] = invariants.scored_once(evidence)
            breaches_of["calm_in_time"] = invariants.calm_in_time(evidence)
        for name, breaches in breaches_of.items():
            for breach in breaches:
                evidence.breach(name, breach)

    # ---------------------------------------------------------------- checks at every commit

    def _on_commit(self, partition: Partition, position: Committed) -> None:
        self._read_outputs()
        if self.broker.is_stale(partition, position):
            return  # a commit about the topic that was deleted: no member continues from it
        for breach in invariants.state_behind(self.broker, partition, position):
            self.evidence.breach("state_behind", breach)
        era = self.broker.logs[partition].era
        if era in self.evidence.before and self.scenario.before:
            self.evidence.first.setdefault(era, position.offset)
        start = max(self._checked.get(era, 0), self.evidence.first.get(era, 0))
        for breach in invariants.done_below(self.evidence, self.broker, era, start, position.offset):
            self.evidence.breach("no_early_commit", breach)
        self._checked[era] = max(start, position.offset)

    def _read_outputs(self) -> None:
        fresh = self.evidence.take_outputs(self.broker)
        scenario = self.scenario
        for breach in invariants.windows_whole(
            self.evidence, self.broker, fresh, scenario.size, scenario.max_context_records
        ):
            self.evidence.breach("windows_whole", breach)
        if self.contract is not None:
            for alert in fresh:
                self.contract.check_alert((alert.era, (alert.offset, alert.index)), alert.mark)
