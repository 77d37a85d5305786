"""Feedback on a real broker: in force on every member within five seconds, after a restart too, and none is lost."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.errors import BrokerUnavailable, LogwardenError
from logwarden.daemon.feedback.giving import maintained
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.feedback.records import feedback_message
from logwarden.daemon.incidents.incident import decode_incident
from logwarden.daemon.kafka.compacted import CompactedTopic
from logwarden.daemon.kafka.outlet import cut_off
from logwarden.daemon.kafka.producer import KafkaSink
from logwarden.daemon.kafka.transaction import TopicTransactions
from logwarden.daemon.ports import TRANSACTION_TIMEOUT_S, Transaction
from logwarden.daemon.records import Delivery
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import AlertLog, Group, Traffic, eventually, read_all
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member, run_command
from tests.kafka.topics import LOG_PARTITIONS, Topics

DAY_MS = 86_400_000
IN_FORCE_S = 5.0
LINES = 40
ENTRIES = "logwarden_feedback_entries"
COMPACTED = {"cleanup.policy": "compact"}


def office_of(topics: Topics, topic: str) -> tuple[FeedbackOffice, KafkaSink]:
    """Returns the office that the commands use."""
    settings = KafkaSettings(bootstrap_servers=topics.bootstrap, feedback_topic=topic, request_timeout_ms=5_000)
    sink = KafkaSink(settings)
    transactions = TopicTransactions(settings, topic)
    read = CompactedTopic(settings, topic).read_all
    return FeedbackOffice(topic, read, None, sink, transactions, SystemClock(), by="test"), sink


def post(member: Member, path: str, body: Mapping[str, object]) -> tuple[int, Any]:
    """Sends a request with the token to a member. Returns the status and the answer."""
    headers = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{member.port}{path}", json.dumps(body).encode(), headers, method="POST"
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, json.loads(answer.read())


async def in_force(members: list[Member], entries: int) -> None:
    """Waits until all members have so many entries. Raises AssertionError if that takes more than five seconds."""
    await eventually(
        lambda: all(member.metric(ENTRIES) == entries for member in members), IN_FORCE_S, f"{entries} entries"
    )


async def test_feedback_is_in_force_on_every_member_and_survives_a_restart(topics: Topics, forked_fleet: Fleet) -> None:
    """A mute, its end and a maintenance reach both members in seconds; a member that starts has them at once."""
    feedback = topics.named("feedback")
    settings = {"KAFKA__FEEDBACK_TOPIC": feedback, "HTTP__TOKEN": "secret"}
    office, sink = office_of(topics, feedback)
    members = [forked_fleet.start(**settings) for _ in range(2)]
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        for member in members:
            await eventually(member.ready, READY_S, "a ready member")
        assert all(f"--create --topic {feedback} " in member.body("/readyz") for member in members)
        sent = await traffic.send(LINES)
        await eventually(lambda: alerts.covers(sent), 60, "an alert for every line, without the topic")
        await create_topics(topics.bootstrap, {feedback: 1}, configs=COMPACTED)
        key, _ = await office.mute("session * of nobody", services=["service-*"], for_ms=None, reason="")
        await in_force(members, 1)
        muted = await traffic.send(LINES, line=b"the session 7 of nobody ended")
        others = await traffic.send(LINES, line=b"the session 7 of somebody ended")
        await eventually(lambda: alerts.covers(others), 30, "alerts on other lines")
        members[0].kill()
        third = forked_fleet.start(**settings)
        await eventually(third.ready, READY_S, "a ready member")
        assert third.metric(ENTRIES) == 1
        muted += await traffic.send(LINES, line=b"the session 8 of nobody ended")
        group = Group(topics.bootstrap, topics.group, topics.logs, LOG_PARTITIONS)
        await eventually(group.is_done, 60, "all lines done")
        await alerts.read()
        assert not set(muted) & alerts.places.keys()
        members = [members[1], third]
        assert sum(member.metric("logwarden_suppressed_alerts_total") for member in members) >= LINES
        await office.undo(key)
        body = {"action": "start", "name": "deploy", "services": ["service-*"], "for": "1m", "reason": "a test"}
        status, answer = await asyncio.to_thread(post, third, "/api/v1/maintenance", body)
        assert (status, answer["key"]) == (200, "maintenance/deploy")
        await in_force(members, 2)
        planned = await traffic.send(LINES, line=b"the session 9 of nobody ended")
        await eventually(lambda: alerts.covers(planned), 30, "alerts after the end of the mute")
    marks = [_planned(record.value) for record in alerts.records if b"session 9 of nobody" in record.value]
    assert marks
    assert all(mark == ("maintenance/deploy", "a test") for mark in marks)
    await sink.stop()


async def test_a_person_judges_an_incident_and_takes_it_back(topics: Topics, forked_fleet: Fleet) -> None:
    """The commands, from an incident's id to silence, to the list, to the export, and back."""
    feedback, incidents = topics.named("feedback"), topics.named("incidents")
    await create_topics(topics.bootstrap, {feedback: 1, incidents: 1}, configs=COMPACTED)
    settings = {"KAFKA__FEEDBACK_TOPIC": feedback, "KAFKA__INCIDENTS_TOPIC": incidents, "INCIDENTS__LEAST_EVIDENCE": 0}
    member = forked_fleet.start(**settings)
    variables = {
        "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": topics.bootstrap,
        "LOGWARDEN_KAFKA__ALERTS_TOPIC": topics.alerts,
        "LOGWARDEN_KAFKA__FEEDBACK_TOPIC": feedback,
        "LOGWARDEN_KAFKA__INCIDENTS_TOPIC": incidents,
    }
    line = b"ERROR the nightly job 4711 found no file"
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        await eventually(member.ready, READY_S, "a ready member")
        sent = await traffic.send(LINES, line=line)
        await eventually(lambda: alerts.covers(sent), 60, "an alert for every line")

        async def newest() -> Any:
            found = [decode_incident(record.value) for record in await read_all(topics.bootstrap, incidents)]
            return found[-1] if found and len(found[-1].logwarden.services) == 8 else None

        await eventually(newest, 60, "an incident of all services")
        incident = (await newest()).id
        shown = await run_command(variables, "feedback", incident[:8], "--expected", "--note", "every night")
        assert "EXPECTED" in shown
        assert "every night" in shown
        await in_force([member], 1)
        silent = await traffic.send(LINES, line=line.replace(b"4711", b"1234"))
        group = Group(topics.bootstrap, topics.group, topics.logs, LOG_PARTITIONS)
        await eventually(group.is_done, 60, "all lines done")
        await alerts.read()
        assert not set(silent) & alerts.places.keys()
        [row] = (await run_command(variables, "feedback", "list", "--format", "jsonl")).splitlines()
        assert json.loads(row)["incident"] == incident
        exported = [json.loads(row) for row in (await run_command(variables, "feedback", "export")).splitlines()]
        assert {(row["text"], row["label"]) for row in exported} == {(line.decode(), 0)}
        assert len(exported) == LINES
        await run_command(variables, "feedback", "undo", incident[:8])
        await eventually(lambda: '"feedback": "followed"' in member.body("/readyz"), 5, "a member that follows")
        await asyncio.sleep(1)
        loud = await traffic.send(LINES, line=line)
        await eventually(lambda: alerts.covers(loud), 30, "alerts after it was undone")


async def test_no_feedback_is_lost_while_broker_and_members_are_killed(
    topics: Topics, forked_fleet: Fleet, broker: Broker
) -> None:
    """What was acknowledged to a person is in force at the end, whatever was killed meanwhile."""
    feedback = topics.named("feedback")
    await create_topics(topics.bootstrap, {feedback: 3}, configs=COMPACTED)
    settings = {"KAFKA__FEEDBACK_TOPIC": feedback}
    members = [forked_fleet.start(**settings) for _ in range(2)]
    given: set[str] = set()

    async def give() -> None:
        office, sink = office_of(topics, feedback)
        for number in range(30):
            deadline = time.monotonic() + 60
            while True:
                try:
                    key, _ = await office.mute(f"text number {number}", services=[], for_ms=None, reason="")
                except BrokerUnavailable:
                    assert time.monotonic() < deadline, "the broker came back"
                    await asyncio.sleep(0.2)
                else:
                    given.add(key)
                    break
            await asyncio.sleep(0.05)
        await sink.stop()

    giving = asyncio.create_task(give())
    await asyncio.sleep(1)
    members[0].kill()
    broker.kill()
    await asyncio.to_thread(broker.start)
    members[0] = forked_fleet.start(**settings)
    await asyncio.wait_for(giving, 120)
    await eventually(lambda: all(m.metric(ENTRIES) == 30 for m in members), 30, "all feedback on both members")
    office, sink = office_of(topics, feedback)
    assert set(await office.entries()) == given
    assert len(given) == 30
    await sink.stop()


async def test_a_topic_may_have_several_partitions_and_a_key_only_one(topics: Topics, forked_fleet: Fleet) -> None:
    """Giving and undoing work across partitions. A key in two of them is shown, and its newest record counts."""
    feedback = topics.named("feedback")
    await create_topics(topics.bootstrap, {feedback: 3}, configs=COMPACTED)
    office, sink = office_of(topics, feedback)
    member = forked_fleet.start(KAFKA__FEEDBACK_TOPIC=feedback)
    keys = [(await office.mute(f"text {n}", services=[], for_ms=None, reason=""))[0] for n in range(9)]
    assert len({record.partition for record in await read_all(topics.bootstrap, feedback, partitions=3)}) > 1
    for key in keys[:4]:
        await office.undo(key)
    await eventually(member.ready, READY_S, "a ready member")
    await eventually(lambda: member.metric(ENTRIES) == 9, IN_FORCE_S, "all entries, those that ended included")
    assert '"feedback": "followed"' in member.body("/readyz")
    [record] = [one for one in await read_all(topics.bootstrap, feedback, partitions=3) if one.key == keys[8].encode()]
    other = replace(feedback_message(keys[8], None, feedback), partition=(record.partition + 1) % 3)
    assert await sink.send(feedback, [other]) == [Delivery.ACKNOWLEDGED]
    await eventually(lambda: member.metric(ENTRIES) == 8, IN_FORCE_S, "the newest record of the key")
    assert keys[8] not in await office.entries(), "commands read what the daemon applies"
    assert "Create the topic again with one partition" in member.body("/readyz")
    assert member.metric("logwarden_feedback_failing") == 1
    await sink.stop()


async def test_a_name_that_is_given_while_it_is_removed_stays(topics: Topics) -> None:
    """Removals lie behind what was given meanwhile, and do not count; the next feedback removes what is still old."""
    feedback = topics.named("feedback")
    await create_topics(topics.bootstrap, {feedback: 1}, configs=COMPACTED)
    office, sink = office_of(topics, feedback)
    old = {name: maintained(name, now_ms=SystemClock().now_ms() - 9 * DAY_MS, for_ms=1) for name in ("nightly", "old")}
    await sink.send(feedback, [feedback_message(*given, feedback) for given in old.values()])
    again = maintained("nightly", now_ms=SystemClock().now_ms())
    transactions = office._transactions

    @asynccontextmanager
    async def begin() -> AsyncIterator[Transaction]:
        async with transactions.begin() as transaction:
            await sink.send(feedback, [feedback_message(*again, feedback)])
            yield transaction

    office._transactions = SimpleNamespace(begin=begin)
    first, _ = await office.mute("a text", services=[], for_ms=None, reason="")
    assert (await office.entries()).keys() == {first, *(key for key, _ in old.values())}
    assert (await office.entries())["maintenance/nightly"] == again[1]
    office._transactions = transactions
    second, _ = await office.mute("another text", services=[], for_ms=None, reason="")
    assert (await office.entries()).keys() == {first, second, "maintenance/nightly"}
    await sink.stop()


async def test_who_dies_while_old_feedback_is_removed_takes_nothing(topics: Topics, forked_fleet: Fleet) -> None:
    """Removals of a dead writer never count. What is given meanwhile is in force once the broker has ended them."""
    feedback = topics.named("feedback")
    await create_topics(topics.bootstrap, {feedback: 1}, configs=COMPACTED)
    member = forked_fleet.start(KAFKA__FEEDBACK_TOPIC=feedback)
    office, sink = office_of(topics, feedback)
    key, _ = await office.mute("a text", services=[], for_ms=None, reason="")
    await eventually(member.ready, READY_S, "a ready member")
    await in_force([member], 1)
    dying = office._transactions.begin()
    transaction = await dying.__aenter__()
    await transaction.send([feedback_message(key, None, feedback)])
    await cut_off(transaction._producer)  # type: ignore[attr-defined]
    later, _ = await office.mute("another text", services=[], for_ms=None, reason="")
    late = forked_fleet.start(KAFKA__FEEDBACK_TOPIC=feedback)
    await eventually(lambda: member.metric(ENTRIES) == 2, IN_FORCE_S + TRANSACTION_TIMEOUT_S + 1, "both entries")
    assert (await office.entries()).keys() == {key, later}
    await eventually(late.ready, READY_S, "a ready member")
    await in_force([late], 2)
    with suppress(LogwardenError):
        await dying.__aexit__(None, None, None)
    await sink.stop()


def _planned(value: bytes) -> tuple[str, str] | None:
    planned = json.loads(value)["logwarden"].get("planned")
    return planned and (planned["id"], planned["reason"])
