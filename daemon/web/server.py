"""Answers probes and Prometheus on one port: `/livez`, `/readyz`, `/metrics`.

Owns the socket and what the answers look like. Refuses to know what makes the daemon healthy: others write the facts
into a `HealthState`, which is plain and never waits.

    /livez    200 unless the daemon failed and should be restarted
    /readyz   200 when partitions are assigned and the model is warm; 503 with the reasons otherwise, and while draining
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.web.metrics import CONTENT_TYPE

STOP_TIMEOUT_S = 1.0
"""Seconds an open answer may still take at the stop: they are all small, and the drain has its own budget."""


@dataclass(slots=True, kw_only=True)
class HealthState:
    """What the probes answer from. Mutable on purpose: each part of the daemon sets its own fact."""

    assigned: bool = False
    """The consumer group has given us our partitions (none is fine: a spare replica is ready)."""
    warm: bool = False
    """The model is loaded and has scored once."""
    draining: bool = False
    """The daemon was told to stop and finishes what it has."""
    failure: str | None = None
    """Why the daemon cannot go on. None: it can."""

    def failed(self, reason: str) -> None:
        """The daemon cannot go on; the first reason is kept, the later ones follow from it."""
        self.failure = self.failure or reason

    @property
    def live(self) -> bool:
        """Whether a restart would not help."""
        return self.failure is None

    @property
    def reasons(self) -> list[str]:
        """Why the daemon is not ready; empty when it is."""
        facts = {
            f"failed: {self.failure}": self.failure is not None,
            "no partitions assigned yet": not self.assigned,
            "the model is not warm yet": not self.warm,
            "draining": self.draining,
        }
        return [reason for reason, holds in facts.items() if holds]


class HttpServer:
    """The server's life: `start`, then `stop`. Without a port both do nothing."""

    def __init__(self, settings: HttpSettings, health: HealthState, render_metrics: Callable[[], bytes]) -> None:
        self._settings = settings
        self._health = health
        self._render_metrics = render_metrics
        self._runner: web.AppRunner | None = None
        self.port: int | None = None
        """The port listened on, once started; tells which one 0 became."""

    async def start(self) -> None:
        """Listen. Raises ConfigurationError when the address cannot be had."""
        if self._settings.port is None:
            return
        app = web.Application()
        app.add_routes(
            [web.get("/livez", self._livez), web.get("/readyz", self._readyz), web.get("/metrics", self._metrics)]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._settings.host, self._settings.port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigurationError(self._refusal(error), hint="LOGWARDEN_HTTP__PORT=0 takes any free port") from None
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; harmless when not started."""
        runner, self._runner, self.port = self._runner, None, None
        if runner is not None:
            await runner.cleanup()

    def _refusal(self, error: OSError) -> str:
        host, port = self._settings.host, self._settings.port
        if error.errno == errno.EADDRINUSE:
            return f"LOGWARDEN_HTTP__PORT is {port}, but another program listens there already"
        reason = error.strerror or str(error)
        return (
            f"LOGWARDEN_HTTP__HOST is {host!r} and LOGWARDEN_HTTP__PORT is {port}, but listening there fails: {reason}"
        )

    async def _livez(self, _: web.Request) -> web.Response:
        reasons = [] if self._health.live else [f"failed: {self._health.failure}"]
        return _answer("live", reasons)

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer("ready", self._health.reasons)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._render_metrics(), headers={"Content-Type": CONTENT_TYPE})


def _answer(question: str, reasons: list[str]) -> web.Response:
    return web.json_response({question: not reasons, "reasons": reasons}, status=503 if reasons else 200)
