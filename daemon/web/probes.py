"""Answers probes and Prometheus: `/livez`, `/readyz`, `/metrics`.

    /livez    200 unless the daemon failed and should be restarted
    /readyz   200 when nothing keeps the daemon from its work; 503 with the reasons otherwise

Refuses to know what makes the daemon healthy: other parts write the facts into a `HealthState`, and
`daemon/readiness.py` judges them.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from logwarden.daemon.health import HealthState
from logwarden.daemon.readiness import figures, reasons


def probe_routes(health: HealthState) -> list[web.RouteDef]:
    """Returns the routes of the two probes."""

    async def livez(_: web.Request) -> web.Response:
        failed = [reason.as_json() for reason in reasons(health)[:1] if not health.live]  # a failure comes first
        return web.json_response({"live": health.live, "reasons": failed}, status=200 if health.live else 503)

    async def readyz(_: web.Request) -> web.Response:
        found = [reason.as_json() for reason in reasons(health)]
        body = {"ready": not found, "reasons": found, "facts": figures(health)}
        return web.json_response(body, status=503 if found else 200)

    return [web.get("/livez", livez), web.get("/readyz", readyz)]


def metrics_routes(render: Callable[[], bytes], content_type: str) -> list[web.RouteDef]:
    """Returns the route of the metrics; `render` returns the body."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=render(), headers={"Content-Type": content_type})

    return [web.get("/metrics", metrics)]
