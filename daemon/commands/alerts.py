"""`logwarden alerts`: shows the alerts topic, for people or as JSON lines.

Shows every record that is wanted: a value that is no logwarden alert (another producer, a newer version) is printed as
it is, escaped, and does not end the tail. With a choice of services, severities or kinds such a value is left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from rich.console import Console
from rich.text import Text

from logwarden.daemon.commands.choosing import RecordChoice, TopicOptions
from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.rendering import printable, render
from logwarden.daemon.incidents.alert import decode_alert
from logwarden.daemon.settings.groups import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertOptions(TopicOptions):
    """Options of the command line. `since_ms`: begin with the alerts published then; None: with the next one."""

    from_beginning: bool = False
    follow: bool = True
    """False: end with the alerts that are there."""


async def tail_alerts(options: AlertOptions, settings: Settings, console: Console) -> None:
    """Prints alerts as they arrive, until Ctrl-C or until `limit` alerts are printed."""
    choice = RecordChoice(options)
    if options.limit == 0:
        return
    from logwarden.daemon.kafka.tail import tail_topic  # here, so that `--help` does not load a Kafka client

    records = tail_topic(
        settings,
        settings.kafka.alerts_topic,
        from_beginning=options.from_beginning,
        since_ms=options.since_ms,
        follow=options.follow,
    )
    await _show(records, options, choice, console)


async def _show(
    records: AsyncIterator[tuple[bytes | None, bytes]],
    options: AlertOptions,
    choice: RecordChoice,
    console: Console,
) -> None:
    shown = 0
    async with aclosing(cast(Any, records)):  # closes the consumer when the limit ends the tail early
        async for _, value in records:
            if not (choice.is_of_all or _is_wanted(value, choice)):
                continue
            show_value(value, options.form, console)
            shown += 1
            if shown == options.limit:
                return


def _is_wanted(value: bytes, choice: RecordChoice) -> bool:
    try:
        alert = decode_alert(value)
    except ValueError:
        return False
    return choice.admits([alert.service.name], alert.logwarden.severity, [alert.logwarden.kind])


def show_value(value: bytes | None, form: AlertFormat, console: Console) -> None:
    """Prints the value of one record."""
    try:
        alert = decode_alert(value or b"")
    except ValueError:
        # Standard output contains JSON lines only, so that a program can read it.
        note = Console(stderr=True, width=console.width) if form is AlertFormat.jsonl else console
        note.print(Text(f"not an alert: {printable((value or b'').decode('utf-8', 'replace'))}", "dim"))
        return
    if form is AlertFormat.jsonl:
        # Decoded without the schema, so that fields of a newer version are printed too.
        print(msgspec.json.encode(msgspec.json.decode(value or b"")).decode(), flush=True)
    else:
        console.print(render(alert))
