"""Readiness during trouble at a real broker: every fault is named with its action, and forgotten when it is over."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.kafka.witness import KafkaWitness
from logwarden.daemon.records import Partition
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import Group, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member
from tests.kafka.topics import LOG_PARTITIONS, Topics

NOTICED_S = 15.0
"""Time in which a fault makes a member unready: 10 s by default, and the look that finds it."""
BACK_S = 30.0
"""Time limit for a member's return after a fault: client back-off and a rebalance."""


def reasons(member: Member) -> dict[str, dict[str, Any]]:
    """Returns the reasons of `/readyz` by code; empty while it does not answer."""
    body = member.body("/readyz")
    return {reason["code"]: reason for reason in json.loads(body)["reasons"]} if body else {}


async def named(member: Member, code: str) -> dict[str, Any]:
    """Waits until readiness has a reason, and checks that the member lives on. Returns the reason."""
    await eventually(lambda: code in reasons(member), NOTICED_S, f"{code} among the reasons")
    assert (member.status("/readyz"), member.status("/livez")) == (503, 200)
    return reasons(member)[code]


async def test_an_outage_is_named_and_forgotten(topics: Topics, fleet: Fleet, broker: Broker) -> None:
    """A dead broker and the commits that fail are reasons within seconds, and both are gone when it is back."""
    member = fleet.start(KAFKA__COMMIT_INTERVAL_MS=4_000)
    group = Group(topics.bootstrap, topics.group, topics.logs, LOG_PARTITIONS)
    await eventually(member.ready, READY_S, "readiness")
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        await traffic.send(20)
        await eventually(group.is_done, BACK_S, "lag 0")
        assert json.loads(member.body("/readyz"))["facts"]["partitions"] == LOG_PARTITIONS
        await traffic.send(20)  # just after a commit, so that these lines are judged long before the next one
        await eventually(lambda: member.metric("logwarden_alerts_total") == 40, BACK_S, "the alerts")
    await asyncio.to_thread(broker.kill)
    reason = await named(member, "broker_silent")
    assert reason["since_s"] >= 10
    assert "No broker has answered a fetch" in reason["message"]
    assert member.metric("logwarden_ready") == 0
    assert member.metric("logwarden_progress_age_seconds") > 10, "the age of a frozen lag is visible"
    assert "No commit has succeeded for" in (await named(member, "commits_failing"))["message"]
    assert member.metric("logwarden_commit_failures_total") >= 1
    await asyncio.to_thread(broker.start)
    await eventually(member.ready, BACK_S, "readiness")
    assert reasons(member) == {}
    assert member.metric("logwarden_ready") == 1
    await eventually(group.is_done, BACK_S, "lag 0")
    assert member.terminate() == 0


async def test_missing_topics_are_named(topics: Topics, fleet: Fleet, broker: Broker) -> None:
    """A missing input topic and a missing output topic: each by name, with the action or the command that helps."""
    typo, alerts = topics.named("lgos"), topics.named("no-alerts")
    member = fleet.start(KAFKA__INPUT_TOPICS=f"{topics.logs},{typo}", KAFKA__ALERTS_TOPIC=alerts)
    await eventually(lambda: "input_topic_missing" in reasons(member), READY_S, "the missing input topic")
    missing = reasons(member)["input_topic_missing"]
    assert missing["topic"] == typo
    assert missing["message"] == (
        f"The input topic '{typo}' does not exist. Create it, or correct LOGWARDEN_KAFKA__INPUT_TOPICS."
    )
    assert member.metric("logwarden_input_topics_missing") == 1
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        await traffic.send(20)
        blocked = await named(member, "publish_blocked")
        assert blocked["topic"] == alerts
        assert f"--create --topic {alerts}" in blocked["message"]
        assert member.metric("logwarden_publish_blocked") == 1
        await create_topics(broker.bootstrap, {typo: 1, alerts: 1})
        await eventually(member.ready, BACK_S, "readiness")
        assert member.metric("logwarden_publish_blocked") == 0
    assert member.terminate() == 0


async def test_the_witness_answers_from_a_connection_of_its_own(topics: Topics) -> None:
    """It reports what a new reader could read, and no answer is an outage."""
    witness = KafkaWitness(KafkaSettings(bootstrap_servers=topics.bootstrap, group_id=topics.group))
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        sent = await traffic.send(40)
    partitions = [Partition(topics.logs, number) for number in range(LOG_PARTITIONS)]
    ends = await witness.ends(partitions)
    assert ends == {p: sum(place.partition == p.partition for place in sent) for p in partitions}
    await witness.group_answers()
    nobody = KafkaWitness(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    for answer in (nobody.ends(partitions), nobody.group_answers()):
        with pytest.raises(BrokerUnavailable):
            await answer
