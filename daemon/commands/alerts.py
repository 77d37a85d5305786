"""`logwarden alerts`: shows the alerts topic, for people or as JSON lines.

Shows every record: a value that is no logwarden alert (another producer, a newer version) is printed as it is, escaped,
and does not end the tail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import msgspec
from rich.console import Console
from rich.text import Text

from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.rendering import printable, render
from logwarden.daemon.incidents.alert import decode_alert
from logwarden.daemon.settings.groups import Settings


async def tail_alerts(
    settings: Settings, form: AlertFormat, *, from_beginning: bool, limit: int | None, console: Console
) -> None:
    """Prints alerts as they arrive, until Ctrl-C or until `limit` alerts are printed."""
    if limit == 0:
        return
    from logwarden.daemon.kafka.tail import tail_topic  # here, so that `--help` does not load a Kafka client

    records = tail_topic(settings, settings.kafka.alerts_topic, from_beginning=from_beginning)
    await _show(records, form, limit=limit, console=console)


async def _show(
    records: AsyncIterator[tuple[bytes | None, bytes]], form: AlertFormat, *, limit: int | None, console: Console
) -> None:
    shown = 0
    async with aclosing(cast(Any, records)):  # closes the consumer when the limit ends the tail early
        async for _, value in records:
            show_value(value, form, console)
            shown += 1
            if shown == limit:
                return


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
