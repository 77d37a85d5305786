"""`logwarden feedback`, `mute` and `maintenance`: give feedback, show it, take it back, export it.

What feedback means is in `daemon/feedback`; this file joins it with the topics and prints it.
"""

from __future__ import annotations

import getpass
import shlex
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TextIO

import msgspec
from rich.console import Console
from rich.text import Text

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.commands.formats import AlertFormat, MaintenanceAction
from logwarden.daemon.commands.rendering import printable
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.feedback.giving import Entries, Given, is_over
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.feedback.records import FeedbackRecord, given_at
from logwarden.daemon.feedback.teaching import rows_of
from logwarden.daemon.settings.groups import Settings
from logwarden.model.feedback import FeedbackKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Options that several kinds of feedback share."""

    services: Sequence[str] = ()
    systems: Sequence[str] = ()
    for_ms: int | None = None
    reason: str = ""


async def judge(settings: Settings, incident: str, kind: FeedbackKind, wish: Wish, console: Console) -> None:
    """Judges an incident."""
    async with _office(settings) as office:
        remarks: list[str] = []
        given = await office.judge(
            incident,
            kind,
            services=wish.services,
            for_ms=wish.for_ms,
            reason=wish.reason,
            remark=remarks.append,
        )
        _confirm(given, console)
        for remark in remarks:
            Console(stderr=True).print(remark, markup=False, highlight=False, soft_wrap=True)


async def mute(settings: Settings, pattern: str, wish: Wish, console: Console) -> None:
    """Mutes lines with a text."""
    async with _office(settings) as office:
        _confirm(await office.mute(pattern, services=wish.services, for_ms=wish.for_ms, reason=wish.reason), console)


async def undo(settings: Settings, name: str, console: Console) -> None:
    """Takes feedback back."""
    async with _office(settings) as office:
        key, _ = await office.undo(name)
        console.print(Text(f"undone: {printable(key)}"))


async def maintain(
    settings: Settings, action: MaintenanceAction, name: str, wish: Wish, form: AlertFormat, console: Console
) -> None:
    """Announces, ends or lists maintenance."""
    async with _office(settings) as office:
        if action is MaintenanceAction.start:
            given = await office.start(
                name, services=wish.services, systems=wish.systems, for_ms=wish.for_ms, reason=wish.reason
            )
            _confirm(given, console)
        elif action is MaintenanceAction.stop:
            _confirm(await office.stop(name), console)
        else:
            entries = {
                key: record
                for key, record in (await office.entries()).items()
                if record.kind is FeedbackKind.MAINTENANCE
            }
            show(entries, SystemClock().now_ms(), form, console, ended=True)


async def list_feedback(settings: Settings, form: AlertFormat, console: Console, *, ended: bool) -> None:
    """Prints all feedback; with `ended` that which applies no longer as well."""
    async with _office(settings) as office:
        show(await office.entries(), SystemClock().now_ms(), form, console, ended=ended)


def show(entries: Entries, now_ms: int, form: AlertFormat, console: Console, *, ended: bool) -> None:
    """Prints feedback, the oldest first."""
    rows = [row for row in entries.items() if ended or not is_over(row[1], now_ms)]
    if not rows and form is AlertFormat.pretty:
        Console(stderr=True).print("no feedback to show", markup=False, highlight=False)
    for key, record in sorted(rows, key=lambda row: given_at(*row)):
        if form is AlertFormat.jsonl:
            console.out(msgspec.json.encode({"key": key} | _fields(record)).decode(), highlight=False)
        else:
            console.print(_shown(key, record, is_over(record, now_ms)))


async def export(settings: Settings, out: TextIO, notes: Console) -> None:
    """Prints the judged lines with the lines before them, as `logwarden train --lines` reads them."""
    from logwarden.daemon.kafka.compacted import CompactedTopic

    async with _office(settings) as office:
        entries = await office.entries()
    alerts = await CompactedTopic(settings.kafka, settings.kafka.alerts_topic).read_all()
    real = normal = 0
    for row in rows_of(entries, (alert.value for alert in alerts if alert.value), SystemClock().now_ms()):
        real += row["label"] == 1
        normal += row["label"] == 0
        out.write(msgspec.json.encode(row).decode() + "\n")
    notes.print(Text(f"{real:,} lines were judged real, {normal:,} expected; the lines before them have no label."))
    if real + normal == 0:
        notes.print(Text("Judge incidents with `logwarden feedback INCIDENT --real` or `--expected` first."))


@asynccontextmanager
async def _office(settings: Settings) -> AsyncIterator[FeedbackOffice]:
    """Yields the office of the feedback topic, connected when it is used."""
    from logwarden.daemon.kafka.compacted import CompactedTopic  # here, so that `--help` loads no Kafka client
    from logwarden.daemon.kafka.connection import check_access
    from logwarden.daemon.kafka.producer import KafkaSink
    from logwarden.daemon.kafka.transaction import TopicTransactions

    kafka = settings.kafka
    if kafka.feedback_topic is None:
        raise ConfigurationError(
            "there is no feedback topic", hint="set LOGWARDEN_KAFKA__FEEDBACK_TOPIC to the topic of the daemon"
        )
    await check_access(kafka)
    sink = KafkaSink(kafka)
    incidents = None if kafka.incidents_topic is None else CompactedTopic(kafka, kafka.incidents_topic).read_all
    try:
        yield FeedbackOffice(
            kafka.feedback_topic,
            CompactedTopic(kafka, kafka.feedback_topic).read_all,
            incidents,
            sink,
            TopicTransactions(kafka, kafka.feedback_topic),
            SystemClock(),
            by=_person(),
        )
    finally:
        await sink.stop()


def _person() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user may have no name
        return socket.gethostname()


def _confirm(given: Given, console: Console) -> None:
    key, record = given
    console.print(_shown(key, record, over=False))
    note = (
        f"In force on every replica within five seconds. Take it back with: logwarden feedback undo {shlex.quote(key)}"
    )
    Console(stderr=True).print(printable(note), markup=False, highlight=False, soft_wrap=True)


def _fields(record: FeedbackRecord) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields


def _shown(key: str, record: FeedbackRecord, over: bool) -> Text:
    """Returns one line about an entry."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{record.kind.value.upper():11}", "dim" if over else "bold")
    line.append(f"  {printable(key)}", "cyan")
    end = "for ever" if record.until is None else f"until {record.until}"
    line.append(f"  {'ended ' + str(record.until) if over else end}")
    about = [f"“{record.pattern}”"] if record.pattern else [row.text for row in record.lines[:1]]
    if len(record.lines) > 1:
        about.append(f"and {len(record.lines) - 1} more")
    where = [*record.services, *(f"system {system}" for system in record.systems)]
    where = where or list(dict.fromkeys(row.service for row in record.lines))
    line.append(f"  {printable(', '.join(where)) or 'all services'}", "bold")
    if about:
        line.append(f"  {printable(' '.join(about))}")
    if record.reason:
        line.append(f"  ({printable(record.reason)})", "green")
    if record.by:
        line.append(f"  by {printable(record.by)}", "dim")
    return line
