"""Defines an incident's record: its fields, its bytes, key and headers. `incident.schema.json` beside it describes it.

The key is the id, so that of each incident the topic keeps the newest record. Every record is whole: its reader needs
no earlier one. Fields follow the Elastic Common Schema, headers CloudEvents 1.0. Pure; does not know when one is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from logwarden.daemon.incidents.alert import AlertService
from logwarden.daemon.incidents.plans import PlanFacts, plan_facts, plan_of
from logwarden.daemon.incidents.writing import encodable, milliseconds, rfc3339
from logwarden.daemon.records import Message
from logwarden.model.incidents import Incident, IncidentLine, KnownIncident, Resolution, Status
from logwarden.model.schema import truncated

SCHEMA_VERSION = 1
CE_TYPE = "logwarden.incident.v1"
MAX_LINES = 32
"""Lines that a record shows: those with the most evidence."""
TEXT_CHARS = 300
_SHORTER = ((8, 160), (1, 80))
"""Lines and characters of a record that the topic did not take, and of the next attempt."""

_TITLE_SHARE = 0.7
"""Least evidence of the title's line, as a share of the greatest. With it titles are symptoms most often."""


class IncidentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """ECS `event`."""

    kind: str = "alert"
    category: tuple[str, ...] = ("process",)
    start: str | None
    end: str | None
    """None while the incident is open."""


class IncidentServiceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One service of the incident."""

    name: str
    alerts: int
    first_seen: str | None
    last_seen: str | None


class LineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of line of one service."""

    service: str
    text: str
    dedup_key: str
    count: int
    evidence: float
    is_failure: bool
    kinds: tuple[str, ...] = ()
    """Why it is anomalous: the kinds of its alerts, see `logwarden.model.schema.AlertKind`."""
    first_seen: str | None
    last_seen: str | None
    alert_id: str
    """Of the first alert on it."""
    alert_at: tuple[int, int] | msgspec.UnsetType = msgspec.UNSET
    """Partition and offset of that alert in the alerts topic. Not in the bytes where it is not in a topic."""


class ActivityFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts over time."""

    begin: str
    """Begin of the first bin."""
    bin_ms: int
    alerts: tuple[int, ...]
    """Of each bin, one after another."""


class GateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The four questions that made the severity."""

    failure: bool
    extent: bool
    novelty: bool
    calm: bool


class ResolutionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The feedback that ended the incident."""

    kind: str
    feedback: str
    """Its key in the feedback topic."""
    by: str
    reason: str


class IncidentFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts about the incident for which ECS has no field."""

    change: str
    status: str
    revision: int
    severity: str
    kinds: tuple[str, ...] = ()
    """Of the alerts on its lines, sorted."""
    gates: GateFacts
    evidence: float
    alerts: int
    recurrence: int
    first_seen: str | None
    last_seen: str | None
    services: tuple[IncidentServiceFacts, ...]
    """In the order in which they broke."""
    more_services: int
    lines: tuple[LineFacts, ...]
    """In the order in which they were first logged."""
    more_lines: int
    """Alerts on lines that are not listed, and listed lines that this record leaves out."""
    system: str = ""
    activity: ActivityFacts | None = None
    """None where the lines state no time, and in records of earlier releases."""
    planned: PlanFacts | None = None
    """The announced maintenance that caused it. None: it was not announced, and the bytes do not contain the field."""
    resolution: ResolutionFacts | None = None
    """None: it is not resolved, or its services became quiet."""


class IncidentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as it is published. The fields are in the order of the bytes."""

    schema_version: int
    id: str
    timestamp: str | None = msgspec.field(name="@timestamp")
    event: IncidentEvent
    service: AlertService
    message: str
    logwarden: IncidentFacts

    def encode(self) -> bytes:
        """Returns the record's value: JSON, the same bytes for the same incident."""
        return msgspec.json.encode(self)


def decode_incident(value: bytes) -> IncidentRecord:
    """Returns the incident in a record's value. Raises ValueError if it contains none of this schema version."""
    try:
        record = _DECODER.decode(value)
    except UnicodeDecodeError as error:
        raise ValueError(f"the value is not UTF-8: {error}") from None
    if record.schema_version != SCHEMA_VERSION:
        raise ValueError(f"the incident has schema version {record.schema_version}, not {SCHEMA_VERSION}")
    return record


_DECODER = msgspec.json.Decoder(IncidentRecord)


def build_incident(
    incident: Incident, *, max_lines: int = MAX_LINES, text_chars: int = TEXT_CHARS, is_dated: bool = True
) -> IncidentRecord:
    """Builds the record of an incident. `is_dated`: False if its lines state no time, so that none is shown."""
    time = rfc3339 if is_dated else _no_time
    shown = listed(incident.lines, max_lines)
    hidden = len(incident.lines) - len(shown)
    first, last = time(incident.first_ms), time(incident.last_ms)
    return IncidentRecord(
        schema_version=SCHEMA_VERSION,
        id=incident.id,
        timestamp=first,
        event=IncidentEvent(start=first, end=None if incident.status is Status.OPEN else last),
        service=AlertService(name=encodable(incident.origin)),
        message=_headline(incident, text_chars),
        logwarden=IncidentFacts(
            change=incident.change,
            status=incident.status,
            revision=incident.revision,
            severity=incident.severity,
            kinds=incident.reasons,
            gates=GateFacts(
                failure=incident.gates.failure,
                extent=incident.gates.extent,
                novelty=incident.gates.novelty,
                calm=incident.gates.calm,
            ),
            evidence=round(incident.evidence, 3),
            alerts=incident.findings,
            recurrence=incident.recurrence,
            first_seen=first,
            last_seen=last,
            services=tuple(
                IncidentServiceFacts(
                    name=encodable(one.name),
                    alerts=one.findings,
                    first_seen=time(one.first_ms),
                    last_seen=time(one.last_ms),
                )
                for one in incident.services
            ),
            more_services=incident.more_services,
            lines=tuple(_line(one, text_chars, time) for one in shown),
            more_lines=incident.more_lines + hidden,
            system=encodable(incident.system),
            activity=_activity(incident, time),
            planned=None if incident.plan is None else plan_facts(incident.plan),
            resolution=None if incident.resolution is None else _resolution(incident.resolution),
        ),
    )


def listed(lines: Iterable[IncidentLine], most: int = MAX_LINES) -> list[IncidentLine]:
    """Returns the lines that a record shows, in the order of `lines`."""
    all_lines = list(lines)
    heaviest = sorted(range(len(all_lines)), key=lambda place: _weight(all_lines[place]))[:most]
    return [all_lines[place] for place in sorted(heaviest)]


def incident_message(record: IncidentRecord, topic: str) -> Message:
    """Returns the message of an incident's record."""
    # The id of the event is that of the change: a consumer may take two events of one id for one event.
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{record.id}/{record.logwarden.revision}".encode()),
        ("ce_source", b"/logwarden/incidents"),
        ("ce_type", CE_TYPE.encode()),
        ("ce_subject", record.service.name.encode()),
        ("content-type", b"application/json"),
    ]
    if record.logwarden.last_seen is not None:
        headers.insert(4, ("ce_time", record.logwarden.last_seen.encode()))
    return Message(topic=topic, key=record.id.encode(), value=record.encode(), headers=tuple(headers))


def shorter_incidents(incident: Incident) -> list[IncidentRecord]:
    """Returns shorter and shorter records of an incident, for a topic that takes no longer message."""
    return [build_incident(incident, max_lines=lines, text_chars=chars) for lines, chars in _SHORTER]


def known_incident(record: IncidentRecord) -> KnownIncident:
    """Returns what a member that starts needs of an earlier member's record."""
    facts = record.logwarden
    return KnownIncident(
        id=record.id,
        status=Status(facts.status),
        revision=facts.revision,
        findings=facts.alerts,
        severity=facts.severity,
        recurrence=facts.recurrence,
        system=facts.system,
        plan=plan_of(facts.planned),
        services=tuple(
            (one.name, milliseconds(one.first_seen), milliseconds(one.last_seen))
            for one in facts.services
            if one.first_seen is not None and one.last_seen is not None
        ),
    )


def expired(record: IncidentRecord) -> IncidentRecord:
    """Returns the last record about an incident that no member continues."""
    facts = msgspec.structs.replace(
        record.logwarden, change="expired", status="expired", revision=record.logwarden.revision + 1
    )
    event = msgspec.structs.replace(record.event, end=record.logwarden.last_seen)
    return msgspec.structs.replace(record, event=event, logwarden=facts)


def _weight(line: IncidentLine) -> tuple[bool, float, int]:
    """Sorts lines that state a failure first, then by evidence, then by time."""
    return not line.is_failure, -line.evidence, line.first_ms


def _headline(incident: Incident, text_chars: int) -> str:
    """Returns the line that a person reads first, and how much there is beside it."""
    worst = _title_line(incident)
    others = len(incident.lines) - 1
    services = len(incident.services) + incident.more_services
    words = f"{worst.service}: {worst.text}"
    if others or services > 1:
        beside = f"and {others} other distinct lines" if others != 1 else "and 1 other distinct line"
        words = f"{truncated(words, text_chars)} ({beside}{f' of {services} services' if services > 1 else ''})"
    return encodable(words)


def _title_line(incident: Incident) -> IncidentLine:
    """Returns the first line of weight of the service that broke first: of its failures, if it states any.

    The heaviest line of all changes as the incident goes on, and is often of a peer that complains most.
    """
    failures = [line for line in incident.lines if line.is_failure]
    own = [line for line in incident.lines if line.service == incident.origin]
    lines = [line for line in failures if line.service == incident.origin] or failures or own or incident.lines
    least = _TITLE_SHARE * max(line.evidence for line in lines)
    return min((line for line in lines if line.evidence >= least), key=lambda line: (line.first_ms, *_weight(line)))


def _resolution(resolution: Resolution) -> ResolutionFacts:
    return ResolutionFacts(
        kind=resolution.kind,
        feedback=encodable(resolution.feedback),
        by=encodable(resolution.by),
        reason=encodable(resolution.reason),
    )


def _no_time(_: int) -> str | None:
    return None


def _line(line: IncidentLine, text_chars: int, time: Callable[[int], str | None]) -> LineFacts:
    return LineFacts(
        service=encodable(line.service),
        text=truncated(encodable(line.text), text_chars),
        dedup_key=encodable(line.kind),
        count=line.count,
        evidence=round(line.evidence, 3),
        is_failure=line.is_failure,
        kinds=line.reasons,
        first_seen=time(line.first_ms),
        last_seen=time(line.last_ms),
        alert_id=line.finding,
        alert_at=msgspec.UNSET if line.place is None else line.place,
    )


def _activity(incident: Incident, time: Callable[[int], str | None]) -> ActivityFacts | None:
    found = incident.activity
    begin = None if found is None else time(found.begin_ms)
    if found is None or begin is None:
        return None
    return ActivityFacts(begin=begin, bin_ms=found.width_ms, alerts=found.counts)
