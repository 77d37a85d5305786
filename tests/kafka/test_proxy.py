"""The proxy makes each fault of the network that it promises, on the connections of one client or of all."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.kafka.ports import free_ports
from tests.kafka.proxy import BLACK_HOLE, HOST, Proxy, Weather

SOON_S = 10.0
"""Time limit of everything that happens at once."""
NOT_YET_S = 0.3
"""Time for which something must not happen."""


@dataclass(frozen=True)
class Echo:
    """A proxy before a server that returns every byte, and the bytes that reached the server."""

    proxy: Proxy
    reached: bytearray
    arrival: asyncio.Event
    """Set by the next bytes that reach the server."""


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """Yields a proxy before an echo."""
    front, back = free_ports(2)
    reached, arrival = bytearray(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                reached.extend(data)
                arrival.set()
                writer.write(data)
        except ConnectionError:
            pass  # a reset of the proxy
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, back)
    async with Proxy(front, back) as proxy:
        yield Echo(proxy, reached, arrival)
    server.close()


class Client:
    """A client that sends Kafka requests and reads bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._name = name

    def ask(self, body: bytes = b"?") -> bytes:
        """Sends a request and returns its bytes."""
        request = struct.pack(">hhih", 3, 1, 7, len(self._name)) + self._name + body
        framed = struct.pack(">i", len(request)) + request
        self._writer.write(framed)
        return framed

    async def works(self) -> bool:
        """Returns True if a request comes back."""
        asked = self.ask()
        return await self.next(len(asked)) == asked

    async def next(self, count: int) -> bytes:
        async with asyncio.timeout(SOON_S):
            return await self._reader.readexactly(count)

    async def rest(self) -> bytes:
        """Returns the bytes until the end. Raises ConnectionResetError for a reset."""
        async with asyncio.timeout(SOON_S):
            return await self._reader.read()

    async def is_silent(self) -> bool:
        """Returns True if nothing arrives for a while."""
        try:
            async with asyncio.timeout(NOT_YET_S):
                await self._reader.read(1)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def connected(echo: Echo, name: bytes = b"a") -> AsyncIterator[Client]:
    host, port = echo.proxy.bootstrap.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Client(reader, writer, name)
    finally:
        writer.close()


async def test_it_forwards_both_ways_and_the_end(echo: Echo) -> None:
    """Without a fault every byte passes in order, and the end of a client reaches the server and comes back."""
    async with connected(echo) as client:
        asked = client.ask(bytes(range(256)) * 4_096)
        client._writer.write_eof()
        assert await client.rest() == asked
    assert echo.reached == asked


async def test_a_reset_hits_one_client(echo: Echo) -> None:
    """A reset of one client ends its connections by RST and leaves those of the others."""
    async with connected(echo, b"a") as hit, connected(echo, b"b") as other:
        assert await hit.works()
        assert await other.works()
        assert echo.proxy.reset("a") == 1
        with pytest.raises(ConnectionResetError):
            await hit.rest()
        assert await other.works()
        assert echo.proxy.reset() == 1, "all that are left"


async def test_a_reset_comes_in_the_middle_of_a_response(echo: Echo) -> None:
    """A reset after some bytes lets exactly these pass."""
    async with connected(echo) as client:
        assert await client.works()
        assert echo.proxy.reset_after(5) == 1
        client.ask(b"0123456789")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.next(6)


async def test_a_black_hole_keeps_what_it_swallows(echo: Echo) -> None:
    """A partition lets nothing pass, keeps connections open, accepts new ones, and delivers all on its end."""
    async with connected(echo) as old, connected(echo) as new:
        assert await old.works()
        before = len(echo.reached)
        with echo.proxy.weather(BLACK_HOLE):
            asked = old.ask(), new.ask(b"new")
            assert await old.is_silent()
            assert await new.is_silent()
            assert len(echo.reached) == before
        assert await old.next(len(asked[0])) == asked[0]
        assert await new.next(len(asked[1])) == asked[1]


async def test_lost_responses_leave_the_requests(echo: Echo) -> None:
    """When responses are held, the broker still gets the requests."""
    async with connected(echo) as client:
        assert await client.works()
        before = len(echo.reached)
        with echo.proxy.weather(Weather(responses_held=True), "a"):
            asked = client.ask()
            assert await client.is_silent()
            assert len(echo.reached) == before + len(asked)
        assert await client.next(len(asked)) == asked


async def test_a_refusal_resets_new_connections(echo: Echo) -> None:
    """While the proxy refuses one client, only its new connections are reset."""
    with echo.proxy.weather(Weather(refusing=True), "a"):
        async with connected(echo, b"a") as refused, connected(echo, b"b") as other:
            refused.ask()
            with pytest.raises(ConnectionResetError):
                await refused.rest()
            assert await other.works()
    async with connected(echo, b"a") as later:
        assert await later.works()


async def test_a_half_close_ends_the_responses_only(echo: Echo) -> None:
    """After a half-close the client reads the end of the stream, and its requests still arrive."""
    async with connected(echo) as client:
        assert await client.works()
        assert echo.proxy.half_close() == 1
        assert await client.rest() == b""
        echo.arrival.clear()
        asked = client.ask()
        async with asyncio.timeout(SOON_S):
            await echo.arrival.wait()
        assert echo.reached.endswith(asked)


async def test_delays_and_rates_take_their_time(echo: Echo) -> None:
    """A delay holds every chunk up in each direction, and a rate bounds the bytes of a second."""
    async with connected(echo) as client:
        assert await client.works()
        started = time.monotonic()
        with echo.proxy.weather(Weather(delay_s=0.1)):
            assert await client.works()
        assert time.monotonic() - started >= 0.2
        started = time.monotonic()
        with echo.proxy.weather(Weather(bytes_per_s=20_000)):
            asked = client.ask(bytes(8_000))
            assert await client.next(len(asked)) == asked
        assert time.monotonic() - started >= 0.3, "0.4 s at this rate, in each direction"


async def test_faults_add_up(echo: Echo) -> None:
    """Faults that overlap hit together, and the end of one leaves the others."""
    slow, lame, hole = Weather(delay_s=0.2, bytes_per_s=900), Weather(delay_s=0.1, bytes_per_s=500), BLACK_HOLE
    with echo.proxy.weather(slow), echo.proxy.weather(hole, "b"):
        with echo.proxy.weather(lame, "a"):
            both = echo.proxy.weather_of("a")
        assert (round(both.delay_s, 3), both.bytes_per_s, both.requests_held) == (0.3, 500, False)
        assert echo.proxy.weather_of("a") == slow
        assert echo.proxy.weather_of("b").requests_held
    assert echo.proxy.weather_of("b") == Weather()
