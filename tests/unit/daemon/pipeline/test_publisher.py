"""Publications on their way to the broker: a lane per topic, their order, and what becomes of each message."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable
from logwarden.daemon.pipeline.lane import MOST, MOST_BYTES
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.pipeline.publisher import Publisher
from logwarden.daemon.records import Delivery, Message
from tests.fakes import LOGS, RETRY_S, World, capture, events, metric, virtually
from tests.sim.loop import now_s


def alert(
    owner: Assignment, offset: int = 0, *, topic: str = "alerts", value: bytes = b"", delay_ms: int | None = None
) -> Publication:
    return Publication(
        kind=PublicationKind.ALERT,
        content=Message(topic=topic, key=None, value=value or b"%d" % offset, headers=(("ce_id", b"id"),)),
        owner=owner,
        offsets=np.array([offset]),
        delay_ms=delay_ms,
    )


def letter(owner: Assignment, offset: int = 0, *, value: bytes = b"") -> Publication:
    return Publication(
        kind=PublicationKind.DEAD_LETTER,
        content=Message(
            topic="dead", key=b"key", value=value or b"%d" % offset, headers=(("x-original-topic", b"logs"),)
        ),
        owner=owner,
        offsets=np.array([offset]),
        stage="json",
    )


def opened(world: World, lines: int, number: int = 0) -> Assignment:
    assignment = world.assign(LOGS[number])
    assignment.ledger.open(np.arange(lines))
    return assignment


def values(world: World) -> list[list[int]]:
    return [[int(message.value or b"") for message in batch] for batch in world.sink.sent]


def topics(world: World) -> list[str]:
    return [batch[0].topic for batch in world.sink.sent]


# ---------------------------------------------------------------- one lane


@virtually
async def test_a_backlog_is_sent_in_order_and_in_parts() -> None:
    """A backlog sent as one could outlast the time-out of a request at every try."""
    world = World()
    owner = opened(world, 600)
    for offset in range(600):
        world.publisher.put(alert(owner, offset))
    world.publisher.end()
    assert len(world.publisher) == 600
    await world.publisher.run()
    assert [len(batch) for batch in values(world)] == [MOST, MOST, 600 - 2 * MOST]
    assert [value for batch in values(world) for value in batch] == list(range(600))
    assert [offset for _, offsets in world.done for offset in offsets] == list(range(600))
    assert len(world.done) == 3, "the lines of one answer are done in one step"
    assert metric(world.telemetry, "alerts_total") == 600
    assert owner.ledger.position() == 600


@virtually
async def test_a_request_is_bounded_in_bytes() -> None:
    """Large messages are sent in smaller numbers, and one that is larger than the bound is sent alone."""
    world = World()
    owner = opened(world, 5)
    sizes = [400_000, 400_000, 400_000, MOST_BYTES + 1, 1]
    for offset, size in enumerate(sizes):
        world.publisher.put(alert(owner, offset, value=b"1" * size))
    world.publisher.end()
    await world.publisher.run()
    assert [len(batch) for batch in world.sink.sent] == [2, 1, 1, 1]


@virtually
async def test_what_comes_alone_is_sent_at_once() -> None:
    """The publisher waits for the next publication, not for a batch of them."""
    world = World()
    owner = opened(world, 2)
    running = asyncio.create_task(world.publisher.run())
    for offset in (0, 1):
        await asyncio.sleep(1)
        world.publisher.put(alert(owner, offset))
        await asyncio.sleep(0.1)
        assert len(values(world)) == offset + 1
    world.publisher.end()
    await running


@virtually
async def test_lines_are_done_only_after_the_acknowledgement() -> None:
    """A publication is sent again while the broker does not take it, and its lines stay in flight."""
    world = World()
    owner = opened(world, 1)
    world.sink.refusals = [BrokerUnavailable("b:1", "down"), BrokerUnavailable("b:1", "down")]
    world.publisher.put(alert(owner))
    world.publisher.end()
    world.sink.before_answer = lambda: outstanding.append(owner.ledger.outstanding)
    outstanding: list[int] = []
    with capture() as caught:
        await world.publisher.run()
    assert outstanding == [1, 1, 1]
    assert owner.ledger.outstanding == 0
    assert now_s() == 2 * RETRY_S
    assert metric(world.telemetry, "publish_retries_total") == 2
    assert metric(world.telemetry, "alerts_total") == 1
    assert [event["retry_in_s"] for event in events(caught, "publish_failed")] == [RETRY_S] * 2


@virtually
async def test_a_failed_try_is_waiting_and_not_a_standstill() -> None:
    """While the broker is away for long, each try shows that the daemon itself is not stuck."""
    world = World()
    world.publisher.put(alert(opened(world, 1)))
    world.publisher.end()
    world.sink.refusals = [BrokerUnavailable("b:1", "down")] * 100
    sending = asyncio.create_task(world.publisher.run())
    await asyncio.sleep(60)
    assert world.health.waited_s("publish") == 60
    assert world.health.hung_s("publish") < 60
    assert "down" in world.health.errors["publish"]
    world.sink.refusals = []
    await sending
    assert (world.health.waited_s("publish"), world.health.errors) == (0, {})


@virtually
async def test_a_failed_message_is_sent_again_and_an_acknowledged_one_is_not() -> None:
    """One partition of the alerts topic has no leader: the alerts of the others are done and never repeated."""
    world = World()
    owner = opened(world, 3)
    outcomes = {b"1": iter([Delivery.FAILED, Delivery.FAILED, Delivery.ACKNOWLEDGED])}
    world.sink.deliver = lambda message: next(outcomes.get(message.value or b"", iter([Delivery.ACKNOWLEDGED])))
    for offset in range(3):
        world.publisher.put(alert(owner, offset))
    world.publisher.end()
    await world.publisher.run()
    assert values(world) == [[0, 1, 2], [1], [1]]
    assert [offsets for _, offsets in world.done] == [[0, 2], [1]]
    assert now_s() == RETRY_S, "at once after an answer that decided something, then after a pause"


# ---------------------------------------------------------------- lanes and health


@virtually
async def test_a_stuck_topic_stops_its_own_lane_only() -> None:
    """Alerts go on while the dead-letter topic is missing, and the other way round; the reason is in the health."""
    for stuck, other in (("dead", "alerts"), ("alerts", "dead")):
        world = World()
        owner = opened(world, 8)
        world.sink.stuck = {stuck}
        running = asyncio.create_task(world.publisher.run())
        for offset in range(0, 8, 2):
            world.publisher.put(letter(owner, offset))
            world.publisher.put(alert(owner, offset + 1))
            await asyncio.sleep(10 * RETRY_S)
        assert set(topics(world)) == {other}
        assert [value for batch in values(world) for value in batch] == list(range(other == "alerts", 8, 2))
        assert list(world.health.blocked_topics) == [stuck]
        assert "Create it." in world.health.blocked_topics[stuck]
        world.sink.stuck = set()
        world.publisher.end()
        await running
        assert owner.ledger.outstanding == 0
        assert world.health.blocked_topics == {}


@virtually
async def test_a_topic_that_waits_for_the_operator_is_asked_less_often() -> None:
    """Pauses grow to four times the first one, so that the topic is found within seconds after it is created."""
    world = World()
    owner = opened(world, 1)
    world.sink.stuck = {"alerts"}
    world.publisher.put(alert(owner))
    with capture() as caught:
        running = asyncio.create_task(world.publisher.run())
        await asyncio.sleep(12 * RETRY_S)
        running.cancel()
    assert [event["retry_in_s"] for event in events(caught, "publish_failed")] == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert {event["hint"] for event in events(caught, "publish_failed")} == {"create it"}


@virtually
async def test_the_queue_is_bounded_in_bytes() -> None:
    """Each topic has its bound, and the publisher wakes the waiters when there is room again."""
    world = World()
    owner = opened(world, 3)
    beats: list[bool] = []
    publisher = Publisher(
        world.sink,
        world.clock,
        world.telemetry,
        world.health,
        retry_s=RETRY_S,
        done=world._done,
        moved=lambda: beats.append(publisher.is_full()),
        max_waiting_bytes=10_000,
    )
    world.sink.stuck = {"dead"}
    publisher.put(letter(owner, 0, value=b"1" * 4_000))
    assert 4_000 < publisher.waiting_bytes < 6_000
    assert not publisher.is_full()
    publisher.put(alert(owner, 1, value=b"1" * 11_000))
    assert (publisher.is_full("dead"), publisher.is_full("alerts"), publisher.is_full()) == (False, True, True)
    running = asyncio.create_task(publisher.run())
    await asyncio.sleep(0.1)
    assert not publisher.is_full()
    assert False in beats
    assert metric(world.telemetry, "waiting_bytes") == publisher.waiting_bytes > 4_000
    world.partitions.close([owner])
    publisher.drop_ended()
    assert (publisher.waiting_bytes, len(publisher)) == (0, 0)
    publisher.end()
    await asyncio.sleep(10 * RETRY_S)
    assert running.done()


@virtually
async def test_the_end_comes_after_everything_that_waits() -> None:
    """A drain ends the lanes, not what waits in them."""
    world = World()
    owner = opened(world, 3)
    world.sink.stuck = {"dead"}
    running = asyncio.create_task(world.publisher.run())
    world.publisher.put(letter(owner, 0))
    world.publisher.end()
    await asyncio.sleep(10 * RETRY_S)
    assert not running.done()
    world.publisher.put(alert(owner, 1))
    world.sink.stuck = set()
    await running
    assert owner.ledger.outstanding == 1, "the third line"


# ---------------------------------------------------------------- revoked partitions


@virtually
async def test_a_retry_leaves_revoked_partitions_to_the_next_owner() -> None:
    """One partition was revoked while the broker was silent: its alert is dropped, the others are sent."""
    world = World()
    lost, kept = opened(world, 1, 0), opened(world, 1, 1)
    world.publisher.put(alert(lost))
    world.publisher.put(alert(kept))
    world.publisher.end()
    world.sink.refusals = [BrokerUnavailable("b:1", "down")]
    asyncio.get_running_loop().call_later(RETRY_S / 2, world.partitions.close, [lost])
    await world.publisher.run()
    assert [len(batch) for batch in values(world)] == [1]
    assert world.done == [(kept.generation, [0])]


@virtually
async def test_nothing_is_sent_when_all_was_revoked() -> None:
    """A batch of nothing but ended assignments is no request."""
    world = World()
    owner = opened(world, 1)
    world.publisher.put(alert(owner))
    world.publisher.end()
    world.partitions.close([owner])
    world.publisher.drop_ended()
    await world.publisher.run()
    assert (world.sink.sent, world.done) == ([], [])
    assert metric(world.telemetry, "alerts_total") == 0


@virtually
async def test_ended_publications_leave_the_queue_and_the_others_stay_in_order() -> None:
    """The next owner makes them again; they take no memory here."""
    world = World()
    lost, kept = opened(world, 9, 0), opened(world, 9, 1)
    for offset, owner in enumerate([kept, lost, kept, lost, kept]):
        world.publisher.put(alert(owner, offset))
    before = world.publisher.waiting_bytes
    world.partitions.close([lost])
    world.publisher.drop_ended()
    assert len(world.publisher) == 3
    assert world.publisher.waiting_bytes == before * 3 // 5
    world.publisher.end()
    await world.publisher.run()
    assert values(world) == [[0, 2, 4]]


# ---------------------------------------------------------------- counting


@virtually
async def test_an_alert_measures_its_delay_and_a_dead_letter_its_stage() -> None:
    """Alerts and dead letters are counted apart, and only when the broker has them."""
    world = World()
    owner = opened(world, 3)
    world.publisher.put(alert(owner, delay_ms=1_500))
    world.publisher.put(letter(owner, 1))
    world.publisher.put(letter(owner, 2))
    world.publisher.end()
    await world.publisher.run()
    assert metric(world.telemetry, "alerts_total") == 1
    assert metric(world.telemetry, "dead_letters_total", stage="json") == 2
    assert metric(world.telemetry, "detection_delay_seconds_sum") == 1.5
    assert metric(world.telemetry, "detection_delay_seconds_count") == 1
    assert owner.ledger.outstanding == 0


@virtually
async def test_refused_credentials_end_the_daemon() -> None:
    """A password that was changed does not come back by itself: the error ends every lane."""
    world = World()
    owner = opened(world, 2)
    world.publisher.put(alert(owner))
    world.publisher.put(letter(owner, 1))
    world.sink.refusals = [BrokerRefused("wrong password")]
    with pytest.raises(ExceptionGroup) as group:
        await world.publisher.run()
    assert group.group_contains(BrokerRefused, match="wrong password")
    assert owner.ledger.outstanding >= 1
