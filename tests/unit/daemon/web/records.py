"""Records of the incidents topic for tests of what is shown of them."""

from __future__ import annotations

from logwarden.daemon.incidents.alert import AlertService
from logwarden.daemon.incidents.incident import (
    SCHEMA_VERSION,
    GateFacts,
    IncidentEvent,
    IncidentFacts,
    IncidentRecord,
    IncidentServiceFacts,
    LineFacts,
)
from logwarden.daemon.incidents.writing import rfc3339

NOW_MS = 1_795_428_000_000
"""2026-11-23T10:00Z."""


def incident_value(
    id: str,
    *,
    status: str = "open",
    severity: str = "error",
    services: tuple[str, ...] = ("web",),
    age_s: int = 0,
) -> bytes:
    """Returns the record of an incident whose last alert is this old."""
    seen = rfc3339(NOW_MS - 1_000 * age_s)
    line = LineFacts(
        service=services[0],
        text="PANIC: no space left",
        dedup_key="k",
        count=3,
        evidence=1.5,
        is_failure=True,
        first_seen=seen,
        last_seen=seen,
        alert_id="a",
    )
    facts = IncidentFacts(
        change="opened",
        status=status,
        revision=1,
        severity=severity,
        gates=GateFacts(failure=True, extent=False, novelty=True, calm=True),
        evidence=1.5,
        alerts=3,
        recurrence=0,
        first_seen=seen,
        last_seen=seen,
        services=tuple(IncidentServiceFacts(name=name, alerts=3, first_seen=seen, last_seen=seen) for name in services),
        more_services=0,
        lines=(line,),
        more_lines=0,
    )
    return IncidentRecord(
        schema_version=SCHEMA_VERSION,
        id=id,
        timestamp=seen,
        event=IncidentEvent(start=seen, end=None if status == "open" else seen),
        service=AlertService(name=services[0]),
        message=f"{services[0]}: PANIC: no space left",
        logwarden=facts,
    ).encode()
