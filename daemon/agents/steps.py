"""Writes what made an incident's severity, and what to do next, from facts alone. Pure; quotes no text of a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from logwarden.daemon.agents.answers import GivenFeedback
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.model.schema import AlertKind

_GATES = {
    "failure": ("A line states a failure.", "No line states a failure."),
    "extent": (
        "There are three distinct lines, or it lasts five minutes.",
        "There are fewer than three distinct lines, and it is shorter than five minutes.",
    ),
    "novelty": ("A line was new to its service, or nearly so.", "Its lines were known before."),
    "calm": ("A service was calm just before.", "No service was calm just before."),
}
MAX_STEPS = 6


def reasons(record: IncidentRecord) -> tuple[str, ...]:
    """Returns a sentence for each of the four questions: four passed are critical, three an error, fewer a warning."""
    gates = record.logwarden.gates
    return tuple(passed if getattr(gates, gate) else failed for gate, (passed, failed) in _GATES.items())


def next_steps(
    record: IncidentRecord, *, similar: int, feedback: Sequence[GivenFeedback], has_window: bool
) -> tuple[str, ...]:
    """Returns sentences with the action to take, the most important first."""
    return tuple(_steps(record, similar, feedback, has_window))[:MAX_STEPS]


def _steps(record: IncidentRecord, similar: int, feedback: Sequence[GivenFeedback], has_window: bool) -> Iterator[str]:
    facts = record.logwarden
    services = len(facts.services) + facts.more_services
    if facts.planned is not None:
        yield "An announced maintenance caused it: act only if it goes on after the maintenance has ended."
    if services > 1:
        yield f"Begin with the service in `origin`: it broke first of {services}, and the others may only follow it."
    if has_window:
        yield "Read `window`: the lines before the alert show what the service did, the ones behind it what it led to."
    if AlertKind.FAILURE_RATE_UP in facts.kinds or AlertKind.RATE_UP in facts.kinds:
        yield "Known lines come more often than ever before: look for load, retries, or a dependency that is slow."
    if AlertKind.NEW_LINE in facts.kinds:
        yield "Lines are new to their service: compare the begin with the last release or change of settings."
    if facts.recurrence:
        yield f"It came back {facts.recurrence} times within ten minutes: look for a restart loop or a failing check."
    if similar:
        yield "Compare with the incidents in `similar`: what ended them may end this one."
    if any(entry.kind == "expected" for entry in feedback):
        yield "A person judged such lines as expected before: find out why they came back."
    if facts.status == "open":
        yield "It is open: call explain_incident again in a minute to see whether it spreads or ends."
    yield (
        f"A person may judge it: `logwarden feedback {record.id} --real` or `--expected`."
        if _is_plain(record.id)
        else "A person may judge it by `logwarden feedback`."
    )


def _is_plain(id: str) -> bool:
    """Returns True for an id as this product makes them. Another producer's may be any text."""
    return len(id) == 36 and set(id) <= set("0123456789abcdef-")
