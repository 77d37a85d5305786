"""Messages that an output topic will never take: shortened, buried, or counted, while the others go on."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from logwarden.daemon.incidents.alert import alert_message, build_alert, decode_alert
from logwarden.daemon.pipeline.lane import REFUSALS
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.records import Delivery
from logwarden.model.schema import AlertKind, LogLine, LogWindow, Verdict
from tests.fakes import RETRY_S, World, capture, events, metric, virtually
from tests.sim.loop import now_s
from tests.unit.daemon.pipeline.test_publisher import alert, letter, opened, topics


def whole_alert(owner: Assignment, *, lines: int = 32, chars: int = 1_000) -> Publication:
    """Returns the publication of a real alert."""
    shown = tuple(LogLine(text=f"line {i} " + "x" * chars, offset=i, weight=1 / lines) for i in range(lines))
    verdict = Verdict(
        window=LogWindow(service="web", lines=shown, topic="logs"),
        probabilities=(0.1, 0.9),
        logits=(0.0, 1.0),
        threshold=0.5,
        learning=False,
        history_lines=4_000,
        model_revision="r",
        kind=AlertKind.NEW_LINE,
    )
    message = alert_message(build_alert(verdict, now_ms=None), "alerts")
    return Publication(kind=PublicationKind.ALERT, content=message, owner=owner, offsets=np.array([0]))


@virtually
async def test_an_alert_that_is_too_large_is_shortened_until_it_fits() -> None:
    """The alert keeps its id and its newest line, and reports that it was shortened; the others do not wait."""
    world = World()
    owner = opened(world, 2)
    world.sink.deliver = lambda message: (
        Delivery.TOO_LARGE if len(message.value or b"") > 4_000 else Delivery.ACKNOWLEDGED
    )
    publication = whole_alert(owner)
    world.publisher.put(publication)
    world.publisher.put(alert(owner, 1))
    world.publisher.end()
    await world.publisher.run()
    assert owner.ledger.outstanding == 0
    assert now_s() == 0, "no pause: every answer decided something"
    before = decode_alert(publication.message.value or b"")
    after = decode_alert(world.sink.sent[-1][0].value or b"")
    assert (after.id, after.logwarden.shortened, before.logwarden.shortened) == (before.id, True, False)
    assert after.logwarden.lines[-1].newest
    assert world.sink.sent[-1][0].headers == publication.message.headers
    assert metric(world.telemetry, "alerts_total") == 2


@virtually
async def test_an_alert_that_cannot_be_short_enough_is_buried() -> None:
    """It goes to the dead-letter topic as a whole, its lines are done there, and nothing blocks."""
    world = World()
    owner = opened(world, 1)
    world.sink.deliver = lambda message: Delivery.TOO_LARGE if message.topic == "alerts" else Delivery.ACKNOWLEDGED
    publication = whole_alert(owner)
    world.publisher.put(publication)
    world.publisher.end()
    with capture() as caught:
        await world.publisher.run()
    (buried,) = world.sink.sent[-1]
    assert (buried.topic, buried.value) == ("dead", publication.message.value)
    assert dict(buried.headers)["x-alert-id"].decode() == json.loads(publication.message.value or b"")["id"]
    assert metric(world.telemetry, "dead_letters_total", stage="publish") == 1
    assert metric(world.telemetry, "alerts_total") == 0
    assert owner.ledger.outstanding == 0
    (event,) = events(caught, "alert_refused")
    assert (event["topic"], event["partition"], event["offset"], event["output_topic"]) == ("logs", 0, 0, "alerts")


@virtually
async def test_a_refusal_counts_only_when_it_is_repeated() -> None:
    """The broker's error for a bad message is also one for its own passing troubles: a third refusal decides."""
    world = World()
    owner = opened(world, 2)
    answers = iter([Delivery.REFUSED, Delivery.REFUSED, Delivery.ACKNOWLEDGED] + [Delivery.REFUSED] * REFUSALS)
    world.sink.deliver = lambda message: next(answers) if message.topic == "alerts" else Delivery.ACKNOWLEDGED
    running = asyncio.create_task(world.publisher.run())
    world.publisher.put(alert(owner, 0))
    await asyncio.sleep(10 * RETRY_S)
    assert topics(world) == ["alerts"] * 3
    world.publisher.put(alert(owner, 1))
    world.publisher.end()
    await running
    assert topics(world) == ["alerts"] * 6 + ["dead"]
    assert owner.ledger.outstanding == 0


@pytest.mark.parametrize("outcome", [Delivery.TOO_LARGE, Delivery.REFUSED])
@virtually
async def test_a_dead_letter_that_no_topic_takes_is_counted(outcome: Delivery) -> None:
    """A dead letter that is too large is halved first; then its line is done, counted as lost, and logged once."""
    world = World()
    owner = opened(world, 2)
    world.sink.deliver = lambda message: Delivery.ACKNOWLEDGED if message.value == b"1" else outcome
    world.publisher.put(letter(owner, 0, value=b"v" * 1_000))
    world.publisher.put(letter(owner, 1))
    world.publisher.end()
    with capture() as caught:
        await world.publisher.run()
    assert owner.ledger.outstanding == 0
    assert metric(world.telemetry, "lost_messages_total", topic="dead") == 1
    assert metric(world.telemetry, "dead_letters_total", stage="json") == 1
    (event,) = events(caught, "dead_letter_lost")
    assert (event["topic"], event["partition"], event["offset"]) == ("logs", 0, 0)
    sizes = [len(batch[0].value or b"") for batch in world.sink.sent]
    assert sizes == ([1_000, 500, 250, 125, 64] if outcome is Delivery.TOO_LARGE else [1_000] * REFUSALS)
