"""Folds the alerts topic into the incidents topic, beside the pipeline and apart from it.

One member of a group of its own reads all alerts; the others stand by. The offsets that it commits are those of the
first alerts of incidents that may still change. The next member reads from there, in the order of publication, and
reads what the incidents topic has. So it makes the same incidents again and publishes only what is new.

The clock is that of the alerts' publication. It advances with this machine's only while no alert is published, so that
the last incident of a quiet topic is resolved. A later alert of its time opens it again, which is what a replay gives.

Whatever fails here stops no alert: the task tries again, and readiness, a metric and one log line show why.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import structlog

from logwarden.daemon.errors import BrokerUnavailable, LogwardenError
from logwarden.daemon.health import HealthState, sentence_of
from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.incidents.incident import (
    IncidentRecord,
    build_incident,
    decode_incident,
    expired,
    incident_message,
    known_incident,
    shorter_incidents,
)
from logwarden.daemon.incidents.merging import AlertMerge
from logwarden.daemon.incidents.settling import settles
from logwarden.daemon.ports import AlertReader, Clock, Sink
from logwarden.daemon.records import Delivery, Message
from logwarden.daemon.telemetry import Telemetry
from logwarden.model.feedback import NO_FEEDBACK, FeedbackBook
from logwarden.model.incident_fold import IncidentFold, Settles
from logwarden.model.incident_state import FoldRules
from logwarden.model.incidents import Incident

log = structlog.get_logger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
COMMIT_INTERVAL_S = 5.0
ADVANCE_MS = 1_000
"""Time of publication between two looks at all incidents while many alerts are read."""
MAX_KNOWN = 20_000
"""Newest incidents of the topic that a member which starts knows."""


class IncidentWatcher(Protocol):
    """Learns of every incident that was published."""

    def remember(self, records: Iterable[IncidentRecord]) -> None:
        """Takes the newest record of each incident that the topic has, the oldest incident first."""

    async def watch(self, record: IncidentRecord) -> None:
        """Takes a record that was acknowledged. Raises nothing that should stop the folding."""


class IncidentDesk:
    """The task. `run` never returns by itself."""

    def __init__(
        self,
        reader: AlertReader,
        sink: Sink,
        clock: Clock,
        telemetry: Telemetry,
        health: HealthState,
        *,
        topic: str,
        rules: FoldRules,
        findings: FindingReader,
        watcher: IncidentWatcher | None = None,
        feedback: Callable[[], FeedbackBook] = lambda: NO_FEEDBACK,
    ) -> None:
        """`feedback`: returns what is in force now."""
        self._reader = reader
        self._sink = sink
        self._clock = clock
        self._telemetry = telemetry
        self._health = health
        self._topic = topic
        self._rules = rules
        self._findings = findings
        self._watcher = watcher
        self._feedback = feedback
        self._failed = ""
        self._unclaimed: dict[str, IncidentRecord] = {}
        """Incidents that are open in the topic, and none of whose alerts this term has read."""

    async def run(self) -> None:
        """Folds until it is cancelled, and begins again after a failure."""
        retry_s = FIRST_RETRY_S
        self._health.incidents = "starting"
        while True:
            began = self._clock.monotonic()
            try:
                await self._reader.start()
                await self._serve()
            except LogwardenError as error:
                self._note(f"{sentence_of(str(error))} {sentence_of(error.hint)}".strip())
            except Exception as error:  # a bug here must not end the daemon, which publishes alerts without incidents
                log.exception("incidents_bug")
                self._note(f"Incidents met a bug of logwarden ({type(error).__name__}); see the log.")
            finally:
                await self._reader.stop()
            if self._clock.monotonic() - began > LAST_RETRY_S:
                retry_s = FIRST_RETRY_S
            await self._clock.sleep(retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)

    def _note(self, sentence: str) -> None:
        """Shows why no incidents are folded; logs each reason once until incidents are folded again."""
        self._health.incidents = sentence
        self._telemetry.incidents({}, failing=True)
        if sentence != self._failed:
            self._failed = sentence
            log.warning("incidents_not_folded", topic=self._topic, reason=sentence)

    async def _serve(self) -> None:
        term: _Term | None = None
        while True:
            batch = await self._reader.fetch(term.merge.wanted() or None if term is not None else None)
            if batch.term == 0:
                term = None
                self._works("standby", {})
                continue
            is_new = term is None or term.number != batch.term
            if term is None or is_new:
                term = _Term(batch.term, AlertMerge(batch.ends), await self._begin())
            term.merge.add(batch, self._clock.monotonic())
            if is_new:
                term.mark(-math.inf)
            await self._fold(term)
            self._works("folding", term.fold.open())

    def _works(self, state: str, opened: Mapping[tuple[str, str], int]) -> None:
        self._failed = ""
        self._health.incidents = state
        self._telemetry.incidents(opened, failing=False)

    async def _begin(self) -> IncidentFold:
        """Returns a fold that knows what is published."""
        newest: dict[bytes, IncidentRecord | None] = {}
        for key, value in await self._reader.published():
            newest[key] = None if value is None else _record_of(value)
        records = sorted(filter(None, newest.values()), key=lambda one: one.logwarden.last_seen or "")[-MAX_KNOWN:]
        if self._watcher is not None:
            self._watcher.remember(sorted(records, key=lambda one: one.logwarden.first_seen or ""))
        self._unclaimed = {record.id: record for record in records if _is_open(record)}
        return IncidentFold(self._rules, map(known_incident, records))

    async def _fold(self, term: _Term) -> None:
        """Folds the alerts whose turn it is, publishes what changed, and commits."""
        now = self._clock.monotonic()
        fold, counts = term.fold, {"folded": 0, "duplicate": 0, "unreadable": 0}
        for record in term.merge.take(now):
            term.heard_at = now
            try:
                place = (record.partition, record.offset)
                finding = self._findings.read(record.value or b"", published_ms=record.timestamp, place=place)
            except ValueError:  # another producer's record, or one of another version
                counts["unreadable"] += 1
                continue
            if finding.clock_ms >= term.advance_at_ms:
                term.advance_at_ms = finding.clock_ms + ADVANCE_MS
                await self._publish(fold.advance(finding.clock_ms, self._settles()))
            incident = fold.add(finding)
            counts["duplicate" if incident is None else "folded"] += 1
            self._unclaimed.pop(incident or "", None)
        for outcome, count in counts.items():
            if count:
                self._telemetry.alerts_folded(outcome, count)
        if not term.merge.wanted():
            await self._publish(fold.advance(fold.clock_ms + 1_000 * (now - term.heard_at), self._settles()))
            await self._end_unclaimed()
        if now >= term.commit_at:
            term.commit_at = now + COMMIT_INTERVAL_S
            await self._commit(term)

    def _settles(self) -> Settles:
        return settles(self._feedback(), self._clock.now_ms())

    async def _commit(self, term: _Term) -> None:
        """Commits where a replay must begin for the incidents that may still change."""
        marks, fold = term.marks, term.fold
        if fold.clock_ms > marks[-1][0]:
            term.mark(fold.clock_ms)
        while len(marks) > 1 and marks[1][0] <= fold.needed_ms:
            marks.popleft()
        changed = {each: offset for each, offset in marks[0][1].items() if term.committed.get(each) != offset}
        if changed:
            try:
                await self._reader.commit(changed)
            except BrokerUnavailable as error:  # the next one covers it; until then a replay is longer
                log.debug("incident_commit_failed", error=str(error))
            else:
                term.committed.update(changed)

    async def _end_unclaimed(self) -> None:
        """Ends open incidents whose alerts the alerts topic no longer has: no member would resolve them."""
        records, self._unclaimed = list(self._unclaimed.values()), {}
        await self._send([incident_message(expired(record), self._topic) for record in records])

    async def _publish(self, changes: Sequence[Incident]) -> None:
        messages = [incident_message(build_incident(change), self._topic) for change in changes]
        outcomes = await self._send(messages)
        for change, first in zip(changes, outcomes, strict=True):
            outcome = await self._send_shorter(change) if first is Delivery.TOO_LARGE else first
            if outcome is Delivery.ACKNOWLEDGED:
                self._telemetry.incident_published(change.change, change.severity, change.origin)
                if self._watcher is not None:
                    await self._watcher.watch(build_incident(change))
            else:
                self._telemetry.lost(self._topic)
                log.warning("incident_lost", topic=self._topic, id=change.id, outcome=outcome.name)

    async def _send_shorter(self, change: Incident) -> Delivery:
        outcome = Delivery.TOO_LARGE
        for record in shorter_incidents(change):
            if outcome is Delivery.TOO_LARGE:
                [outcome] = await self._send([incident_message(record, self._topic)])
        return outcome

    async def _send(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        """Returns the outcome of each message. Raises BrokerUnavailable if one is not decided."""
        if not messages:
            return []
        outcomes = await self._sink.send(self._topic, messages)
        if Delivery.FAILED in outcomes:  # what was taken is in the topic, and is read there by the next attempt
            raise BrokerUnavailable(self._topic, "some records of incidents were not taken")
        return outcomes


class _Term:
    """What belongs to one assignment of the alerts to this member."""

    def __init__(self, number: int, merge: AlertMerge, fold: IncidentFold) -> None:
        self.number = number
        self.merge = merge
        self.fold = fold
        self.heard_at = 0.0
        self.advance_at_ms = 0
        self.commit_at = 0.0
        self.marks: deque[tuple[float, Mapping[int, int]]] = deque()
        """Time of publication, and the first alert of each partition that was not taken then; one for each commit."""
        self.committed: dict[int, int] = {}

    def mark(self, clock_ms: float) -> None:
        """Notes which alerts were taken by this time of publication."""
        self.marks.append((clock_ms, {each: self.merge.position(each) for each in self.merge.partitions}))


def _record_of(value: bytes) -> IncidentRecord | None:
    try:
        return decode_incident(value)
    except ValueError:  # another producer's record, or one of another version
        return None


def _is_open(record: IncidentRecord) -> bool:
    return record.logwarden.status == "open"
