"""Incidents in virtual time: members die, sends fail half way, groups rebalance, and the incidents are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from logwarden.daemon.incidents import desk, settling
from logwarden.daemon.incidents.desk import IncidentDesk
from logwarden.daemon.records import Delivery, Message
from logwarden.model.feedback import Feedback
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incident_state import LiveIncident
from tests.sim.incidents import Reader, violations

Ablation = Callable[[pytest.MonkeyPatch], None]
OPENS_ONCE, IN_ONE = "an incident opens exactly once", "each alert is in exactly one incident"


def test_no_fault_changes_an_incident() -> None:
    """Whatever dies and fails, each incident opens once and has the alerts that an undisturbed member gives it."""
    assert list(violations(range(12))) == []


def the_topic_is_not_read(patch: pytest.MonkeyPatch) -> None:
    """A member begins without a look at what is published."""

    async def nothing(_: Reader) -> Sequence[tuple[bytes, bytes | None]]:
        return []

    patch.setattr(Reader, "published", nothing)


def commits_what_was_read(patch: pytest.MonkeyPatch) -> None:
    """The commit is where reading stands, not where the incidents begin."""
    patch.setattr(IncidentFold, "needed_ms", property(lambda fold: fold.clock_ms))


def what_is_known_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The topic is read, and the fold does not get it."""
    patch.setattr(desk, "IncidentFold", lambda rules, known: IncidentFold(rules))


def a_record_that_failed_is_given_up(patch: pytest.MonkeyPatch) -> None:
    """A member goes on as if the topic had taken every record."""

    async def send(one: IncidentDesk, messages: Sequence[Message]) -> Sequence[Delivery]:
        return await one._sink.send(one._topic, messages) if messages else []

    patch.setattr(IncidentDesk, "_send", send)


def time_stands_still_without_alerts(patch: pytest.MonkeyPatch) -> None:
    """The clock of incidents is that of the newest alert."""
    advance = IncidentFold.advance
    patch.setattr(
        IncidentFold, "advance", lambda fold, now_ms, *given: advance(fold, min(now_ms, fold.clock_ms), *given)
    )


def feedback_ends_nothing(patch: pytest.MonkeyPatch) -> None:
    """Incidents end by silence alone."""
    patch.setattr(desk, "settles", lambda *_: lambda _: None)


def settles_by(patch: pytest.MonkeyPatch, seen: Callable[[LiveIncident], LiveIncident]) -> None:
    """Lets feedback see another incident than there is."""
    patch.setattr(desk, "settles", lambda *given: lambda incident: settling.settles(*given)(seen(incident)))


def one_expected_line_ends_an_incident(patch: pytest.MonkeyPatch) -> None:
    """The other lines of an incident do not count."""
    settles_by(patch, lambda one: replace(one, lines=dict([*one.lines.items()][:1]), more_lines=0))


def lines_that_are_not_listed_do_not_count(patch: pytest.MonkeyPatch) -> None:
    """Feedback on what the record lists ends an incident of more lines."""
    settles_by(patch, lambda one: replace(one, more_lines=0))


def feedback_has_no_end(patch: pytest.MonkeyPatch) -> None:
    """What was undone ends incidents all the same."""
    patch.setattr(Feedback, "is_valid", lambda entry, time_ms, *, tail_ms=0: entry.from_ms <= time_ms)


@pytest.mark.parametrize(
    ("ablation", "broken"),
    [
        (the_topic_is_not_read, OPENS_ONCE),
        (commits_what_was_read, IN_ONE),
        (what_is_known_is_forgotten, OPENS_ONCE),
        (a_record_that_failed_is_given_up, OPENS_ONCE),
        (a_record_that_failed_is_given_up, "revisions count up"),
        (time_stands_still_without_alerts, "every incident ends"),
        (feedback_ends_nothing, "feedback ends an incident"),
        (one_expected_line_ends_an_incident, "only feedback on all its lines ends an incident"),
        (lines_that_are_not_listed_do_not_count, "only feedback on all its lines ends an incident"),
        (feedback_has_no_end, "only feedback on all its lines ends an incident"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_safeguard_is_needed(monkeypatch: pytest.MonkeyPatch, ablation: Ablation, broken: str) -> None:
    """Without a safeguard a named invariant breaks within twenty-five seeds."""
    ablation(monkeypatch)
    assert any(broken in names for _, names in violations(range(25)))
