"""Findings become incidents: what belongs together, when it is published, and how much is kept."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest

from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incident_state import FoldRules
from logwarden.model.incidents import Change, Finding, Incident, KnownIncident, Plan, Status

_NUMBERS = count()
MINUTE = 60.0


def finding(at_s: float, kind: str = "refused", service: str = "web", **fields: Any) -> Finding:
    """A finding that is published as it is logged, strong enough for an incident of its own."""
    given: dict[str, Any] = {
        "id": f"finding-{next(_NUMBERS)}",
        "service": service,
        "kind": f"{service}:{kind}",
        "time_ms": round(1000 * at_s),
        "clock_ms": round(1000 * at_s),
        "evidence": 1.5,
        "text": kind,
    }
    return Finding(**(given | fields))


def outcome(findings: Iterable[Finding], rules: FoldRules | None = None) -> list[Incident]:
    """The last record about each incident, after every finding was folded and published on its own."""
    fold, newest = IncidentFold(rules), dict[str, Incident]()
    for one in findings:
        newest |= {change.id: change for change in fold.advance(one.clock_ms)}
        fold.add(one)
        newest |= {change.id: change for change in fold.advance(one.clock_ms)}
    return list((newest | {change.id: change for change in fold.advance(float("inf"))}).values())


def test_three_outages_are_three_incidents() -> None:
    """A proxy that loses its backend three times within half an hour fails three times."""
    bursts = [finding(begin + step, f"status {500 + step % 4}") for begin in (0, 500, 1000) for step in range(20)]
    found = outcome(bursts)
    assert [(one.findings, one.recurrence, one.status) for one in found] == [
        (20, 0, Status.RESOLVED),
        (20, 1, Status.RESOLVED),
        (20, 2, Status.RESOLVED),
    ]


def test_equal_lines_are_one_line_with_a_count() -> None:
    """The same exception eight times is one incident with one line, counted eight times."""
    [one] = outcome(finding(9.0 * step, "NullPointerException") for step in range(8))
    [line] = one.lines
    assert (one.findings, line.count, line.first_ms, line.last_ms) == (8, 8, 0, 63_000)


def test_five_faults_of_one_database_are_five_incidents() -> None:
    """Faults that are minutes apart are incidents of their own, whatever lines each of them logs."""
    words = ("disk full", "too many clients", "deadlock", "invalid page", "terminated by signal 9")
    found = outcome(finding(3 * MINUTE * n + step, f"{word} {step}") for n, word in enumerate(words) for step in (0, 4))
    assert [one.lines[0].text for one in found] == [f"{word} 0" for word in words]


def test_a_check_that_fails_every_minute_becomes_one_incident() -> None:
    """The gap grows with each return, so a slow repetition does not page once a minute for an hour."""
    found = outcome(finding(MINUTE * n, "health check failed") for n in range(60))
    assert len(found) <= 3
    assert sum(one.findings for one in found) == 60


def test_a_slow_return_is_not_resolved_in_between() -> None:
    """A fault that came back every two minutes stays open between two of its lines, as they are one incident."""
    fold, changes = IncidentFold(), list[Change]()
    for at in range(0, 1_200, 120):
        fold.add(finding(at))
        for second in range(at, at + 120, 10):
            changes += [one.change for one in fold.advance(1000.0 * second)]
    assert changes.count(Change.OPENED) == changes.count(Change.RESOLVED) + 1 == 3


def test_services_that_break_together_are_one_incident_and_the_first_is_its_origin() -> None:
    """A deploy that breaks thirty services within a few seconds is one thing to handle."""
    [one] = outcome(finding(0.5 * n, service=f"service-{n:02}") for n in range(30))
    assert (one.origin, len(one.services), len(one.lines)) == ("service-00", 30, 30)


def test_a_long_failure_swallows_no_other_service() -> None:
    """A service that fails half an hour after another one has an incident of its own."""
    first = [finding(10.0 * n) for n in range(400)]
    second = [finding(1800.0 + n, service="billing") for n in range(3)]
    found = outcome(sorted([*first, *second], key=lambda one: one.time_ms))
    assert {one.origin: one.findings for one in found} == {"web": 400, "billing": 3}


def test_services_of_other_systems_are_not_joined() -> None:
    """Two systems that fail in the same second are two incidents."""
    found = outcome([finding(0, service="a", system="shop"), finding(1, service="b", system="bank")])
    assert sorted(one.system for one in found) == ["bank", "shop"]


def test_evidence_adds_over_distinct_lines_only() -> None:
    """One weak line opens nothing however often it is logged, and two different ones do."""
    assert outcome(finding(n, "slow", evidence=0.6) for n in range(9)) == []
    [one] = outcome([finding(0, "slow", evidence=0.6), finding(1, "late", evidence=0.4)])
    assert one.evidence == pytest.approx(1.0)


def test_a_life_is_opened_then_updated_now_and_then_and_resolved() -> None:
    """A storm of a finding a second is published when it opens, twice a minute, and when it is over."""
    fold, seen = IncidentFold(), list[tuple[float, Change, int]]()
    for second in range(70):
        fold.add(finding(second))
        seen += [(second, one.change, one.findings) for one in fold.advance(1000.0 * second)]
    for second in (100, 129, 200, 500):
        seen += [(second, one.change, one.findings) for one in fold.advance(1000.0 * second)]
    assert seen == [
        (0, Change.OPENED, 1),
        (30, Change.UPDATED, 31),
        (60, Change.UPDATED, 61),
        (100, Change.UPDATED, 70),
        (129, Change.RESOLVED, 70),
    ]


def test_a_worse_incident_is_published_at_once() -> None:
    """The rate of updates does not hold back that an incident became critical."""
    fold = IncidentFold()
    fold.add(finding(0, "a", surprise=12.0))
    assert [one.gates.severity for one in fold.advance(0)] == ["warning"]
    fold.add(finding(1, "b", is_failure=True))
    assert [one.gates.severity for one in fold.advance(1_000)] == ["error"]
    fold.add(finding(2, "c"))
    assert [one.gates.severity for one in fold.advance(2_000)] == ["critical"]
    fold.add(finding(3, "d"))
    assert fold.advance(3_000) == []


@pytest.mark.parametrize(
    ("weaker", "severity"),
    [
        ({}, "critical"),
        ({"is_failure": False}, "error"),
        ({"surprise": 2.0}, "error"),
        ({"odd_share": 0.9}, "error"),
        ({"is_failure": False, "odd_share": 0.9}, "warning"),
    ],
)
def test_four_gates_make_the_severity(weaker: dict[str, Any], severity: str) -> None:
    """Each gate that an incident does not pass takes a word off its severity."""
    facts: dict[str, Any] = {"is_failure": True, "surprise": 12.0, "odd_share": 0.0} | weaker
    [one] = outcome(finding(n, kind, "web", **facts) for n, kind in enumerate("abc"))
    assert one.gates.severity == severity


def test_an_alert_that_is_delivered_again_changes_nothing() -> None:
    """After a crash alerts come twice, with the same ids, and are counted once."""
    findings = [finding(n) for n in range(5)]
    fold = IncidentFold()
    first = [fold.add(one) for one in findings]
    assert [fold.add(one) for one in findings] == [None] * 5
    assert len(set(first)) == 1
    assert fold.duplicates == 5
    assert fold.advance(0)[0].findings == 5


def test_a_late_alert_opens_a_resolved_incident_again() -> None:
    """An alert that was held up belongs to the incident of its time, which is not opened twice."""
    fold = IncidentFold()
    fold.add(finding(0))
    changes = [*fold.advance(0), *fold.advance(90_000)]
    fold.add(finding(5, clock_ms=91_000))
    changes += [*fold.advance(91_000), *fold.advance(200_000)]
    assert [one.change for one in changes] == [Change.OPENED, Change.RESOLVED, Change.UPDATED, Change.RESOLVED]
    assert {one.id for one in changes} == {changes[0].id}


def test_a_clock_that_is_ahead_resolves_no_other_incident() -> None:
    """A line of the year 2099 is dated by its publication, and other services keep their incidents."""
    fold = IncidentFold()
    fold.add(finding(0))
    fold.add(finding(1, service="odd", time_ms=4_000_000_000_000, clock_ms=1_000))
    [one] = [one for one in fold.advance(1_000) if one.origin == "web"]
    assert one.status is Status.OPEN


def test_a_replay_publishes_nothing_twice() -> None:
    """What an earlier process published is not published again, and what is new gets the next revision."""
    findings = [finding(n) for n in range(3)]
    before = IncidentFold()
    for one in findings:
        before.add(one)
    [opened] = before.advance(3_000)
    known = KnownIncident(
        id=opened.id,
        status=opened.status,
        revision=opened.revision,
        findings=opened.findings,
        severity=opened.gates.severity,
        recurrence=opened.recurrence,
    )
    after = IncidentFold(known=[known])
    for one in findings:
        after.add(one)
    assert after.advance(3_000) == []
    after.add(finding(4))
    [updated] = after.advance(4_000)
    assert (updated.id, updated.change, updated.revision, updated.findings) == (opened.id, Change.UPDATED, 2, 4)


def test_a_replay_begins_before_the_oldest_incident_that_still_matters() -> None:
    """The time of a replay is bound to the oldest incident kept; without one it follows the clock."""
    fold = IncidentFold()
    again_s = fold.rules.again_ms / 1000
    fold.add(finding(5_000))
    fold.add(finding(5_300))
    fold.advance(0)
    assert fold.needed_ms == 1000 * (5_000 - again_s)
    fold.advance(1000 * (5_300 + 2 * again_s))
    assert (len(fold), fold.needed_ms) == (0, 1000 * (5_300 - again_s))


def test_alerts_of_an_incident_that_is_over_open_no_other() -> None:
    """A replay that begins in the middle of an incident which is over leaves the rest of its alerts alone."""
    known = KnownIncident(
        id="of the first alert",
        status=Status.RESOLVED,
        revision=3,
        findings=9,
        severity="error",
        recurrence=0,
        services=(("web", 0, 60_000),),
    )
    fold = IncidentFold(known=[known])
    assert [fold.add(finding(at)) for at in (30, 70)] == [None, None]
    assert fold.add(finding(90)) is not None
    assert fold.add(finding(30, service="billing")) is not None


def test_a_failure_without_an_end_becomes_another_incident_after_hours() -> None:
    """An incident is bounded in time, and so is the replay after a restart."""
    rules = FoldRules(longest_ms=600_000)
    found = outcome((finding(10.0 * n) for n in range(100)), rules)
    assert [(one.status, one.findings) for one in found] == [(Status.EXPIRED, 60), (Status.RESOLVED, 40)]


def test_memory_is_bounded_and_what_is_cut_is_counted() -> None:
    """Lines, services, incidents and ids beyond the bounds are counted and not kept."""
    rules = FoldRules(max_incidents=3, max_services=2, max_lines=4, max_members=5, max_ids=10)
    [one] = outcome((finding(0.01 * n, f"kind {n}", service=f"s{n}") for n in range(12)), rules)
    assert (len(one.services), one.more_services, len(one.lines), one.more_lines) == (2, 10, 4, 8)
    fold, changes = IncidentFold(rules), list[Change]()
    for n in range(50):
        fold.add(finding(100.0 * n, service=f"s{n}"))
        changes += [one.change for one in fold.advance(0)]
    assert (len(fold), fold.evicted) == (3, 47)
    assert len(fold._episodes) <= 5
    assert len(fold._ids) == 10
    assert changes.count(Change.OPENED) == 50
    assert changes.count(Change.EXPIRED) + changes.count(Change.RESOLVED) >= 47, "no reader waits for their end"


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    """Hours after a storm the fold is as empty as it was at its start."""
    fold = IncidentFold()
    for n in range(200):
        fold.add(finding(40.0 * (n % 20), f"kind {n}", service=f"s{n % 30}", evidence=0.2 + n % 2))
    for hour in (1, 2, 3):
        fold.advance(3_600_000.0 * hour)
    assert len(fold) == 0
    assert not fold._episodes
    assert not fold._recent
    assert not fold._last_with


def test_what_a_maintenance_causes_is_one_planned_incident() -> None:
    """Peers complain for an hour while a database is moved: one incident of the lowest severity, with long pauses."""
    plan = Plan(id="move", reason="a larger disk", until_ms=3_600_000)
    at = (0, 1, 200, 1500, 3500)
    found = outcome(finding(t, f"lost {t}", service, plan=plan) for t in at for service in ("web", "shop"))
    assert [(one.findings, one.severity, one.plan, one.recurrence) for one in found] == [(10, "info", plan, 0)]


def test_a_planned_incident_takes_no_other_finding_and_gives_none() -> None:
    """A fault that begins during the maintenance of another service is an incident of its own, in any order."""
    plan = Plan(id="move", until_ms=60_000)
    rows = [
        finding(0, "lost", "web", plan=plan),
        finding(1, "disk failure", "db"),
        finding(2, "lost", "web", plan=plan),
        finding(3, "disk failure", "web"),
    ]
    found = outcome(rows)
    assert sorted((one.plan is None, one.findings) for one in found) == [(False, 2), (True, 2)]
    assert {one.severity for one in found} == {"info", "warning"}


def test_the_same_line_after_a_maintenance_does_not_come_back() -> None:
    """A real outage is not the second time of what was announced, so that its gap is the usual one."""
    found = outcome([finding(0, plan=Plan(id="move")), finding(100), finding(140), finding(300, plan=Plan(id="again"))])
    assert [(one.findings, one.recurrence) for one in found] == [(1, 0), (1, 0), (1, 1), (1, 0)]


def test_two_maintenances_are_two_incidents() -> None:
    """Windows that overlap stay apart, each with what is marked as its own."""
    found = outcome(finding(t, plan=Plan(id="ab"[t % 2])) for t in range(6))
    assert sorted((one.plan.id if one.plan else "", one.findings) for one in found) == [("a", 3), ("b", 3)]


def test_a_planned_incident_is_continued_after_six_hours() -> None:
    """A maintenance that nobody ends cannot collect alerts for ever."""
    plan = Plan(id="move", until_ms=10**9)
    found = outcome(finding(3600.0 * hour, plan=plan) for hour in range(8))
    assert [(one.findings, one.status) for one in found] == [(6, Status.RESOLVED), (2, Status.RESOLVED)]


def test_a_planned_incident_counts_services_beyond_those_it_lists() -> None:
    """A datacenter in maintenance has more services than a record lists."""
    plan = Plan(id="move")
    [one] = outcome((finding(n, service=f"s{n}", plan=plan) for n in range(5)), FoldRules(max_services=3))
    assert (len(one.services), one.more_services) == (3, 2)


def test_a_restart_does_not_open_a_planned_incident_again() -> None:
    """A member that takes over knows what was published about a maintenance, also of services it has not met there."""
    known = KnownIncident(
        id="x",
        status=Status.RESOLVED,
        revision=2,
        findings=9,
        severity="info",
        recurrence=0,
        plan=Plan(id="move", until_ms=3_600_000),
        services=(("web", 0, 5_000),),
    )
    fold = IncidentFold(known=[known])
    assert fold.add(finding(60, "lost", "shop", plan=Plan(id="move"))) is None
    assert fold.add(finding(4_100, "lost", "shop", plan=Plan(id="move"))) is None
    assert fold.add(finding(4_300, "lost", "shop", plan=Plan(id="move"))) is not None
    assert fold.add(finding(60, "lost", "shop")) is not None
