"""Single faults, a story each: pressure, poison, retries, races of a revoke, zombies, errors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, FatalError, OffsetsGone
from logwarden.daemon.records import Delivery, Message, Partition
from tests.sim.clients import MAX_POLL_RECORDS
from tests.sim.evidence import ALERTS, ANOMALOUS, DEAD, PLAIN, POISON
from tests.sim.loop import now_s
from tests.sim.test_drain import tell, working
from tests.sim.weather import Faults
from tests.sim.world import World


def end_of(group: BaseException) -> BaseException:
    """Returns the error inside nested exception groups."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def test_pressure_pauses_reading_and_nothing_is_lost() -> None:
    """A daemon with a slow model pauses at its bound, resumes below half of it, and loses no line."""

    async def story(world: World) -> None:
        member = await world.start_member()
        for _ in range(300):
            world.produce(world.partitions[0], "svc", PLAIN)
        most = 0
        while world.broker.lag():
            most = max(most, member.pipeline.partitions.lines_in_flight)
            await asyncio.sleep(0.05)
        assert 60 <= most <= 60 + MAX_POLL_RECORDS
        assert member.source.paused_times >= 2
        assert not member.pipeline._in_flight.is_paused
        await member.drain()

    tell(story, score_s=1.0)


def test_pressure_of_lines_that_wait_for_their_step() -> None:
    """Lines that wait for their window's step may reach the bound; they are flushed, and reading continues."""

    async def story(world: World) -> None:
        member = await world.start_member()
        for number in range(200):
            world.produce(world.partitions[0], f"svc-{number % 50}", PLAIN)
        while world.broker.lag():  # noqa: ASYNC110  # virtual time: polling costs nothing
            await asyncio.sleep(0.5)
        assert now_s() < 60
        await member.drain()

    tell(story, step=8, max_in_flight_lines=30)


def test_poison_is_buried_once_and_holds_nothing_up() -> None:
    """Records without a log line go to the dead-letter topic with their bytes; the lines around them are scored."""

    async def story(world: World) -> None:
        member = await world.start_member()
        for kind in (PLAIN, POISON, ANOMALOUS, POISON, POISON, ANOMALOUS):
            world.produce(world.partitions[0], "svc", kind)
        await world.settle()
        await member.drain()

    world = tell(story)
    assert [dict(r.headers)["x-original-offset"] for r in world.broker.output(DEAD).records] == [b"1", b"3", b"4"]
    assert [alert.offset for alert in world.evidence.alerts] == [2, 5]


def test_a_publication_is_tried_until_it_is_acknowledged() -> None:
    """Lines whose alerts the broker refuses are not committed before every alert is published."""

    async def story(world: World) -> None:
        world.weather.faults = Faults(send_refused=1.0)
        member = await working(world, 10, ANOMALOUS)
        await asyncio.sleep(20)
        assert world.broker.lag() == 10
        await world.settle()
        assert world.broker.lag() == 0
        await member.drain()

    world = tell(story, reports_incarnation=False)
    assert [alert.offset for alert in world.evidence.alerts] == list(range(10))
    assert sum(entry["event"] == "publish_failed" for entry in world.logs) >= 10


def test_a_revoke_waits_for_the_batch_at_hand() -> None:
    """A revoke returns after the lines in flight are scored, published and committed: no line is scored twice."""

    async def story(world: World) -> None:
        first = await working(world, 20, ANOMALOUS)
        second = await world.start_member()
        await asyncio.sleep(20)
        await first.drain()
        await second.drain()
        assert world.broker.lag() == 0

    world = tell(story, score_s=1.0)
    assert len(world.evidence.alerts) == 20
    assert all(len(who) == 1 for who in world.evidence.scored.values())


def test_a_revoke_that_runs_out_of_time_leaves_the_rest() -> None:
    """A device that hangs during a revoke costs the budget and no more; the next owner scores those lines."""

    async def story(world: World) -> None:
        member = await working(world, 20, ANOMALOUS)
        member.score_worker.stuck = True
        began = now_s()
        await member.pipeline.listener.on_revoked(world.partitions)
        assert 2.0 <= now_s() - began <= 2.5
        member.score_worker.stuck = False
        await asyncio.sleep(5)
        assert world.evidence.alerts == []  # too late: discarded
        member.source.seek(world.partitions[0], 0)
        await member.pipeline.listener.on_assigned(world.partitions)
        await world.settle()
        assert world.broker.lag() == 0
        await member.drain()

    world = tell(story, revoke_budget_s=2.0)
    assert {alert.offset for alert in world.evidence.alerts} == set(range(20))


def test_a_zombie_is_fenced_and_harmless() -> None:
    """A member that the group removed continues: its alerts have the same ids, its commits are refused, it rejoins."""

    async def story(world: World) -> None:
        zombie = await working(world, 1)
        heir = await world.start_member()
        await asyncio.sleep(20)
        owner = zombie if zombie.pipeline.partitions.assignments() else heir
        other = heir if owner is zombie else zombie
        owner.line.deaf = True
        for _ in range(40):
            world.produce(world.partitions[0], "svc", ANOMALOUS)
            await asyncio.sleep(0.5)
        assert other.pipeline.partitions.assignments()
        owner.line.deaf = False
        await world.settle()
        await owner.drain()
        await other.drain()

    world = tell(story)
    assert any(" fenced " in line for line in world.evidence.trace)
    assert len(world.evidence.alerts) > len({alert.id for alert in world.evidence.alerts}) == 40


def test_a_broker_silent_during_a_rebalance_is_waited_for() -> None:
    """A member that cannot read the committed offsets retries, and the daemon does not end."""

    async def story(world: World) -> None:
        world.weather.faults = Faults(lookup_refused=1.0)
        world.produce(world.partitions[0], "svc", PLAIN)
        member = await world.start_member()
        await asyncio.sleep(30)
        assert not member.health.assigned
        await world.settle()
        assert world.broker.lag() == 0
        await member.drain()

    tell(story)


def test_an_empty_assignment_is_ready() -> None:
    """A spare replica without partitions is ready, commits nothing and drains at once."""

    async def story(world: World) -> None:
        for _ in range(2):
            await world.start_member()
        await asyncio.sleep(30)
        spare = next(member for member in world.members if not member.pipeline.partitions.assignments())
        assert spare.health.assigned
        assert await spare.drain(1.0)

    tell(story)


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    """A topic that ends before the member's offsets has other lines, and all of them are scored."""

    async def story(world: World) -> None:
        member = await working(world, 30)
        await asyncio.sleep(5)
        world.broker.recreate("input")
        for _ in range(10):
            world.produce(world.partitions[0], "svc", ANOMALOUS)
        await world.settle()
        assert world.broker.lag() == 0
        await member.drain()

    world = tell(story, reports_incarnation=False)
    assert [alert.offset for alert in world.evidence.alerts] == list(range(10))


def test_retention_that_moves_while_we_ask_about_it() -> None:
    """A partition that is revoked during the look-up of its bounds gets no seek from its former owner."""

    async def story(world: World) -> None:
        member = await working(world, 5)
        await asyncio.sleep(2)
        source, partition = member.source, world.partitions[0]
        fetch = source.fetch

        async def out_of_range() -> object:
            source.fetch = fetch  # type: ignore[method-assign]
            asyncio.get_running_loop().call_soon(leaving.set)
            raise OffsetsGone([partition])

        leaving = asyncio.Event()
        source.fetch = out_of_range  # type: ignore[assignment, method-assign]
        await leaving.wait()
        await member.pipeline.listener.on_revoked([partition])
        source._positions.clear()  # seeking now would raise, as in aiokafka
        await asyncio.sleep(5)
        assert member.running is not None
        assert not member.running.done()
        await member.drain()

    tell(story)


@pytest.mark.parametrize("where", ["score", "publish", "fetch", "commit"])
def test_an_error_in_any_task_ends_the_daemon_with_it(where: str) -> None:
    """An error that cannot be retried ends `run` with that error, and no other task continues."""
    error = BrokerRefused("not allowed")

    async def fails(*_: object) -> None:
        raise error

    async def story(world: World) -> None:
        member = await working(world, 10, ANOMALOUS)
        member.expected_to_live = False
        assert member.running is not None
        if where == "score":
            member.scorer.fails = error
        else:
            port, name = (member.sink, "send") if where == "publish" else (member.source, where)
            setattr(port, name, fails)
        world.produce(world.partitions[0], "svc", ANOMALOUS)
        await asyncio.wait([member.running], timeout=10)
        assert member.running.done()
        assert end_of(member.running.exception() or AssertionError()) is error

    tell(story)


@pytest.mark.parametrize("where", ["fetch", "commit"])
def test_a_cancellation_of_the_client_ends_no_task_in_silence(where: str) -> None:
    """The client lets its own cancellations escape; a loop that ended by one would leave a daemon that does nothing."""

    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    async def story(world: World) -> None:
        member = await working(world, 10, ANOMALOUS)
        member.expected_to_live = False
        assert member.running is not None
        setattr(member.source, where, cancelled)
        world.produce(world.partitions[0], "svc", ANOMALOUS)
        await asyncio.wait([member.running], timeout=10)
        assert member.running.done()
        assert str(end_of(member.running.exception() or AssertionError())).startswith(f"the task '{where}' ended")

    tell(story)


@pytest.mark.parametrize("call", ["on_revoked", "on_assigned"])
def test_an_error_in_a_rebalance_ends_the_daemon(call: str) -> None:
    """The client swallows a listener's exception, so the daemon keeps it, fails its health, and ends."""

    async def story(world: World) -> None:
        member = await working(world, 5)
        member.expected_to_live = False

        async def fails(*_: object, **__: object) -> None:
            raise RuntimeError("lost")

        member.source.committed = fails  # type: ignore[assignment, method-assign]
        member.pipeline._checkpoint.commit_revoked = fails  # type: ignore[method-assign, assignment]
        with pytest.raises(RuntimeError, match="lost"):
            await getattr(member.pipeline.listener, call)(world.partitions)
        assert member.running is not None
        await asyncio.wait([member.running], timeout=10)
        assert member.health.failure == "lost"
        ended_by = end_of(member.running.exception() or AssertionError())
        assert isinstance(ended_by, FatalError | RuntimeError)

    tell(story)


def test_a_message_that_was_written_and_not_acknowledged_is_sent_again() -> None:
    """A connection that breaks after the write causes a duplicate with the same id and the same lines."""

    async def story(world: World) -> None:
        member = await world.start_member()
        send, times = member.sink.send, 0

        async def breaks_once(topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
            nonlocal times
            times += 1
            outcomes = await send(topic, messages)
            if times == 1:
                raise BrokerUnavailable("sim", "the answer was lost")
            return outcomes

        member.sink.send = breaks_once  # type: ignore[method-assign]
        for kind in (PLAIN, ANOMALOUS):
            world.produce(world.partitions[0], "svc", kind)
        await world.settle()
        await member.drain()

    world = tell(story)
    first, second = world.evidence.alerts
    assert first == second
    assert first.partition == Partition("input", 0)
    assert len(world.broker.output(ALERTS).records) == 2


def test_what_a_service_learned_outlives_its_owner() -> None:
    """A learned service gets its alerts from its next owner too, from the first line on."""

    async def story(world: World) -> None:
        member = await working(world, 50)
        await world.settle()
        await member.drain()
        heir = await world.start_member()
        world.produce(world.partitions[0], "svc", ANOMALOUS)
        await world.settle()
        await heir.drain()

    world = tell(story, learning_lines=20)
    assert [alert.offset for alert in world.evidence.alerts] == [50]
