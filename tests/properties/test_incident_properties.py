"""Incidents of any findings: each finding is in one, the order of arrival and a restart change nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incidents import Change, Finding, Incident, KnownIncident, Plan, Status

Rows = Sequence[tuple[int, str, str, float, Plan | None]]
FINDINGS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from("abcd"),
        st.sampled_from(["x", "y", "z"]),
        st.sampled_from([0.3, 1.0, 2.0]),
        st.sampled_from([None, None, Plan(id="p", until_ms=900_000), Plan(id="q")]),
    ),
    min_size=1,
    max_size=40,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


def findings_of(rows: Rows) -> list[Finding]:
    """Findings that are published as they are logged, five seconds apart for each unit of time."""
    return [
        Finding(
            id=f"f{number}",
            service=service,
            kind=f"{service}:{kind}",
            time_ms=5_000 * at,
            clock_ms=5_000 * at,
            evidence=evidence,
            plan=plan,
        )
        for number, (at, service, kind, evidence, plan) in enumerate(rows)
    ]


def known_of(records: Sequence[Incident]) -> list[KnownIncident]:
    """What a compacted topic keeps of these records."""
    newest = {one.id: one for one in records}
    return [
        KnownIncident(
            id=one.id,
            status=one.status,
            revision=one.revision,
            findings=one.findings,
            severity=one.severity,
            recurrence=one.recurrence,
            plan=one.plan,
            services=tuple((service.name, service.first_ms, service.last_ms) for service in one.services),
        )
        for one in newest.values()
    ]


def facts(records: Sequence[Incident]) -> dict[str, tuple[object, ...]]:
    """What the last record about each incident states, without the number of records before it."""
    newest = {one.id: one for one in records}
    return {
        one.id: (one.status, one.findings, round(one.evidence, 9), one.services, one.lines, one.first_ms, one.last_ms)
        for one in newest.values()
    }


def lived(findings: Sequence[Finding], crash_after: int | None = None) -> list[Incident]:
    """All records about these findings. A process that crashes leaves its records and its committed position."""
    fold, records = IncidentFold(), list[Incident]()
    for number, one in enumerate(findings):
        records += fold.advance(one.clock_ms)
        fold.add(one)
        if number == crash_after:
            begin_ms = fold.needed_ms
            fold = IncidentFold(known=known_of(records))
            for again in (each for each in findings[: number + 1] if each.clock_ms >= begin_ms):
                records += fold.advance(again.clock_ms)
                fold.add(again)
    for hours in (1, 2):
        records += fold.advance(findings[-1].clock_ms + 3_600_000.0 * hours)
    return records


@given(FINDINGS)
def test_every_finding_is_in_one_incident_and_each_opens_once(rows: Rows) -> None:
    """Ids of incidents that open are those that findings were folded into, and every life has one begin and one end."""
    findings, fold = findings_of(rows), IncidentFold()
    folded, records, plans = Counter[str](), list[Incident](), dict[str, set[Plan | None]]()
    for one in findings:
        records += fold.advance(one.clock_ms)
        folded[incident := str(fold.add(one))] += 1
        plans.setdefault(incident, set()).add(one.plan)
    assert all(len(found) == 1 for found in plans.values())
    records += fold.advance(10**12)
    assert sum(folded.values()) == len(findings)
    newest = {one.id: one for one in records}
    assert {one.id: one.findings for one in newest.values()}.items() <= folded.items()
    opened = Counter(one.id for one in records if one.change is Change.OPENED)
    assert opened == Counter(newest.keys())
    assert all(one.status is not Status.OPEN for one in newest.values())
    assert [one.revision for one in sorted(records, key=lambda one: (one.id, one.revision))] == [
        number for count in Counter(sorted(one.id for one in records)).values() for number in range(1, count + 1)
    ]


@given(FINDINGS, st.data())
def test_a_crash_changes_no_incident(rows: Rows, data: st.DataObject) -> None:
    """A process that replays from the committed position publishes what an undisturbed one publishes, each id once."""
    findings = findings_of(rows)
    crash_after = data.draw(st.integers(0, len(findings) - 1))
    records = lived(findings, crash_after)
    assert facts(records) == facts(lived(findings))
    assert max(Counter(one.id for one in records if one.change is Change.OPENED).values(), default=1) == 1


@given(FINDINGS, st.randoms(use_true_random=False))
def test_alerts_out_of_order_are_in_one_incident_each(rows: Rows, order: object) -> None:
    """Findings in any order, some of them twice, are counted once each, and every life begins once."""
    findings = findings_of(rows)
    shuffled = [*findings, *findings[::3]]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    fold, records = IncidentFold(), list[Incident]()
    into = [incident for one in shuffled if (incident := fold.add(one)) is not None]
    records += fold.advance(0)
    records += fold.advance(10**12)
    assert len(into) == len(findings)
    assert fold.duplicates == len(shuffled) - len(findings)
    newest = {one.id: one for one in records}
    assert all(one.findings == into.count(one.id) for one in newest.values())
    assert max(Counter(one.id for one in records if one.change is Change.OPENED).values(), default=1) == 1
