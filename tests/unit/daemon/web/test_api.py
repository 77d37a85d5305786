"""The HTTP API over a real socket: what it answers about services and incidents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from logwarden.daemon.standing import ServiceTable
from logwarden.daemon.web import api_services
from logwarden.daemon.web.api_services import OwnServices, ServiceSource
from logwarden.daemon.web.questions import Question
from tests.fakes import InlineWorker, virtually
from tests.sim.stand_ins import VirtualClock
from tests.unit.daemon.web.serving import (
    NOW_MS,
    TABLE,
    Served,
    incident_value,
    member,
    serving,
    settings_of,
)


async def test_services_are_described_with_their_state(served: Served) -> None:
    """An operator sees who is learning and how far, how fast each service logs, and its newest alert."""
    status, body = await served.ask("/services")
    assert status == 200
    assert body["states"] == {"learning": 1, "known": 2, "noisy": 1}
    assert (body["total"], body["lines_per_minute"], body["next"]) == (4, 66, None)
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


@virtually
async def test_answers_rest_after_work() -> None:
    """However many clients ask, answers about many services leave four fifths of the time to the lines."""
    clock, times = VirtualClock(), []

    class Slow(InlineWorker):
        async def run(self, function: Callable[..., Any], *args: Any) -> Any:
            await clock.sleep(0.05)
            return function(*args)

    async def table() -> ServiceTable:
        return TABLE

    services = OwnServices(member, clock, Slow())
    services.source = ServiceSource(table=table, last_alert=lambda *_: None)

    async def asks() -> None:
        await services.page(services.selection(Question({})))
        times.append(round(clock.monotonic(), 3))

    begun = clock.monotonic()
    await asyncio.gather(*(asks() for _ in range(4)))
    # The first sorts as well: 0.1 s and 0.4 s of rest; the others take 0.05 s and rest 0.2 s.
    assert [round(at - begun, 3) for at in times] == [0.1, 0.55, 0.8, 1.05]


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
    """State, severity, kind, service and time choose, and `next` leads to the end."""
    for number in range(5):
        value = incident_value(f"i{number}", severity="error" if number % 2 else "critical", age_s=60 * number)
        served.shelf.put(b"", value, NOW_MS)
    old = incident_value(
        "old", status="resolved", kinds=("failure_rate_up", "new_line"), services=("db", "cache-1"), age_s=9_000
    )
    served.shelf.put(b"", old, NOW_MS)

    async def ids(query: str) -> list[str]:
        status, body = await served.ask(f"/incidents?{query}")
        assert status == 200, body
        return [incident["id"] for incident in body["incidents"]]

    assert await ids("severity=error") == ["i1", "i3", "old"]
    assert await ids("state=resolved&state=expired") == ["old"]
    assert await ids("service=cache-*") == ["old"]
    assert await ids("kind=failure_rate_up&kind=silence") == ["old"]
    assert await ids("kind=new_line&state=resolved") == ["old"]
    assert await ids("kind=silence") == []
    assert (await served.ask("/incidents?kind=failure_rate_up"))[1]["incidents"][0]["logwarden"]["kinds"] == [
        "failure_rate_up",
        "new_line",
    ]
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
