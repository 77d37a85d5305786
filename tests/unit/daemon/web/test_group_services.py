"""Services of a whole group over real sockets: pages, members that do not answer, and addresses that are a trap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from pydantic import SecretStr

from logwarden.daemon.roster import GroupMember, MemberCard
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.web import group_services, peer_client
from tests.unit.daemon.web.crew import HOST, Crew, answer_of
from tests.unit.daemon.web.serving import Served


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    """Yields a group without a member."""
    async with Crew(HttpSettings(port=0)) as made:
        yield made


async def whole(served: Served, query: str = "") -> Any:
    status, body = await served.ask(f"/services?{query}")
    assert status == 200, body
    return body


def names(body: Any) -> list[str]:
    return [one["name"] for one in body["services"]]


async def missing(served: Served, query: str = "") -> str:
    """Returns why the services of the one member that is missing are."""
    body = await whole(served, query)
    [reason] = [one["missing"] for one in body["members"] if one["missing"] is not None]
    count = len(body["members"])
    assert body["note"].startswith(f"{count - 1} of {count} members answered; services of the others are missing. ")
    assert reason in body["note"]
    return str(reason)


# ---------------------------------------------------------------- the whole


async def test_every_member_shows_the_whole_group(crew: Crew) -> None:
    """Sums, members and services are the same whichever member is asked; only `member` is who was asked."""
    for services in (["a", "d", "x"], ["b", "a"], ["c"]):
        await crew.add(*services)
    answers = [await whole(served) for served in crew.members]
    for number, body in enumerate(answers):
        assert names(body) == ["a", "a", "b", "c", "d", "x"]
        assert (body["total"], body["lines_per_minute"], body["note"], body["next"]) == (6, 12, "", None)
        assert body["states"] == {"learning": 3, "known": 2, "noisy": 1}
        assert body["member"]["name"] == f"{HOST}/{number}"
        assert body["members"][0]["name"] == f"{HOST}/{number}"
        assert {one["partitions"][0]["partition"] for one in body["members"]} == {0, 1, 2}
        assert {one["version"] for one in body["members"]} == {"1"}
        assert sum(one["states"]["learning"] for one in body["members"]) == 3
    assert crew.group.looks == 3


async def test_a_request_goes_one_step_far(crew: Crew) -> None:
    """`scope=member` is answered by the member alone: otherwise two members would ask each other for ever."""
    for services in (["a"], ["b"]):
        await crew.add(*services)
    body = await whole(crew.members[1], "scope=member")
    assert (names(body), body["members"], body["total"]) == (["b"], [], 1)
    assert crew.group.looks == 0


async def test_what_a_request_chose_reaches_every_member(crew: Crew) -> None:
    """Names, states, times and histories are those of the request."""
    await crew.add("web-1", "db-1", "web & co", "web-9")
    await crew.add("web-2", "db-2", "web-3")
    assert names(await whole(crew.members[0], "service=web-*&state=learning")) == ["web-1", "web-2", "web-9"]
    assert names(await whole(crew.members[0], "service=web%20%26%20co")) == ["web & co"]
    assert names(await whole(crew.members[0], "since=2020-01-01T00:00Z&limit=2")) == ["db-1", "db-2"]
    assert names(await whole(crew.members[0], "since=2999-01-01T00:00Z")) == []
    shown = await whole(crew.members[0], "history=true")
    assert {len(one["history"]["lines"]) for one in shown["services"]} == {30}


@pytest.mark.parametrize("limit", [1, 2, 7, 100, 250, 1_000])
async def test_pages_show_every_service_once(crew: Crew, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the members' services lie apart, and where pages are made of a part of each member."""
    monkeypatch.setattr("logwarden.daemon.web.group_services.FULL_PAGE", 5)
    first = [f"a{number:03}" for number in range(60)]
    await crew.add(*first)
    await crew.add(*(f"b{number:03}" for number in range(0, 60, 2)))
    await crew.add(*(f"b{number:03}" for number in range(1, 60, 2)))
    found, after, pages = [], "", 0
    while after is not None:
        body = await whole(crew.members[0], f"limit={limit}{after and f'&after={after}'}")
        assert len(body["services"]) <= limit
        assert body["total"] == 120
        found += names(body)
        after, pages = body["next"], pages + 1
    assert found == sorted(found)
    assert len(set(found)) == len(found) == 120
    assert pages <= 120 / min(limit, 5) + 2


# ---------------------------------------------------------------- members that do not answer


async def test_a_member_that_is_late_is_left_alone(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """It delays one look, and no other for a while; then it is asked again."""
    monkeypatch.setattr(peer_client, "TIMEOUT_S", 0.2)

    async def late(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError("unreachable")

    asked = await crew.add("a")
    await crew.trap(late)
    for number in range(5):
        assert await missing(asked, f"limit={number + 1}") == peer_client.LATE
    assert len(crew.requests) == 1
    monkeypatch.setattr(peer_client, "LEFT_ALONE_S", 0.0)
    another = await crew.add("b")
    for number in range(2):
        assert await missing(another, f"limit={number + 1}") == peer_client.LATE
    assert len(crew.requests) == 3


async def test_a_slow_stream_of_bytes_is_late_too(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the whole answer."""
    monkeypatch.setattr(peer_client, "TIMEOUT_S", 0.3)

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(600):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    asked = await crew.add("a")
    await crew.trap(trickle)
    begun = time.monotonic()
    assert await missing(asked) == peer_client.LATE
    assert time.monotonic() - begun < 10


async def test_a_member_that_is_gone_is_named(crew: Crew) -> None:
    """Nothing listens there any more; what the others have is shown."""
    asked = await crew.add("a")
    await crew.add("b")
    crew.enter(MemberCard(id="gone", name=f"{HOST}/gone", address="http://127.0.0.1:9"))
    body = await whole(asked)
    assert names(body) == ["a", "b"]
    assert await missing(asked) == "http://127.0.0.1:9 cannot be reached: Connection refused"


async def test_a_note_names_some_members_and_counts_the_others(crew: Crew) -> None:
    """The sentence stays short in a large group."""
    asked = await crew.add("a")
    for number in range(5):
        crew.group.members += (GroupMember(member_id=f"old-{number}", host="10.0.0.7"),)
    body = await whole(asked)
    assert body["note"].startswith("1 of 6 members answered; services of the others are missing. 10.0.0.7/old-0: it is")
    assert body["note"].endswith("; and 2 more.")
    assert body["note"].count("earlier release") == 3


# ---------------------------------------------------------------- many people


async def test_a_crowd_costs_as_much_as_one(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred people at two members: each member makes its part once for both, and nobody misses a service."""
    monkeypatch.setattr(group_services, "FRESH_S", 600.0)
    for services in (["a"], ["b"]):
        await crew.add(*services)
    bodies = await asyncio.gather(*(whole(served, "history=true") for served in crew.members for _ in range(50)))
    assert {(*names(body), body["note"]) for body in bodies} == {("a", "b", "")}
    assert sorted(crew.pages) == ["id0", "id0", "id1", "id1"]
    await whole(crew.members[0], "limit=1")
    assert len(crew.pages) == 6, "another request is another answer"


async def test_different_requests_reach_a_member_one_by_one(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """People who choose different services make a member neither late nor left alone; who waits too long is told so."""
    running, most = 0, 0
    gate, arrived = asyncio.Event(), asyncio.Event()

    async def busy(request: web.Request) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return web.Response(body=msgspec.json.encode(answer_of("trap", [("b", 1)])))

    asked = await crew.add("a")
    await crew.trap(busy)
    bodies = await asyncio.gather(*(whole(asked, f"limit={number}") for number in range(2, 32)))
    assert {body["note"] for body in bodies} == {""}
    assert (len(crew.requests), most) == (30, 1)

    async def stuck(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await gate.wait()
        return web.Response(body=msgspec.json.encode(answer_of("other", [("c", 1)])))

    monkeypatch.setattr(peer_client, "PATIENCE_S", 0.0)
    monkeypatch.setattr(peer_client, "TIMEOUT_S", 60.0)
    crew.group.members = ()
    another = await crew.add("a")
    await crew.trap(stuck, id="other")
    first = asyncio.create_task(whole(another, "limit=2"))
    await arrived.wait()
    assert await missing(another, "limit=3") == peer_client.CROWDED
    gate.set()
    assert names(await first) == ["a", "c"]
    monkeypatch.undo()
    assert names(await whole(another, "limit=4")) == ["a", "c"]


# ---------------------------------------------------------------- addresses that are a trap


async def test_no_redirect_is_followed(crew: Crew) -> None:
    """An address in the group's metadata makes no member request anything else."""
    asked = await crew.add("a")

    async def elsewhere(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/latest/meta-data")

    address = await crew.trap(elsewhere)
    assert await missing(asked) == f"what answers at {address} is no member of this release (status 302)"
    assert [request.path for request in crew.requests] == ["/api/v1/services"]
    assert "Cookie" not in crew.requests[0].headers


BODIES = {
    "no JSON": b"<html>",
    "another document": b'{"services": []}',
    "deep": b"[" * 100_000,
    "no text": b"\xff" * 100,
    "out of order": msgspec.json.encode(answer_of("trap", [("b", 1), ("a", 1)])),
    "twice the same": msgspec.json.encode(answer_of("trap", [("b", 1), ("b", 1)])),
    "more to come of nothing": msgspec.json.encode(answer_of("trap", [], more="x")),
    "more than a page": msgspec.json.encode(answer_of("trap", [(f"{n:04}", 1) for n in range(101)])),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_an_answer_that_is_none_is_not_believed(crew: Crew, body: bytes) -> None:
    """Whatever listens at the address, the other members' services are shown."""
    asked = await crew.add("a")

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Encoding": "identity"})

    await crew.trap(answer)
    assert "is no member of this release (status 200)" in await missing(asked)
    assert names(await whole(asked)) == ["a"]


async def test_an_answer_behind_another_place_is_not_believed(crew: Crew) -> None:
    """Otherwise a reader of pages could be led in a circle."""
    asked = await crew.add("a", "c", "d")

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=msgspec.json.encode(answer_of("trap", [("b", 1)])))

    await crew.trap(answer)
    first = await whole(asked, "limit=2")
    assert names(first) == ["a", "b"]
    second = await whole(asked, f"limit=2&after={first['next']}")
    assert (names(second), second["next"]) == (["c", "d"], None)
    assert "is no member of this release" in second["note"]


async def test_another_member_at_an_address_is_noticed(crew: Crew) -> None:
    """Two members that publish one address, such as that of a balancer, are not counted twice."""
    asked = await crew.add("a")
    other = await crew.add("b")
    crew.enter(MemberCard(id="third", name=f"{HOST}/third", address=other.url))
    assert await missing(asked) == f"another member answers at {other.url}; each needs an address of its own"
    assert names(await whole(asked)) == ["a", "b"]


async def test_an_answer_is_bounded_in_bytes(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """No member takes another one's memory; a packed answer is not unpacked either."""
    monkeypatch.setattr(peer_client, "MAX_BYTES", 10_000)
    asked = await crew.add("a")

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * 10_001)

    address = await crew.trap(answer)
    assert await missing(asked) == f"{address} cannot be reached: its answer has more than 10,000 bytes"

    async def packed(request: web.Request) -> web.StreamResponse:
        response = web.Response(body=msgspec.json.encode(answer_of("trap", [("b", 1)])))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    crew.group.members = crew.group.members[:1]
    another = await crew.add("a")
    await crew.trap(packed)
    assert "is no member of this release" in (await whole(another))["note"]


# ---------------------------------------------------------------- the token


def secret(token: str, **values: Any) -> HttpSettings:
    return HttpSettings(port=0, token=SecretStr(token), token_for_reads=True, **values)


async def test_members_prove_the_token_and_do_not_send_it(crew: Crew) -> None:
    """A member that has it is answered; whoever listens at an address learns nothing that opens another one."""
    for services in (["a"], ["b"]):
        await crew.add(*services, settings=secret("open sesame"))
    headers = {"Authorization": "Bearer open sesame"}

    async def unauthorized(_: web.Request) -> web.StreamResponse:
        return web.Response(status=401)

    await crew.trap(unauthorized)
    status, body = await crew.members[0].ask("/services?service=*&service=a b&service=%C3%A4", headers=headers)
    assert (status, names(body)) == (200, ["a", "b"])
    assert "does not accept this member's token" in body["note"]
    given = crew.requests[0].headers["Authorization"]
    assert given.startswith("Member ")
    assert "sesame" not in str(crew.requests[0].headers) + crew.requests[0].raw_path
    path = crew.requests[0].raw_path.removeprefix("/api/v1")
    for served in crew.members:  # what was sent to the trap serves at no member
        assert (await served.ask(path, headers={"Authorization": given}))[0] == 401


async def test_a_member_with_another_token_is_named(crew: Crew) -> None:
    """The operator learns that the replicas do not agree."""
    await crew.add("a", settings=secret("one"))
    await crew.add("b", settings=secret("another"))
    status, body = await crew.members[0].ask("/services", headers={"Authorization": "Bearer one"})
    assert (status, names(body)) == (200, ["a"])
    assert "it does not accept this member's token; give both the same one" in body["note"]
