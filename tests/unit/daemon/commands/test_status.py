"""`logwarden status` against the real HTTP server of a daemon."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.commands.asking import DaemonClient, clients_of
from logwarden.daemon.commands.status import StatusOptions, show_status
from logwarden.daemon.errors import ConfigurationError, FatalError
from logwarden.daemon.roster import MemberCard
from logwarden.daemon.settings.groups import HttpSettings, Settings
from logwarden.daemon.standing import ServiceTable
from logwarden.daemon.web.server import HttpServer
from tests.unit.daemon.web.crew import Crew
from tests.unit.daemon.web.serving import NOW_MS, TABLE, Served, incident_value, serving, settings_of


class Clock(SystemClock):
    """Lets a watch look twice."""

    def __init__(self) -> None:
        self.looks = 0

    def now_ms(self) -> int:
        return NOW_MS

    async def sleep(self, seconds: float) -> None:
        self.looks += 1
        if self.looks == 2:
            raise asyncio.CancelledError


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Yields a daemon that is ready."""
    found, server = await serving(settings_of())
    yield found
    await server.stop()


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    """Yields a group without a member."""
    async with Crew(HttpSettings(port=0)) as made:
        yield made


async def status(served: Served, *, width: int = 160, **options: Any) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    await show_status(StatusOptions(urls=[served.url], **options), Settings(), console, Clock())
    return out.getvalue()


async def test_a_person_sees_who_learns_and_what_is_open(served: Served) -> None:
    """The first screen has the member, its readiness, services by state with progress and rates, and open incidents."""
    served.shelf.note = ""
    served.shelf.put(b"", incident_value("a", severity="critical", age_s=60), NOW_MS)
    served.shelf.put(b"", incident_value("b", status="resolved"), NOW_MS)
    lines = (await status(served)).splitlines()
    assert lines[:2] == [
        "host/7  group logwarden  2 partitions  not ready",
        "  The group has assigned nothing yet.",
    ]
    assert lines[2] == "  4 services: 1 learning, 1 noisy, 2 known  66 lines a minute"
    assert [" ".join(line.split()) for line in lines[3:8]] == [
        "service topic state lines known lines/min last line last alert",
        "web-1 logs/0 learning 25 % 250 12 0 60 min ago 0.500",
        "pkg ? logs/0 noisy 9,000 8,000 5",
        "web-1 audit/3 known 1,000 1 1 60 s ago",
        "web-2 logs/0 known 5,000 40 60 now 0.970 5 s ago",
    ]
    assert lines[8] == "  1 open incident"
    assert lines[9].startswith("● CRITICAL  web  2026-11-23T09:59:00.000Z")
    assert not any("resolved" in line for line in lines)


async def test_names_stay_apart_on_a_narrow_terminal(served: Served) -> None:
    """A name that is too long for its column goes on below, so that two services never look alike."""
    names = TABLE.names.copy()
    names[:] = [f"settlement-of-invoices-{number}" for number in range(len(names))]
    table = replace(TABLE, names=names)
    served.table = lambda: found(table)
    lines = (await status(served, width=80)).splitlines()
    first = next(place for place, line in enumerate(lines) if "topic" in line)
    column = "".join(line[: lines[first].index("topic")].strip() for line in lines[first + 1 :])
    assert all(name in column for name in names)


async def found(table: ServiceTable) -> ServiceTable:
    return table


async def test_what_is_hidden_is_counted(served: Served) -> None:
    """Nobody takes a part for the whole: the rest is counted, with the way to see it."""
    assert "… 2 more; choose with --service or --state, or show all with --limit 0" in await status(served, limit=2)
    everything = await status(served, limit=0)
    assert "more; choose" not in everything
    assert everything.count("web-") == 3
    chosen = await status(served, services=["web-*"], states=["known"])
    assert (chosen.count("web-"), chosen.count("pkg"), "4 services" in chosen) == (2, 0, True)


async def test_no_more_is_requested_than_is_shown(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a member with 20,000 services does not read all of them."""
    paths: list[str] = []
    get = DaemonClient.get

    def counted(client: DaemonClient, path: str, *arguments: Any, **options: Any) -> Any:
        paths.append(path)
        return get(client, path, *arguments, **options)

    monkeypatch.setattr(DaemonClient, "get", counted)
    await status(served, limit=1, states=["known"])
    assert paths == ["/readyz", "/api/v1/services", "/api/v1/incidents"]


async def test_a_program_reads_json(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one object with everything, also where a name would confuse a terminal."""
    served.shelf.put(b"", incident_value("a"), NOW_MS)
    await status(served, as_json=True, limit=0)
    [line] = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["url"], found["ready"], found["total"], len(found["services"])) == (served.url, False, 4, 4)
    assert found["states"] == {"learning": 1, "known": 2, "noisy": 1}
    assert [incident["id"] for incident in found["incidents"]["incidents"]] == ["a"]


async def test_several_members_are_asked(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """Each member has its own services; the incidents are everyone's and are asked for once."""
    options = StatusOptions(urls=[served.url, served.url], as_json=True)
    await show_status(options, Settings(), Console(file=io.StringIO()), Clock())
    members = json.loads(capsys.readouterr().out)
    assert ["incidents" in member for member in members] == [True, False]


async def test_one_address_shows_the_whole_group(crew: Crew, capsys: pytest.CaptureFixture[str]) -> None:
    """A person writes one address and sees every member; with two addresses no service is shown twice."""
    first, other = await crew.add("a", "b", "c"), await crew.add("d")
    lines = (await status(first)).splitlines()
    assert lines[:2] == [
        "worker/0  group logwarden  2 partitions of 2 members  ready",
        "  4 services: 2 learning, 1 noisy, 1 known  8 lines a minute",
    ]
    assert [" ".join(line.split()) for line in lines[2:5]] == [
        "member partitions services learning lines/min version",
        "worker/0 1 3 1 6 1",
        "worker/1 1 1 1 2 1",
    ]
    assert "logs/1" in "".join(lines[5:])
    options = StatusOptions(urls=[first.url, other.url], as_json=True)
    await show_status(options, Settings(), Console(file=io.StringIO()), Clock())
    members = json.loads(capsys.readouterr().out)
    assert sorted(one["name"] for member in members for one in member["services"]) == ["a", "b", "c", "d"]


async def test_a_member_that_does_not_answer_is_named(crew: Crew) -> None:
    """Nobody takes a part of the group for the whole."""
    first = await crew.add("a")
    crew.enter(MemberCard(id="gone", name="worker/gone", address="http://127.0.0.1:9"))
    shown = " ".join((await status(first)).split())
    assert (
        "1 of 2 members answered; services of the others are missing. worker/gone: http://127.0.0.1:9 cannot" in shown
    )
    assert "worker/gone 1" in shown


async def test_a_watch_looks_again(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """`--watch` prints each look; what changed in between is in the next one."""
    with pytest.raises(asyncio.CancelledError):
        await status(served, as_json=True, watch=True)
    assert len(capsys.readouterr().out.splitlines()) == 2


async def test_where_nothing_listens_there_is_a_sentence() -> None:
    """The user reads which address was asked and what to do, and no traceback."""
    with pytest.raises(FatalError, match=r"no daemon answers at http://127\.0\.0\.1:9: Connection refused") as refused:
        await show_status(StatusOptions(urls=["http://127.0.0.1:9"]), Settings(), Console(), Clock())
    assert refused.value.hint == "start one with `logwarden run`, or write its address after --url"


@pytest.mark.parametrize(
    ("body", "status_code"),
    [("hello", 200), ("{}", 404), ('{"error": 1}', 400), ("[]", 500), ("\xff", 200), ("", 200)],
)
async def test_another_server_is_no_daemon(body: str, status_code: int) -> None:
    """Whatever answers at the address, the user learns that it is no logwarden."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body.encode("latin-1"), status=status_code, content_type="text/html")

    server = HttpServer(HttpSettings(port=0), [web.get("/{path:.*}", answer)])
    await server.start()
    client = DaemonClient(f"http://127.0.0.1:{server.port}/")
    with pytest.raises(FatalError, match=f"is no logwarden of this version .HTTP status {status_code}."):
        await asyncio.to_thread(client.get, "/api/v1/services")
    await server.stop()


async def test_the_token_is_sent_and_a_refusal_is_a_sentence() -> None:
    """Where reading needs the token the settings have it; a wrong one is refused in the daemon's own words."""
    found, server = await serving(settings_of(HTTP__TOKEN="open", HTTP__TOKEN_FOR_READS="true"))
    right, wrong = (clients_of([found.url], settings_of(HTTP__TOKEN=token).http)[0] for token in ("open", "shut"))
    answer = await asyncio.to_thread(right.get, "/api/v1/services", [("service", "web-1")])
    assert answer["total"] == 2
    with pytest.raises(FatalError, match="refuses: The token is missing or wrong") as refused:
        await asyncio.to_thread(wrong.get, "/api/v1/services")
    assert "shut" not in str(refused.value)
    await server.stop()


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"HTTP__HOST": "0.0.0.0", "HTTP__PORT": "9"}, "http://127.0.0.1:9"),
        ({"HTTP__HOST": "::"}, "http://[::1]:8080"),
        ({"HTTP__HOST": "daemon.example"}, "http://daemon.example:8080"),
    ],
)
def test_the_settings_name_the_daemon(values: dict[str, str], url: str) -> None:
    """Without --url the daemon is the one that these settings would start."""
    assert [client.url for client in clients_of([], settings_of(**{"HTTP__PORT": "8080", **values}).http)] == [url]


@pytest.mark.parametrize("url", ["localhost:8080", "file:///etc/passwd", "http://", "http://[", "http://x:99999"])
def test_a_wrong_address_is_refused(url: str) -> None:
    """Only addresses of HTTP are asked, and no file is opened."""
    with pytest.raises(ConfigurationError, match="is no URL of a daemon"):
        clients_of([url], HttpSettings())


@pytest.mark.parametrize("port", ["none", "0"])
def test_a_port_that_is_not_known_is_a_sentence(port: str) -> None:
    """Settings without a fixed port cannot lead to the daemon."""
    with pytest.raises(ConfigurationError, match="is not known"):
        clients_of([], settings_of(HTTP__PORT=port).http)
