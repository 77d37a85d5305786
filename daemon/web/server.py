"""Runs the HTTP server: one port, the routes that it is given. Knows no path and no body."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from aiohttp import web

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.groups import HttpSettings

STOP_TIMEOUT_S = 1.0
"""Seconds an open response may still take at the stop: all are small, and the drain has its own budget."""


class HttpServer:
    """The server's life: `start`, then `stop`. Without a port both do nothing."""

    def __init__(self, settings: HttpSettings, routes: Sequence[web.AbstractRouteDef]) -> None:
        self._settings = settings
        self._routes = routes
        self._runner: web.AppRunner | None = None
        self.port: int | None = None
        """The port of the socket, once started; the one that the system chose where the setting is 0."""

    async def start(self) -> None:
        """Opens the socket. Raises ConfigurationError when the address cannot be used."""
        if self._settings.port is None:
            return
        app = web.Application()
        app.add_routes(self._routes)
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
        """Closes the socket; harmless when not started."""
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
