"""The bridge on a real broker: incidents reach a webhook and a real Alertmanager, once, in order, after kills too."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from logwarden.daemon.incidents.incident import decode_incident
from tests.alertmanager import RunningAlertmanager, alertmanager
from tests.bridge_stand_ins import Answer, Receiver, Request, incident, incident_id, receiver
from tests.kafka.bridge_figure import run
from tests.kafka.bridging import IncidentTopic, bridge, incident_topic
from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import Traffic, eventually, read_all
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, run_command
from tests.kafka.ports import free_ports
from tests.kafka.topics import Topics


async def test_an_incident_reaches_alertmanager_within_three_seconds(topics: Topics, tmp_path: Path) -> None:
    """A published incident is an alert of a real Alertmanager, gets more severe there, and ends there."""
    with alertmanager(tmp_path / "am") as running:
        async with incident_topic(topics) as topic, bridge(topic, BRIDGE__ALERTMANAGER_URLS=running.url):
            for record, expected in (
                (incident(severity="warning"), {incident_id("one"): "warning"}),
                (incident(severity="critical", revision=2), {incident_id("one"): "critical"}),
                (incident(severity="critical", revision=3, status="resolved"), {}),
            ):
                await topic.publish(record)
                began = time.monotonic()
                while await asyncio.to_thread(running.incidents) != expected:
                    assert time.monotonic() - began < 3.0, expected
                    await asyncio.sleep(0.02)


async def test_alertmanager_may_restart_and_so_may_the_bridge(topics: Topics, tmp_path: Path) -> None:
    """An Alertmanager that lost its alerts has the open incident again; without a bridge it ends it by itself."""
    quick = {"BRIDGE__ALERTMANAGER_RESEND_S": 1, "BRIDGE__ALERTMANAGER_HOLD_S": 4}
    [port] = free_ports(1)
    urls = {"BRIDGE__ALERTMANAGER_URLS": f"http://127.0.0.1:{port}"}
    async with incident_topic(topics) as topic:
        async with bridge(topic, **urls, **quick):
            for life in ("first", "second"):  # each with storage of its own
                with alertmanager(tmp_path / life, port) as running:
                    if life == "first":
                        await topic.publish(incident())
                    await _until_active(running, {incident_id("one")})
        with alertmanager(tmp_path / "third", port) as running:
            async with bridge(topic, **urls, **quick):  # which knows from the topic what is open
                await _until_active(running, {incident_id("one")})
            await _until_active(running, set())


async def test_feedback_ends_an_incident_at_every_destination(
    topics: Topics, forked_fleet: Fleet, tmp_path: Path
) -> None:
    """Alertmanager and a chat have the end within seconds, once, with its reason; no restart and no undo opens it."""
    feedback, line = topics.named("feedback"), b"ERROR the nightly job 4711 found no file"
    await create_topics(topics.bootstrap, {feedback: 1}, configs={"cleanup.policy": "compact"})
    with alertmanager(tmp_path / "am") as running:
        async with (
            incident_topic(topics) as topic,
            receiver() as server,
            bridge(topic, BRIDGE__ALERTMANAGER_URLS=running.url, BRIDGE__SLACK_URL=server.url),
            Traffic.to(topics.bootstrap, topics.logs) as traffic,
        ):
            settings = {
                "KAFKA__FEEDBACK_TOPIC": feedback,
                "KAFKA__INCIDENTS_TOPIC": topic.name,
                "INCIDENTS__LEAST_EVIDENCE": 0,
            }
            member = forked_fleet.start(**settings)
            await eventually(member.ready, READY_S, "a ready member")
            await traffic.send(40, line=line)
            await eventually(lambda: server.taken, 60, "a message about the incident")
            await eventually(lambda: asyncio.to_thread(running.incidents), 20, "an alert about it")
            [id] = await asyncio.to_thread(running.incidents)
            variables = {
                "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": topics.bootstrap,
                "LOGWARDEN_KAFKA__FEEDBACK_TOPIC": feedback,
                "LOGWARDEN_KAFKA__INCIDENTS_TOPIC": topic.name,
            }
            # Its record lists all services once no alert came for a moment, and the judgement is about these.
            await eventually(lambda: _all_services(topic, 8), 60, "an incident of all services")
            await run_command(variables, "feedback", id[:8], "--expected", "--note", "every night")
            await eventually(lambda: _ends(server), 15, "an end")
            assert await asyncio.to_thread(running.incidents) == {}
            records = await read_all(topics.bootstrap, topic.name, partitions=2)
            member.kill()
            member = forked_fleet.start(**settings)
            await eventually(lambda: '"incidents": "folding"' in member.body("/readyz"), 40, "a member that folds")
            await run_command(variables, "feedback", "undo", id[:8])
            await asyncio.sleep(7)
            assert await read_all(topics.bootstrap, topic.name, partitions=2) == records
            [end] = _ends(server)
            assert end.startswith("RESOLVED (expected by ")
            assert end.split(")")[0].endswith(": every night")
            await traffic.send(8, line=line)
            await eventually(lambda: asyncio.to_thread(running.incidents), 30, "an incident after the feedback ended")


async def _all_services(topic: IncidentTopic, services: int) -> bool:
    records = await read_all(topic.bootstrap, topic.name, partitions=2)
    return len(decode_incident(records[-1].value).logwarden.services) == services


def _ends(server: Receiver) -> list[str]:
    """Returns the messages of a chat about the ends of incidents."""
    texts = [json.loads(request.body)["text"] for request in server.taken]
    return [text for text in texts if text.startswith("RESOLVED")]


async def _until_active(running: RunningAlertmanager, expected: set[str]) -> None:
    began = time.monotonic()
    while set(await asyncio.to_thread(running.incidents)) != expected:
        assert time.monotonic() - began < 20.0, expected
        await asyncio.sleep(0.05)


async def test_a_destination_that_is_down_stops_no_other(topics: Topics, tmp_path: Path) -> None:
    """While the webhook answers 503, Alertmanager gets the incident; when it works again, it gets it too, and once."""
    is_up = False

    def answer(_: Request) -> Answer:
        return Answer(status=200 if is_up else 503)

    with alertmanager(tmp_path / "am") as running:
        async with incident_topic(topics) as topic, receiver(answer) as server:
            destinations = {"BRIDGE__ALERTMANAGER_URLS": running.url, "BRIDGE__WEBHOOK_URL": server.url}
            async with bridge(topic, **destinations):
                await topic.publish(incident())
                await eventually(lambda: len(server.arrived) >= 2, 10, "two attempts at the webhook")
                await eventually(
                    lambda: asyncio.to_thread(lambda: incident_id("one") in running.incidents()), 10, "the alert"
                )
                is_up = True
                await eventually(lambda: len(server.taken) == 1, 20, "the webhook has it")
            async with bridge(topic, **destinations):  # what was delivered is committed
                await topic.publish(incident(status="resolved", revision=2))
                await eventually(lambda: len(server.taken) == 2, 10, "the end")
    assert [request.json["logwarden"]["change"] for request in server.taken] == ["opened", "resolved"]


async def test_one_incident_that_is_stuck_repeats_no_other(topics: Topics) -> None:
    """A bridge that stops before the first of 21 incidents was taken leaves that one to the next, and no other."""
    is_up = False

    def answer(request: Request) -> Answer:
        return Answer(status=200 if is_up or request.json["id"] != incident_id("stuck") else 503)

    async with incident_topic(topics) as topic, receiver(answer) as server:
        for expected in (20, 21):
            async with bridge(topic, BRIDGE__WEBHOOK_URL=server.url):
                if not is_up:
                    await topic.publish(*(incident(f"{place}") for place in ("stuck", *range(20))))
                await eventually(lambda: len(server.taken) >= expected, 20, "the others, then the one")  # noqa: B023
            is_up = True
    assert sorted(request.json["id"] for request in server.taken) == sorted(
        incident_id(f"{place}") for place in ("stuck", *range(20))
    )


async def test_what_is_refused_is_a_dead_letter(topics: Topics) -> None:
    """A notice that a server refuses with 400 is buried with the reason, and the next one is sent."""

    def answer(request: Request) -> Answer:
        return Answer(status=400, body="too odd") if request.json["id"] == incident_id("odd") else Answer()

    async with (
        incident_topic(topics) as topic,
        receiver(answer) as server,
        bridge(topic, BRIDGE__WEBHOOK_URL=server.url),
    ):
        await topic.publish(incident("odd"), incident("one"))
        await eventually(lambda: len(server.taken) == 1, 10, "the other incident")
        await eventually(lambda: _is_buried(topic.bootstrap, topic.dead_letters), 10, "the dead letter")
    [letter] = [record.value for record in await read_all(topic.bootstrap, topic.dead_letters)]
    assert b'"destination":"webhook"' in letter
    assert b"answered with status 400: too odd" in letter
    assert incident_id("odd").encode() in letter


async def _is_buried(bootstrap: str, topic: str) -> bool:
    return bool(await read_all(bootstrap, topic))


async def test_a_new_bridge_announces_what_is_open_and_no_history(topics: Topics) -> None:
    """Of the incidents from before its first start a bridge announces those that are still open."""
    async with incident_topic(topics) as topic, receiver() as server:
        await topic.publish(
            incident("over"),
            incident("over", status="resolved", revision=2),
            incident("open"),
            incident("open", revision=2),
        )
        async with bridge(topic, BRIDGE__WEBHOOK_URL=server.url):
            await eventually(lambda: len(server.taken) >= 1, 10, "the open incident")
            await topic.publish(incident("over", status="resolved", revision=3))
            await eventually(lambda: len(server.taken) >= 2, 10, "the news")
    assert [(request.json["id"], request.json["logwarden"]["revision"]) for request in server.taken] == [
        (incident_id("open"), 2),
        (incident_id("over"), 3),
    ]


async def test_a_bridge_that_is_killed_delivers_everything(broker: Broker, tmp_path: Path) -> None:
    """A hundred incidents reach a server that fails a third of the time, their ends last, over a SIGKILL."""
    found = await run(broker.bootstrap, tmp_path, incidents=100, kills=1, seed=1)
    assert found.promises() == []
    assert found.attempts > found.records
