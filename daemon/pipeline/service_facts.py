"""Reports figures about lines and services: metrics, readiness, and warnings where they cannot be judged well."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from logwarden.daemon.pipeline.work import Ingested
from logwarden.daemon.ports import Ports

log = structlog.get_logger(__name__)

MANY_SERVICES, FEW_LINES = 1_000, 3.0
"""So many services with so few lines each are no services: something else is taken for their names."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """Figures about the services in memory."""

    services: int
    learning: int
    """Services of which too little is known for an alert."""
    noisy: int
    """Services in which new lines are so common that novelty alone is no evidence."""
    lines_per_service: float

    @property
    def known(self) -> int:
        """Services that are known."""
        return self.services - self.learning - self.noisy


def report_ingested(ports: Ports, ingested: Ingested, seconds: float) -> None:
    """Counts the lines of a step of the ingest thread, and warns of events that were cut."""
    telemetry = ports.telemetry
    telemetry.ingested(ingested.lines, seconds)
    telemetry.embedded(ingested.new_lines)
    telemetry.decoded_with_replacement(ingested.replaced)
    telemetry.odd_records(ingested.odd)
    telemetry.cut_lines(ingested.cut)
    telemetry.empty_lines(sum(len(offsets) for _, offsets in ingested.blank))
    telemetry.joined_lines(sum(len(offsets) for _, offsets in ingested.absorbed))
    telemetry.table_overflow(ingested.overflowed)
    if ingested.cut_events:
        telemetry.cut_events(ingested.cut_events)
        hint = "raise LOGWARDEN_JOIN__MAX_LINES or LOGWARDEN_JOIN__MAX_BYTES if these events are whole traces"
        log.warning("events_cut", events=ingested.cut_events, hint=hint)


def report_services(ports: Ports, facts: ServiceFacts, ingested: Ingested, *, keeps_state: bool) -> None:
    """Sets metrics and readiness, and warns of evicted services and of names that change with every line."""
    ports.telemetry.services(learning=facts.learning, known=facts.known, noisy=facts.noisy)
    health = ports.health
    health.services, health.services_learning = facts.services, facts.learning
    health.services_noisy, health.lines_per_service = facts.noisy, facts.lines_per_service
    if facts.services >= MANY_SERVICES and facts.lines_per_service < FEW_LINES:
        hint = "set LOGWARDEN_INPUT__SERVICE_PATHS, or give the records a key that names the service"
        lines = round(facts.lines_per_service, 1)
        log.warning("services_are_nearly_lines", services=facts.services, lines_per_service=lines, hint=hint)
    if ingested.evicted:
        ports.telemetry.services_evicted(ingested.evicted)
        lost = "each knows its past when it logs again" if keeps_state else "each learns again"
        hint = f"{lost}; raise LOGWARDEN_LIMITS__MAX_SERVICES if these services are alive"
        log.warning("services_evicted", services=ingested.evicted, in_memory=facts.services, hint=hint)
    forgotten, deferred, unreadable = ingested.memory
    ports.telemetry.state_deferred(deferred)
    if unreadable:
        ports.telemetry.state_unreadable("damaged", unreadable)
    if forgotten:
        ports.telemetry.state_forgotten(forgotten)
        health.services_forgotten += forgotten
        hint = "each learns again; add members, or raise LOGWARDEN_LIMITS__MAX_SERVICES if these services are alive"
        log.warning("services_forgotten", services=forgotten, in_memory=facts.services, hint=hint)
