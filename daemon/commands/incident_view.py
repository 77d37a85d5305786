"""Renders an incident for people: a header, its distinct lines with their counts, its services.

    ● CRITICAL  db-1  2026-11-23T10:41:41.166Z for 12 s  9 alerts on 4 distinct lines in 2 services  open
      db.log:65      5x  PANIC: could not write to file "pg_wal/xlogtemp.7": No space left on device
      web.log:108    1x  web: status 500 from db-1
      then web

A row that is too long for the console leaves out the time at the begin of its line, and a header takes two rows.

Owns layout; a terminal shows a log line and never obeys it. Knows incidents and rich; does not know where one is from.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from logwarden.daemon.commands.rendering import COLOURS, Fitting, lean, printable
from logwarden.daemon.incidents.incident import IncidentRecord, LineFacts
from logwarden.daemon.incidents.settling import words_of

SHOWN_LINES = 8
SHOWN_SERVICES = 6


def render_incident(record: IncidentRecord, places: Mapping[str, str] | None = None) -> RenderableType:
    """Returns an incident in a form that a rich console prints. `places`: id of an alert → the place of its line."""
    facts = record.logwarden
    places = places or {}
    lines = facts.lines[:SHOWN_LINES]
    width = max((len(places.get(line.alert_id, "")) for line in lines), default=0)
    rows: list[RenderableType] = [_header(record)]
    for line in lines:
        place = f"{printable(places.get(line.alert_id, '')):{width}}" if width else ""
        rows.append(Fitting(*(_row(record, line, place, text) for text in (line.text, lean(line.text)))))
    more = len(facts.lines) - len(lines) + facts.more_lines
    if more:
        rows.append(Text(f"  … {more:,} more …", "dim"))
    others = [printable(service.name) for service in facts.services[1 : 1 + SHOWN_SERVICES]]
    if others:
        left = len(facts.services) - 1 - len(others) + facts.more_services
        rows.append(Text(f"  then {', '.join(others)}{f' and {left:,} more' if left else ''}", "dim"))
    return Group(*rows)


def _row(record: IncidentRecord, line: LineFacts, place: str, text: str) -> Text:
    row = Text("  ", no_wrap=True, overflow="ellipsis")
    row.append(place, "dim")
    row.append(f" {line.count:5,}x  ", "dim")
    if line.service != record.service.name:
        row.append(f"{printable(line.service)}: ", "bold")
    row.append(printable(text), "bold red" if line.is_failure else "bold")
    return row


def _header(record: IncidentRecord) -> RenderableType:
    """Returns one row, or two where it does not fit: an id that is cut is none to give feedback on."""
    facts = record.logwarden
    header = Text(no_wrap=True, overflow="ellipsis")
    header.append(f"● {facts.severity.upper()}", COLOURS[facts.severity])
    header.append(f"  {printable(record.service.name)}", "bold")
    if facts.first_seen:
        header.append(f"  {facts.first_seen}", "cyan")
        header.append(f" for {_seconds(facts.first_seen, facts.last_seen or facts.first_seen)}", "cyan")
    kinds, services = len(facts.lines), len(facts.services) + facts.more_services
    words = f"{_counted(facts.alerts, 'alert')} on {_counted(kinds, 'distinct line')}"
    header.append(f"  {words}{f' in {services:,} services' if services > 1 else ''}")
    more = Text()
    if facts.recurrence:
        more.append(f"  again, {facts.recurrence + 1} times so far", "yellow")
    if facts.planned is not None:
        more.append(f"  planned: {printable(facts.planned.reason or facts.planned.id)}", "green")
    if facts.resolution is not None:
        more.append(f"  {printable(words_of(facts.resolution))}", "green")
    more.append(f"  {facts.change if facts.status == 'open' else facts.status}", "dim")
    more.append(f"  {record.id}", "dim")
    return Fitting(Text.assemble(header, more, no_wrap=True), Text.assemble(header, "\n", more, overflow="fold"))


def _seconds(first: str, last: str) -> str:
    seconds = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _counted(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
