"""Requests facts from a daemon over HTTP, with Python's own library, and explains why there is no answer."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

import msgspec

from logwarden.daemon.errors import ConfigurationError, FatalError
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.settings.secret_files import secret_of

TIMEOUT_S = 10.0
MAX_BYTES = 32 * 1024 * 1024
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class DaemonClient:
    """The HTTP port of one daemon."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """Raises ConfigurationError for a text that is no URL of HTTP."""
        try:
            parts = urllib.parse.urlsplit(url)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url:
            raise ConfigurationError(f"{url!r} is no URL of a daemon", hint="write one such as http://localhost:8080")
        self.url = url.rstrip("/")
        self._token = token
        # Without the proxy of the environment: it is for the world outside, and a daemon is inside.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, query: Sequence[tuple[str, str]] = (), *, refusals: Sequence[int] = ()) -> Any:
        """Returns the JSON at a path. `refusals`: statuses whose body is an answer as well.

        Raises FatalError with the sentence why there is none.
        """
        address = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        status, body = self._fetched(urllib.request.Request(address, headers=headers))
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self._stranger(status) from None
        if status == 200 or status in refusals:
            return answer
        try:
            sentence = str(answer["error"]["message"])
        except (KeyError, TypeError):
            raise self._stranger(status) from None
        raise FatalError(f"the daemon at {self.url} refuses: {sentence}")

    def _fetched(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            try:
                with self._opener.open(request, timeout=TIMEOUT_S) as response:
                    return response.status, response.read(MAX_BYTES)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read(MAX_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            sentence = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise FatalError(
                f"no daemon answers at {self.url}: {sentence}",
                hint="start one with `logwarden run`, or write its address after --url",
            ) from None

    def _stranger(self, status: int) -> FatalError:
        return FatalError(
            f"what answers at {self.url} is no logwarden of this version (HTTP status {status})",
            hint="write the address of a daemon's HTTP port after --url",
        )


def clients_of(urls: Sequence[str], settings: HttpSettings) -> list[DaemonClient]:
    """Returns a client for each URL; without one, for the daemon that these settings describe.

    Raises ConfigurationError where the settings describe none.
    """
    if not urls:
        if not settings.port:
            port = "none" if settings.port is None else "0, which is any free port"
            raise ConfigurationError(
                f"LOGWARDEN_HTTP__PORT is {port}, so that the daemon's address is not known",
                hint="write it after --url, such as http://localhost:8080",
            )
        host = EVERYWHERE.get(settings.host, settings.host)
        urls = [f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"]
    try:
        token = secret_of(settings.token, settings.token_file)
    except ValueError as error:
        raise ConfigurationError(f"LOGWARDEN_HTTP__TOKEN_FILE {error}") from None
    return [DaemonClient(url, token) for url in urls]
