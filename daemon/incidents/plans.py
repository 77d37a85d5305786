"""Defines how alerts and incidents name the announced maintenance that they belong to. Pure."""

from __future__ import annotations

import msgspec

from logwarden.daemon.incidents.writing import encodable, milliseconds, rfc3339
from logwarden.model.incidents import Plan


class PlanFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The announced maintenance in which a line was logged, or which caused an incident."""

    id: str
    reason: str
    until: str | None
    """Its end, as far as it was known."""


def plan_facts(plan: Plan) -> PlanFacts:
    """Returns the fields of a maintenance."""
    return PlanFacts(id=encodable(plan.id), reason=encodable(plan.reason), until=rfc3339(plan.until_ms))


def plan_of(facts: PlanFacts | None) -> Plan | None:
    """Returns the maintenance that a record names, or None. Raises ValueError for a wrong time."""
    if facts is None:
        return None
    return Plan(id=facts.id, reason=facts.reason, until_ms=0 if facts.until is None else milliseconds(facts.until))
