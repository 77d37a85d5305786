"""What the publisher reports to health: each topic that takes nothing, and none for which nothing waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.readiness import reasons
from logwarden.daemon.records import Delivery, Message
from tests.fakes import LOGS, FakeSink, World, virtually
from tests.unit.daemon.pipeline.test_publisher import alert, letter


class OneSided(FakeSink):
    """Takes dead letters; the leader of the alerts topic does not answer."""

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        await asyncio.sleep(0.5)
        if topic == "alerts":
            raise BrokerUnavailable("kafka:9092", "the leader does not answer")
        return await super().send(topic, messages)


def publishing(world: World) -> None:
    """Lets alerts wait for a leader that does not answer, beside dead letters that arrive."""
    world.health.warm = world.health.assigned = True
    world.publisher._sink = OneSided()


@virtually
async def test_a_topic_that_takes_nothing_is_named_beside_one_that_does() -> None:
    """Dead letters that arrive hide no alerts topic whose leader is gone."""
    world = World()
    publishing(world)
    owner = world.assign()
    owner.ledger.open(np.arange(40))
    running = asyncio.create_task(world.publisher.run())
    world.publisher.put(alert(owner, 0))
    for offset in range(1, 30):
        world.publisher.put(letter(owner, offset))
        await asyncio.sleep(1)
    running.cancel()
    assert [(reason.code, reason.topic) for reason in reasons(world.health)] == [("publish_blocked", "alerts")]


@virtually
async def test_a_topic_for_which_nothing_waits_is_not_blocked() -> None:
    """A revoke takes the waiting alerts away; the member cannot know whether their topic takes messages again."""
    world = World()
    publishing(world)
    owner = world.assign(LOGS[0])
    owner.ledger.open(np.arange(1))
    running = asyncio.create_task(world.publisher.run())
    world.publisher.put(alert(owner, 0))
    await asyncio.sleep(30)
    assert [reason.topic for reason in reasons(world.health)] == ["alerts"]
    owner.ended = True
    world.publisher.drop_ended()
    await asyncio.sleep(5)
    running.cancel()
    assert reasons(world.health) == []


@virtually
async def test_a_result_that_comes_after_the_revoke_leaves_no_work_behind() -> None:
    """An alert of an ended assignment is dropped, and no stage counts as stalled because of it."""
    world = World()
    publishing(world)
    owner = world.assign()
    owner.ended = True
    running = asyncio.create_task(world.publisher.run())
    world.publisher.put(alert(owner, 0))
    await asyncio.sleep(600)
    running.cancel()
    assert reasons(world.health) == []
    assert world.health.hung_s("publish") == 0
