"""Requests the services of other members: over HTTP, within a time and a size, and only at `/api/v1/services`.

An address comes from the group's metadata, where every program that may join the group can write. So nothing but the
address is taken from there: no path, no redirect, no proxy, no cookie; and the token is proved and not sent
(`member_proof.py`). A member that gives no answer in time is left alone for a while, so that it does not delay every
look. It gets one request of this member at a time, so that a crowd of people does not make it late.
"""

from __future__ import annotations

import asyncio
import os
import socket
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from logwarden.daemon.ports import Clock, Worker
from logwarden.daemon.roster import MemberCard
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.settings.secret_files import secret_of
from logwarden.daemon.web.api import ROOT
from logwarden.daemon.web.member_proof import proof
from logwarden.daemon.web.service_answers import Key, ServicesAnswer
from logwarden.model.version import __version__

PATH = f"{ROOT}/services"
TIMEOUT_S = 1.0
"""Seconds for one member."""
LEFT_ALONE_S = 30.0
"""Seconds for which a member that was late gets no further request."""
MAX_BYTES = 4 * 1024 * 1024
"""Bytes of one answer: a thousand services with their histories have less than one."""
MAX_REQUESTS = 16
"""Requests at a time, of all people who look: each takes a file descriptor, which Kafka's connections need too."""
PATIENCE_S = 3.0
"""Seconds that a request waits for its turn: a member gets one at a time."""
CROWDED = "many different requests wait for it; try again in some seconds"
LATE = f"it gave no answer within {TIMEOUT_S:g} s"


class PeerUnavailable(Exception):
    """A member gives no answer. The text is a clause about `it`."""


class PeerClient:
    """The way to the other members. Belongs to the event loop."""

    def __init__(self, settings: HttpSettings, clock: Clock, worker: Worker) -> None:
        """`worker`: where answers are decoded."""
        self._settings = settings
        self._clock = clock
        self._worker = worker
        self._slots = asyncio.Semaphore(MAX_REQUESTS)
        self._late_until: dict[str, float] = {}
        """By id of a member."""
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        """By id of a member, while requests to it wait or are on their way."""
        self._resolver = _OwnThreads()

    async def services(
        self, card: MemberCard, query: Sequence[tuple[str, str]], after: Key | None, most: int
    ) -> ServicesAnswer:
        """Returns a page of a member's own services, at most `most` of those behind `after`.

        Raises PeerUnavailable.
        """
        turn = self._turns.setdefault(card.id, asyncio.Lock())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await turn.acquire()
        except TimeoutError:
            raise PeerUnavailable(CROWDED) from None
        try:
            status, body = await self._answered(card, query, most)
        finally:
            turn.release()
        if status == 401:
            raise PeerUnavailable("it does not accept this member's token; give both the same one, and right clocks")
        if status == 503:
            raise PeerUnavailable("it is busy or has not started yet")
        answer = await self._worker.run(_decoded, body, after, most) if status == 200 else None
        if answer is None:
            raise PeerUnavailable(f"what answers at {card.address} is no member of this release (status {status})")
        if answer.member.id != card.id:
            raise PeerUnavailable(f"another member answers at {card.address}; each needs an address of its own")
        return answer

    async def _answered(self, card: MemberCard, query: Sequence[tuple[str, str]], most: int) -> tuple[int, bytes]:
        """Returns status and body of a member's answer. Raises PeerUnavailable."""
        try:
            path = f"{PATH}?{urlencode([*query, ('scope', 'member'), ('limit', str(most))])}"
            async with self._slots:
                self._check_late(card)
                async with asyncio.timeout(TIMEOUT_S):
                    return await self._fetched(card.address or "", path)
        except TimeoutError:
            self._late_until[card.id] = self._clock.monotonic() + LEFT_ALONE_S
            raise PeerUnavailable(LATE) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PeerUnavailable(f"{card.address} cannot be reached: {_words(error)}") from None

    def _check_late(self, card: MemberCard) -> None:
        now = self._clock.monotonic()
        self._late_until = {id: until for id, until in self._late_until.items() if until > now}
        if card.id in self._late_until:
            raise PeerUnavailable(LATE)

    async def _fetched(self, address: str, path: str) -> tuple[int, bytes]:
        headers = {"Accept-Encoding": "identity", "User-Agent": f"logwarden/{__version__}"}
        if (token := secret_of(self._settings.token, self._settings.token_file)) is not None:
            headers["Authorization"] = proof(token, address, path, self._clock.now_ms() // 1000)
        connector = aiohttp.TCPConnector(resolver=self._resolver, force_close=True)
        options: dict[str, Any] = {"auto_decompress": False, "cookie_jar": aiohttp.DummyCookieJar()}
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False, **options) as session,
            session.get(address + path, headers=headers, allow_redirects=False) as answer,
        ):
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > MAX_BYTES:
                    raise ValueError(f"its answer has more than {MAX_BYTES:,} bytes")
            return answer.status, bytes(body)


class _OwnThreads(AbstractResolver):
    """Resolves names on two threads of its own: one that takes long must not keep Kafka's client from its brokers."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, "names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG
        )
        return [
            ResolveResult(hostname=host, host=str(name[0]), port=port, family=kind, proto=proto, flags=0)
            for kind, _, proto, _, name in found
        ]

    async def close(self) -> None:
        """Does nothing: a session closes its resolver, and this one serves all of them."""


def _decoded(body: bytes, after: Key | None, most: int) -> ServicesAnswer | None:
    """Returns an answer. Returns None for a body that is none, or whose services are not those of the page."""
    try:
        answer = msgspec.json.decode(body, type=ServicesAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    keys = [entry.key for entry in answer.services]
    is_ordered = all(one < other for one, other in zip([after or ("",), *keys], keys, strict=False))
    return answer if is_ordered and len(keys) <= most and (keys or answer.next is None) else None


def _words(error: BaseException) -> str:
    cause = getattr(error, "os_error", error)
    number = cause.errno if isinstance(cause, OSError) else None
    if number is not None and number > 0:
        return os.strerror(number)  # the text of the error itself repeats the address in Python's words
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
