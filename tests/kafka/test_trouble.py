"""A broker that is absent, dies, hangs, refuses, or has deleted offsets: the daemon's report, and that it continues."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import AlertLog, Group, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member
from tests.kafka.topics import LOG_PARTITIONS, Topics

OUTAGE_S = 60.0
"""Time limit for a group's assignment after an outage: client back-off, session time-out, rebalance."""


def group_of(topics: Topics) -> Group:
    return Group(topics.bootstrap, topics.group, topics.logs, LOG_PARTITIONS)


def assert_one_sentence(member: Member, *words: str) -> None:
    """Checks that the command ends with one sentence, perhaps a hint under it, and no traceback."""
    plain = [line for line in member.log().splitlines() if not line.startswith("{")]
    assert plain, member.log()
    assert plain[0].startswith("logwarden: ")
    assert len(plain) <= 2, plain
    for word in words:
        assert word in plain[0], plain
    assert "Traceback" not in member.log()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_no_broker_at_the_start(topics: Topics, fleet: Fleet, broker: Broker, closed_port: int) -> None:
    """A daemon without a broker is alive, not ready, and reports why; it ends at its time limit, or works once a
    broker answers."""
    no_broker = {"KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{closed_port}", "KAFKA__START_TIMEOUT_S": 2}
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        sent = await traffic.send(20)
    await asyncio.to_thread(broker.kill)
    waiting, impatient = fleet.start(), fleet.start(**no_broker)
    await eventually(lambda: waiting.events("broker_unavailable"), READY_S, "the warning")
    assert (waiting.status("/livez"), waiting.status("/readyz")) == (200, 503)
    assert topics.bootstrap in waiting.events("broker_unavailable")[0]["error"]
    assert waiting.events("broker_unavailable")[0]["hint"]
    assert await asyncio.to_thread(impatient.wait, READY_S) == 1
    assert_one_sentence(impatient, f"127.0.0.1:{closed_port}", "retries ended after 2 s")
    await asyncio.to_thread(broker.start)
    async with AlertLog.reading(topics.bootstrap, topics.alerts) as alerts:
        await eventually(waiting.ready, OUTAGE_S, "readiness")
        await eventually(lambda: alerts.covers(sent), 20, "an alert for every line")


async def test_the_broker_dies_and_hangs(topics: Topics, fleet: Fleet, broker: Broker) -> None:
    """A broker that is killed and restarted, or hangs for longer than a request may take, costs time only."""
    request_s = 3
    member = fleet.start(KAFKA__REQUEST_TIMEOUT_MS=1_000 * request_s)
    async with AlertLog.reading(topics.bootstrap, topics.alerts) as alerts:
        sent = []
        async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
            await eventually(member.ready, READY_S, "a ready member")
            sent += await traffic.send(200)
        await asyncio.to_thread(broker.restart)
        async with Traffic.to(topics.bootstrap, topics.logs, seed=2) as traffic:
            sent += await traffic.send(200)
            await eventually(lambda: alerts.covers(sent), OUTAGE_S, "an alert for every line, after the kill")
            sent += await traffic.send(200)
        broker.suspend()
        await eventually(
            lambda: member.events("publish_failed") or member.events("commit_failed"),
            20,
            "a request that took too long",
        )
        broker.resume()
        async with Traffic.to(topics.bootstrap, topics.logs, seed=3) as traffic:
            sent += await traffic.send(200)
            await eventually(lambda: alerts.covers(sent), OUTAGE_S, "an alert for every line, after the hang")
        await eventually(group_of(topics).is_done, 20, "lag 0")
        findings = alerts.findings(sent)
    assert findings.faults == 0, findings
    assert member.status("/readyz") == 200
    assert member.terminate() == 0


async def test_a_wrong_password_is_refused_in_one_sentence(topics: Topics, fleet: Fleet, broker: Broker) -> None:
    """A wrong password ends the daemon at once, naming the user and not the password; the right one works."""
    login = {
        "KAFKA__BOOTSTRAP_SERVERS": broker.sasl_bootstrap,
        "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA__SASL_USERNAME": broker.sasl_user,
    }
    wrong = fleet.start(**login, KAFKA__SASL_PASSWORD="wr0ng-s3cret", LOG__LEVEL="debug")
    right = fleet.start(**login, KAFKA__SASL_PASSWORD=broker.sasl_password, KAFKA__SASL_MECHANISM="SCRAM-SHA-256")
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        sent = await traffic.send(20)
        await eventually(lambda: alerts.covers(sent), READY_S, "an alert for every line")
    assert await asyncio.to_thread(wrong.wait, 20) == 1
    assert_one_sentence(wrong, repr(broker.sasl_user))
    assert "wr0ng-s3cret" not in wrong.log()
    assert broker.sasl_password not in right.log()


async def test_an_input_topic_may_come_later(topics: Topics, fleet: Fleet) -> None:
    """An input topic that does not exist is reported, and read once it exists."""
    late = topics.named("late")
    member = fleet.start(KAFKA__INPUT_TOPICS=f"{topics.logs},{late}")
    await eventually(member.ready, READY_S, "a ready member")
    assert [event["topic"] for event in member.events("input_topic_missing")] == [late]
    await create_topics(topics.bootstrap, {late: 1})
    async with (
        Traffic.to(topics.bootstrap, late, partitions=1) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        sent = await traffic.send(10)
        await eventually(lambda: alerts.covers(sent), 30, "its lines, at the latest after metadata's next round")


async def test_retention_that_overtook_the_group(topics: Topics, fleet: Fleet) -> None:
    """Lines that retention deleted are an incident, logged and counted; the oldest line kept is the next one."""
    async with (
        Traffic.to(topics.bootstrap, topics.logs, partitions=1) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        deleted, kept = await traffic.send(50), await traffic.send(10)
        await group_of(topics).commit(0, 20)
        admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap)
        try:
            await admin.start()
            oldest = kept[0].offset
            await admin.delete_records({TopicPartition(topics.logs, 0): RecordsToDelete(before_offset=oldest)})
        finally:
            await admin.close()
        member = fleet.start()
        await eventually(lambda: alerts.covers(kept), READY_S, "the lines kept")
        await eventually(group_of(topics).is_done, 10, "lag 0")
    assert not any(place in alerts.places for place in deleted)
    (incident,) = member.events("offset_out_of_range")
    assert (incident["level"], incident["partition"]) == ("error", 0)
    assert (incident["committed"], incident["going_on_from"]) == (20, oldest)
    assert member.metric("logwarden_out_of_range_offsets_total") == 1
