"""Answers probes and Prometheus: `/livez`, `/readyz`, `/metrics`.

    /livez    200 unless the daemon failed and should be restarted
    /readyz   200 when partitions are assigned, readable, and the model is warm; 503 with the reasons otherwise,
              and while draining

Refuses to know what makes the daemon healthy: other parts write the facts into a `HealthState`.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from logwarden.daemon.health import HealthState


def probe_routes(health: HealthState) -> list[web.RouteDef]:
    """Returns the routes of the two probes."""

    async def livez(_: web.Request) -> web.Response:
        return _answer("live", [] if health.live else [f"failed: {health.failure}"])

    async def readyz(_: web.Request) -> web.Response:
        return _answer("ready", health.reasons)

    return [web.get("/livez", livez), web.get("/readyz", readyz)]


def metrics_routes(render: Callable[[], bytes], content_type: str) -> list[web.RouteDef]:
    """Returns the route of the metrics; `render` returns the body."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=render(), headers={"Content-Type": content_type})

    return [web.get("/metrics", metrics)]


def _answer(question: str, reasons: list[str]) -> web.Response:
    return web.json_response({question: not reasons, "reasons": reasons}, status=503 if reasons else 200)
