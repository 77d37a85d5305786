"""The stream of incidents: what a client gets at first, what it gets later, and how little a slow one may cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from logwarden.daemon.incidents.shelf import IncidentShelf
from logwarden.daemon.web import events
from logwarden.daemon.web.events import EventStreams, UnsentChanges
from logwarden.daemon.web.server import HttpServer
from tests.kafka.evidence import eventually
from tests.unit.daemon.web.serving import NOW_MS, Clock, incident_value, settings_of


@dataclass
class Streamed:
    """A server of events, and the shelf behind it."""

    url: str
    shelf: IncidentShelf
    streams: EventStreams
    server: HttpServer

    def put(self, id: str, **facts: Any) -> None:
        self.shelf.put(id.encode(), incident_value(id, **facts), NOW_MS)


@asynccontextmanager
async def streaming(settings: Mapping[str, str] | None = None, *, with_topic: bool = True) -> AsyncIterator[Streamed]:
    shelf = IncidentShelf()
    http = settings_of(**settings or {}).http
    streams = EventStreams(shelf if with_topic else None, http, Clock())
    server = HttpServer(http, streams.routes(), on_stop=streams.stop)
    await server.start()
    try:
        yield Streamed(f"http://127.0.0.1:{server.port}/api/v1/events", shelf, streams, server)
    finally:
        await server.stop()


async def read(answer: aiohttp.ClientResponse) -> tuple[str, Any]:
    """Returns the next event and its data."""
    async with asyncio.timeout(10):
        while True:
            piece = (await answer.content.readuntil(b"\n\n")).decode()
            if piece.startswith("event: "):
                event, _, data = piece.partition("\n")
                return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def test_a_client_gets_everything_and_then_what_changes() -> None:
    """The first event has all incidents in short form, the later ones what changed, what is gone, and the note."""
    async with streaming() as served, aiohttp.ClientSession() as session:
        served.put("a")
        async with session.get(served.url) as answer:
            event, data = await read(answer)
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert (event, [one["id"] for one in data["incidents"]], data["open"]) == ("all", ["a"], 1)
            assert data["note"] == "The incidents are being read."
            assert data["incidents"][0]["message"] == "web: PANIC: no space left"
            served.put("b", severity="critical")
            served.shelf.put(b"a", None, NOW_MS)
            served.shelf.note = ""
            event, data = await read(answer)
            assert (event, [one["id"] for one in data["incidents"]], data["gone"]) == ("some", ["b"], ["a"])
            assert (data["note"], data["open"]) == ("", 1)


async def test_a_client_that_leaves_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shelf keeps no watcher of a browser that was closed."""
    monkeypatch.setattr(events, "PING_S", 0.05)
    async with streaming() as served:
        async with aiohttp.ClientSession() as session, session.get(served.url) as answer:
            await read(answer)
            assert len(served.shelf.watchers) == 1
        await eventually(lambda: not served.shelf.watchers, 5, "no watcher")


async def test_a_question_for_the_headers_follows_nothing() -> None:
    """HEAD has no body, so that a client that keeps its connection takes no place of a browser."""
    async with streaming() as served, aiohttp.ClientSession() as session:
        async with session.head(served.url) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        await eventually(lambda: not served.shelf.watchers, 5, "no watcher")


async def test_a_client_that_is_far_behind_is_sent_all_again() -> None:
    """What a client was not sent is a bounded set of ids, whatever happens."""
    unsent = UnsentChanges()
    assert unsent.take() is None  # at first everything
    for number in range(3):
        unsent.note(f"{number % 2}")
    assert unsent.take() == ["0", "1"]
    for number in range(10 * events.MAX_BEHIND):
        unsent.note(str(number))
        assert len(unsent) <= events.MAX_BEHIND
    assert unsent.take() is None
    assert unsent.take() == []


async def test_more_clients_than_places_ask_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client beyond the limit is refused with a sentence, and gets the same by an answer that ends."""
    monkeypatch.setattr(events, "MAX_STREAMS", 1)
    async with streaming() as served, aiohttp.ClientSession() as session:
        served.put("a")
        async with session.get(served.url) as first:
            await read(first)
            async with session.get(served.url) as second:
                assert (second.status, (await second.json())["error"]["code"]) == (503, "too_many_streams")
            async with session.get(served.url, params={"follow": "false"}) as once:
                assert (await read(once))[1]["incidents"][0]["id"] == "a"
                assert await once.content.read() == b""


async def test_a_stop_does_not_wait_for_streams() -> None:
    """A daemon that drains ends within its budget although browsers are open."""
    async with streaming() as served, aiohttp.ClientSession() as session, session.get(served.url) as answer:
        await read(answer)
        began = asyncio.get_running_loop().time()
        await served.server.stop()
        assert asyncio.get_running_loop().time() - began < 0.5
        assert await answer.content.read() == b""


@pytest.mark.parametrize(
    ("settings", "query", "status", "code"),
    [
        ({"HTTP__TOKEN": "sesame", "HTTP__TOKEN_FOR_READS": "true"}, {}, 401, "unauthorized"),
        ({}, {"follow": "perhaps"}, 400, "bad_parameter"),
        ({}, {"since": "1h"}, 400, "bad_parameter"),
    ],
)
async def test_a_request_that_is_not_served_gets_a_sentence(
    settings: dict[str, str], query: dict[str, str], status: int, code: str
) -> None:
    """Lines of logs need the token where reading needs it, and a parameter that is unknown is refused."""
    async with streaming(settings) as served, aiohttp.ClientSession() as session:
        answer = await session.get(served.url, params=query)
        assert (answer.status, (await answer.json())["error"]["code"]) == (status, code)


async def test_without_a_topic_there_are_no_events() -> None:
    """The refusal names the setting."""
    async with streaming(with_topic=False) as served, aiohttp.ClientSession() as session:
        answer = await session.get(served.url)
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "no_incidents")
