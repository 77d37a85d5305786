"""Finds the feedback in force that concerns an incident or a service. Pure but for requests to members."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from logwarden.daemon.agents.answers import GivenFeedback
from logwarden.daemon.agents.members import Members
from logwarden.daemon.agents.texts import name
from logwarden.daemon.errors import FatalError
from logwarden.daemon.feedback.records import FeedbackRecord
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.selecting import matcher
from logwarden.model.feedback import FeedbackKind

BROAD = (FeedbackKind.MUTE, FeedbackKind.MAINTENANCE)
"""Kinds that concern services, and not single kinds of lines."""


def feedback_on(record: IncidentRecord, members: Members, notes: list[str]) -> list[GivenFeedback]:
    """Returns what is in force for an incident, its services or kinds of lines, the newest first."""
    services = [each.name for each in record.logwarden.services]
    keys = {line.dedup_key for line in record.logwarden.lines}

    def concerns(entry: FeedbackRecord) -> bool:
        if entry.incident == record.id or keys & {line.dedup_key for line in entry.lines}:
            return True
        return entry.kind in BROAD and _is_of(entry, services)

    return _found(members, concerns, notes)


def feedback_for(service: str, members: Members, notes: list[str]) -> list[GivenFeedback]:
    """Returns what is in force for a service, the newest first."""
    return _found(members, lambda entry: _is_of(entry, [service]), notes)


def _found(members: Members, concerns: Callable[[FeedbackRecord], bool], notes: list[str]) -> list[GivenFeedback]:
    try:
        answer = members.first("/api/v1/feedback")
    except FatalError as error:
        notes.append(f"Feedback is missing: {error}.")
        return []
    if answer["note"]:
        notes.append(answer["note"])
    rows = [row for row in answer["feedback"] if not row["is_over"]]
    entries = [(row["key"], msgspec.convert(row["feedback"], FeedbackRecord)) for row in rows]
    return [
        GivenFeedback(
            key=name(key), kind=entry.kind.value, given=name(entry.given), until=entry.until, reason=name(entry.reason)
        )
        for key, entry in entries
        if concerns(entry)
    ]


def _is_of(entry: FeedbackRecord, services: Collection[str]) -> bool:
    """Returns True for feedback on one of these services. Systems are not known here, so that those may be of it."""
    if entry.services:
        try:
            return any(map(matcher(entry.services), services))
        except ValueError:  # more patterns than are compared, of another producer
            return bool(set(entry.services) & set(services))
    if entry.lines:
        return any(line.service in services for line in entry.lines)
    return True
