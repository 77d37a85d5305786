"""Provides the tokens of OAUTHBEARER: from a file, or from a token endpoint (OAuth 2 client credentials, RFC 6749).

No message contains a token or a secret.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import ssl
import urllib.error
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from logwarden.daemon.settings.kafka import KafkaSettings

_NAME = "LOGWARDEN_KAFKA__OAUTH_"
_TIMEOUT_S = 10.0
"""Seconds for one request to the token endpoint."""
_MAX_ANSWER_BYTES = 1_048_576
_RENEWED_BEFORE_S = 60.0
"""Seconds before its end at which a token is replaced; a fifth of its life if that is shorter."""
_FAILURE_KEPT_S = 5.0
"""Seconds without a request after one that failed: the client connects again ten times a second."""
_TRIED_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 after which a later request may succeed."""


class TokenUnavailable(KafkaError):  # type: ignore[misc]
    """No token for a connection. A KafkaError: any other would end the client's background tasks."""

    def __init__(self, sentence: str, *, hint: str, is_certain: bool) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.is_certain = is_certain
        """True if the endpoint answered and refused; False if a later request may succeed."""


class FileToken(AbstractTokenProvider):  # type: ignore[misc]
    """The token in a file. Reads it for each connection, because projected tokens are replaced every hour."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    async def token(self) -> str:
        """Returns the token."""
        token = self._read().strip()
        if not _is_token(token):
            raise TokenUnavailable(
                "the file with the token contains something else",
                hint=f"check {_NAME}TOKEN_FILE: it must contain one token and nothing else",
                is_certain=True,
            )
        return token


class EndpointToken(AbstractTokenProvider):  # type: ignore[misc]
    """The token of an endpoint, kept until shortly before its end. One request at a time, away from the event loop."""

    def __init__(
        self,
        settings: KafkaSettings,
        secret: Callable[[], str],
        *,
        clock: Callable[[], float] | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._url = settings.oauth_token_url or ""
        self._client_id = settings.oauth_client_id or ""
        self._scope = settings.oauth_scope
        self._secret = secret
        self._clock = clock
        """Returns seconds that never decrease; None: the clock of the event loop."""
        self._timeout_s = timeout_s
        self._asking = asyncio.Lock()
        self._token = ""
        self._renew_at_s = self._ends_at_s = 0.0
        self._failure: tuple[float, TokenUnavailable] | None = None
        """The end of the pause after a failed request, and its error."""

    async def token(self) -> str:
        """Returns a token that is valid now. Raises TokenUnavailable."""
        async with self._asking:
            now_s = self._clock() if self._clock else asyncio.get_running_loop().time()
            if now_s >= self._renew_at_s:
                try:
                    await self._renew(now_s)
                except TokenUnavailable:
                    if now_s >= self._ends_at_s:
                        raise  # otherwise the old token is still valid, and the endpoint may be back before its end
            return self._token

    async def _renew(self, now_s: float) -> None:
        if self._failure is not None and now_s < self._failure[0]:
            raise self._failure[1]
        try:
            async with asyncio.timeout(self._timeout_s):
                token, life_s = await asyncio.to_thread(self._request)
        except TimeoutError:
            failure = self._unreachable(f"no answer within {self._timeout_s:g} s")
        except TokenUnavailable as error:
            failure = error
        else:
            self._token, self._failure = token, None
            self._ends_at_s = now_s + life_s
            self._renew_at_s = self._ends_at_s - min(_RENEWED_BEFORE_S, life_s / 5)
            return
        self._failure = (now_s + _FAILURE_KEPT_S, failure)
        raise failure

    def _request(self) -> tuple[str, float]:
        """Returns a new token and its life in seconds; 0 if the endpoint does not give it."""
        form = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        login = f"{quote_plus(self._client_id)}:{quote_plus(self._secret())}"
        headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}", "Accept": "application/json"}
        request = Request(self._url, urlencode(form).encode(), headers)
        opener = build_opener(_NoRedirects(), HTTPSHandler(context=ssl.create_default_context()))
        try:
            with opener.open(request, timeout=self._timeout_s) as response:
                answer = json.loads(response.read(_MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        except ValueError:  # no JSON
            answer = None
        return self._answer(answer)

    def _answer(self, answer: Any) -> tuple[str, float]:
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not _is_token(token):
            raise TokenUnavailable(
                f"the token endpoint {self._url} answered without a token",
                hint=f"check {_NAME}TOKEN_URL: it must be the endpoint for tokens",
                is_certain=True,
            )
        life = answer.get("expires_in")  # some endpoints write the number as a string
        is_number = isinstance(life, int | float | str) and re.fullmatch(r"\d{1,9}(\.\d*)?", str(life))
        return token, float(life) if is_number else 0.0

    def _refused(self, error: urllib.error.HTTPError) -> TokenUnavailable:
        try:
            code = json.loads(error.read(_MAX_ANSWER_BYTES))["error"]
        except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
            code = ""
        # Only a code as RFC 6749 lists them: any other text could repeat the secret.
        words = f" ({code})" if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else ""
        return TokenUnavailable(
            f"the token endpoint {self._url} answered {error.code}{words}",
            hint=f"check {_NAME}TOKEN_URL, {_NAME}CLIENT_ID, its secret and {_NAME}SCOPE",
            is_certain=error.code < 500 and error.code not in _TRIED_AGAIN,
        )

    def _unreachable(self, reason: object) -> TokenUnavailable:
        return TokenUnavailable(
            f"the token endpoint {self._url} cannot be reached: {reason}",
            hint=f"check {_NAME}TOKEN_URL and that the endpoint is running",
            is_certain=isinstance(reason, ssl.SSLCertVerificationError),
        )


class _NoRedirects(HTTPRedirectHandler):
    """Makes a redirect an error: the secret is for the configured host only."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _is_token(text: str) -> bool:
    """Returns True for text that fits into the client's message, whose fields end at control characters."""
    return re.fullmatch(r"[!-~]+", text) is not None
