"""Runs the HTTP server: one port, the routes that it is given. Knows no path and no body.

Slow or idle clients must not starve the probes, or Kafka's connections of file descriptors. A connection ends
IDLE_TIMEOUT_S after its last complete request, and one more than MAX_CONNECTIONS ends the oldest one.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.groups import HttpSettings

STOP_TIMEOUT_S = 1.0
"""Seconds an open response may still take at the stop: all are small, and the drain has its own budget."""
IDLE_TIMEOUT_S = 10.0
"""Seconds that a connection has for its next complete request, the first one as well as those after it."""
MAX_CONNECTIONS = 64
"""Connections at a time: some probes and scrapers need a handful."""
Routes = Sequence[web.AbstractRouteDef]
"""What the server serves."""
_BACKLOG = 128
"""Connections that wait for the event loop. A probe that finds no place there is delayed by a second."""


class HttpServer:
    """The server's life: `start`, then `stop`. Without a port both do nothing."""

    def __init__(
        self,
        settings: HttpSettings,
        routes: Routes,
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        max_connections: int = MAX_CONNECTIONS,
        on_stop: Callable[[], None] = lambda: None,
        port_variable: str = "LOGWARDEN_HTTP__PORT",
    ) -> None:
        """`on_stop`: ends responses that have no end of their own. `port_variable`: the port's setting."""
        self._settings = settings
        self._routes = routes
        self._idle_timeout_s = idle_timeout_s
        self._max_connections = max_connections
        self._on_stop = on_stop
        self._port_variable = port_variable
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self.port: int | None = None
        """The port of the socket, once started; the one that the system chose where the setting is 0."""

    async def start(self) -> None:
        """Opens the socket. Raises ConfigurationError when the address cannot be used."""
        if self._settings.port is None:
            return
        app = web.Application()
        app.add_routes(self._routes)
        # aiohttp's keep-alive time-out begins with the connection, so it also ends one that sends no request.
        timeouts: dict[str, Any] = {
            "shutdown_timeout": STOP_TIMEOUT_S,
            "keepalive_timeout": self._idle_timeout_s,
            "lingering_time": self._idle_timeout_s,
        }
        runner = web.AppRunner(app, access_log=None, **timeouts)
        await runner.setup()
        assert runner.server is not None, "set up"
        accepted = _Limited(runner.server, self._max_connections)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                accepted, self._settings.host, self._settings.port, backlog=_BACKLOG
            )
        except OSError as error:
            await runner.cleanup()
            raise ConfigurationError(
                self._refusal(error), hint=f"{self._port_variable}=0 takes any free port"
            ) from None
        self._runner = runner
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes the socket; harmless when not started."""
        runner, self._runner, self.port = self._runner, None, None
        if self._server is not None:
            self._server.close()
        self._on_stop()
        if runner is not None:
            await runner.cleanup()

    def _refusal(self, error: OSError) -> str:
        host, port = self._settings.host, self._settings.port
        if error.errno == errno.EADDRINUSE:
            return f"{self._port_variable} is {port}, but another program listens there already"
        reason = error.strerror or str(error)
        return (
            f"LOGWARDEN_HTTP__HOST is {host!r} and {self._port_variable} is {port}, but listening there fails: {reason}"
        )


class _Limited:
    """Makes the protocol of each new connection, and ends the oldest connections above the limit.

    The oldest, and not the new one: while idle connections fill the places, a probe must still get an answer.
    """

    def __init__(self, server: web.Server, most: int) -> None:
        self._server = server
        self._most = most
        self._transports: dict[web.RequestHandler, asyncio.Transport | None] = {}
        """Of the open connections, the oldest first. aiohttp forgets a transport that it closes, and a client that
        reads nothing keeps that one open."""

    def __call__(self) -> web.RequestHandler:
        # A moment later, when asyncio has connected the new protocol and the server counts it.
        asyncio.get_running_loop().call_later(0, self._end_oldest)
        return self._server()

    def _end_oldest(self) -> None:
        known = self._transports
        self._transports = {each: each.transport or known.get(each) for each in self._server.connections}
        for transport in list(self._transports.values())[: -self._most]:
            if transport is not None:
                transport.abort()  # `close` would wait until the client has read everything
