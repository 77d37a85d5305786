"""Chooses which incidents go to a destination. Pure.

An incident only grows: more severe, more kinds, more services. So one that is chosen stays chosen, and its end is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.selecting import matcher
from logwarden.daemon.settings.bridge import SEVERITIES, Severity

_RANKS: dict[str, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}


def rank(severity: str) -> int:
    """Returns the place of a severity: 0 for the most severe one. An unknown word counts as the most severe."""
    return _RANKS.get(severity, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentChoice:
    """Conditions of an incident that is sent."""

    min_severity: Severity = "warning"
    kinds: Sequence[str] = ()
    services: Sequence[str] = ()
    planned: bool = False

    def reason_against(self, record: IncidentRecord) -> str:
        """Returns why an incident is not sent, as one word for metrics. Returns an empty text if it is sent."""
        facts = record.logwarden
        if facts.planned is not None:  # announced: its severity is info, and counts no more
            if not self.planned:
                return "planned"
        elif rank(facts.severity) > rank(self.min_severity):
            return "severity"
        if self.kinds and not set(self.kinds) & set(facts.kinds):
            return "kind"
        is_chosen = matcher(self.services)
        if self.services and not any(is_chosen(service.name) for service in facts.services):
            return "service"
        return ""


def is_worse(record: IncidentRecord, announced: IncidentRecord) -> bool:
    """Returns True if an incident got worse in a way that people want to know: more severe, or of another service."""
    was = {service.name for service in announced.logwarden.services}
    return rank(record.logwarden.severity) < rank(announced.logwarden.severity) or any(
        service.name not in was for service in record.logwarden.services
    )
