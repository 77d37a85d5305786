"""Clients that hold a connection: half-open, slow, idle, deaf, and too many of them, as raw sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from logwarden.daemon.health import HealthState
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.web.probes import probe_routes
from logwarden.daemon.web.server import IDLE_TIMEOUT_S, MAX_CONNECTIONS, HttpServer

REQUEST = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
IDLE_S = 0.3
LARGE = b"x" * 32_000_000
"""More than the buffers of two sockets, so that a client that reads nothing blocks the response."""
MEDIUM = b"x" * 50_000
"""Less than asyncio keeps before it blocks a response, so that the response counts as sent."""

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[..., Awaitable[Client]]


@asynccontextmanager
async def serving(
    *, idle_timeout_s: float = 60.0, max_connections: int = 4, send_buffer: int | None = None
) -> AsyncIterator[int]:
    """Yields the port of a server with these limits. `send_buffer`: bytes that the system keeps for a connection."""

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    async def medium(_: web.Request) -> web.Response:
        return web.Response(body=MEDIUM)

    routes = [*probe_routes(HealthState()), web.get("/large", large), web.get("/medium", medium)]
    settings = HttpSettings(port=0)
    server = HttpServer(settings, routes, idle_timeout_s=idle_timeout_s, max_connections=max_connections)
    await server.start()
    assert server.port is not None
    assert server._server is not None
    if send_buffer is not None:  # accepted sockets inherit it
        server._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    try:
        yield server.port
    finally:
        await server.stop()


@pytest.fixture
async def connected() -> AsyncIterator[Connect]:
    """Yields a function that connects to a port and sends bytes, and closes all connections in the end."""
    clients: list[Client] = []

    async def connect(port: int, sent: bytes = b"") -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        clients.append((reader, writer))
        writer.write(sent)
        return reader, writer

    yield connect
    for _, writer in clients:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def end(client: Client, within_s: float = 5.0) -> bytes:
    """Returns what the server sent before it closed the connection."""
    try:
        async with asyncio.timeout(within_s):
            return await client[0].read()
    except ConnectionError:
        return b""


async def is_open(client: Client) -> bool:
    """Returns True if a request on the connection gets an answer."""
    reader, writer = client
    try:
        writer.write(REQUEST)
        async with asyncio.timeout(5):
            return (await reader.readuntil(b"]}")).startswith(b"HTTP/1.1 200")
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


async def test_only_this_machine_reaches_the_default_address(connected: Connect) -> None:
    """Metrics name topics and the probes need no password, so the operator decides who reads them."""
    assert HttpSettings().host == "127.0.0.1"
    async with serving() as port:
        assert await is_open(await connected(port))
        with socket.socket() as outside, pytest.raises(OSError, match="refused"):
            outside.connect(("127.0.0.2", port))


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ", REQUEST],
    ids=["nothing", "half a line", "half a header", "a request, then nothing"],
)
async def test_a_silent_connection_is_closed(connected: Connect, sent: bytes) -> None:
    """It ends a time-out after its last complete request."""
    async with serving(idle_timeout_s=IDLE_S) as port:
        answer = await end(await connected(port, sent))
    assert answer.startswith(b"HTTP/1.1 200") is (sent == REQUEST)


async def test_a_slow_request_does_not_gain_time_with_each_byte(connected: Connect) -> None:
    """A header that grows for ever is no complete request."""
    async with serving(idle_timeout_s=IDLE_S) as port:
        client = await connected(port, b"GET /livez HTTP/1.1\r\nX-Slow: ")
        ending = asyncio.create_task(end(client))
        while not ending.done():
            client[1].write(b"x")
            await asyncio.wait([ending], timeout=IDLE_S / 10)
        assert await ending == b""


async def test_a_body_that_never_comes_ends_the_connection(connected: Connect) -> None:
    """The answer does not wait for it."""
    async with serving(idle_timeout_s=IDLE_S) as port:
        sent = b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"
        assert (await end(await connected(port, sent))).startswith(b"HTTP/1.1 405")


async def test_a_connection_in_use_stays_open(connected: Connect) -> None:
    """Prometheus and proxies send their requests over one connection."""
    async with serving(idle_timeout_s=IDLE_S) as port:
        client = await connected(port)
        for _ in range(4):
            await asyncio.sleep(IDLE_S / 2)
            assert await is_open(client)


async def test_a_connection_too_many_ends_the_oldest(connected: Connect) -> None:
    """A probe gets its answer while idle connections have all the places."""
    async with serving(max_connections=4) as port:
        clients = []
        for _ in range(6):
            clients.append(await connected(port))
            assert await is_open(clients[-1])
        assert [await is_open(client) for client in clients] == [False, False, True, True, True, True]


async def test_many_connections_at_once_are_limited_too(connected: Connect) -> None:
    """Those of one instant are accepted together, before the first of them is counted."""
    async with serving(max_connections=4) as port:
        clients = await asyncio.gather(*(connected(port, b"GET ") for _ in range(40)))
        assert await is_open(await connected(port))
        ended = [asyncio.create_task(end(client, within_s=60)) for client in clients]
        done, waiting = await asyncio.wait(ended, timeout=1)
        for task in waiting:
            task.cancel()
        assert len(waiting) <= 4
        assert len(done) >= 36


@pytest.mark.parametrize("idle_timeout_s", [60.0, IDLE_S])
async def test_a_client_that_reads_nothing_gives_its_place(connected: Connect, idle_timeout_s: float) -> None:
    """Its response never leaves, so a polite close would wait for the client."""
    async with serving(idle_timeout_s=idle_timeout_s, max_connections=2) as port:
        deaf = [await connected(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(2)]
        await asyncio.sleep(2 * IDLE_S)
        polite = [await connected(port) for _ in range(2)]
        assert [await is_open(client) for client in polite] == [True, True]
        for client in deaf:
            assert len(await end(client)) < len(LARGE)


async def test_a_closed_connection_that_reads_nothing_gives_its_place(connected: Connect) -> None:
    """After the time-out aiohttp closes it and forgets it, but its bytes wait for the client."""
    async with serving(idle_timeout_s=IDLE_S, max_connections=2, send_buffer=4_096) as port:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.connect(("127.0.0.1", port))
            deaf.sendall(b"GET /medium HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(2 * IDLE_S)
            assert [await is_open(await connected(port)) for _ in range(2)] == [True, True]
            assert await asyncio.to_thread(bytes_until_the_end, deaf) < len(MEDIUM)


def bytes_until_the_end(client: socket.socket) -> int:
    client.settimeout(5)
    received = 0
    with suppress(ConnectionError):
        while data := client.recv(65_536):
            received += len(data)
    return received


def test_the_limits_leave_descriptors_for_kafka() -> None:
    """A container often has 1,024 descriptors, and a probe comes every ten seconds."""
    assert 16 <= MAX_CONNECTIONS <= 128
    assert 5 <= IDLE_TIMEOUT_S <= 30
