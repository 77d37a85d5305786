"""Makes the incident that `logwarden bridge --check` sends, so that a person recognizes it as a test."""

from __future__ import annotations

import uuid

import msgspec

from logwarden.daemon.incidents.alert import NAMESPACE, AlertService
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

TEXT = "This is a test of logwarden's bridge; nothing failed, and no action is needed."


def sample_incident(now_ms: int) -> IncidentRecord:
    """Returns an open incident of one line, whose id is that of no other one."""
    at, id = rfc3339(now_ms), str(uuid.uuid5(NAMESPACE, f"bridge-check/{now_ms}"))
    line = LineFacts(
        service="logwarden-test",
        text=TEXT,
        dedup_key="bridge-check",
        count=1,
        evidence=1.0,
        is_failure=False,
        kinds=("new_line",),
        first_seen=at,
        last_seen=at,
        alert_id=id,
    )
    facts = IncidentFacts(
        change="opened",
        status="open",
        revision=1,
        severity="warning",
        kinds=("new_line",),
        gates=GateFacts(failure=False, extent=False, novelty=True, calm=True),
        evidence=1.0,
        alerts=1,
        recurrence=0,
        first_seen=at,
        last_seen=at,
        services=(IncidentServiceFacts(name="logwarden-test", alerts=1, first_seen=at, last_seen=at),),
        more_services=0,
        lines=(line,),
        more_lines=0,
    )
    return IncidentRecord(
        schema_version=SCHEMA_VERSION,
        id=id,
        timestamp=at,
        event=IncidentEvent(start=at, end=None),
        service=AlertService(name="logwarden-test"),
        message=f"logwarden-test: {TEXT}",
        logwarden=facts,
    )


def ended(record: IncidentRecord) -> IncidentRecord:
    """Returns the end of an open incident."""
    facts = msgspec.structs.replace(
        record.logwarden, change="resolved", status="resolved", revision=record.logwarden.revision + 1
    )
    event = msgspec.structs.replace(record.event, end=record.logwarden.last_seen)
    return msgspec.structs.replace(record, event=event, logwarden=facts)
