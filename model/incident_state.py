"""The counts of one incident while it may still change. Pure; does not know which finding belongs to it.

Owned by the `IncidentFold` that it is in. Everything is bounded by `FoldRules`, and what does not fit is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from logwarden.model.activity import ActivityCounter
from logwarden.model.incidents import (
    PLANNED_SEVERITY,
    Change,
    Finding,
    Gates,
    Incident,
    IncidentLine,
    IncidentService,
    Plan,
    Resolution,
    Status,
    gates_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRules:
    """When findings belong together, and how much is kept."""

    gap_ms: int = 15_000
    join_ms: int = 15_000
    span_ms: int = 120_000
    """Longest time from the begin of an incident to the first finding of a service that joins it."""
    again_ms: int = 600_000
    evidence: float = 0.69
    """Least evidence of an incident that opens: one line of probability .5, or several that are weaker."""
    quiet_ms: int = 60_000
    """Time without findings after which an incident is resolved; twice its gap where that is longer."""
    update_ms: int = 30_000
    """Least time between two records about an incident, unless it becomes more severe or ends."""
    longest_ms: int = 6 * 3_600_000
    """An incident that lasts longer is expired, and what follows is another."""
    ahead_ms: int = 300_000
    """A line that is dated later than its publication by more than this has a wrong clock."""
    max_incidents: int = 1_000
    max_services: int = 64
    """Services that an incident lists. It counts the others."""
    max_lines: int = 256
    """Kinds of lines that an incident lists, and adds the evidence of."""
    max_members: int = 20_000
    """Services whose latest incidents are kept."""
    max_ids: int = 65_536
    """Findings that are recognized when they are delivered again."""


@dataclass(slots=True, eq=False)
class LiveIncident:
    """An incident that may still change."""

    id: str
    system: str
    joins: str
    """Its services, and those that may join it, are known by this name."""
    first_finding: str
    first_ms: int
    onset_ms: int
    """First finding of the service that joined last."""
    last_ms: int
    begin_ms: int
    """Publication of its first finding."""
    clock_ms: int
    """Publication of its newest finding."""
    gap_ms: int
    recurrence: int
    before: LiveIncident | None = None
    """The incident with its first kind of line that came shortly before, until this one is published. A replay needs it
    to give this one the same gap."""
    status: Status = Status.PENDING
    is_continued: bool = False
    """It lasted too long, and another incident goes on with its findings."""
    revision: int = 0
    written: tuple[Status, int] | None = None
    """Status and findings of the last record about it."""
    written_ms: float = -math.inf
    written_severity: str = ""
    evidence: float = 0.0
    findings: int = 0
    more_services: int = 0
    more_lines: int = 0
    services: dict[str, IncidentService] = field(default_factory=dict)
    lines: dict[str, IncidentLine] = field(default_factory=dict)
    members: list[tuple[str, str]] = field(default_factory=list)
    """System and name of every service with an episode in it, those that are not listed included."""
    activity: ActivityCounter = field(default_factory=ActivityCounter)
    plan: Plan | None = None
    """The maintenance that all its findings belong to, as the newest of them knew it."""
    resolution: Resolution | None = None
    """The feedback that ends it, as of the last look."""

    @property
    def gates(self) -> Gates:
        """Returns the answers that grade it now."""
        return gates_of(self.lines.values(), self.services, self.last_ms - self.first_ms)

    @property
    def severity(self) -> str:
        """Returns its grade now."""
        return self.gates.severity if self.plan is None else PLANNED_SEVERITY

    def snapshot(self, change: Change, status: Status) -> Incident:
        """Returns the incident as it is published for this reason, in this state."""
        return Incident(
            id=self.id,
            change=change,
            status=status,
            revision=self.revision,
            system=self.system,
            evidence=self.evidence,
            findings=self.findings,
            first_finding=self.first_finding,
            first_ms=self.first_ms,
            last_ms=self.last_ms,
            recurrence=self.recurrence,
            services=tuple(sorted(self.services.values(), key=lambda one: (one.first_ms, one.name))),
            more_services=self.more_services,
            lines=tuple(sorted(self.lines.values(), key=lambda one: (one.first_ms, one.kind))),
            more_lines=self.more_lines,
            gates=self.gates,
            plan=self.plan,
            activity=self.activity.counts(),
            resolution=self.resolution if status is Status.RESOLVED else None,
        )

    def take(self, finding: Finding, at: int, rules: FoldRules) -> None:
        """Adds a finding to the counts of its self."""
        self.findings += 1
        self.activity.add(at)
        self.plan = finding.plan
        self.first_ms, self.last_ms = min(self.first_ms, at), max(self.last_ms, at)
        self.begin_ms, self.clock_ms = min(self.begin_ms, finding.clock_ms), max(self.clock_ms, finding.clock_ms)
        service = self.services.get(finding.service)
        if service is not None:
            self.services[finding.service] = _with_another(service, finding, at)
        elif len(self.services) < rules.max_services:
            self.services[finding.service] = IncidentService(
                name=finding.service, findings=1, first_ms=at, last_ms=at, odd_share=finding.odd_share
            )
        line = self.lines.get(finding.kind)
        if line is not None:
            self.evidence += max(finding.evidence - line.evidence, 0.0)
            self.lines[finding.kind] = _repeated(line, finding, at)
        elif len(self.lines) < rules.max_lines:
            self.evidence += finding.evidence
            self.lines[finding.kind] = IncidentLine(
                kind=finding.kind,
                service=finding.service,
                text=finding.text,
                finding=finding.id,
                evidence=finding.evidence,
                count=1,
                first_ms=at,
                last_ms=at,
                is_failure=finding.is_failure,
                surprise=finding.surprise,
                reasons=_reasons((), finding),
                place=finding.place,
            )
        else:
            self.more_lines += 1


def _with_another(service: IncidentService, finding: Finding, at: int) -> IncidentService:
    is_first = at < service.first_ms
    return IncidentService(
        name=service.name,
        findings=service.findings + 1,
        first_ms=min(service.first_ms, at),
        last_ms=max(service.last_ms, at),
        odd_share=finding.odd_share if is_first else service.odd_share,
    )


def _repeated(line: IncidentLine, finding: Finding, at: int) -> IncidentLine:
    is_first = at < line.first_ms
    return replace(
        line,
        text=finding.text if is_first else line.text,
        finding=finding.id if is_first else line.finding,
        evidence=max(line.evidence, finding.evidence),
        count=line.count + 1,
        first_ms=min(line.first_ms, at),
        last_ms=max(line.last_ms, at),
        is_failure=line.is_failure or finding.is_failure,
        surprise=max(line.surprise, finding.surprise),
        reasons=_reasons(line.reasons, finding),
        place=finding.place if is_first else line.place,
    )


def _reasons(before: tuple[str, ...], finding: Finding) -> tuple[str, ...]:
    return tuple(sorted({*before, finding.reason} - {""}))
