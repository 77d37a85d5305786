"""The tokens of OAUTHBEARER: from a file, and from an endpoint that answers, refuses, or is away."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from logwarden.daemon.kafka.tokens import EndpointToken, FileToken, TokenUnavailable
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.token_endpoint import token_endpoint

SECRET = "hunter2+/=%"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the proxy of the machine away from endpoints on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("no_proxy", raising=False)


class HandClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time_s = 1_000.0

    def __call__(self) -> float:
        return self.time_s


def provider(url: str, clock: HandClock | None = None, *, timeout_s: float = 5.0, **more: Any) -> EndpointToken:
    settings = KafkaSettings(oauth_token_url=url, oauth_client_id="log warden", **more)
    return EndpointToken(settings, lambda: SECRET, clock=clock, timeout_s=timeout_s)


async def refusal(url: str, **more: Any) -> TokenUnavailable:
    with pytest.raises(TokenUnavailable) as caught:
        await provider(url, **more).token()
    assert isinstance(caught.value, KafkaError), "another error would end a background task of the client"
    assert "hunter2" not in caught.value.sentence + caught.value.hint + str(caught.value)
    assert caught.value.hint.startswith("check LOGWARDEN_KAFKA__OAUTH_TOKEN_URL")
    error: TokenUnavailable = caught.value
    return error


# ---------------------------------------------------------------- from an endpoint


async def test_a_token_is_requested_as_the_standard_writes_it() -> None:
    """Name and secret are in the header, in the form of URLs; grant and scope are in the body."""
    with token_endpoint(answer={"access_token": "t1", "expires_in": 600}) as endpoint:
        assert await provider(endpoint.url, oauth_scope="kafka logs").token() == "t1"
        assert await provider(endpoint.url).token() == "t1"
    assert endpoint.logins == ["log+warden:hunter2%2B%2F%3D%25"] * 2
    assert endpoint.forms == [
        {"grant_type": ["client_credentials"], "scope": ["kafka logs"]},
        {"grant_type": ["client_credentials"]},
    ]


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    """Connections share a token; the next one after 540 of 600 seconds gets a new one."""
    clock = HandClock()
    with token_endpoint(answer={"access_token": "t1", "expires_in": 600}) as endpoint:
        tokens = provider(endpoint.url, clock)
        assert await asyncio.gather(*(tokens.token() for _ in range(8))) == ["t1"] * 8
        clock.time_s += 539
        assert await tokens.token() == "t1"
        assert len(endpoint.forms) == 1
        endpoint.answer = {"access_token": "t2", "expires_in": "600"}
        clock.time_s += 1
        assert await tokens.token() == "t2"
        clock.time_s += 539
        assert await tokens.token() == "t2"
    assert len(endpoint.forms) == 2


@pytest.mark.parametrize("life", [None, "soon", -5, [600]])
async def test_a_token_without_a_life_is_for_one_connection(life: object) -> None:
    """The endpoint need not give the life of a token, and guessing could present one that has ended."""
    with token_endpoint(answer={"access_token": "t1", "expires_in": life}) as endpoint:
        tokens = provider(endpoint.url)
        assert [await tokens.token(), await tokens.token()] == ["t1", "t1"]
    assert len(endpoint.forms) == 2


async def test_an_endpoint_that_is_away_for_a_while_is_not_noticed() -> None:
    """The old token is presented to its end, and the endpoint is asked once in five seconds."""
    clock = HandClock()
    with token_endpoint(answer={"access_token": "t1", "expires_in": 600}) as endpoint:
        tokens = provider(endpoint.url, clock)
        await tokens.token()
        endpoint.status = 503
        clock.time_s += 595
        assert [await tokens.token() for _ in range(3)] == ["t1"] * 3
        assert len(endpoint.forms) == 2
        clock.time_s += 5
        for _ in range(3):
            with pytest.raises(TokenUnavailable, match="answered 503"):
                await tokens.token()
        assert len(endpoint.forms) == 3
        endpoint.status, endpoint.answer = 200, {"access_token": "t2", "expires_in": 600}
        clock.time_s += 5
        assert await tokens.token() == "t2"


@pytest.mark.parametrize(
    ("status", "answer", "words", "is_certain"),
    [
        (401, {"error": "invalid_client"}, "answered 401 (invalid_client)", True),
        (400, {"error": f"the secret {SECRET} is wrong"}, "answered 400", True),
        (404, b"<html>", "answered 404", True),
        (403, ["x"], "answered 403", True),
        (429, {}, "answered 429", False),
        (500, b"", "answered 500", False),
        (200, b"<html>hunter2</html>", "answered without a token", True),
        (200, {"token": "x"}, "answered without a token", True),
        (200, [], "answered without a token", True),
        (200, {"access_token": "a\nb"}, "answered without a token", True),
        (200, {"access_token": 7}, "answered without a token", True),
    ],
)
async def test_a_refusal_is_one_sentence(status: int, answer: object, words: str, is_certain: bool) -> None:
    """What the operator must change ends the start; what may pass does not. No text of the endpoint is repeated."""
    with token_endpoint(status=status, answer=answer) as endpoint:
        error = await refusal(endpoint.url)
    assert error.sentence == f"the token endpoint {endpoint.url} {words}"
    assert error.is_certain is is_certain


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_secret_does_not_follow_a_redirect(status: int) -> None:
    """A redirect could lead the secret to another host."""
    with token_endpoint() as other, token_endpoint(status=status, headers={"Location": other.url}) as endpoint:
        error = await refusal(endpoint.url)
    assert error.sentence == f"the token endpoint {endpoint.url} answered {status}"
    assert error.is_certain
    assert other.logins == []


async def test_an_endpoint_that_is_away_is_one_sentence() -> None:
    """Nothing listens there, and something may in a minute."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/token"
    error = await refusal(url)
    assert error.sentence.startswith(f"the token endpoint {url} cannot be reached: ")
    assert not error.is_certain


async def test_an_answer_that_is_no_http_is_one_sentence() -> None:
    """A wrong port may belong to anything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"\x00\x01\x02\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        error = await refusal(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert "cannot be reached" in error.sentence


async def test_a_slow_endpoint_does_not_stop_the_event_loop() -> None:
    """The request is made in a thread and has a time-out; other tasks run meanwhile."""
    with token_endpoint(delay_s=5) as endpoint:
        started = time.monotonic()
        asking = asyncio.create_task(refusal(endpoint.url, timeout_s=0.2))
        turns = 0
        while not asking.done():
            turns += 1
            await asyncio.sleep(0.01)
        error = await asking
    assert "no answer within 0.2 s" in error.sentence or "timed out" in error.sentence
    assert time.monotonic() - started < 3
    assert turns > 5


# ---------------------------------------------------------------- from a file


async def test_a_token_in_a_file_is_read_for_each_connection(tmp_path: Path) -> None:
    """Kubernetes replaces a projected token before it ends."""
    file = tmp_path / "token"
    tokens = FileToken(lambda: file.read_text(encoding="ascii"))
    for token in ("t1", "t2"):
        file.write_text(f"{token}\n", encoding="ascii")
        assert await tokens.token() == token


@pytest.mark.parametrize("content", ["two words", "a\x01b", "tökén", " "])
async def test_a_file_with_something_else_is_one_sentence(content: str) -> None:
    """A control character would end the token within the client's message; the sentence does not repeat it."""
    with pytest.raises(TokenUnavailable) as caught:
        await FileToken(lambda: content).token()
    assert caught.value.sentence == "the file with the token contains something else"
    assert "LOGWARDEN_KAFKA__OAUTH_TOKEN_FILE" in caught.value.hint
    assert caught.value.is_certain
