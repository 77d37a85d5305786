"""Decides which incidents feedback ends: those none of whose lines would raise an alert of its own from now on. Pure.

Knows nothing of topics and clocks: the feedback in force and the hour are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from logwarden.daemon.incidents.incident import ResolutionFacts
from logwarden.model.feedback import Feedback, FeedbackBook, FeedbackKind
from logwarden.model.incident_state import LiveIncident
from logwarden.model.incidents import IncidentLine, Resolution

_ENDS = frozenset({FeedbackKind.EXPECTED, FeedbackKind.MUTE, FeedbackKind.MAINTENANCE})


def settles(book: FeedbackBook, now_ms: int) -> Callable[[LiveIncident], Resolution | None]:
    """Returns what finds the feedback that ends an incident now: of several entries, the one given last.

    It finds none if a line of the incident would alert again, whether its record lists the line or not. Lines of an
    announced maintenance have an incident of their own, which a maintenance does not end.
    """

    def resolution(incident: LiveIncident) -> Resolution | None:
        if not len(book):
            return None
        last: Feedback | None = None
        for entry in _entries(incident):
            if entry is None:
                return None
            if last is None or (entry.given_ms, entry.key) > (last.given_ms, last.key):
                last = entry
        if last is None:
            return None
        return Resolution(kind=last.kind.value, feedback=last.key, by=last.by, reason=last.reason)

    def _entries(incident: LiveIncident) -> Iterator[Feedback | None]:
        """Yields the feedback on each line, and None for one that has none."""
        if incident.more_lines:  # of lines that are only counted no text is known: a maintenance may be about them
            if incident.more_services or incident.plan is not None:
                yield None
            yield from (book.window(service, now_ms) for service in incident.services)
        for line in incident.lines.values():
            yield _entry(line, is_planned=incident.plan is not None)

    def _entry(line: IncidentLine, *, is_planned: bool) -> Feedback | None:
        judgement = book.deciding(line.service, line.kind.rpartition(":")[2], line.text, now_ms)
        if judgement is not None and judgement.kind in _ENDS:
            return judgement
        return None if is_planned else book.window(line.service, now_ms, is_failure=line.is_failure)

    return resolution


def words_of(facts: ResolutionFacts | None) -> str:
    """Returns who ended an incident, and why: `expected by ann: every night`. Empty if no feedback did."""
    if facts is None:
        return ""
    word = {"mute": "muted", "maintenance": "planned"}.get(facts.kind, facts.kind)
    by = f" by {facts.by}" if facts.by else ""
    return f"{word}{by}: {facts.reason}" if facts.reason else f"{word}{by}"
