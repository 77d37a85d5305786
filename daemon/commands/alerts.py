"""`logwarden alerts`: what arrives on the alerts topic, for people or as JSON lines.

Shows whatever is there: a value that is no alert of ours (another producer, a newer version) is printed as it is,
escaped, and does not end the tail.
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
from logwarden.daemon.incidents.alert import Alert
from logwarden.daemon.settings.groups import Settings


async def tail_alerts(
    settings: Settings, form: AlertFormat, *, from_beginning: bool, limit: int | None, console: Console
) -> None:
    """Print alerts as they come until interrupted, or until `limit` are printed."""
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
    """Print one record's value."""
    alert = parse(value or b"")
    if alert is None:
        # Whoever reads JSON lines from standard output must not find this among them.
        note = Console(stderr=True, width=console.width) if form is AlertFormat.jsonl else console
        note.print(Text(f"not an alert: {printable((value or b'').decode('utf-8', 'replace'))}", "dim"))
    elif form is AlertFormat.jsonl:
        print(msgspec.json.encode(alert).decode(), flush=True)
    else:
        console.print(render(alert))


def parse(value: bytes) -> Alert | None:
    """The alert in a record's value; None if it holds none that we can read."""
    try:
        alert = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return alert if isinstance(alert, dict) and alert.get("schema_version") == 1 and "logwarden" in alert else None
