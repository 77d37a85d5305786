"""A state topic that takes nothing holds up neither alerts nor offsets."""

from __future__ import annotations

import asyncio

from logwarden.daemon.errors import TopicUnusable
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.state_writer import FIRST_RETRY_S, PATIENCE_S, StateWriter
from logwarden.daemon.readiness import figures, reasons
from logwarden.daemon.records import Committed
from logwarden.daemon.state.journal import Cut, Journal, StateEntry
from tests.fakes import World, metric, virtually
from tests.sim.loop import now_s

POSITION = Committed(20, "")


def owner_of(world: World) -> Assignment:
    """Returns an assignment with a cut that waits for the state topic."""
    owner = world.assign()
    owner.journal = Journal("r", replay_from=0, marks=())
    owner.journal.captured(Cut(end=20, replay_from=20, entries=[StateEntry(b"key", b"value")]))
    return owner


@virtually
async def test_a_missing_topic_is_reported_and_tried_again_later() -> None:
    """Readiness states the command that helps, the member stays ready, and the topic counts once it is there."""
    world = World()
    owner, writer = owner_of(world), StateWriter(world.ports, "state")
    world.sink.refusals = [TopicUnusable("state", "it does not exist", hint="create it with `kafka-topics.sh`")]
    await writer.write({owner: POSITION}, 10.0)
    assert "kafka-topics.sh" in figures(world.health)["without_memory"][0]
    assert not [reason for reason in reasons(world.health) if reason.topic]
    assert metric(world.telemetry, "state_failures_total", stage="write") == 1
    await writer.write({owner: POSITION}, 10.0)
    assert not world.sink.sent, "not before its time"
    await asyncio.sleep(FIRST_RETRY_S)
    await writer.write({owner: POSITION}, 10.0)
    assert [message.key for [message] in world.sink.sent] == [b"key"]
    assert not figures(world.health)["without_memory"]
    assert owner.journal is not None
    assert owner.journal.at(20)[1], "the next commit names the cut"


@virtually
async def test_a_topic_that_hangs_leaves_the_offsets_their_time() -> None:
    """Half of a checkpoint's time is the most that the state topic gets."""
    world = World()
    owner = owner_of(world)

    async def hang(*_: object) -> list[object]:
        await asyncio.sleep(3_600)
        return []

    world.sink.send = hang  # type: ignore[method-assign, assignment]
    await StateWriter(world.ports, "state").write({owner: POSITION}, 100.0)
    assert now_s() == PATIENCE_S
    await StateWriter(world.ports, "state").write({owner: POSITION}, 0.5)
    assert now_s() == PATIENCE_S + 0.5
    assert owner.journal is not None
    assert not owner.journal.at(20)[1]
