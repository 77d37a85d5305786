"""Stand-ins for tests of the HTTP API: a table of services, records of incidents, and a server of both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import numpy as np
from aiohttp import web

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.incidents.alert import AlertService
from logwarden.daemon.incidents.incident import (
    SCHEMA_VERSION,
    GateFacts,
    IncidentEvent,
    IncidentFacts,
    IncidentRecord,
    IncidentServiceFacts,
    LineFacts,
)
from logwarden.daemon.incidents.shelf import IncidentShelf
from logwarden.daemon.incidents.writing import rfc3339
from logwarden.daemon.records import Partition
from logwarden.daemon.roster import GroupDescription, GroupMember, MemberCard
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from logwarden.daemon.standing import LastAlert, ServiceState, ServiceTable
from logwarden.daemon.web.api import Endpoint, MemberFacts, PartitionFacts
from logwarden.daemon.web.api_incidents import IncidentsEndpoint
from logwarden.daemon.web.api_schema import api_routes
from logwarden.daemon.web.api_services import OwnServices, ServiceSource
from logwarden.daemon.web.group_services import ServicesEndpoint
from logwarden.daemon.web.members import GroupMembers
from logwarden.daemon.web.peer_client import PeerClient
from logwarden.daemon.web.questions import Question
from logwarden.daemon.web.server import HttpServer
from tests.fakes import InlineWorker

NOW_MS = 1_795_428_000_000
"""2026-11-23T10:00Z."""


def incident_value(
    id: str,
    *,
    status: str = "open",
    severity: str = "error",
    kinds: tuple[str, ...] = ("new_line",),
    services: tuple[str, ...] = ("web",),
    age_s: int = 0,
) -> bytes:
    """Returns the record of an incident whose last alert is this old."""
    seen = rfc3339(NOW_MS - 1_000 * age_s)
    line = LineFacts(
        service=services[0],
        text="PANIC: no space left",
        dedup_key="k",
        count=3,
        evidence=1.5,
        is_failure=True,
        first_seen=seen,
        last_seen=seen,
        alert_id="a",
    )
    facts = IncidentFacts(
        change="opened",
        status=status,
        revision=1,
        severity=severity,
        kinds=kinds,
        gates=GateFacts(failure=True, extent=False, novelty=True, calm=True),
        evidence=1.5,
        alerts=3,
        recurrence=0,
        first_seen=seen,
        last_seen=seen,
        services=tuple(IncidentServiceFacts(name=name, alerts=3, first_seen=seen, last_seen=seen) for name in services),
        more_services=0,
        lines=(line,),
        more_lines=0,
    )
    return IncidentRecord(
        schema_version=SCHEMA_VERSION,
        id=id,
        timestamp=seen,
        event=IncidentEvent(start=seen, end=None if status == "open" else seen),
        service=AlertService(name=services[0]),
        message=f"{services[0]}: PANIC: no space left",
        logwarden=facts,
    ).encode()


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


class Group:
    """The coordinator of a group of these members, beside the one that is asked."""

    def __init__(self, *members: GroupMember) -> None:
        self.members = members
        self.is_stable = True
        self.looks = 0

    async def describe(self) -> GroupDescription:
        self.looks += 1
        return GroupDescription(members=self.members, is_stable=self.is_stable)


def member() -> MemberFacts:
    partitions = tuple(PartitionFacts(topic=each.topic, partition=each.partition) for each in (AUDIT, LOGS))
    return MemberFacts(id="me", name="host/7", group="logwarden", version="1", partitions=partitions)


async def unready(_: web.Request) -> web.Response:
    reasons = [{"code": "not_assigned", "message": "The group has assigned nothing yet."}]
    return web.json_response({"ready": False, "reasons": reasons}, status=503)


@asynccontextmanager
async def with_one_incident() -> AsyncIterator[Served]:
    """Serves one incident, `a`, from a topic that is read to its end."""
    served, server = await serving(settings_of())
    served.shelf.note = ""
    served.shelf.put(b"", incident_value("a"), NOW_MS)
    try:
        yield served
    finally:
        await server.stop()


async def serving(settings: Settings, *, with_topic: bool = True) -> tuple[Served, HttpServer]:
    served = Served()

    async def table() -> ServiceTable:
        served.looks += 1
        return TABLE if served.table is None else await served.table()

    async def take(question: Question) -> Note:
        served.notes.append(question.body.text)
        return Note(text=question.body.text)

    services = OwnServices(member, Clock(), InlineWorker())
    alerts = {
        (LOGS, "web-2"): LastAlert(at_ms=NOW_MS - 5_000, score=0.97),
        (LOGS, "web-1"): LastAlert(at_ms=None, score=0.5),
    }
    services.source = ServiceSource(table=table, last_alert=lambda *key: alerts.get(key))
    incidents = IncidentsEndpoint(member, Clock(), served.shelf if with_topic else None)
    note = Endpoint(method="POST", path="/notes", summary="Takes a note.", answer=Note, reply=take, body=Note)
    members = GroupMembers(Group(), lambda: MemberCard(id="me", name="host/7", address=None), Clock())
    client = PeerClient(settings.http, Clock(), InlineWorker())
    group = ServicesEndpoint(services, members, client, InlineWorker())
    endpoints = [group.endpoint, incidents.endpoint, note]
    server = HttpServer(settings.http, [web.get("/readyz", unready), *api_routes(endpoints, settings.http)])
    await server.start()
    served.url = f"http://127.0.0.1:{server.port}"
    return served, server


def settings_of(**values: str) -> Settings:
    return read_settings({f"LOGWARDEN_{name}": value for name, value in {"HTTP__PORT": "0", **values}.items()})
