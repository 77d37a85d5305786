"""SIGTERM: a drain finishes and commits the lines in flight, or ends at its budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.sim.evidence import ANOMALOUS, PLAIN
from tests.sim.loop import now_s
from tests.sim.member import Member
from tests.sim.scenarios import Scenario
from tests.sim.weather import Faults
from tests.sim.world import World, play

GRACE_S = 0.3
"""Seconds beyond the budget: a tenth of a second for the last commit, and the end of the tasks."""


def tell(story: Callable[[World], Coroutine[Any, Any, None]], **scenario: object) -> World:
    """Runs a story in a world of one partition, and fails if an invariant breaks in it."""
    world = World(Scenario(name="story", partitions=1, services=1, **scenario), seed=1)  # type: ignore[arg-type]
    play(world, story(world))
    world.check()
    assert [b for b in world.evidence.breaches if b.invariant != "no_lag_left"] == []
    return world


async def working(world: World, lines: int, kind: str = PLAIN) -> Member:
    """Starts a member and returns it once `lines` lines are in flight, before it has finished them."""
    member = await world.start_member()
    await asyncio.sleep(1.0)
    for _ in range(lines):
        world.produce(world.partitions[0], "svc", kind)
    while member.pipeline.partitions.lines_in_flight < lines:  # noqa: ASYNC110  # virtual time: polling costs nothing
        await asyncio.sleep(0.01)
    return member


async def timed(member: Member, budget_s: float) -> tuple[bool, float]:
    """Drains a member. Returns (True if all work is done, seconds until the drain and `run` ended)."""
    assert member.running is not None
    began = now_s()
    settled = await member.pipeline.drain(budget_s)
    await asyncio.wait([member.running])
    return settled, now_s() - began


def test_a_drain_finishes_what_is_in_flight() -> None:
    """The lines in flight are scored, their alerts published and their offsets committed before the process ends."""

    async def story(world: World) -> None:
        member = await working(world, 20, ANOMALOUS)
        settled, took_s = await timed(member, 10.0)
        assert settled
        assert took_s < 5.0
        assert world.broker.lag() == 0

    world = tell(story, score_s=0.5)
    assert len(world.evidence.alerts) == 20


def test_a_drain_reads_no_more() -> None:
    """Records that arrive during a drain are left to the next owner."""

    async def story(world: World) -> None:
        member = await working(world, 10)
        draining = asyncio.create_task(timed(member, 10.0))
        await asyncio.sleep(0.01)
        for _ in range(50):
            world.produce(world.partitions[0], "svc", PLAIN)
        settled, _ = await draining
        assert settled
        assert world.broker.committed[world.partitions[0]].offset == 10

    tell(story, score_s=0.5)


def test_a_drain_makes_the_windows_whose_step_is_not_full() -> None:
    """A drain scores the lines that wait for their window's step."""

    async def story(world: World) -> None:
        member = await working(world, 3)
        settled, _ = await timed(member, 10.0)
        assert settled
        assert world.broker.lag() == 0

    tell(story, step=8)


@pytest.mark.parametrize("where", ["broker", "sink", "score", "ingest"])
def test_a_drain_ends_at_its_budget(where: str) -> None:
    """A drain with a silent broker or a device that hangs reports its failure within its budget."""

    async def story(world: World) -> None:
        member = await working(world, 10, ANOMALOUS)
        if where == "broker":
            member.line.is_cut = True
        elif where == "sink":
            world.weather.faults = Faults(send_refused=1.0)
        elif where == "score":
            member.score_worker.stuck = True
        else:
            world.produce(world.partitions[0], "svc", PLAIN)
            member.ingest_worker.stuck = True
            await asyncio.sleep(1.0)
        settled, took_s = await timed(member, 3.0)
        assert not settled
        assert 3.0 <= took_s <= 3.0 + GRACE_S

    tell(story, score_s=0.2, step=2 if where == "ingest" else 1)


def test_a_drain_with_a_commit_that_hangs_ends_at_its_budget() -> None:
    """A commit that was in progress when the drain began does not delay it beyond its budget."""

    async def story(world: World) -> None:
        member = await working(world, 10)
        await asyncio.sleep(0.5)
        member.line.is_cut = True
        await asyncio.sleep(1.0)
        _, took_s = await timed(member, 2.0)
        assert took_s <= 2.0 + GRACE_S

    tell(story)


def test_a_drain_of_a_daemon_that_never_ran() -> None:
    """A daemon that gets SIGTERM before its first step ends at once, and so does a later `run`."""

    async def story(world: World) -> None:
        member = await world.start_member()
        assert member.running is not None
        member.running.cancel()  # before its first step: `run` has not begun
        await asyncio.wait([member.running])
        assert await member.pipeline.drain(5.0)
        await asyncio.wait_for(member.pipeline.run(), 1.0)

    tell(story)


def test_a_drain_in_the_first_moment() -> None:
    """A daemon that gets SIGTERM before the first step of its tasks ends at once."""

    async def story(world: World) -> None:
        member = await world.start_member()
        await asyncio.sleep(0)
        settled, took_s = await timed(member, 5.0)
        assert settled
        assert took_s <= 2.0

    tell(story)


def test_two_drains_are_one() -> None:
    """A second drain, during the first or after it, changes nothing."""

    async def story(world: World) -> None:
        member = await working(world, 10)
        first, second = await asyncio.gather(timed(member, 10.0), timed(member, 10.0))
        assert (first[0], second[0]) == (True, True)
        assert (await timed(member, 10.0))[0]
        assert world.broker.lag() == 0

    tell(story, score_s=0.5)


def test_a_rebalance_in_the_middle_of_a_drain() -> None:
    """Partitions revoked during a drain are committed by the revoke, and the drain does not wait for them."""

    async def story(world: World) -> None:
        member = await working(world, 10)
        draining = asyncio.create_task(timed(member, 10.0))
        await world.start_member()
        settled, took_s = await draining
        assert settled
        assert took_s < 5.0
        await member.source.stop()
        await world.settle()
        assert world.broker.lag() == 0

    tell(story, score_s=1.0)


def test_a_revoke_in_the_middle_of_a_drain_that_fails() -> None:
    """Lines that a revoke could not finish belong to the next owner, and the drain does not wait for them."""

    async def story(world: World) -> None:
        member = await working(world, 10)
        member.score_worker.stuck = True
        draining = asyncio.create_task(timed(member, 60.0))
        await member.pipeline.listener.on_revoked(world.partitions)
        _, took_s = await draining
        assert took_s < 10.0

    tell(story, revoke_budget_s=2.0)


def test_a_drain_after_the_daemon_broke() -> None:
    """A drain after the tasks have failed does not wait for the lines in flight, which no task will finish."""

    async def story(world: World) -> None:
        member = await working(world, 10)
        member.expected_to_live = False
        member.scorer.fails = RuntimeError("the device fell off")
        assert member.running is not None
        await asyncio.wait([member.running])
        settled, took_s = await timed(member, 30.0)
        assert not settled
        assert took_s < 1.0

    tell(story)
