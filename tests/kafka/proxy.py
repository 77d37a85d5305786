"""A TCP proxy between Kafka clients and a broker, which makes the network's faults: resets, delays, partitions.

Lives on one event loop. Knows of Kafka only where a request carries its client id, so that a fault can hit one client.
Refuses to know brokers and daemons; `Broker.front_port` and `Broker.proxied_port` are its two ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
SLICE_S = 0.05
"""Longest time for which a slow connection sends without a look at the weather."""
_HEAD = struct.Struct(">ihhih")
"""Size, API key, version, correlation id and length of the client id, as every Kafka request begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """State of the network between clients and the broker."""

    delay_s: float = 0.0
    """Added to every chunk, in each direction."""
    bytes_per_s: float | None = None
    """Rate of each connection and direction. None: unlimited."""
    requests_held: bool = False
    """True: bytes of clients wait in the proxy, and so do new connections."""
    responses_held: bool = False
    """True: bytes of the broker wait in the proxy: the broker works, and its clients never learn of it."""
    refusing: bool = False
    """True: new connections are reset."""


BLACK_HOLE = Weather(requests_held=True, responses_held=True)
"""A partition: connections are accepted, stay open, and carry nothing. On its end the waiting bytes arrive."""


class Proxy:
    """Forwards connections to one port. Entering it binds the front port; leaving it resets every connection."""

    def __init__(self, front_port: int, back_port: int) -> None:
        self._front_port = front_port
        self._back_port = back_port
        self._server: asyncio.Server | None = None
        self._weathers: list[tuple[str | None, Weather]] = []
        self._changed = asyncio.Event()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = 0
        """Connections accepted so far."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, self._front_port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._server is not None, "entered"
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def bootstrap(self) -> str:
        """host:port for clients that shall pass through this proxy."""
        return f"{HOST}:{self._front_port}"

    @contextmanager
    def weather(self, weather: Weather, client_id: str | None = None) -> Iterator[None]:
        """Adds a fault, for one client or for all, until the block ends. Several faults add up."""
        entry = (client_id, weather)
        self._weathers.append(entry)
        self._change()
        try:
            yield
        finally:
            self._weathers.remove(entry)
            self._change()

    def reset(self, client_id: str | None = None) -> int:
        """Resets the open connections of one client, or all of them. Returns their number."""
        return self._each(client_id, _Connection.reset)

    def reset_after(self, count: int, client_id: str | None = None) -> int:
        """Resets each open connection after `count` more bytes of responses, so in the middle of one."""
        return self._each(client_id, lambda connection: connection.reset_after(count))

    def half_close(self, client_id: str | None = None) -> int:
        """Ends the responses of the open connections in order (FIN); the requests go on. Returns their number."""
        return self._each(client_id, _Connection.half_close)

    def _each(self, client_id: str | None, deed: object) -> int:
        assert callable(deed)
        hit = [c for c in self._connections if client_id in (None, c.client_id)]
        for connection in hit:
            deed(connection)
        return len(hit)

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def weather_of(self, client_id: str | None) -> Weather:
        """Returns the sum of the faults that hit a client."""
        hits = [weather for wanted, weather in self._weathers if wanted in (None, client_id)]
        rates = [weather.bytes_per_s for weather in hits if weather.bytes_per_s is not None]
        return Weather(
            delay_s=sum(weather.delay_s for weather in hits),
            bytes_per_s=min(rates, default=None),
            requests_held=any(weather.requests_held for weather in hits),
            responses_held=any(weather.responses_held for weather in hits),
            refusing=any(weather.refusing for weather in hits),
        )

    async def changed(self) -> None:
        """Returns after the next change of the weather."""
        await self._changed.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of this class and not of the server: that one of Python 3.11 logs an error for each cancelled task.
        task = asyncio.create_task(self._serve(reader, writer), name="proxied connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.carry(self._back_port)
        finally:
            connection.reset()
            self._connections.discard(connection)


class _Connection:
    """One connection of a client, and the one to the broker that belongs to it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._broker: asyncio.StreamWriter | None = None
        self._left: int | None = None
        """Bytes of responses until the reset; None without one."""
        self.client_id: str | None = None

    async def carry(self, back_port: int) -> None:
        """Forwards in both directions until both have ended or one has failed."""
        try:
            head = await self._first_bytes()
            if self._proxy.weather_of(self.client_id).refusing:
                return
            await self._wait_for_requests()
            reader, self._broker = await asyncio.open_connection(HOST, back_port)
            self._broker.write(head)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(self._broker))
                both.create_task(self._responses(reader))
        except* (OSError, EOFError):
            pass  # one side has gone: the caller resets the other

    def reset(self) -> None:
        for writer in (self._writer, self._broker):
            if writer is not None and not writer.transport.is_closing():
                # Zero seconds to linger make the close a reset (RST).
                connection = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):  # already closed by the other side
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

    def reset_after(self, count: int) -> None:
        self._left = count

    def half_close(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def _first_bytes(self) -> bytes:
        """Returns the beginning of the first request, and reads the client's id in it."""
        head = await self._reader.readexactly(_HEAD.size)
        length = _HEAD.unpack(head)[-1]
        name = await self._reader.readexactly(max(0, min(length, 255)))
        self.client_id = name.decode(errors="replace") if length >= 0 else None
        return head + name

    async def _requests(self, broker: asyncio.StreamWriter) -> None:
        while data := await self._reader.read(CHUNK_BYTES):
            await self._wait_for_requests()
            await self._send(broker, data)
        await self._wait_for_requests()
        broker.write_eof()

    async def _wait_for_requests(self) -> None:
        while self._proxy.weather_of(self.client_id).requests_held:
            await self._proxy.changed()

    async def _responses(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK_BYTES):
            while self._proxy.weather_of(self.client_id).responses_held:
                await self._proxy.changed()
            if self._left is not None and len(data) >= self._left:
                self._writer.write(data[: self._left])
                self.reset()
                return
            if self._left is not None:
                self._left -= len(data)
            if not self._is_half_closed():
                await self._send(self._writer, data)
        if not self._is_half_closed():
            self._writer.write_eof()

    def _is_half_closed(self) -> bool:
        # The stream's own flag is private; asyncio refuses a write after write_eof by a RuntimeError.
        return self._writer.transport.is_closing() or bool(getattr(self._writer.transport, "_eof", False))

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Sends a chunk as fast as the weather allows."""
        weather = self._proxy.weather_of(self.client_id)
        if weather.delay_s:
            await asyncio.sleep(weather.delay_s)
        while data and (rate := self._proxy.weather_of(self.client_id).bytes_per_s):
            piece = max(1, int(rate * SLICE_S))
            writer.write(data[:piece])
            await writer.drain()
            data = data[piece:]
            await asyncio.sleep(SLICE_S)
        if data:
            writer.write(data)
            await writer.drain()
