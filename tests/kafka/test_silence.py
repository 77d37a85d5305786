"""A service that falls silent, on a real broker: an alert of its own, and the same one after a restart."""

from __future__ import annotations

import asyncio

import msgspec

from tests.kafka.broker import create_topics
from tests.kafka.evidence import Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S
from tests.kafka.test_state import COMPACTED, Everything
from tests.kafka.topics import LOG_PARTITIONS, Topics

SILENT, TALKING = 4, 0  # of one partition
SETTINGS: dict[str, object] = {"ALERTS__KINDS": "silence", "ALERTS__LEARNING_LINES": 5, "JOIN__ENABLED": "false"}


async def test_a_silence_is_one_alert_for_all_owners(topics: Topics, forked_fleet: Fleet) -> None:
    """It names the service, its id is that of the silence, and the offsets of the others go on without it."""
    state = topics.named("state")
    await create_topics(topics.bootstrap, {state: LOG_PARTITIONS}, configs=COMPACTED)
    settings = {**SETTINGS, "KAFKA__STATE_TOPIC": state}
    first = forked_fleet.start(**settings)
    async with (
        Traffic.to(topics.bootstrap, topics.logs, services=8) as traffic,
        Everything.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        await eventually(first.ready, READY_S, "a ready member")
        for _ in range(10):
            await traffic.send_of([SILENT, TALKING])
            await asyncio.sleep(0.05)
        async with asyncio.timeout(60):
            while not alerts.records:
                await traffic.send_of([TALKING])
                await alerts.read()
                await asyncio.sleep(0.2)
        first.kill()
        second = forked_fleet.start(**settings)
        await eventually(second.ready, READY_S, "the next owner")
        async with asyncio.timeout(60):
            while len(alerts.records) < 2:
                await traffic.send_of([TALKING])
                await alerts.read()
                await asyncio.sleep(0.2)
    found = alerts.by_id()
    assert len(found) == 1
    (alert,) = (msgspec.convert(one[0], dict) for one in found.values())
    assert (alert["service"]["name"], alert["logwarden"]["kind"]) == (f"service-{SILENT}", "silence")
    assert alert["logwarden"]["silence"]["seconds"] >= 3
