"""Liveness: what stands still is ended or named, what only waits lives on, and memory stays flat meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from logwarden.daemon.errors import Stuck
from logwarden.daemon.readiness import reasons
from tests.sim.evidence import ALERTS, ANOMALOUS, PLAIN
from tests.sim.loop import now_s
from tests.sim.scenarios import Scenario
from tests.sim.test_drain import tell, working
from tests.sim.test_faults import end_of
from tests.sim.weather import Faults
from tests.sim.world import World, play

STUCK_S = Scenario(name="default").stuck_timeout_s


@pytest.mark.parametrize("where", ["score", "ingest", "fetch"])
def test_a_member_that_stands_still_is_ended_and_its_lines_are_taken_over(where: str) -> None:
    """A device that hangs, or a consumer that is answered and receives nothing, costs the set time and no line."""

    async def story(world: World) -> None:
        member = await working(world, 5)
        member.expected_to_live = False
        await world.settle()
        if where == "fetch":
            world.weather.faults = Faults(fetch_silent=1.0)
        else:
            (member.score_worker if where == "score" else member.ingest_worker).stuck = True
        for _ in range(10):
            world.produce(world.partitions[0], "svc", PLAIN)
        began = now_s()
        assert member.running is not None
        await asyncio.wait([member.running], timeout=10 * STUCK_S)
        assert STUCK_S <= now_s() - began <= STUCK_S + 30
        assert isinstance(end_of(member.running.exception() or AssertionError()), Stuck)
        assert [reason.code for reason in reasons(member.health)][:1] == ["stuck"]
        await member.kill()
        heir = await world.start_member()
        world.members.remove(heir)
        await world.settle()
        assert world.broker.lag() == 0
        await heir.drain()

    tell(story)


@pytest.mark.parametrize("fault", ["outage", "stuck output", "missing output"])
def test_a_fault_outside_ends_no_member(fault: str) -> None:
    """Ten minutes without a broker, or with an alerts topic that takes nothing, are named; a restart would not help."""

    async def story(world: World) -> None:
        member = await working(world, 5, ANOMALOUS)
        if fault == "outage":
            world.broker.go_down()
        elif fault == "stuck output":
            world.broker.output(ALERTS).stuck = True
        else:
            world.broker.output(ALERTS).missing = True
        world.produce(world.partitions[0], "svc", ANOMALOUS)
        await asyncio.sleep(10 * STUCK_S)
        assert member.running is not None
        assert not member.running.done()
        assert reasons(member.health) != []
        world.broker.come_up()
        world.broker.output(ALERTS).stuck = world.broker.output(ALERTS).missing = False
        await world.settle()
        assert world.broker.lag() == 0
        await asyncio.sleep(10)
        assert reasons(member.health) == []
        await member.drain()

    tell(story)


def test_memory_is_flat_behind_one_stuck_line() -> None:
    """A thousand fetches behind an alert that nobody takes leave few spans and context entries in the ledger."""
    world = World(Scenario(name="story", partitions=1, services=3, members=1), seed=1)
    partition = world.partitions[0]

    async def story() -> None:
        member = await world.start_member()
        await asyncio.sleep(1.0)
        world.broker.output(ALERTS).stuck = True
        world.produce(partition, "svc-0", ANOMALOUS)
        fetches = 0
        fetch = member.source.fetch

        async def counted() -> object:
            nonlocal fetches
            fetches += 1
            return await fetch()

        member.source.fetch = counted  # type: ignore[assignment, method-assign]
        for number in range(1_000):
            world.produce(partition, f"svc-{number % 3}", PLAIN)
            await asyncio.sleep(0.31)
        await asyncio.sleep(1.0)
        assert fetches > 1_000
        assert world.broker.position(partition) == 0
        ledger = member.pipeline.partitions.assignments()[0].ledger
        assert ledger.outstanding == len(ledger._spans) == 1
        world.broker.output(ALERTS).stuck = False
        await world.settle()
        await member.drain()

    play(world, story())
    world.check()
    assert world.evidence.breaches == []
