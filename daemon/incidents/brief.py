"""Defines the short form of an incident, for lists of many: a few hundred bytes of a record of many thousand. Pure."""

from __future__ import annotations

import msgspec

from logwarden.daemon.incidents.incident import IncidentRecord, ResolutionFacts
from logwarden.model.schema import truncated

MESSAGE_CHARS = 240
REASON_CHARS = 120
"""Characters of who ended it, and of why."""


class IncidentBrief(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list shows of an incident. The fields mean what they mean in its record."""

    id: str
    revision: int
    status: str
    severity: str
    service: str
    """The one that broke first."""
    message: str
    first_seen: str | None
    last_seen: str | None
    published: int
    """When its newest record was published, in milliseconds."""
    alerts: int
    lines: int
    """Distinct lines, those included that the record leaves out."""
    services: int
    kinds: tuple[str, ...] = ()
    recurrence: int = 0
    planned: bool = False
    resolution: ResolutionFacts | None = None
    """The feedback that ended it. None: it is open, or ended by itself."""

    def encode(self) -> bytes:
        """Returns its JSON."""
        return msgspec.json.encode(self)


def brief_of(record: IncidentRecord, published_ms: int) -> IncidentBrief:
    """Returns the short form of a record that was published then."""
    facts = record.logwarden
    return IncidentBrief(
        id=record.id,
        revision=facts.revision,
        status=facts.status,
        severity=facts.severity,
        service=record.service.name,
        message=truncated(record.message, MESSAGE_CHARS),
        first_seen=facts.first_seen,
        last_seen=facts.last_seen,
        published=published_ms,
        alerts=facts.alerts,
        lines=len(facts.lines) + facts.more_lines,
        services=len(facts.services) + facts.more_services,
        kinds=facts.kinds,
        recurrence=facts.recurrence,
        planned=facts.planned is not None,
        resolution=None if facts.resolution is None else _shortened(facts.resolution),
    )


def _shortened(resolution: ResolutionFacts) -> ResolutionFacts:
    return msgspec.structs.replace(
        resolution, by=truncated(resolution.by, REASON_CHARS), reason=truncated(resolution.reason, REASON_CHARS)
    )
