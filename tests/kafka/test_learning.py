"""The first start of a group, on a real broker: it learns from what the topic holds, and is useful from then on."""

from __future__ import annotations

from tests.kafka.broker import create_topics
from tests.kafka.evidence import Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S
from tests.kafka.test_state import COMPACTED, Everything
from tests.kafka.topics import LOG_PARTITIONS, Topics

SERVICES = 40
SHIPPED: dict[str, object] = {
    "MODEL__PATH": "",
    "ALERTS__THRESHOLD": "",
    "ALERTS__LEARNING_LINES": 100,
    "WINDOW__SIZE": 32,
    "JOIN__ENABLED": "false",
}


async def test_the_first_fault_after_the_first_start_is_found(topics: Topics, forked_fleet: Fleet) -> None:
    """Two members that start together learn the topic's past: none of it is an alert, and the next fault is."""
    state = topics.named("state")
    await create_topics(topics.bootstrap, {state: LOG_PARTITIONS}, configs=COMPACTED)
    settings = {**SHIPPED, "KAFKA__STATE_TOPIC": state, "KAFKA__FIRST_START": "latest"}
    async with (
        Traffic.to(topics.bootstrap, topics.logs, services=SERVICES) as traffic,
        Everything.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        past = await traffic.send(SERVICES * 200)
        await traffic.send_of(range(0, SERVICES, 2), line=b"ERROR quota of tenant exceeded, request refused")
        ends = dict.fromkeys(range(LOG_PARTITIONS), 0)
        for place in traffic.sent:
            ends[place.partition] = max(ends[place.partition], place.offset + 1)
        members = [forked_fleet.start(**settings) for _ in range(2)]
        await eventually(lambda: all(member.ready() for member in members), READY_S, "two ready members")
        await eventually(
            lambda: sum(member.metric("logwarden_learned_records_total") for member in members) >= len(past),
            READY_S,
            "the past learned",
        )
        await traffic.send(SERVICES * 2)
        faults = await traffic.send_faults(0)
        await eventually(lambda: alerts.covers(faults), READY_S, "an alert of every service")
        judged = [place for place in alerts.places if place.offset < ends[place.partition]]
    assert not judged
    assert sum(member.metric("logwarden_learning_partitions") for member in members) == 0
