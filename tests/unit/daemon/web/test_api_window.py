"""The window of a line: its alert, its record as it was written, the lines after it, and a note where they are gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.incidents.shelf import IncidentShelf
from logwarden.daemon.profiles import decoder_of
from logwarden.daemon.records import Partition, Record
from logwarden.daemon.web import api_window
from logwarden.daemon.web.api_schema import api_routes
from logwarden.daemon.web.api_window import WindowEndpoint
from logwarden.daemon.web.server import HttpServer
from tests.fakes import InlineWorker
from tests.oracles import LogRecord
from tests.unit.daemon.web.serving import NOW_MS, Served, incident_value, settings_of

ALERTS = "alerts"
ALERT_ID = "5d0c2a34-1b0f-5f6e-8a77-2f1f8f3f0a01"
QUERY = f"/window?incident=a&alert={ALERT_ID}"


def alert_value(*, offset: int = 2, id: str = ALERT_ID) -> bytes:
    """Returns an alert on the line at this offset."""
    line = {"index": 0, "timestamp": None, "surprise": 9.0, "guilty": True, "newest": True, "weight": 1.0}
    findings = {
        "score": 0.9,
        "threshold": 0.5,
        "prediction": "anomaly",
        "probabilities": {"normal": 0.1, "anomaly": 0.9},
        "logits": [0.0, 1.0],
        "severity": "critical",
        "dedup_key": "web:1",
        "source": {"topic": "logs", "partition": 3, "first_offset": 1, "last_offset": offset, "index": 0},
        "lines": [line | {"offset": offset, "text": "PANIC"}],
        "history_lines": 5,
        "model_revision": "test",
        "detection_delay_ms": None,
    }
    alert = {
        "schema_version": 1,
        "id": id,
        "@timestamp": None,
        "event": {"kind": "alert", "category": ["process"], "original": "quoted"},
        "service": {"name": "web"},
        "message": "PANIC",
        "log": {"level": None},
        "logwarden": findings,
    }
    return json.dumps(alert).encode()


class Topics:
    """The alerts topic with one alert at offset 7, and a partition of lines from offset 0 on."""

    def __init__(self) -> None:
        self.alert = alert_value()
        self.lines = [f"line {n}" for n in range(30)]
        self.services = ["web", "db"]
        self.first = 0
        self.error: Exception | None = None
        self.reads = 0

    async def read(self, partition: Partition, offset: int, most: int) -> Sequence[Record]:
        self.reads += 1
        if partition == (ALERTS, 1):
            return [LogRecord(self.alert, offset=7)] if offset == 7 else []
        assert partition == ("logs", 3)
        if self.error is not None:
            raise self.error
        return [
            LogRecord(text.encode(), offset=n, key=self.services[n % len(self.services)].encode())
            for n, text in enumerate(self.lines)
            if n >= max(offset, self.first)
        ][:most]


@asynccontextmanager
async def windows(topics: Topics, *, alert_at: object = (1, 7), **settings: str) -> AsyncIterator[Served]:
    chosen = settings_of(**settings)
    shelf, value = IncidentShelf(), json.loads(incident_value("a"))
    value["logwarden"]["lines"][0] |= {"alert_id": ALERT_ID} | ({"alert_at": alert_at} if alert_at else {})
    shelf.put(b"", json.dumps(value).encode(), NOW_MS)
    endpoint = WindowEndpoint(
        shelf,
        topics,
        InlineWorker(),
        alerts_topic=ALERTS,
        limits=chosen.alerts,
        decoder_for=lambda _: decoder_of(chosen),
    )
    server = HttpServer(chosen.http, api_routes([endpoint.endpoint], chosen.http))
    await server.start()
    try:
        yield Served(f"http://127.0.0.1:{server.port}")
    finally:
        await server.stop()


async def test_a_window_has_what_came_before_and_after() -> None:
    """The alert is passed on as it is; after it come lines of its own service only; a second look reads nothing."""
    topics = Topics()
    async with windows(topics) as served:
        status, body = await served.ask(QUERY)
        assert (status, body["note"], body["original"]) == (200, "", "line 2")
        assert body["alert"] == json.loads(topics.alert)
        assert [line["offset"] for line in body["after"]] == list(range(4, 28, 2))
        assert (body["after"][0]["text"], len(body["after"])) == ("line 4", api_window.AFTER_LINES)
        reads = topics.reads
        assert (await served.ask(QUERY))[1] == body
        assert topics.reads == reads


async def test_a_window_that_may_grow_is_read_again() -> None:
    """While the service has logged little since, the next look finds more."""
    topics = Topics()
    topics.lines = topics.lines[:4]
    async with windows(topics) as served:
        assert (await served.ask(QUERY))[1]["after"] == []
        topics.lines.append("later")
        assert [line["text"] for line in (await served.ask(QUERY))[1]["after"]] == ["later"]


async def test_what_is_gone_has_a_note() -> None:
    """Each topic may have lost its records, or be another one of its name, and the rest is shown all the same."""
    gone, other, shifted, failing = (Topics() for _ in range(4))
    gone.alert = b""
    other.alert = alert_value(id="0" + ALERT_ID[1:])
    shifted.first = 5
    failing.error = BrokerUnavailable("kafka:9092", "no answer")
    cases: list[tuple[Topics, dict[str, Any], str, bool]] = [
        (gone, {}, api_window.ALERT_GONE, False),
        (other, {}, api_window.ALERT_GONE, False),
        (Topics(), {"alert_at": None}, api_window.ALERT_OLD, False),
        (Topics(), {"alert_at": (1, 6)}, api_window.ALERT_GONE, False),
        (shifted, {}, api_window.LINE_GONE, True),
        (failing, {}, "What came after it is not shown.", True),
    ]
    for topics, place, note, has_alert in cases:
        async with windows(topics, **place) as served:
            status, body = await served.ask(QUERY)
        assert status == 200
        assert body["note"].startswith(note)
        assert (body["alert"] is not None, body["original"]) == (has_alert, "quoted" if has_alert else None)


async def test_a_record_that_alerts_may_not_quote_is_not_shown() -> None:
    """The settings that bound what alerts quote bound the window as well."""
    async with windows(Topics(), ALERTS__MAX_ORIGINAL_CHARS="0") as served:
        assert (await served.ask(QUERY))[1]["original"] is None
    long = Topics()
    long.lines = ["x" * 5_000] * 8
    async with windows(long, ALERTS__MAX_ORIGINAL_CHARS="20", ALERTS__MAX_LINE_CHARS="30") as served:
        _, body = await served.ask(QUERY)
        assert (len(body["original"]), {len(line["text"]) for line in body["after"]}) == (20, {30})


async def test_a_line_that_an_incident_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client reads windows of incidents and nothing else of a topic; a topic that does not answer is a refusal."""
    async with windows(Topics()) as served:
        for query, refusal in (
            ("/window", (400, "bad_parameter")),
            ("/window?incident=b", (400, "bad_parameter")),
            (f"/window?incident=b&alert={ALERT_ID}", (404, "no_such_line")),
            ("/window?incident=a&alert=x", (404, "no_such_line")),
        ):
            status, body = await served.ask(query)
            assert (status, body["error"]["code"]) == refusal
    stuck = Topics()

    async def never(*_: object) -> Sequence[Record]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(api_window, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(stuck, "read", never)
    async with windows(stuck) as served:
        assert (await served.ask(QUERY))[1]["error"]["code"] == "busy"

    async def refused(*_: object) -> Sequence[Record]:
        raise BrokerUnavailable("kafka:9092", "no answer")

    monkeypatch.setattr(stuck, "read", refused)
    async with windows(stuck) as served:
        status, body = await served.ask(QUERY)
        assert (status, body["error"]["code"]) == (503, "not_read")


async def test_the_memory_of_windows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window beyond the bound is read again."""
    monkeypatch.setattr(api_window, "KEPT", 0)
    topics = Topics()
    async with windows(topics) as served:
        for reads in (2, 4):
            assert (await served.ask(QUERY))[0] == 200
            assert topics.reads == reads
