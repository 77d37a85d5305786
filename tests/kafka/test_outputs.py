"""Output topics as they are in the field: missing, deleted, compacted, or too small for an alert."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.broker import create_topics
from tests.kafka.evidence import AlertLog, Group, Traffic, eventually, produce, read_all
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member
from tests.kafka.topics import LOG_PARTITIONS, Topics

BAD = b'{"one bad record'
AFTER_S = 20.0
"""Time limit for what waits for a topic, after the topic was created: the longest pause, a metadata round, a batch."""


def group_of(topics: Topics) -> Group:
    return Group(topics.bootstrap, topics.group, topics.logs, LOG_PARTITIONS)


async def bury(topics: Topics, count: int = 1, *, key: bytes | None = b"web-0") -> None:
    """Sends records without a readable line."""
    await produce(topics.bootstrap, topics.logs, [(key, BAD, 0)] * count)


def blocks(member: Member, topic: str) -> bool:
    """Returns True if readiness names the topic and the command that creates it."""
    body = member.body("/readyz")
    return member.status("/readyz") == 503 and topic in body and "kafka-topics.sh" in body


def ids_in(records: list[Any]) -> Counter[str]:
    return Counter(dict(record.headers)["ce_id"].decode() for record in records)


async def test_a_missing_dead_letter_topic_stops_no_alert(topics: Topics, fleet: Fleet) -> None:
    """One bad record waits for its topic, readiness names it, and the alerts go on; once it exists, all is done."""
    missing = topics.named("not-yet")
    member = fleet.start(KAFKA__DEAD_LETTER_TOPIC=missing)
    await eventually(member.ready, READY_S, "a ready member")
    await bury(topics)
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        await eventually(lambda: blocks(member, missing), 30, "the reason in /readyz")
        sent = await traffic.send(200)
        await eventually(lambda: alerts.covers(sent), 20, "an alert for every line")
        await create_topics(topics.bootstrap, {missing: 1})
        await eventually(group_of(topics).is_done, AFTER_S, "lag 0")
    assert [letter.value for letter in await read_all(topics.bootstrap, missing)] == [BAD]
    await eventually(member.ready, 10, "readiness")
    assert member.terminate() == 0
    assert "Unclosed" not in member.log()


async def test_a_missing_alerts_topic_stops_no_dead_letter(topics: Topics, fleet: Fleet) -> None:
    """Alerts wait for their topic and each arrives once, while dead letters go on."""
    missing = topics.named("not-yet")
    member = fleet.start(KAFKA__ALERTS_TOPIC=missing)
    await eventually(member.ready, READY_S, "a ready member")
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        sent = await traffic.send(600)
    await eventually(lambda: blocks(member, missing), 30, "the reason in /readyz")
    await bury(topics, 3)
    await eventually(lambda: member.metric("logwarden_dead_letters_total") == 3, 20, "the dead letters")
    assert member.metric("logwarden_alerts_total") == 0
    assert member.metric("logwarden_waiting_bytes") > 600_000
    await create_topics(topics.bootstrap, {missing: 1})
    await eventually(group_of(topics).is_done, AFTER_S, "lag 0")
    async with AlertLog.reading(topics.bootstrap, missing) as alerts:
        await eventually(lambda: alerts.covers(sent), 10, "an alert for every line")
        findings = alerts.findings(sent)
    assert (findings.faults, findings.delivered_again) == (0, 0), findings
    assert member.terminate() == 0


async def test_a_topic_of_small_messages_takes_every_alert(topics: Topics, fleet: Fleet) -> None:
    """The limit of a topic is one on a batch on the wire: 300 alerts of 6 KB pass one of 60,000 bytes."""
    small = topics.named("small")
    await create_topics(topics.bootstrap, {small: 1}, configs={"max.message.bytes": "60000"})
    member = fleet.start(KAFKA__ALERTS_TOPIC=small, KAFKA__COMPRESSION="none", WINDOW__SIZE=32)
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, small) as alerts,
    ):
        sent = await traffic.send(800)
        await eventually(member.ready, READY_S, "a ready member")
        await eventually(lambda: alerts.covers(sent), 20, "an alert for every line")
        findings = alerts.findings(sent)
    assert (findings.faults, findings.delivered_again) == (0, 0), findings
    assert sum(len(record.value) > 5_500 for record in alerts.records) >= 300
    assert member.terminate() == 0


async def test_one_alert_that_is_too_large_harms_no_other(topics: Topics, fleet: Fleet) -> None:
    """It is shortened until it fits; one that cannot be so short goes to the dead letters, with its id."""
    small = topics.named("small")
    await create_topics(topics.bootstrap, {small: 1}, configs={"max.message.bytes": "1800"})
    wordy = b"n" * 900
    records = [(key, b"line %d " % i + b"x" * 700 * (i % 2), 0) for i in range(20) for key in (b"web", wordy)]
    await produce(topics.bootstrap, topics.logs, records)
    member = fleet.start(KAFKA__ALERTS_TOPIC=small)
    await eventually(member.ready, READY_S, "a ready member")
    await eventually(group_of(topics).is_done, 30, "lag 0")
    delivered = await read_all(topics.bootstrap, small)
    alerts = [json.loads(record.value) for record in delivered]
    assert {alert["service"]["name"] for alert in alerts} == {"web"}
    assert sorted(alert["logwarden"]["source"]["last_offset"] for alert in alerts) == list(range(0, 40, 2))
    assert set(ids_in(delivered).values()) == {1}
    shortened = [alert for alert in alerts if alert["logwarden"].get("shortened")]
    assert len(shortened) >= 10
    assert all(alert["logwarden"]["lines"][-1]["newest"] for alert in shortened)
    buried = [
        (dict(letter.headers), json.loads(letter.value))
        for letter in await read_all(topics.bootstrap, topics.dead_letters)
    ]
    assert sorted(int(headers["x-original-offset"]) for headers, _ in buried) == list(range(1, 40, 2))
    assert all(headers["x-alert-id"].decode() == alert["id"] for headers, alert in buried)
    assert {headers["x-error-stage"] for headers, _ in buried} == {b"publish"}
    assert member.terminate() == 0


async def test_a_compacted_dead_letter_topic_takes_records_without_a_key(topics: Topics, fleet: Fleet) -> None:
    """A compacted topic refuses records without a key, so every dead letter has one; an operator is warned."""
    compacted = topics.named("compacted")
    await create_topics(topics.bootstrap, {compacted: 1}, configs={"cleanup.policy": "compact"})
    member = fleet.start(KAFKA__DEAD_LETTER_TOPIC=compacted)
    await eventually(member.ready, READY_S, "a ready member")
    await bury(topics, 2, key=None)
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        sent = await traffic.send(50)
        await eventually(lambda: alerts.covers(sent), 20, "an alert for every line")
        await eventually(group_of(topics).is_done, 10, "lag 0")
    letters = await read_all(topics.bootstrap, compacted)
    assert [letter.key.decode() for letter in letters] == [f"{topics.logs}/0/0", f"{topics.logs}/0/1"]
    assert [event["topic"] for event in member.events("output_topic_compacted")] == [compacted]
    assert member.terminate() == 0
    assert "Unclosed" not in member.log()


async def test_an_alerts_topic_is_deleted_and_made_again(topics: Topics, fleet: Fleet) -> None:
    """Alerts of that time wait, readiness names the topic, and all arrive in the new one; the daemon runs on."""
    member = fleet.start()
    await eventually(member.ready, READY_S, "a ready member")
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap)
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        await traffic.send(50)
        await eventually(group_of(topics).is_done, 20, "lag 0")
        try:
            await admin.start()
            await admin.delete_topics([topics.alerts])
        finally:
            await admin.close()
        sent = await traffic.send(100)
    await eventually(lambda: blocks(member, topics.alerts), 30, "the reason in /readyz")
    await create_topics(topics.bootstrap, {topics.alerts: 1})
    await eventually(group_of(topics).is_done, AFTER_S, "lag 0")
    async with AlertLog.reading(topics.bootstrap, topics.alerts) as alerts:
        await eventually(lambda: alerts.covers(sent), 10, "an alert for every line")
        assert alerts.findings(sent).faults == 0
    await eventually(member.ready, 10, "readiness")
    assert member.terminate() == 0
