"""Posts to HTTP destinations: one session each, within a time and a size, without redirects, cookies and proxies.

Sorts the answers by what the caller does next. An address may be a secret, so no message contains one. The proxy
variables of the environment do not count: only a setting makes a notice take another way.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from logwarden.daemon.bridges.notice import one_line
from logwarden.daemon.bridges.pace import retry_after_s
from logwarden.daemon.errors import DestinationUnavailable, NoticeRefused
from logwarden.daemon.ports import Clock
from logwarden.model.version import __version__

MAX_ANSWER_BYTES = 65_536
_QUOTED_CHARS = 200
_LATER = frozenset({408, 425, 429})
_MISCONFIGURED = frozenset({401, 402, 403, 404, 405, 407, 410, 421})
"""Statuses about the address or the login: every notice would get them, so none is buried for it."""


class Poster:
    """The way to one destination. `name`: what messages call it. `setting`: the variable to check if it refuses."""

    def __init__(
        self,
        name: str,
        setting: str,
        clock: Clock,
        *,
        timeout_s: float,
        cafile: Path | None = None,
        proxy: str | None = None,
    ) -> None:
        self._name = name
        self._setting = setting
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._timeout_s = timeout_s
        self._cafile = cafile
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes the connections. A later request opens others."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, form: str = "application/json") -> bytes:
        """Posts a body and returns the begin of the answer.

        Raises DestinationUnavailable if another attempt may be taken, NoticeRefused if none will be.
        """
        session = self._opened()
        given = {"Content-Type": form, "User-Agent": f"logwarden/{__version__}", **headers}
        try:
            async with session.post(url, data=body, headers=given, allow_redirects=False, proxy=self._proxy) as answer:
                text = await answer.content.read(MAX_ANSWER_BYTES)
                self._check(answer.status, text, answer.headers.get("Retry-After"))
                return text
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise DestinationUnavailable(
                f"{self._name} cannot be reached: {self._words(error)}",
                hint=f"check {self._setting}, and that {self._name} is running",
            ) from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=self._cafile)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=16),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    def _check(self, status: int, text: bytes, retry_after: str | None) -> None:
        if 200 <= status < 300:
            return
        said = one_line(text.decode("utf-8", "replace"), _QUOTED_CHARS)
        answered = f"{self._name} answered with status {status}" + (f": {said}" if said else "")
        if status in _LATER or status >= 500:
            raise DestinationUnavailable(answered, retry_after_s=retry_after_s(retry_after, self._clock.now_ms()))
        if 300 <= status < 400:
            raise DestinationUnavailable(
                f"{self._name} answered with a redirect (status {status}), which is not followed",
                hint=f"set {self._setting} to the final address",
            )
        if status in _MISCONFIGURED:
            raise DestinationUnavailable(answered, hint=f"check {self._setting} and the login")
        raise NoticeRefused(answered)

    def _words(self, error: BaseException) -> str:
        """Returns why there was no answer, without the address."""
        if isinstance(error, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return f"its certificate is not trusted: {one_line(str(error.certificate_error), _QUOTED_CHARS)}"
        cause = getattr(error, "os_error", error)
        return getattr(cause, "strerror", None) or type(cause).__name__
