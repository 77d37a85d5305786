"""Serves the tools by the Model Context Protocol, over stdio or streamable HTTP. The only importer of its SDK.

A call runs in a thread, a few at a time. An error that an agent can act on is a result with a sentence. Any other one
is logged, and the agent is sent its type only. Refuses to know what the tools do.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import mcp_types as types
import structlog
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings

from logwarden.daemon.agents.tools import INSTRUCTIONS, TOOLS, Tool, Toolbox
from logwarden.daemon.errors import LogwardenError
from logwarden.daemon.health import sentence_of
from logwarden.model.version import __version__

PATH = "/mcp"
LIVEZ = "/livez"
"""Where a probe of an orchestrator gets an answer, without a token and by any name: it has neither."""
MAX_CALLS = 4
"""Calls at a time: a daemon answers requests one after another, and others ask it, too."""
MAX_CONNECTIONS = 64
MAX_BODY_BYTES = 65_536
STOP_TIMEOUT_S = 3
log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """How the server is reached over HTTP."""

    hosts: Sequence[str]
    """Host names and addresses by which clients name it; another Host or Origin is refused."""
    token: Callable[[], str | None]
    """Returns the token that a client needs, read now. None: it needs none. Raises ValueError if it cannot be read."""


async def serve_stdio(toolbox: Toolbox) -> None:
    """Serves one client on standard input and output, until the input ends."""
    server = server_of(toolbox)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def serve_http(toolbox: Toolbox, listener: socket.socket, listening: Listening) -> None:
    """Serves clients on a socket that listens, until SIGTERM or Ctrl-C."""
    import uvicorn  # here, because a client that starts the process waits for it, and over stdio it is not needed

    named = [form for host in listening.hosts for form in (host, f"{host}:*")]
    origins = [f"{scheme}://{form}" for scheme in ("http", "https") for form in named]
    app = server_of(toolbox).streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,  # a client that leaves without a word leaves nothing behind
        max_request_body_size=MAX_BODY_BYTES,
        transport_security=TransportSecuritySettings(allowed_hosts=named, allowed_origins=origins),
    )
    config = uvicorn.Config(
        guarded(app, listening.token),
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
        lifespan="on",
    )
    await uvicorn.Server(config).serve(sockets=[listener])


def guarded(app: AsgiApp, token: Callable[[], str | None]) -> AsgiApp:
    """Returns the application behind a check of the bearer token, and beside it the answer to probes."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        if scope["path"] == LIVEZ:
            await _answer(send, 200, {"live": True, "reasons": []})
            return
        try:
            wanted = token()  # a file is read again: tokens change
        except ValueError as error:
            await _refuse(send, 503, f"LOGWARDEN_MCP__TOKEN_FILE {error}. Repair the file.")
            return
        if wanted is None or _has_token(scope, wanted):
            await app(scope, receive, send)
            return
        message = "The token is missing or wrong. Send the header Authorization: Bearer and the server's token."
        await _refuse(send, 401, message)

    return serve


def _has_token(scope: Scope, wanted: str) -> bool:
    given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    kind, _, token = given.partition(b" ")
    is_right = hmac.compare_digest(token.strip(), wanted.encode())
    return bool(kind.lower() == b"bearer" and is_right)


async def _refuse(send: Send, status: int, message: str) -> None:
    await _answer(send, status, {"error": {"message": message}})


async def _answer(send: Send, status: int, value: object) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def server_of(toolbox: Toolbox) -> Server[Any]:
    """Returns the server of the tools, for any transport."""
    for name in ("mcp", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log each message of a client
    places = asyncio.Semaphore(MAX_CALLS)

    async def list_tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool) for tool in TOOLS])

    async def call(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            async with places:
                text = await asyncio.to_thread(toolbox.call, params.name, params.arguments or {})
        except LogwardenError as error:
            return _failed(f"{sentence_of(str(error))} {sentence_of(error.hint)}".strip())
        except Exception as error:  # a bug of one tool must not end the server, nor quote a log line to the agent
            log.exception("mcp_tool_bug", tool=params.name[:80])
            return _failed(f"This tool met a bug of logwarden ({type(error).__name__}). The server's log has more.")
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=json.loads(text)
        )

    return Server(
        "logwarden",
        version=__version__,
        title="logwarden",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call,
    )


def _described(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations(
            title=tool.title, read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def _failed(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=sentence)], is_error=True)
