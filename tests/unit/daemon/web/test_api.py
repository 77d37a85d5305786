"""The HTTP API over a real socket: services, incidents, tokens, refusals, and the description of all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import msgspec
import numpy as np
import pytest

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.incidents.shelf import IncidentShelf
from logwarden.daemon.records import Partition
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from logwarden.daemon.standing import LastAlert, ServiceState, ServiceTable
from logwarden.daemon.web import api_services
from logwarden.daemon.web.api import MAX_BODY_BYTES, Endpoint, MemberFacts, PartitionFacts
from logwarden.daemon.web.api_incidents import IncidentsEndpoint
from logwarden.daemon.web.api_schema import api_routes
from logwarden.daemon.web.api_services import ServicesEndpoint, ServiceSource
from logwarden.daemon.web.questions import Question
from logwarden.daemon.web.server import HttpServer
from tests.fakes import InlineWorker
from tests.unit.daemon.web.records import NOW_MS, incident_value

LOGS, AUDIT = Partition("logs", 0), Partition("audit", 3)
TABLE = ServiceTable(
    at_ms=NOW_MS,
    partitions=(LOGS, AUDIT),
    partition=np.array([0, 0, 0, 1]),
    names=np.array(["web-2", "web-1", "pkg \ud800", "web-1"], object),
    states=np.array([ServiceState.KNOWN, ServiceState.LEARNING, ServiceState.NOISY, ServiceState.KNOWN], np.int8),
    progress=np.array([1.0, 0.25, 1.0, 1.0], np.float32),
    lines=np.array([5_000, 250, 9_000, 1_000]),
    known_lines=np.array([40, 12, 8_000, 1]),
    per_minute=np.array([60, 0, 5, 1]),
    seen_ms=np.array([NOW_MS, NOW_MS - 3_600_000, -1, NOW_MS - 60_000]),
)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoint of these tests takes and returns."""

    text: str


@dataclass
class Served:
    """A server of the API, and what it serves."""

    url: str = ""
    shelf: IncidentShelf = field(default_factory=IncidentShelf)
    table: Callable[[], Awaitable[ServiceTable]] | None = None
    looks: int = 0
    notes: list[str] = field(default_factory=list)

    async def ask(self, path: str, *, method: str = "GET", **options: Any) -> tuple[int, Any]:
        url = f"{self.url}/api/v1{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, **options) as answer:
            return answer.status, json.loads(await answer.read())

    async def names(self, query: str) -> list[tuple[str, str]]:
        status, body = await self.ask(f"/services?{query}")
        assert status == 200, body
        return [(service["name"], service["topic"]) for service in body["services"]]


class Clock(SystemClock):
    def now_ms(self) -> int:
        return NOW_MS


def member() -> MemberFacts:
    partitions = tuple(PartitionFacts(topic=each.topic, partition=each.partition) for each in (AUDIT, LOGS))
    return MemberFacts(name="host/7", group="logwarden", version="1", partitions=partitions)


async def serving(settings: Settings, *, with_topic: bool = True) -> tuple[Served, HttpServer]:
    served = Served()

    async def table() -> ServiceTable:
        served.looks += 1
        return TABLE if served.table is None else await served.table()

    async def take(question: Question) -> Note:
        served.notes.append(question.body.text)
        return Note(text=question.body.text)

    services = ServicesEndpoint(member, Clock(), InlineWorker())
    alerts = {
        (LOGS, "web-2"): LastAlert(at_ms=NOW_MS - 5_000, score=0.97),
        (LOGS, "web-1"): LastAlert(at_ms=None, score=0.5),
    }
    services.source = ServiceSource(table=table, last_alert=lambda *key: alerts.get(key))
    incidents = IncidentsEndpoint(member, Clock(), served.shelf if with_topic else None)
    note = Endpoint(method="POST", path="/notes", summary="Takes a note.", answer=Note, reply=take, body=Note)
    server = HttpServer(settings.http, api_routes([services.endpoint, incidents.endpoint, note], settings.http))
    await server.start()
    served.url = f"http://127.0.0.1:{server.port}"
    return served, server


def settings_of(**values: str) -> Settings:
    return read_settings({f"LOGWARDEN_{name}": value for name, value in {"HTTP__PORT": "0", **values}.items()})


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Yields the API of a daemon without a token."""
    found, server = await serving(settings_of())
    yield found
    await server.stop()


@pytest.fixture
async def with_token() -> AsyncIterator[Served]:
    """Yields the API of a daemon with a token, which reading needs as well."""
    found, server = await serving(settings_of(HTTP__TOKEN="open sesame", HTTP__TOKEN_FOR_READS="true"))
    yield found
    await server.stop()


# ---------------------------------------------------------------- services


async def test_services_are_described_with_their_state(served: Served) -> None:
    """An operator sees who is learning and how far, how fast each service logs, and its newest alert."""
    status, body = await served.ask("/services")
    assert status == 200
    assert body["states"] == {"learning": 1, "known": 2, "noisy": 1}
    assert (body["total"], body["next"]) == (4, None)
    assert body["member"]["partitions"] == [{"topic": "audit", "partition": 3}, {"topic": "logs", "partition": 0}]
    assert [service["name"] for service in body["services"]] == ["pkg ?", "web-1", "web-1", "web-2"]
    assert body["services"][3] == {
        "name": "web-2",
        "topic": "logs",
        "partition": 0,
        "state": "known",
        "progress": 1.0,
        "lines": 5_000,
        "known_lines": 40,
        "lines_per_minute": 60,
        "last_seen": "2026-11-23T10:00:00.000Z",
        "last_alert": {"timestamp": "2026-11-23T09:59:55.000Z", "score": 0.97},
    }
    assert body["services"][0]["last_seen"] is None
    assert body["services"][2]["last_alert"] == {"timestamp": None, "score": 0.5}
    assert (body["services"][2]["state"], body["services"][2]["progress"]) == ("learning", 0.25)


async def test_services_are_filtered(served: Served) -> None:
    """Names, patterns, states and times choose; several values of a parameter are alternatives."""
    assert await served.names("service=web-2") == [("web-2", "logs")]
    assert await served.names("service=web-*&service=pkg*&state=learning&state=noisy") == [
        ("pkg ?", "logs"),
        ("web-1", "logs"),
    ]
    assert await served.names("since=10m") == [("web-1", "audit"), ("web-2", "logs")]
    assert await served.names("since=2026-11-23T10:00:00Z") == [("web-2", "logs")]
    assert await served.names("service=nothing") == []


async def test_pages_show_each_service_once(served: Served) -> None:
    """A reader who follows `next` sees every service, also those of one name, and comes to an end."""
    seen, after = [], ""
    for _ in range(4):
        _, body = await served.ask(f"/services?limit=1{after}")
        assert body["total"] == 4
        seen += [(service["name"], service["topic"]) for service in body["services"]]
        after = f"&after={body['next']}"
    assert seen == [("pkg ?", "logs"), ("web-1", "audit"), ("web-1", "logs"), ("web-2", "logs")]
    assert body["next"] is None


async def test_many_readers_cost_the_ingest_thread_one_look(served: Served) -> None:
    """However many dashboards poll, services are copied once a second."""
    answers = await asyncio.gather(*(served.ask("/services") for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert served.looks == 1


async def test_a_busy_ingest_thread_delays_nobody(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """While new lines are embedded the answer is the last known one with its time, or a sentence if there is none."""
    monkeypatch.setattr(api_services, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(api_services, "FRESH_S", 0.0)

    async def never() -> ServiceTable:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    served.table = never
    status, body = await served.ask("/services")
    assert (status, body["error"]["code"]) == (503, "busy")
    served.table = None
    assert (await served.ask("/services"))[0] == 200
    served.table = never
    status, body = await served.ask("/services")
    assert (status, body["as_of"], body["total"]) == (200, "2026-11-23T10:00:00.000Z", 4)


# ---------------------------------------------------------------- incidents


async def test_incidents_are_those_of_the_topic(served: Served) -> None:
    """The newest record of each incident is passed on as it was published, the newest alert first."""
    served.shelf.note = ""
    for id, state, age_s in (("a", "open", 60), ("b", "resolved", 30), ("c", "open", 3_700), ("a", "open", 10)):
        served.shelf.put(id.encode(), incident_value(id, status=state, age_s=age_s), NOW_MS)
    status, body = await served.ask("/incidents")
    assert (status, body["open"], body["total"], body["note"]) == (200, 2, 3, "")
    assert [incident["id"] for incident in body["incidents"]] == ["a", "b", "c"]
    assert body["incidents"][0] == json.loads(incident_value("a", status="open", age_s=10))


async def test_incidents_are_filtered_and_paged(served: Served) -> None:
    """State, severity, service and time choose, and `next` leads to the end."""
    for number in range(5):
        value = incident_value(f"i{number}", severity="error" if number % 2 else "critical", age_s=60 * number)
        served.shelf.put(b"", value, NOW_MS)
    served.shelf.put(b"", incident_value("old", status="resolved", services=("db", "cache-1"), age_s=9_000), NOW_MS)

    async def ids(query: str) -> list[str]:
        status, body = await served.ask(f"/incidents?{query}")
        assert status == 200, body
        return [incident["id"] for incident in body["incidents"]]

    assert await ids("severity=error") == ["i1", "i3", "old"]
    assert await ids("state=resolved&state=expired") == ["old"]
    assert await ids("service=cache-*") == ["old"]
    assert await ids("since=90s") == ["i0", "i1"]
    first = (await served.ask("/incidents?limit=4"))[1]
    assert [incident["id"] for incident in first["incidents"]] == ["i0", "i1", "i2", "i3"]
    assert await ids(f"limit=4&after={first['next']}") == ["i4", "old"]


async def test_without_an_incidents_topic_the_answer_names_the_setting() -> None:
    """The operator learns which setting to change."""
    found, server = await serving(settings_of(), with_topic=False)
    status, body = await found.ask("/incidents")
    await server.stop()
    assert (status, body["error"]["code"]) == (404, "no_incidents")
    assert "LOGWARDEN_KAFKA__INCIDENTS_TOPIC" in body["error"]["message"]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/services?limit=0", "bad_parameter", "limit is '0', but it must be an integer from 1 to 1000."),
        ("/services?limit=1e3", "bad_parameter", "limit is '1e3'"),
        ("/services?limit=%D9%A1", "bad_parameter", "must be an integer"),
        ("/services?state=new", "bad_parameter", "state is 'new', but it must be one of learning, known, noisy."),
        ("/services?severity=error", "unknown_parameter", "There is no parameter 'severity'."),
        ("/services?since=yesterday", "bad_parameter", "'yesterday' is no time; write a time ago"),
        ("/services?since=9999999d", "bad_parameter", "is no time"),
        ("/services?limit=1&limit=2", "bad_parameter", "limit is given 2 times"),
        ("/services?after=nothing", "bad_parameter", "after is no value of `next`"),
        ("/services?after=WzFd", "bad_parameter", "after is no value of `next`"),
        ("/services?service=" + "x" * 300, "bad_parameter", "at most 256 characters"),
        ("/services?" + "&".join(["service=x"] * 33), "bad_parameter", "write at most 32"),
        ("/services?" + "&".join(["service=x"] * 65), "bad_parameter", "more than 64 values"),
        ("/incidents?severity=high", "bad_parameter", "must be one of critical, error, warning"),
        ("/incidents?after=WzEsMl0", "bad_parameter", "after is no value of `next`"),
    ],
)
async def test_a_wrong_question_is_refused_with_a_sentence(served: Served, path: str, code: str, words: str) -> None:
    """A question that is not understood is never answered as if it had not been asked."""
    status, body = await served.ask(path)
    assert (status, body["error"]["code"]) == (400, code)
    assert words in body["error"]["message"]


async def test_a_pattern_cannot_stop_the_daemon(served: Served) -> None:
    """A pattern of many stars is matched in time that grows with the name, not with the power of its stars."""
    name = "a" * 2_000
    served.table = lambda: _table_of(name)
    stars = "*a" * 100 + "*b"
    assert await asyncio.wait_for(served.names(f"service={stars}"), 5) == []


async def _table_of(name: str) -> ServiceTable:
    names = TABLE.names.copy()
    names[:] = name
    return replace(TABLE, names=names)


# ---------------------------------------------------------------- tokens


async def test_without_a_token_nobody_writes(served: Served) -> None:
    """A daemon that was given no token takes no writes, whatever the client sends."""
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        status, body = await served.ask("/notes", method="POST", headers=headers, json={"text": "x"})
        assert (status, body["error"]["code"]) == (403, "writes_off")
        assert "LOGWARDEN_HTTP__TOKEN" in body["error"]["message"]
    assert served.notes == []


@pytest.mark.parametrize(
    "given", ["", "open sesame", "Bearer", "Bearer open", "Basic open sesame", "Bearer open sesame2", "Bearer öpen"]
)
async def test_another_token_is_refused(with_token: Served, given: str) -> None:
    """Only the daemon's token opens, and no refusal shows it."""
    for method, path in (("POST", "/notes"), ("GET", "/services"), ("GET", "/openapi.json")):
        headers = {"Authorization": given} if given else {}
        status, body = await with_token.ask(path, method=method, headers=headers, data=b'{"text": "x"}')
        assert (status, body["error"]["code"]) == (401, "unauthorized")
        assert "sesame" not in body["error"]["message"]
    assert with_token.notes == []


async def test_the_token_opens(with_token: Served) -> None:
    """With the token a client reads and writes."""
    headers = {"Authorization": "Bearer open sesame"}
    assert (await with_token.ask("/services", headers=headers))[0] == 200
    status, body = await with_token.ask("/notes", method="POST", headers=headers, json={"text": "planned"})
    assert (status, body, with_token.notes) == (200, {"text": "planned"}, ["planned"])


async def test_a_token_in_a_file_is_read_again(tmp_path: Path) -> None:
    """A rotated token counts from the next request on; a file that is missing then is a sentence, not an opening."""
    file = tmp_path / "token"
    file.write_text("first\n", encoding="utf-8")
    found, server = await serving(settings_of(HTTP__TOKEN_FILE=str(file)))
    note: dict[str, Any] = {"method": "POST", "json": {"text": "x"}}
    assert (await found.ask("/notes", headers={"Authorization": "bearer first"}, **note))[0] == 200
    file.write_text("second", encoding="utf-8")
    assert (await found.ask("/notes", headers={"Authorization": "Bearer first"}, **note))[0] == 401
    assert (await found.ask("/notes", headers={"Authorization": "Bearer second"}, **note))[0] == 200
    file.unlink()
    status, body = await found.ask("/notes", headers={"Authorization": "Bearer second"}, **note)
    await server.stop()
    assert (status, body["error"]["code"]) == (503, "token_unreadable")
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"HTTP__TOKEN": "a", "HTTP__TOKEN_FILE": __file__}, "are both set"),
        ({"HTTP__TOKEN_FOR_READS": "true"}, "nobody could read"),
    ],
)
def test_settings_of_the_token_agree(values: dict[str, str], words: str) -> None:
    """Settings that contradict each other are refused before anything listens."""
    with pytest.raises(ConfigurationError, match=words):
        settings_of(**values)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "bad_body"),
        (b"[]", 400, "bad_body"),
        (b'{"text": 1}', 400, "bad_body"),
        (b"\xff", 400, "bad_body"),
        (b"[" * 60_000, 400, "bad_body"),
        (b'{"text": "' + b"x" * MAX_BODY_BYTES + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_body_is_bounded_and_checked(with_token: Served, data: bytes, status: int, code: str) -> None:
    """Whatever a client with the token sends, the daemon answers with a reason."""
    headers = {"Authorization": "Bearer open sesame"}
    found = await with_token.ask("/notes", method="POST", headers=headers, data=data)
    assert (found[0], found[1]["error"]["code"]) == (status, code)
    assert with_token.notes == []


# ---------------------------------------------------------------- the description


async def test_answers_are_what_the_description_promises(served: Served) -> None:
    """Every path answers as OpenAPI describes it, refusals included; a field that is missing there would fail."""
    status, description = await served.ask("/openapi.json")
    assert (status, description["openapi"]) == (200, "3.1.0")
    served.shelf.put(b"", incident_value("a"), NOW_MS)
    for path, method in (("/services", "get"), ("/incidents", "get"), ("/notes", "post")):
        operation = description["paths"][f"/api/v1{path}"][method]
        for outcome, query in (("200", ""), ("default", "?nothing=1")):
            status, body = await served.ask(path + query, method=method.upper())
            wanted = outcome if status == 200 else "default"
            schema = operation["responses"][wanted]["content"]["application/json"]["schema"]
            closed(description["components"]["schemas"])
            jsonschema.validate(body, {**schema, "components": description["components"]})
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert names == ({"service", "severity", "state", "since", "limit", "after"} & names)
    assert description["paths"]["/api/v1/notes"]["post"]["security"] == [{"token": []}]


def closed(schemas: dict[str, Any]) -> None:
    """Lets the schemas of objects refuse fields that they do not describe."""
    for schema in schemas.values():
        if schema.get("type") == "object":
            schema["additionalProperties"] = False


async def test_a_path_that_is_not_there_is_a_404(served: Served) -> None:
    """Another version of the API, or another path, is not found."""
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/api/v2/services") as answer:
        assert answer.status == 404
