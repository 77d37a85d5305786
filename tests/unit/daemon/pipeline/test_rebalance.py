"""Revokes and assignments as the consumer group orders them: what is finished, what is committed, what ends."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.pipeline.ledger import encode_metadata
from logwarden.daemon.pipeline.phase import Phase
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.pipeline.rebalance import LAST_COMMIT_S
from logwarden.daemon.records import Bounds, Committed, Message
from tests.fakes import BUDGET_S, LOGS, RETRY_S, World, capture, events, metric, virtually
from tests.sim.loop import now_s


@virtually
async def test_a_revoke_waits_for_lines_in_flight_and_commits_them() -> None:
    """The next owner begins where this member has finished; the windows of waiting lines are made first."""
    world = World()
    assignment = world.assign()
    assignment.ledger.open(np.arange(3))

    async def finish() -> None:
        await asyncio.sleep(2)
        world._done(assignment, np.arange(3))

    finishing = asyncio.create_task(finish())
    await world.listener.on_revoked([LOGS[0]])
    await finishing
    assert now_s() == 2
    assert world.source.commits == [{LOGS[0]: 3}]
    assert assignment.ended
    assert world.dropped == [assignment]
    assert world.partitions.assignments() == []


@virtually
async def test_a_revoke_takes_no_longer_than_its_budget() -> None:
    """Lines that are not done by then are left to the next owner: what is committed is the position below them."""
    world = World()
    assignment = world.assign()
    assignment.ledger.open(np.arange(5))
    assignment.ledger.done(np.arange(2))
    with capture() as caught:
        await world.listener.on_revoked([LOGS[0]])
    assert now_s() == BUDGET_S
    assert world.source.commits == [{LOGS[0]: 2}]
    assert assignment.ended
    assert events(caught, "revoke_budget_spent") == [{"lines_left": 3, "log_level": "warning"}]


@virtually
async def test_the_last_commit_gets_a_moment_when_the_budget_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not answer the commit delays the group by that moment and no longer."""
    world = World()
    world.assign().ledger.open(np.arange(5))

    async def silent(_: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(world.source, "commit", silent)
    await world.listener.on_revoked([LOGS[0]])
    assert now_s() == pytest.approx(BUDGET_S + LAST_COMMIT_S)


@virtually
async def test_a_drop_that_hangs_is_left_behind_and_not_cancelled() -> None:
    """The ingest worker cannot be stopped half way; the revoke returns without it."""
    world = World()
    world.assign()
    ended: list[float] = []

    async def slow(_: object) -> None:
        await asyncio.sleep(BUDGET_S + 5)
        ended.append(now_s())

    world.drop = slow
    await world.listener.on_revoked([LOGS[0]])
    assert now_s() == BUDGET_S
    await asyncio.sleep(60)
    assert ended == [BUDGET_S + 5]


@virtually
async def test_a_revoke_ends_only_the_partitions_it_names() -> None:
    """A partition that stays is neither closed nor dropped, and its publications stay in the queue."""
    world = World()
    world.keeps = False
    lost, kept = world.assign(LOGS[0]), world.assign(LOGS[1])
    for owner in (lost, kept):
        message = Message(topic="alerts", key=None, value=b"")
        world.publisher.put(
            Publication(kind=PublicationKind.ALERT, content=message, owner=owner, offsets=np.array([0]))
        )
    world.health.unreadable.update({LOGS[0]: "stands still", LOGS[1]: "stands still too"})
    world.health.without_schema.update({LOGS[0]: "waits", LOGS[1]: "waits too"})
    await world.listener.on_revoked([LOGS[0]])
    assert (lost.ended, kept.ended) == (True, False)
    assert world.dropped == [lost]
    assert len(world.publisher) == 1
    assert world.health.unreadable == {LOGS[1]: "stands still too"}
    assert world.health.without_schema == {LOGS[1]: "waits too"}
    assert metric(world.telemetry, "revoked_partitions_total") == 1


@virtually
async def test_health_follows_the_assignment() -> None:
    """Between a revoke and the next assignment this member is not ready; a spare replica is."""
    world = World()
    await world.listener.on_assigned([])
    assert world.health.assigned
    await world.listener.on_revoked([])
    assert not world.health.assigned
    await world.listener.on_assigned(LOGS[:2])
    assert world.health.assigned
    assert metric(world.telemetry, "partitions") == 2


@virtually
async def test_a_failed_commit_does_not_keep_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group gives the partition away in any case: work that went on would be the next owner's."""
    world = World()
    assignment = world.assign()
    assignment.ledger.open(np.arange(1))
    assignment.ledger.done(np.arange(1))

    async def refuse(_: object) -> None:
        raise BrokerUnavailable("b:1", "overtaken")

    monkeypatch.setattr(world.source, "commit", refuse)
    await world.listener.on_revoked([LOGS[0]])
    assert assignment.ended
    assert world.lifetime.failure is None


@virtually
async def test_a_failure_in_a_revoke_is_kept_and_the_partition_closed() -> None:
    """aiokafka swallows the errors of a listener: the fetch loop finds this one, and the probe reports it."""
    world = World()
    assignment = world.assign()

    async def broken(_: object) -> None:
        raise ZeroDivisionError("a bug")

    world.drop = broken
    with pytest.raises(ZeroDivisionError):
        await world.listener.on_revoked([LOGS[0]])
    assert isinstance(world.lifetime.failure, ZeroDivisionError)
    assert world.health.failure == "a bug"
    assert assignment.ended


@virtually
async def test_assigned_partitions_begin_at_their_committed_offsets() -> None:
    """Those without one begin at the oldest line; a pause of the partitions before is lifted."""
    world = World()
    world.source.offsets = {LOGS[0]: Committed(7, "")}
    world.source.held = {LOGS[1]: Bounds(30, 40)}
    await world.listener.on_assigned(LOGS[:2])
    assert world.source.seeks == [(LOGS[0], 7), (LOGS[1], 30)]
    assert world.source.calls == ["resume"]
    assert metric(world.telemetry, "assigned_partitions_total") == 2


@virtually
async def test_an_assignment_waits_for_a_broker_that_is_away() -> None:
    """A start without the committed offsets would read every line again."""
    world = World()
    world.source.refusals = [BrokerUnavailable("b:1", "x")] * 2
    world.source.offsets = {LOGS[0]: Committed(7, "")}
    await world.listener.on_assigned(LOGS[:1])
    assert now_s() == 2 * RETRY_S
    assert world.source.seeks == [(LOGS[0], 7)]


@pytest.mark.parametrize("at_question", [0, 1])
@virtually
async def test_no_period_begins_while_the_daemon_stops(at_question: int) -> None:
    """A signal during the questions to the broker: nothing is assigned, and the member is not called ready."""
    world = World()
    questions = iter(range(9))

    def stop() -> None:
        if next(questions) == at_question:
            world.lifetime.advance(Phase.DRAINING)

    world.source.before_answer = stop
    world.source.refusals = [] if at_question else [BrokerUnavailable("b:1", "x")]
    await world.listener.on_assigned(LOGS[:1])
    assert world.partitions.assignments() == []
    assert not world.health.assigned
    assert world.source.seeks == []


@virtually
async def test_a_failure_in_an_assignment_is_kept() -> None:
    """The daemon would otherwise stay a member that reads nothing, and look healthy."""
    world = World()
    world.source.refusals = [ValueError("a bug")]
    with pytest.raises(ValueError, match="a bug"):
        await world.listener.on_assigned(LOGS[:1])
    assert isinstance(world.lifetime.failure, ValueError)
    assert not world.health.live


@virtually
async def test_services_of_a_partition_that_comes_back_continue() -> None:
    """A member that joins costs the others nothing: what they keep is neither dropped nor read again."""
    world = World()
    before = world.assign(LOGS[0], committed=7)
    await world.listener.on_revoked([LOGS[0]])
    assert not world.dropped
    world.source.offsets = {LOGS[0]: Committed(7, encode_metadata(7))}
    await world.listener.on_assigned([LOGS[0]])
    [begun] = world.begun
    [(ended, after)] = begun.resumed
    assert (ended, after.system, after.ledger.position()) == (before, before.generation, 7)
    assert (world.source.seeks, world.dropped, begun.fresh) == ([(LOGS[0], 7)], [], [])


@virtually
async def test_services_of_a_partition_that_another_member_had_do_not_continue() -> None:
    """What it committed meanwhile, its services have learned elsewhere: they come back as the group knows them."""
    world = World()
    before = world.assign(LOGS[0], committed=7)
    await world.listener.on_revoked([LOGS[0]])
    world.source.offsets = {LOGS[0]: Committed(9, encode_metadata(7))}
    await world.listener.on_assigned([LOGS[0]])
    assert world.dropped == [before]
    assert not world.begun[0].resumed


@virtually
async def test_services_of_a_partition_that_goes_elsewhere_are_dropped() -> None:
    """Memory belongs to what this member has now."""
    world = World()
    before = world.assign(LOGS[0], committed=7)
    await world.listener.on_revoked([LOGS[0]])
    await world.listener.on_assigned([])
    assert world.dropped == [before]


@pytest.mark.parametrize("why", ["a line is not done", "the commit failed", "its context is not read"])
@virtually
async def test_only_services_that_contain_all_that_is_committed_continue(why: str) -> None:
    """Where work is left, the next owner repeats it, and so does this member if it is the next owner."""
    world = World()
    context = encode_metadata(3 if why == "its context is not read" else 7)
    world.partitions.assign(LOGS[0], Committed(7, context), Bounds(0, 1_000))
    before = world.partitions.active(LOGS[0])
    assert before is not None
    if why == "a line is not done":
        before.ledger.open(np.array([7]))
    if why == "the commit failed":
        world.source.commit = refuse  # type: ignore[method-assign, assignment]
    await world.listener.on_revoked([LOGS[0]])
    assert world.dropped == [before]


async def refuse(_: object) -> None:
    raise BrokerUnavailable("localhost", "no answer")
