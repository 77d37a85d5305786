"""Which feedback ends an open incident, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logwarden.daemon.incidents.incident import MAX_LINES, listed
from logwarden.daemon.incidents.settling import settles
from logwarden.model.feedback import Feedback, FeedbackBook, FeedbackKind
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incident_state import FoldRules
from logwarden.model.incidents import Change, Finding, KnownIncident, Plan, Resolution, Status

PLAN = Plan(id="maintenance/7", reason="a larger disk", until_ms=60_000)
BOOK = {
    "expected": Feedback(
        key="e", kind=FeedbackKind.EXPECTED, given_ms=5, from_ms=5, kinds=frozenset({"FULL"}), by="ann"
    ),
    "mute": Feedback(key="m", kind=FeedbackKind.MUTE, given_ms=6, pattern="EMP*Y", services=("web",)),
    "real": Feedback(key="r", kind=FeedbackKind.REAL, given_ms=7, kinds=frozenset({"FULL"})),
    "window": Feedback(key="w", kind=FeedbackKind.MAINTENANCE, given_ms=8, services=("web",), until_ms=100),
}


@pytest.mark.parametrize(
    ("names", "at_ms", "plan", "ends"),
    [
        ("", 50, None, ""),
        ("expected", 50, None, ""),
        ("mute", 50, None, ""),
        ("expected mute", 50, None, "mute: m"),
        ("expected mute", 4, None, ""),
        ("expected mute real", 50, None, ""),
        ("window", 50, None, "maintenance: w"),
        ("expected window", 50, None, "maintenance: w"),
        ("window", 20_000, None, ""),
        ("window", 50, PLAN, ""),
        ("expected mute window", 50, PLAN, "mute: m"),
    ],
)
def test_feedback_ends_an_incident_none_of_whose_lines_would_alert(
    names: str, at_ms: int, plan: Plan | None, ends: str
) -> None:
    """Each line needs an entry in force that keeps it silent or plans it; the one given last is named."""
    fold = IncidentFold()
    for number, text in enumerate(("FULL", "EMPTY")):
        fields = {"service": "web", "kind": f"web:{text}", "time_ms": 0, "clock_ms": 0, "text": text, "plan": plan}
        fold.add(Finding(id=f"{number}", evidence=1.0, **fields))  # type: ignore[arg-type]
    book = FeedbackBook(BOOK[name] for name in names.split())
    changes = [*fold.advance(0, settles(book, at_ms)), *fold.advance(0, settles(book, at_ms))]
    found = [f"{one.resolution.kind}: {one.resolution.feedback}" for one in changes if one.resolution is not None]
    assert found == ([ends] if ends else [])
    assert [one.change for one in changes] == [Change.OPENED, *([Change.RESOLVED] if ends else [])]


def found(number: int, text: str) -> Finding:
    """A finding of its own kind, strong enough for an incident of its own."""
    return Finding(id=f"{number}", service="web", kind=f"web:{text}", time_ms=0, clock_ms=0, evidence=1.0, text=text)


def test_an_incident_that_is_replayed_in_part_does_not_end() -> None:
    """The lines that a replay has not read yet may have no feedback; and what is new is announced before it ends."""
    ended = Resolution(kind="expected", feedback="incident/1")
    lines = [found(0, "one"), found(1, "two")]
    fold = IncidentFold()
    for one in lines:
        fold.add(one)
    [opened] = fold.advance(1_000, lambda _: ended)
    assert opened.change is Change.OPENED
    known = KnownIncident(
        id=opened.id, status=Status.OPEN, revision=1, findings=2, severity=opened.severity, recurrence=0
    )
    successor = IncidentFold(known=[known])
    successor.add(lines[0])
    assert successor.advance(1_000, lambda _: ended) == []
    successor.add(lines[1])
    [last] = successor.advance(1_000, lambda _: ended)
    assert (last.change, last.revision, last.findings, last.resolution) == (Change.RESOLVED, 2, 2, ended)


@pytest.mark.parametrize(
    ("lines", "entries", "ends"),
    [
        (MAX_LINES, "listed", "expected: e"),
        (MAX_LINES + 1, "listed", ""),
        (MAX_LINES + 1, "listed mute", "mute: m"),
        (MAX_LINES + 1, "window", "maintenance: w"),
        (FoldRules().max_lines, "mute", "mute: m"),
        (FoldRules().max_lines + 1, "mute", ""),
        (FoldRules().max_lines + 1, "mute window", "maintenance: w"),
        (FoldRules().max_lines + 1, "mute half", ""),
    ],
)
def test_lines_that_no_record_lists_count(lines: int, entries: str, ends: str) -> None:
    """A judgement is about 32 lines at most, so it ends no incident of more; what is about the others does.

    Lines beyond those that are kept have no text: only a maintenance of all services is about them.
    """
    fold = IncidentFold()
    for number in range(lines):
        service, text = ("web", "db")[number % 2], f"line {number}"
        fields = {"service": service, "kind": f"{service}:{number}", "text": text, "time_ms": 0, "clock_ms": 0}
        fold.add(Finding(id=f"{number}", evidence=1.0 - number / 1_000, **fields))  # type: ignore[arg-type]
    [opened] = fold.advance(0)
    judged = frozenset(line.kind.rpartition(":")[2] for line in listed(opened.lines))
    window = Feedback(key="w", kind=FeedbackKind.MAINTENANCE, given_ms=3, until_ms=100)
    book = {
        "listed": Feedback(key="e", kind=FeedbackKind.EXPECTED, given_ms=1, kinds=judged),
        "mute": Feedback(key="m", kind=FeedbackKind.MUTE, given_ms=2, pattern="line *"),
        "window": window,
        "half": replace(window, key="h", services=("web",)),
    }
    given = FeedbackBook(book[name] for name in entries.split())
    found = [one.resolution for one in fold.advance(0, settles(given, 50))]
    assert [f"{one.kind}: {one.feedback}" for one in found if one is not None] == ([ends] if ends else [])
