"""How answers of HTTP servers, good and bad ones, are sorted by what the bridge does next."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.bridges.pace import DOWN_AFTER, LAST_S, Pace, backoff_s, retry_after_s
from logwarden.daemon.bridges.posting import Poster
from logwarden.daemon.clock import SystemClock
from logwarden.daemon.errors import DestinationUnavailable, NoticeRefused
from tests.bridge_stand_ins import Answer, receiver
from tests.certificates import Authority


def poster(*, timeout_s: float = 5.0, cafile: Path | None = None) -> Poster:
    """Returns a poster whose messages call the server `the server`."""
    return Poster("the server", "LOGWARDEN_X", SystemClock(), timeout_s=timeout_s, cafile=cafile)


async def outcome(answer: Answer, *, timeout_s: float = 5.0) -> bytes | DestinationUnavailable | NoticeRefused:
    """Returns what comes of one request."""
    async with receiver(lambda _: answer) as server:
        post = poster(timeout_s=timeout_s)
        try:
            return await post.post(server.url + "/secret-token", b"{}", {})
        except (DestinationUnavailable, NoticeRefused) as error:
            if "secret-token" in f"{error} {error.hint}":
                raise AssertionError("the address is in the message") from error
            return error
        finally:
            await post.close()


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_success_is_one(status: int) -> None:
    """Every status of success counts, whatever the body."""
    assert await outcome(Answer(status=status, body="" if status == 204 else "ok")) == (b"" if status == 204 else b"ok")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_failure_that_may_pass_is_tried_again(status: int) -> None:
    """An overload or an outage buries no incident."""
    error = await outcome(Answer(status=status, headers={"Retry-After": "7"}))
    assert isinstance(error, DestinationUnavailable)
    assert error.retry_after_s == 7.0
    assert str(error) == f"the server answered with status {status}: ok"


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410])
async def test_a_wrong_address_or_login_buries_nothing(status: int) -> None:
    """Every incident would get the same answer, so that a wrong token must not empty the topic into dead letters."""
    error = await outcome(Answer(status=status))
    assert isinstance(error, DestinationUnavailable)
    assert "LOGWARDEN_X" in error.hint


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
async def test_what_a_server_will_never_take_is_refused(status: int) -> None:
    """A refusal of this one body is a dead letter, with the server's words in one line."""
    error = await outcome(Answer(status=status, body="summary\r\nis \x1b[31mwrong" + "x" * 900))
    assert isinstance(error, NoticeRefused)
    assert str(error).startswith(f"the server answered with status {status}: summary is")
    assert len(str(error)) < 300
    assert "\x1b" not in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """A server cannot send the bridge, with its secrets, to another address."""
    async with receiver() as inner, receiver(lambda _: Answer(status=status, headers={"Location": inner.url})) as outer:
        post = poster()
        with pytest.raises(DestinationUnavailable, match="redirect"):
            await post.post(outer.url, b"{}", {"Authorization": "Bearer x"})
        await post.close()
        assert inner.arrived == []


async def test_a_slow_server_and_one_that_closes_are_tried_again() -> None:
    """Nobody knows whether such a request was taken, so it is sent again under the same key."""
    slow = await outcome(Answer(delay_s=2.0), timeout_s=0.2)
    cut = await outcome(Answer(is_cut=True))
    assert isinstance(slow, DestinationUnavailable)
    assert str(slow) == "the server cannot be reached: no answer within 0.2 s"
    assert isinstance(cut, DestinationUnavailable)


async def test_an_endless_answer_takes_no_memory() -> None:
    """Of an answer only the begin is read."""
    assert len(await outcome(Answer(body="x" * 3_000_000))) == 65_536  # type: ignore[arg-type]


async def test_nothing_that_listens_is_named() -> None:
    """Without a server the sentence gives the reason and the setting, and not the address, which may be a secret."""
    async with receiver() as server:
        url = server.url
    post = poster()
    with pytest.raises(DestinationUnavailable, match="the server cannot be reached: ") as caught:
        await post.post(url, b"{}", {})
    await post.close()
    assert url not in str(caught.value)
    assert caught.value.hint == "check LOGWARDEN_X, and that the server is running"


async def test_a_certificate_is_always_checked(tmp_path: Path) -> None:
    """A server without a trusted certificate gets nothing, and one of the authority in the settings does."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
    distrusting, trusting = poster(), poster(cafile=authority.certificate)
    try:
        with pytest.raises(DestinationUnavailable, match="certificate is not trusted"):
            await distrusting.post(url, b"{}", {})
        assert got == []
        assert await trusting.post(url, b"{}", {}) == b"ok"
    finally:
        await distrusting.close()
        await trusting.close()
        server.close()


# ---------------------------------------------------------------- pace


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        (" 0 ", 0.0),
        ("999999999999", 3_600.0),
        ("Mon, 23 Nov 2026 10:00:10 GMT", 10.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_the_pause_that_a_server_asks_for(header: str | None, seconds: float | None) -> None:
    """Seconds and dates are read; an hour is the most, so that no server can silence the bridge."""
    assert retry_after_s(header, 1_795_428_000_000) == seconds


@given(st.text(max_size=60))
def test_no_header_breaks_the_reading(header: str) -> None:
    """Whatever a server sends, there is a pause within bounds or none."""
    seconds = retry_after_s(header, 0)
    assert seconds is None or 0 <= seconds <= 3_600


def test_the_time_between_attempts_doubles_up_to_a_minute() -> None:
    """Retries get rarer, and two bridges do not retry in step."""
    random = Random(1)
    for failures, full in ((1, 0.5), (2, 1.0), (3, 2.0), (9, LAST_S), (10_000, LAST_S)):
        waits = [backoff_s(failures, random) for _ in range(100)]
        assert full / 2 <= min(waits) < max(waits) <= full


def test_a_destination_that_is_down_gets_one_probe_at_a_time() -> None:
    """Ten thousand incidents that wait make no ten thousand attempts; the first that is taken lets all go."""
    pace = Pace(Random(1))
    for _ in range(DOWN_AFTER - 1):
        pace.failed(0.0, None)
    assert pace.may_send(0.0, 7, 8)
    pace.failed(0.0, None)
    assert pace.is_down
    assert not pace.may_send(0.0, 0, 8)
    assert pace.may_send(1.0, 0, 8)
    assert not pace.may_send(1.0, 1, 8)
    pace.taken()
    assert pace.may_send(1.0, 7, 8)


def test_a_pause_that_was_asked_for_is_for_all() -> None:
    """After 429 no other incident is sent to the destination either until the pause is over."""
    pace = Pace(Random(1))
    pace.failed(10.0, 30.0)
    assert not pace.may_send(39.9, 0, 8)
    assert pace.may_send(40.0, 0, 8)
