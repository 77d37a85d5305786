"""`logwarden mcp`: a server for agents, fed by the HTTP API of daemons. It reads no topic and loads no model."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Sequence
from importlib.util import find_spec

import structlog

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.commands.asking import clients_of
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.roster import EVERYWHERE, ip_of, is_loopback
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.secret_files import secret_of

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_ADDRESS = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]+):)?(?P<port>[0-9]{1,5})")
log = structlog.get_logger(__name__)


def require_sdk() -> None:
    """Raises ConfigurationError where the SDK of the protocol is not installed."""
    if find_spec("mcp") is None or find_spec("uvicorn") is None:
        raise ConfigurationError(
            "the package mcp cannot be imported, but this command serves the Model Context Protocol with it",
            hint="install it: pip install 'logwarden[mcp]'",
        )


async def serve(urls: Sequence[str], http: str | None, settings: Settings) -> None:
    """Serves on standard input and output, or with `http`, an address such as `127.0.0.1:8090`, over HTTP.

    Raises ConfigurationError for settings or an address that cannot be used.
    """
    require_sdk()
    from logwarden.daemon.agents.members import Members
    from logwarden.daemon.agents.serving import PATH, Listening, serve_http, serve_stdio
    from logwarden.daemon.agents.texts import Texts
    from logwarden.daemon.agents.tools import Toolbox

    members = Members(clients_of(urls, settings.http))
    toolbox = Toolbox(members, Texts(raw=settings.mcp.raw_lines), SystemClock().now_ms)
    if http is None:
        # Ctrl-C ends the process at once: asyncio would wait for the thread that reads the input, until the next line.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        await serve_stdio(toolbox)
        return
    host, port = address_of(http)
    hosts = hosts_of(host, settings)
    with _listener(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        log.info("mcp_listens", url=f"http://{shown}:{listener.getsockname()[1]}{PATH}")
        await serve_http(
            toolbox,
            listener,
            Listening(hosts=hosts, token=lambda: secret_of(settings.mcp.token, settings.mcp.token_file)),
        )


def address_of(text: str) -> tuple[str, int]:
    """Returns host and port of `8090`, `127.0.0.1:8090` or `[::1]:8090`. Raises ConfigurationError for another text."""
    found = _ADDRESS.fullmatch(text)
    host = "127.0.0.1" if found is None or found["host"] is None else found["host"].strip("[]")
    if found is None or int(found["port"]) > 65_535 or (":" in host and ip_of(host) is None):
        raise ConfigurationError(
            f"{text[:80]!r} is no address to listen on", hint="write a port, or a host and a port: 127.0.0.1:8090"
        )
    return host, int(found["port"])


def hosts_of(host: str, settings: Settings) -> list[str]:
    """Returns the names by which clients reach the server. Raises ConfigurationError where more must be set."""
    if is_loopback(host):
        return [*LOOPBACK, *settings.mcp.allowed_hosts]
    if settings.mcp.token is None and settings.mcp.token_file is None:
        raise ConfigurationError(
            f"{host} is reached from other machines, and no token is set, so that everyone there could read",
            hint="set LOGWARDEN_MCP__TOKEN_FILE, or listen on 127.0.0.1",
        )
    own = [] if host in EVERYWHERE else [f"[{host}]" if ":" in host else host]
    if not own and not settings.mcp.allowed_hosts:
        raise ConfigurationError(
            f"the names by which clients reach {host} are not known",
            hint="set LOGWARDEN_MCP__ALLOWED_HOSTS, such as logwarden.example.org",
        )
    return [*own, *settings.mcp.allowed_hosts]


def _listener(host: str, port: int) -> socket.socket:
    """Returns a socket that listens. Raises ConfigurationError if the address cannot be used."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)  # the module adds the address to its own
        raise ConfigurationError(
            f"listening on {host}:{port} fails: {reason}", hint="choose another address after --http"
        ) from None
