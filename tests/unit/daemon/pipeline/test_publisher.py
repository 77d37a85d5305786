"""Publications on their way to the broker: their order, how many at once, and what an acknowledgement does."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.records import Message
from tests.fakes import LOGS, RETRY_S, World, capture, events, metric, virtually
from tests.sim.loop import now_s

TOGETHER = 256


def alert(*owners: Assignment, offset: int = 0, delays_ms: tuple[int, ...] = ()) -> Publication:
    return Publication(
        kind=PublicationKind.ALERTS,
        messages=(Message(topic="alerts", key=None, value=b"%d" % offset),),
        marks=[(owner, np.array([offset])) for owner in owners],
        delays_ms=delays_ms,
    )


def opened(world: World, lines: int, number: int = 0) -> Assignment:
    assignment = world.assign(LOGS[number])
    assignment.ledger.open(np.arange(lines))
    return assignment


def values(world: World) -> list[list[int]]:
    return [[int(message.value or b"") for message in batch] for batch in world.sink.sent]


@virtually
async def test_a_backlog_is_sent_in_order_and_in_parts() -> None:
    """A backlog sent as one could outlast the time-out of a request at every try."""
    world = World()
    owner = opened(world, 600)
    for offset in range(600):
        world.publisher.put(alert(owner, offset=offset))
    world.publisher.end()
    assert len(world.publisher) == 601
    await world.publisher.run()
    assert [len(batch) for batch in values(world)] == [TOGETHER, TOGETHER, 600 - 2 * TOGETHER]
    assert [value for batch in values(world) for value in batch] == list(range(600))
    assert world.done == [(1, [offset]) for offset in range(600)]
    assert metric(world.telemetry, "alerts_total") == 600
    assert owner.ledger.position() == 600


@virtually
async def test_what_comes_alone_is_sent_at_once() -> None:
    """The publisher waits for the next publication, not for a batch of them."""
    world = World()
    owner = opened(world, 2)
    running = asyncio.create_task(world.publisher.run())
    for offset in (0, 1):
        await asyncio.sleep(1)
        world.publisher.put(alert(owner, offset=offset))
        await asyncio.sleep(0.1)
        assert len(values(world)) == offset + 1
    world.publisher.end()
    await running


@virtually
async def test_the_end_comes_after_everything_queued_before() -> None:
    """A drain ends the loop, not what waits in it; a batch that meets the end leaves it the last."""
    world = World()
    owner = opened(world, 3)
    world.publisher.put(alert(owner, offset=0))
    world.publisher.put(alert(owner, offset=1))
    world.publisher.end()
    world.publisher.drop_ended()
    assert len(world.publisher) == 3, "the end is no publication of an ended assignment"
    await world.publisher.run()
    assert values(world) == [[0, 1]]
    assert len(world.publisher) == 0


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
    await world.publisher.run()
    assert (world.sink.sent, world.done) == ([], [])
    assert metric(world.telemetry, "alerts_total") == 0


@virtually
async def test_ended_publications_leave_the_queue_and_the_others_stay_in_order() -> None:
    """A publication that still marks a line of an assigned partition is sent, as that line waits for it."""
    world = World()
    lost, kept = opened(world, 9, 0), opened(world, 9, 1)
    for offset, owners in enumerate([(kept,), (lost,), (lost, kept), (lost,), (kept,)]):
        world.publisher.put(alert(*owners, offset=offset))
    world.partitions.close([lost])
    world.publisher.drop_ended()
    assert len(world.publisher) == 3
    world.publisher.end()
    await world.publisher.run()
    assert values(world) == [[0, 2, 4]]


@virtually
async def test_an_alert_measures_its_delay_and_a_dead_letter_its_stage() -> None:
    """Alerts and dead letters are counted apart, and only when the broker has them."""
    world = World()
    owner = opened(world, 3)
    world.publisher.put(alert(owner, delays_ms=(1_500,)))
    world.publisher.put(
        Publication(
            kind=PublicationKind.DEAD_LETTERS,
            messages=(Message(topic="dead", key=None, value=b"1"), Message(topic="dead", key=None, value=b"2")),
            marks=[(owner, np.array([1])), (owner, np.array([2]))],
            stages=("json", "json"),
        )
    )
    world.publisher.end()
    await world.publisher.run()
    assert metric(world.telemetry, "alerts_total") == 1
    assert metric(world.telemetry, "dead_letters_total", stage="json") == 2
    assert metric(world.telemetry, "detection_delay_seconds_sum") == 1.5
    assert metric(world.telemetry, "detection_delay_seconds_count") == 1
    assert owner.ledger.outstanding == 0


@virtually
async def test_a_refused_message_ends_the_loop() -> None:
    """The publisher may neither drop the alert nor send it again, as the broker would refuse it again."""
    world = World()
    owner = opened(world, 1)
    world.publisher.put(alert(owner))
    world.sink.refusals = [BrokerRefused("too large")]
    with pytest.raises(BrokerRefused):
        await world.publisher.run()
    assert owner.ledger.outstanding == 1
