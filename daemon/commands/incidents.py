"""`logwarden incidents`: shows the incidents topic, the newest record of each incident, for people or as JSON lines.

A record that is no incident of this version is left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from rich.console import Console

from logwarden.daemon.commands.choosing import RecordChoice, TopicOptions
from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.incident_view import render_incident
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.incidents.incident import IncidentRecord, decode_incident
from logwarden.daemon.incidents.writing import milliseconds
from logwarden.daemon.settings.groups import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentOptions(TopicOptions):
    """Options of the command line. `since_ms`: only incidents with an alert at this time or later; None: all."""

    open_only: bool = False
    follow: bool = False


async def show_incidents(options: IncidentOptions, settings: Settings, console: Console) -> None:
    """Prints the newest record of each incident, oldest first; with `follow` each later change until Ctrl-C."""
    topic = settings.kafka.incidents_topic
    if topic is None:
        raise ConfigurationError(
            "there is no incidents topic", hint="set LOGWARDEN_KAFKA__INCIDENTS_TOPIC to the topic of the daemon"
        )
    from logwarden.daemon.kafka.compacted import CompactedTopic  # here, so that `--help` loads no Kafka client
    from logwarden.daemon.kafka.tail import tail_topic

    shown = Shown(options, console)
    shown.all_of([record[:2] for record in await CompactedTopic(settings.kafka, topic).read_all()])
    if not shown.count:
        Console(stderr=True).print(f"no incident to show in the topic {topic!r}", markup=False, highlight=False)
    if options.follow and not shown.is_full:
        await shown.follow(tail_topic(settings, topic, from_beginning=True))


class Shown:
    """What was printed."""

    def __init__(self, options: IncidentOptions, console: Console) -> None:
        self._options = options
        self._choice = RecordChoice(options)
        self._console = console
        self._revisions: dict[str, int] = {}
        self.count = 0
        """Records that were printed."""

    @property
    def is_full(self) -> bool:
        """Returns True once as many records as wanted are printed."""
        return self._options.limit is not None and self.count >= self._options.limit

    def all_of(self, entries: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Prints the newest record of each key."""
        newest = {key: record for key, value in entries if (record := _record(value)) is not None}
        for record in sorted(newest.values(), key=lambda one: (one.logwarden.first_seen or "", one.id)):
            self._show(record)

    async def follow(self, records: AsyncIterator[tuple[bytes | None, bytes]]) -> None:
        """Prints the records that are newer than what was printed, as they come."""
        async with aclosing(cast(Any, records)):  # closes the consumer when the limit ends the tail early
            async for _, value in records:
                record = _record(value)
                if record is not None and record.logwarden.revision > self._revisions.get(record.id, 0):
                    self._show(record)
                if self.is_full:
                    return

    def _show(self, record: IncidentRecord) -> None:
        self._revisions[record.id] = record.logwarden.revision
        if self.is_full or not self._is_wanted(record):
            return
        self.count += 1
        if self._options.form is AlertFormat.jsonl:
            print(record.encode().decode(), flush=True)
        else:
            self._console.print(render_incident(record))

    def _is_wanted(self, record: IncidentRecord) -> bool:
        options, facts = self._options, record.logwarden
        return (
            self._choice.admits((service.name for service in facts.services), facts.severity, facts.kinds)
            and (not options.open_only or facts.status == "open")
            and (options.since_ms is None or _seen_ms(facts.last_seen) >= options.since_ms)
        )


def _seen_ms(timestamp: str | None) -> int:
    try:
        return -1 if timestamp is None else milliseconds(timestamp)
    except (ValueError, OverflowError):
        return -1


def _record(value: bytes | None) -> IncidentRecord | None:
    try:
        return decode_incident(value or b"")
    except ValueError:  # another producer's record, or one of another version
        return None
