"""Lets incidents that nobody judged for weeks become baseline: writes that their lines are expected.

The member that folds incidents does so. Its memory is the incidents topic, which keeps a month. The entry is one as
of a person: it is listed, and `logwarden feedback undo` takes it back. A kind of lines with feedback is left alone.
Whatever fails here stops no incident, and the next record of such an incident tries again. Belongs to the event loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import structlog

from logwarden.daemon.errors import LogwardenError
from logwarden.daemon.feedback.records import (
    SCHEMA_VERSION,
    FeedbackLine,
    FeedbackRecord,
    feedback_message,
    written,
)
from logwarden.daemon.incidents.incident import IncidentRecord, LineFacts
from logwarden.daemon.incidents.writing import milliseconds
from logwarden.daemon.ports import Clock, Sink
from logwarden.daemon.records import Delivery
from logwarden.model.feedback import FeedbackKind
from logwarden.model.recurrences import Recurrences

log = structlog.get_logger(__name__)

DAY_MS = 86_400_000


class BaselineWatcher:
    """Watches incidents. `entries` returns the feedback by its keys. It returns None before this member has read it."""

    def __init__(
        self,
        topic: str,
        entries: Callable[[], Mapping[str, FeedbackRecord] | None],
        sink: Sink,
        clock: Clock,
        *,
        after_days: float,
    ) -> None:
        self._topic = topic
        self._entries = entries
        self._sink = sink
        self._clock = clock
        self._after_days = after_days
        self._recurrences = Recurrences(round(after_days * DAY_MS))
        self._written: set[str] = set()

    def remember(self, records: Iterable[IncidentRecord]) -> None:
        """Notes the incidents that the topic has when a term begins, the oldest first."""
        self._recurrences = Recurrences(round(self._after_days * DAY_MS))
        for record in records:
            self._old_lines(record)

    async def watch(self, record: IncidentRecord) -> None:
        """Notes an incident that was published, and writes which of its lines are expected from now on."""
        old, entries = self._old_lines(record), self._entries()
        if not old or entries is None:  # a person may have judged them
            return
        judged = {line.dedup_key for entry in entries.values() for line in entry.lines} | self._written
        for line in old:
            if line.dedup_key not in judged:
                await self._expect(record, line)

    def _old_lines(self, record: IncidentRecord) -> list[LineFacts]:
        """Returns the lines of an incident that have come back for long enough. What was announced does not count."""
        if record.logwarden.planned is not None:
            return []
        return [
            line
            for line in record.logwarden.lines
            if line.first_seen is not None
            and line.last_seen is not None
            and self._recurrences.note(line.dedup_key, milliseconds(line.first_seen), milliseconds(line.last_seen))
        ]

    async def _expect(self, incident: IncidentRecord, line: LineFacts) -> None:
        now_ms = self._clock.now_ms()
        begin_ms = now_ms if line.last_seen is None else min(now_ms, milliseconds(line.last_seen) + 1)
        days = f"{self._after_days:g} days"
        record = FeedbackRecord(
            schema_version=SCHEMA_VERSION,
            kind=FeedbackKind.EXPECTED,
            given=written(now_ms),
            from_time=written(begin_ms),
            incident=incident.id,
            lines=(FeedbackLine(service=line.service, text=line.text, dedup_key=line.dedup_key),),
            reason=f"its incidents came back for {days} without a judgement",
            by="logwarden",
        )
        key = f"baseline/{hashlib.blake2b(line.dedup_key.encode(), digest_size=6).hexdigest()}"
        try:
            [outcome] = await self._sink.send(self._topic, [feedback_message(key, record, self._topic)])
        except LogwardenError as error:
            log.warning("baseline_not_written", topic=self._topic, reason=str(error), hint=error.hint)
            return
        if outcome is Delivery.ACKNOWLEDGED:
            self._written.add(line.dedup_key)
            log.info("incident_became_baseline", key=key, incident=incident.id, service=line.service, after=days)
