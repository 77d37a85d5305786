"""The endpoints by which clients read and give feedback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from logwarden.daemon.feedback.newest import readable
from logwarden.daemon.records import Delivery, KeyedRecord
from logwarden.daemon.web import api_feedback
from logwarden.daemon.web.api_feedback import FeedbackEndpoints
from logwarden.daemon.web.api_schema import api_routes
from logwarden.daemon.web.server import HttpServer
from tests.feedback_stand_ins import FeedbackTopic
from tests.unit.daemon.feedback.test_records import TWO
from tests.unit.daemon.web.serving import Served, settings_of

TOKEN = {"Authorization": "Bearer secret"}


class Feedback(Served):
    """A server of the endpoints of feedback, on a topic in memory."""

    topic: FeedbackTopic
    endpoints: FeedbackEndpoints


@pytest.fixture
async def served() -> AsyncIterator[Feedback]:
    settings, found = settings_of(HTTP__TOKEN="secret"), Feedback()
    found.topic = FeedbackTopic(TWO)
    found.endpoints = FeedbackEndpoints(found.topic.clock)
    found.endpoints.office = found.topic.office
    found.endpoints.entries = lambda: readable(
        KeyedRecord(message.key or b"", message.value) for batch in found.topic.sink.sent for message in batch
    )
    server = HttpServer(settings.http, api_routes(found.endpoints.endpoints, settings.http))
    await server.start()
    found.url = f"http://127.0.0.1:{server.port}"
    yield found
    await server.stop()


async def test_feedback_is_given_read_and_taken_back(served: Feedback) -> None:
    """A page or a bot judges an incident, mutes a text, lists both, and ends one of them."""
    body = {"kind": "expected", "incident": TWO.id[:8], "services": ["d*"], "for": "7d", "reason": "nightly"}
    status, given = await served.ask("/feedback", method="POST", json=body, headers=TOKEN)
    assert status == 200, given
    assert (given["key"], given["is_over"]) == (f"incident/{TWO.id}", False)
    assert (given["feedback"]["by"], given["note"]) == ("ann", "")
    status, muted = await served.ask(
        "/feedback", method="POST", json={"kind": "mute", "pattern": "a text"}, headers=TOKEN
    )
    assert status == 200
    status, body = await served.ask("/feedback")
    assert (status, body["total"], body["note"]) == (200, 2, "")
    assert {one["key"] for one in body["feedback"]} == {given["key"], muted["key"]}
    status, ended = await served.ask(f"/feedback?key={muted['key']}", method="DELETE", headers=TOKEN)
    assert (status, ended["is_over"]) == (200, True)


async def test_a_client_learns_what_a_judgement_does_not_reach(served: Feedback) -> None:
    """Lines that the record of the incident leaves out are not judged, and keep the incident open."""
    facts = msgspec.structs.replace(TWO.logwarden, more_lines=7)
    long = msgspec.structs.replace(TWO, logwarden=facts).encode()
    served.topic.incidents[0] = KeyedRecord(TWO.id.encode(), long)
    body = {"kind": "expected", "incident": TWO.id}
    _, given = await served.ask("/feedback", method="POST", json=body, headers=TOKEN)
    assert given["note"].startswith("The record of the incident lists 2 kinds of lines, and the others are not judged.")


async def test_a_deploy_job_announces_maintenance(served: Feedback) -> None:
    """It begins with a name, a system and a length, and ends by the name."""
    body = {"action": "start", "name": "deploy-7", "systems": ["shop"], "for": "10m"}
    status, begun = await served.ask("/maintenance", method="POST", json=body, headers=TOKEN)
    assert (status, begun["key"], begun["feedback"]["kind"]) == (200, "maintenance/deploy-7", "maintenance")
    body = {"action": "stop", "name": "deploy-7"}
    status, ended = await served.ask("/maintenance", method="POST", json=body, headers=TOKEN)
    assert (status, ended["is_over"]) == (200, True)


@pytest.mark.parametrize("path", ["/feedback", "/maintenance"])
async def test_without_the_token_nothing_is_given(served: Feedback, path: str) -> None:
    """Whoever may silence alerts is whoever has the token."""
    body = {"kind": "mute", "pattern": "a text", "action": "stop"}
    status, _ = await served.ask(path, method="POST", json=body)
    assert status == 401
    assert not served.topic.sink.sent


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/feedback", {"kind": "mute", "incident": "abcd"}, "A mute needs a pattern"),
        ("/feedback", {"kind": "real", "pattern": "abcd", "incident": "abcd"}, "A mute needs a pattern"),
        ("/feedback", {"kind": "expected", "incident": "abcd"}, "No incident begins with 'abcd'"),
        ("/feedback", {"kind": "mute", "pattern": "*"}, "needs a pattern"),
        ("/feedback", {"kind": "mute", "pattern": "abc", "for": "soon"}, "no length of time"),
        ("/feedback", {"kind": "mute", "pattern": "abc", "until": "soon"}, "unknown field"),
        ("/maintenance", {"action": "stop"}, "No maintenance runs"),
        ("/maintenance", {"action": "start", "for": "30d"}, "at most seven days"),
        ("/maintenance", {"action": "pause"}, "Invalid enum value"),
        ("/maintenance", {"action": "stop", "name": "deploy-7", "for": "10m"}, "ends as a whole, by its name"),
        ("/feedback", {"kind": "mute", "pattern": "abc", "reason": "x" * 60_000}, "longer than 1,024 characters"),
    ],
)
async def test_what_cannot_be_given_is_refused_with_a_sentence(
    served: Feedback, path: str, body: dict[str, str], sentence: str
) -> None:
    """The client's author reads what to change."""
    status, answer = await served.ask(path, method="POST", json=body, headers=TOKEN)
    assert status == 400
    assert sentence in answer["error"]["message"]
    assert not served.topic.sink.sent


async def test_a_topic_that_takes_nothing_is_no_success(served: Feedback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client learns that the feedback may not be in force: the broker refuses it, hangs, or there is no topic."""
    body = {"kind": "mute", "pattern": "a text"}
    served.topic.sink.deliver = lambda _: Delivery.FAILED
    status, answer = await served.ask("/feedback", method="POST", json=body, headers=TOKEN)
    assert (status, answer["error"]["code"]) == (503, "not_written")

    async def hang(*_: object) -> list[Delivery]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(served.topic.sink, "send", hang)
    monkeypatch.setattr(api_feedback, "WRITE_TIMEOUT_S", 0.05)
    status, answer = await served.ask("/feedback", method="POST", json=body, headers=TOKEN)
    assert (status, answer["error"]["code"]) == (503, "not_written")
    served.endpoints.office = None
    status, answer = await served.ask("/feedback", method="POST", json=body, headers=TOKEN)
    assert (status, answer["error"]["code"]) == (503, "no_feedback")
    status, answer = await served.ask("/feedback", method="DELETE", headers=TOKEN)
    assert (status, answer["error"]["code"]) == (400, "bad_parameter")
