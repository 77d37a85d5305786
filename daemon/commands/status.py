"""`logwarden status`: shows the services of daemons and the open incidents, for people or as JSON.

A daemon answers for its whole group, by asking the other members. With several addresses each of them answers for its
own partitions, so that no service is shown twice. The incidents are those of all members, and come from the first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from logwarden.daemon.commands.asking import DaemonClient, clients_of
from logwarden.daemon.commands.incident_view import render_incident
from logwarden.daemon.commands.rendering import printable
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.ports import Clock
from logwarden.daemon.settings.groups import Settings

STATES = {"learning": "yellow", "noisy": "magenta", "known": "green"}
"""States in the order in which people need them, with their colours."""
MAX_PAGE = 1_000
SHOWN_INCIDENTS = 10
WATCH_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOptions:
    """Options of the command line."""

    urls: Sequence[str] = ()
    services: Sequence[str] = ()
    states: Sequence[str] = ()
    limit: int = 20
    """Services of a member that are shown; 0: all."""
    as_json: bool = False
    watch: bool = False


async def show_status(options: StatusOptions, settings: Settings, console: Console, clock: Clock) -> None:
    """Prints the state of each daemon, once or until Ctrl-C. Raises FatalError if one does not answer."""
    clients = clients_of(options.urls, settings.http)
    while True:
        scope = [] if len(clients) == 1 else [("scope", "member")]  # one daemon of an earlier release knows no scope
        members = [
            await asyncio.to_thread(_look, client, options, scope, is_first=not n) for n, client in enumerate(clients)
        ]
        if options.as_json:
            print(msgspec.json.encode(members[0] if len(members) == 1 else members).decode(), flush=True)
        else:
            if options.watch:
                console.clear()
            console.print(Group(*(_rendered(member, options, clock.now_ms()) for member in members)))
        if not options.watch:
            return
        await clock.sleep(WATCH_S)


def _look(
    client: DaemonClient, options: StatusOptions, scope: Sequence[tuple[str, str]], *, is_first: bool
) -> dict[str, Any]:
    """Returns what one daemon answers. Raises FatalError."""
    ready = client.get("/readyz", refusals=(503,))
    services = _services(client, options, scope)
    found = {"url": client.url, "ready": bool(ready.get("ready")), "reasons": ready.get("reasons", []), **services}
    if is_first:
        found["incidents"] = client.get("/api/v1/incidents", [("state", "open")], refusals=(404,))
    return found


def _services(client: DaemonClient, options: StatusOptions, scope: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Returns the answer about services with as many of them as are shown: learning and noisy ones first."""
    shown: list[Any] = []
    answer: dict[str, Any] = {}
    total = 0
    for state in [state for state in STATES if not options.states or state in options.states]:
        query = [*scope, ("state", state), *(("service", pattern) for pattern in options.services)]
        after: list[tuple[str, str]] = []
        while True:
            left = MAX_PAGE if not options.limit else max(1, min(MAX_PAGE, options.limit - len(shown)))
            answer = client.get("/api/v1/services", [*query, ("limit", str(left)), *after])
            shown += answer["services"]
            if answer["next"] is None or (options.limit and len(shown) >= options.limit):
                break
            after = [("after", answer["next"])]
        total += answer["total"]
    return answer | {"services": shown[: options.limit or None], "total": total, "next": None}


def _rendered(member: dict[str, Any], options: StatusOptions, now_ms: int) -> RenderableType:
    facts, states = member["member"], member["states"]
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(printable(facts["name"]), "bold")
    group = member.get("members") or [facts]
    partitions = _counted(sum(len(one["partitions"]) for one in group), "partition")
    whole = f" of {_counted(len(group), 'member')}" if "members" in member and len(group) > 1 else ""
    head.append(f"  group {printable(facts['group'])}  {partitions}{whole}  ")
    head.append("ready" if member["ready"] else "not ready", "bold green" if member["ready"] else "bold red")
    counts = Text("  ")
    counts.append(f"{_counted(sum(states.values()), 'service')}: ")
    for number, (state, colour) in enumerate(STATES.items()):
        counts.append(f"{', ' if number else ''}{states[state]:,} {state}", colour)
    counts.append(f"  {member['lines_per_minute']:,} lines a minute")
    parts: list[RenderableType] = [head]
    parts += [Text(f"  {printable(str(reason.get('message', '')))}", "red") for reason in member["reasons"]]
    parts.append(counts)
    if member.get("note"):
        parts.append(Text(f"  {printable(member['note'])}", "yellow"))
    if len(group) > 1:
        parts.append(_members(group))
    if member["services"]:
        parts.append(_table(member["services"], now_ms))
    hidden = member["total"] - len(member["services"])
    if hidden > 0:
        parts.append(Text(f"  … {hidden:,} more; choose with --service or --state, or show all with --limit 0", "dim"))
    if "incidents" in member:
        parts += _incidents(member["incidents"])
    return Group(*parts, Text(""))


def _members(group: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("  member", "partitions", "services", "learning", "lines/min", "version"):
        table.add_column(name, justify="left" if name in ("  member", "version") else "right", no_wrap=True)
    for one in group:
        states, rate = one["states"], one["lines_per_minute"]
        table.add_row(
            Text(f"  {printable(one['name'])}", "yellow" if one["missing"] else ""),
            f"{len(one['partitions']):,}",
            *(
                ("", "", "")
                if states is None
                else (f"{sum(states.values()):,}", f"{states['learning']:,}", f"{rate:,}")
            ),
            printable(one["version"] or ""),
        )
    return table


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(services: Sequence[dict[str, Any]], now_ms: int) -> Table:
    numbers = ("lines", "known", "lines/min")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("  service", "topic", "state", *numbers, "last line", "last alert"):
        justify: Literal["left", "right"] = "right" if name in numbers else "left"
        # A name that is too long goes on below: two services must not look alike.
        table.add_column(name, justify=justify, no_wrap=name != "  service", overflow="fold")
    for service in services:
        state, alert = service["state"], service["last_alert"]
        learned = f" {100 * service['progress']:.0f} %" if state == "learning" else ""
        table.add_row(
            Padding(Text(printable(service["name"]), "bold", overflow="fold"), (0, 0, 0, 2)),
            f"{printable(service['topic'])}/{service['partition']}",
            Text(f"{state}{learned}", STATES.get(state, "")),
            f"{service['lines']:,}",
            f"{service['known_lines']:,}",
            f"{service['lines_per_minute']:,}",
            _age(service["last_seen"], now_ms),
            Text("" if alert is None else f"{alert['score']:.3f}  {_age(alert['timestamp'], now_ms)}", "red"),
        )
    return table


def _incidents(answer: dict[str, Any]) -> list[RenderableType]:
    if "error" in answer:
        return [Text(f"  {printable(answer['error']['message'])}", "dim")]
    shown = answer["incidents"][:SHOWN_INCIDENTS]
    count = answer["open"]
    parts: list[RenderableType] = [Text(f"  {count:,} open incident{'' if count == 1 else 's'}", "bold")]
    if answer["note"]:
        parts.append(Text(f"  {printable(answer['note'])}", "yellow"))
    parts += [render_incident(msgspec.convert(incident, IncidentRecord)) for incident in shown]
    if count > len(shown):
        parts.append(Text(f"  … {count - len(shown):,} more; see `logwarden incidents --open`", "dim"))
    return parts


def _age(timestamp: str | None, now_ms: int) -> str:
    """Returns how long ago a time was, in words."""
    if timestamp is None:
        return ""
    seconds = now_ms / 1000 - datetime.fromisoformat(timestamp).timestamp()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago" if seconds >= 1 else "now"
