"""Incidents for the tests of the bridge, and an HTTP server that takes, refuses and misbehaves as a test lays down."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from logwarden.daemon.incidents.alert import NAMESPACE, AlertService
from logwarden.daemon.incidents.incident import (
    GateFacts,
    IncidentEvent,
    IncidentFacts,
    IncidentRecord,
    IncidentServiceFacts,
    LineFacts,
    ResolutionFacts,
)
from logwarden.daemon.incidents.plans import PlanFacts

FIRST, LAST = "2026-11-23T10:41:41.166Z", "2026-11-23T10:41:53.000Z"
PLAN = PlanFacts(id="maintenance/db", reason="upgrade", until=LAST)


def incident(
    name: str = "one",
    *,
    status: str = "open",
    revision: int = 1,
    severity: str = "error",
    services: Sequence[str] = ("db-1",),
    texts: Sequence[str] = ("PANIC: could not write to file: No space left on device",),
    kinds: Sequence[str] = ("new_line",),
    planned: bool = False,
    first_seen: str | None = FIRST,
    resolution: ResolutionFacts | None = None,
) -> IncidentRecord:
    """Returns a record about the incident of this name."""
    id = incident_id(name)
    change = {"open": "opened" if revision == 1 else "updated"}.get(status, status)
    lines = tuple(
        LineFacts(
            service=services[0],
            text=text,
            dedup_key=f"{name}-{number}",
            count=5,
            evidence=2.0 - number / 10,
            is_failure=True,
            kinds=tuple(kinds),
            first_seen=first_seen,
            last_seen=LAST,
            alert_id=id,
        )
        for number, text in enumerate(texts)
    )
    facts = IncidentFacts(
        change=change,
        status=status,
        revision=revision,
        severity=severity,
        kinds=tuple(kinds),
        gates=GateFacts(failure=True, extent=True, novelty=True, calm=severity == "critical"),
        evidence=4.2,
        alerts=9,
        recurrence=0,
        first_seen=first_seen,
        last_seen=LAST,
        services=tuple(IncidentServiceFacts(name=one, alerts=3, first_seen=FIRST, last_seen=LAST) for one in services),
        more_services=0,
        lines=lines,
        more_lines=0,
        planned=PLAN if planned else None,
        resolution=resolution,
    )
    return IncidentRecord(
        schema_version=1,
        id=id,
        timestamp=first_seen,
        event=IncidentEvent(start=first_seen, end=None if status == "open" else LAST),
        service=AlertService(name=services[0]),
        message=f"{services[0]}: {texts[0]}",
        logwarden=facts,
    )


def incident_id(name: str) -> str:
    """Returns the id of the incident of this name."""
    return str(uuid.uuid5(NAMESPACE, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server does with a request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "ok"
    delay_s: float = 0.0
    is_cut: bool = False
    """True closes the connection instead of an answer."""
    is_taken: bool | None = None
    """Whether the request counts as taken. None: if its status is 2xx."""


@dataclass(slots=True)
class Request:
    """A request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """A server on loopback. `answer` decides what happens to each request."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.answer = answer
        self.url = ""
        self.arrived: list[Request] = []
        self.taken: list[Request] = []

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        arrived = Request(request.path_qs, dict(request.headers), await request.read())
        self.arrived.append(arrived)
        answer = self.answer(arrived)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        is_taken = 200 <= answer.status < 300 and not answer.is_cut if answer.is_taken is None else answer.is_taken
        if is_taken:
            self.taken.append(arrived)
        if answer.is_cut:
            assert request.transport is not None, "connected"
            request.transport.abort()
        return web.Response(status=answer.status, headers=answer.headers, text=answer.body)


@asynccontextmanager
async def receiver(answer: Callable[[Request], Answer] = lambda _: Answer()) -> AsyncIterator[Receiver]:
    """Yields a running server."""
    server = Receiver(answer)
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", server._serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
