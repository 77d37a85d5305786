"""A checkpoint runs its steps in order, commits offsets last, one at a time, and never after a partition was closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.health import HealthState
from logwarden.daemon.pipeline.checkpoint import Checkpoint, Positions, Step
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.records import Bounds, Committed, Partition
from logwarden.daemon.web.metrics import PrometheusTelemetry
from tests.fakes import metric
from tests.oracles import PROFILE
from tests.sim.loop import now_s, run_virtual

P0, P1 = Partition("logs", 0), Partition("logs", 1)


class Broker:
    """Takes commits, after as long as it is told to."""

    def __init__(self) -> None:
        self.commits: list[dict[Partition, int]] = []
        self.delay_s = 0.0
        self.fails = False

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        await asyncio.sleep(self.delay_s)
        if self.fails:
            raise BrokerUnavailable("localhost", "no answer")
        self.commits.append({partition: position.offset for partition, position in positions.items()})

    def end(self, partition: Partition) -> int | None:
        return 100

    def seek(self, partition: Partition, offset: int) -> None: ...


def assigned(broker: Broker, *partitions: Partition) -> Partitions:
    owner = Partitions(cast(Any, broker), PrometheusTelemetry(), lambda topic: PROFILE, max_context_records=10)
    for partition in partitions:
        owner.assign(partition, None, Bounds(0, 100))
        ledger = active(owner, partition).ledger
        ledger.open(np.arange(10))
        ledger.done(np.arange(5))
    return owner


def active(owner: Partitions, partition: Partition) -> Assignment:
    found = owner.active(partition)
    assert found is not None
    return found


def checkpoint_of(
    broker: Broker,
    owner: Partitions,
    *steps: Step,
    health: HealthState | None = None,
    telemetry: PrometheusTelemetry | None = None,
) -> Checkpoint:
    telemetry, health = telemetry or PrometheusTelemetry(), health or HealthState()
    ports = SimpleNamespace(source=broker, telemetry=telemetry, health=health)
    return Checkpoint(cast(Any, ports), owner, 10, before_offsets=steps)


def test_steps_run_in_order_and_offsets_come_last() -> None:
    """What belongs to an offset is durable before the offset is: a crash between repeats work and loses nothing."""
    broker, order = Broker(), []
    owner = assigned(broker, P0)

    def step(name: str) -> Step:
        async def run(positions: Positions, _: float) -> None:
            await asyncio.sleep(1)
            order.append((name, [(a.partition, p.offset) for a, p in positions.items()], len(broker.commits)))

        return run

    async def story() -> None:
        assert await checkpoint_of(broker, owner, step("alerts"), step("state")).commit_held(10)

    run_virtual(story())
    assert order == [("alerts", [(P0, 5)], 0), ("state", [(P0, 5)], 0)]
    assert broker.commits == [{P0: 5}]


def test_a_step_that_fails_keeps_the_offsets_back() -> None:
    """State that was not written is repeated from the offset before it; the next checkpoint tries everything again."""
    broker = Broker()
    owner = assigned(broker, P0)
    attempts = iter([BrokerUnavailable("localhost", "no answer"), None])

    async def state(*_: object) -> None:
        error = next(attempts)
        if error is not None:
            raise error

    async def story() -> None:
        checkpoint = checkpoint_of(broker, owner, state)
        assert not await checkpoint.commit_held(10)
        assert broker.commits == []
        assert await checkpoint.commit_held(10)

    run_virtual(story())
    assert broker.commits == [{P0: 5}]


def test_only_what_moved_is_committed() -> None:
    """A quiet partition costs nothing; one that was not committed before is, even if nothing of it is done."""
    broker = Broker()
    owner = assigned(broker, P0, P1)

    async def story() -> None:
        checkpoint = checkpoint_of(broker, owner)
        await checkpoint.commit_held(10)
        await checkpoint.commit_held(10)
        active(owner, P1).ledger.done(np.array([5]))
        await checkpoint.commit_held(10)

    run_virtual(story())
    assert broker.commits == [{P0: 5, P1: 5}, {P1: 6}]


def test_a_partition_assigned_again_is_committed_again() -> None:
    """The group may have another offset by then; what this member committed in an earlier period says nothing."""
    broker = Broker()
    owner = assigned(broker, P0)

    async def story() -> None:
        checkpoint = checkpoint_of(broker, owner)
        await checkpoint.commit_held(10)
        owner.close(owner.assignments())
        owner.assign(P0, Committed(5, ""), Bounds(0, 100))
        await checkpoint.commit_held(10)

    run_virtual(story())
    assert broker.commits == [{P0: 5}, {P0: 5}]


def test_commit_held_leaves_revoked_partitions_to_commit_revoked() -> None:
    """A partition that is being revoked is committed once more, by the revoke, and not after it."""
    broker = Broker()
    owner = assigned(broker, P0, P1)

    async def story() -> None:
        checkpoint = checkpoint_of(broker, owner)
        revoked = owner.revoke([P1])
        await checkpoint.commit_held(10)
        assert await checkpoint.commit_revoked(revoked, 10)
        owner.close(revoked)
        assert await checkpoint.commit_revoked(revoked, 10)

    run_virtual(story())
    assert broker.commits == [{P0: 5}, {P1: 5}]


def stuck_then(finish: Callable[[Checkpoint, Sequence[Assignment]], Any]) -> tuple[Broker, float]:
    """Begins a commit that hangs, then another way to commit; returns how long that took."""
    broker = Broker()
    owner = assigned(broker, P0)
    took: list[float] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        checkpoint = checkpoint_of(broker, owner)
        broker.delay_s = 1000.0
        stuck = asyncio.create_task(checkpoint.commit_held(500))
        await asyncio.sleep(1)
        broker.delay_s = 0.5
        began = loop.time()
        assert await finish(checkpoint, owner.revoke([P0]))
        took.append(loop.time() - began)
        assert not await stuck

    run_virtual(story())
    return broker, took[0]


def test_a_stuck_commit_does_not_delay_a_revoke() -> None:
    """The revoke has a budget, and a commit that names its partitions must not arrive after it."""
    broker, took_s = stuck_then(lambda checkpoint, revoked: checkpoint.commit_revoked(revoked, 10))
    assert took_s < 1
    assert broker.commits == [{P0: 5}]


def test_a_stuck_commit_does_not_delay_the_last_one() -> None:
    """A drain ends in its budget."""
    broker, took_s = stuck_then(lambda checkpoint, _: checkpoint.commit_final(10))
    assert took_s < 1
    assert broker.commits == [], "the partition is being revoked, and the revoke commits it"


def test_a_commit_that_takes_too_long_is_repeated() -> None:
    """The time-out is the caller's; what was not taken is in the next checkpoint."""
    broker = Broker()
    owner = assigned(broker, P0)

    async def story() -> None:
        checkpoint = checkpoint_of(broker, owner)
        broker.delay_s = 60
        assert not await checkpoint.commit_held(5)
        broker.delay_s = 0
        assert await checkpoint.commit_held(5)

    run_virtual(story())
    assert broker.commits == [{P0: 5}]


def test_health_knows_how_long_commits_have_failed() -> None:
    """A failed commit waits on, the next success ends it, and a commit without news is no wait."""
    broker = Broker()
    owner = assigned(broker, P0)

    async def scenario() -> None:
        health, telemetry = HealthState(now_s), PrometheusTelemetry()
        checkpoint = checkpoint_of(broker, owner, health=health, telemetry=telemetry)
        broker.fails = True
        assert not await checkpoint.commit_held(5)
        await asyncio.sleep(12)
        assert not await checkpoint.commit_held(5)
        assert metric(telemetry, "commit_failures_total") == 2
        assert health.waited_s("commit") == pytest.approx(12, abs=3)
        assert "no answer" in health.errors["commit"]
        broker.fails = False
        assert await checkpoint.commit_held(5)
        assert (health.waited_s("commit"), health.since_progress_s("commit"), health.errors) == (0, 0, {})
        assert health.lag_records == 95
        await asyncio.sleep(60)
        assert await checkpoint.commit_held(5)
        assert (health.waited_s("commit"), health.since_progress_s("commit")) == (0, 60)

    run_virtual(scenario())


def test_a_revoke_ends_the_wait_for_a_commit() -> None:
    """What this member could not commit is the next owner's to repeat: nothing of it waits here any more."""
    broker = Broker()
    owner = assigned(broker, P0)

    async def scenario() -> None:
        health = HealthState(now_s)
        checkpoint = checkpoint_of(broker, owner, health=health)
        broker.fails = True
        revoked = owner.revoke([P0])
        assert not await checkpoint.commit_revoked(revoked, 5)
        owner.close(revoked)
        assert health.waited_s("commit") >= 0
        await asyncio.sleep(60)
        assert await checkpoint.commit_held(5)
        assert health.waited_s("commit") == 0

    run_virtual(scenario())
