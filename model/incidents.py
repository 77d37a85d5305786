"""What an incident is: the anomalous lines of services that broke together, as one thing for a person to handle.

A *finding* is one anomalous line. Findings fold into incidents in `model/incident_fold.py`; this file has the nouns and
the rule that grades an incident. Pure. It is here and not in the daemon, so that the evaluation measures the folding
that the daemon does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from logwarden.model.activity import Activity

DISTINCT_LINES = 3
LASTING_MS = 300_000
NOVEL_BITS = 8.0
"""Surprise of a line that its service has logged at most once in 256 lines."""
ODD_BITS = 6.0
"""Surprise of a line that its service has logged at most once in 64 lines."""
PLANNED_SEVERITY = "info"
SEVERITIES = ("critical", "error", "warning", PLANNED_SEVERITY)
CALM_SHARE = 0.25
"""Largest share of odd lines that a service of little noise has logged just before its first finding."""


class Status(StrEnum):
    """The state of an incident."""

    PENDING = "pending"
    """The evidence of its lines is not enough yet, so that it is not published."""
    OPEN = "open"
    RESOLVED = "resolved"
    """Its services have been quiet for a while, or people have given feedback on all its lines."""
    EXPIRED = "expired"
    """It lasted until another incident continued it, or it had to make room for one."""


class Change(StrEnum):
    """The reason why an incident is published."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The announced maintenance in which a line was logged."""

    id: str
    reason: str = ""
    until_ms: int = 0
    """Its end, as far as it was known when the line was judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One anomalous line."""

    id: str
    """Stable over replays and the same for every delivery."""
    service: str
    kind: str
    """Service and kind of the line: equal for repetitions."""
    reason: str = ""
    """Why the line is an anomaly: see `logwarden.model.schema.AlertKind`."""
    time_ms: int
    """When the line was logged, by its service's clock."""
    clock_ms: int
    """When the finding was published. Advances also where services have no clock or a wrong one."""
    evidence: float
    """See `model/runs.py`."""
    text: str = ""
    is_failure: bool = False
    """The line states a level of failure or names one."""
    surprise: float = 0.0
    """Bits; see `model/schema.py`."""
    odd_share: float = 0.0
    """Share of odd lines among the lines of the service just before."""
    system: str = ""
    """Only services of one system are joined."""
    plan: Plan | None = None
    """Findings of one maintenance are one incident, and no other finding is in it."""
    place: tuple[int, int] | None = None
    """Partition and offset of its alert, where it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentLine:
    """What an incident knows of one kind of line of one service."""

    kind: str
    service: str
    text: str
    """The first of its lines."""
    finding: str
    """Id of the first finding."""
    evidence: float
    """Of its worst line. A line that repeats counts once."""
    count: int
    first_ms: int
    last_ms: int
    is_failure: bool
    surprise: float
    reasons: tuple[str, ...] = ()
    """Of its findings, sorted: the order in which they are delivered changes nothing."""
    place: tuple[int, int] | None = None
    """Partition and offset of the alert of the first finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentService:
    """What an incident knows of one service."""

    name: str
    findings: int
    first_ms: int
    last_ms: int
    odd_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """The four questions that grade an incident."""

    failure: bool
    """One of its lines states a level of failure or names one."""
    extent: bool
    """It has three distinct lines, or lasts five minutes."""
    novelty: bool
    """One of its lines was new to its service, or nearly so."""
    calm: bool
    """One of its services logged few odd lines just before."""

    @property
    def severity(self) -> str:
        """Returns critical for four gates, error for three, warning for fewer."""
        passed = sum((self.failure, self.extent, self.novelty, self.calm))
        return "critical" if passed == 4 else "error" if passed == 3 else "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The feedback that ended an incident."""

    kind: str
    """See `model/feedback.py: FeedbackKind`."""
    feedback: str
    """Key of the entry."""
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident as it is published."""

    id: str
    change: Change
    status: Status
    revision: int
    """1 for the first record about it; each further record has the next number."""
    system: str
    evidence: float
    findings: int
    """Anomalous lines, repetitions included."""
    first_finding: str
    first_ms: int
    last_ms: int
    recurrence: int
    """How many incidents with its first kind of line came shortly before."""
    services: tuple[IncidentService, ...]
    """In the order of their first findings: the first one is the probable origin."""
    more_services: int
    """Services beyond those listed."""
    lines: tuple[IncidentLine, ...]
    """In the order of their first findings."""
    more_lines: int
    """Findings whose kind of line is not listed."""
    gates: Gates
    plan: Plan | None = None
    activity: Activity | None = None
    """Its findings over time."""
    resolution: Resolution | None = None
    """None: it is not resolved, or its services became quiet."""

    @property
    def severity(self) -> str:
        """Returns the grade by its gates; info for what was announced, which is less than any of these."""
        return self.gates.severity if self.plan is None else PLANNED_SEVERITY

    @property
    def reasons(self) -> tuple[str, ...]:
        """Returns why its lines are anomalies, sorted."""
        return tuple(sorted({reason for line in self.lines for reason in line.reasons}))

    @property
    def origin(self) -> str:
        """Returns the service that broke first."""
        return self.services[0].name


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIncident:
    """What an earlier process published last about an incident."""

    id: str
    status: Status
    revision: int
    findings: int
    severity: str
    recurrence: int
    system: str = ""
    plan: Plan | None = None
    services: tuple[tuple[str, int, int], ...] = ()
    """Name, first and last time of each service that is listed."""


def gates_of(lines: Iterable[IncidentLine], services: Mapping[str, IncidentService], lasted_ms: int) -> Gates:
    """Returns the answers for an incident with these lines and services, and this length."""
    lines = list(lines)
    return Gates(
        failure=any(line.is_failure for line in lines),
        extent=len(lines) >= DISTINCT_LINES or lasted_ms >= LASTING_MS,
        novelty=any(line.surprise >= NOVEL_BITS for line in lines),
        calm=any(service.odd_share <= CALM_SHARE for service in services.values()),
    )


def system_in(pattern: re.Pattern[str] | None, service: str) -> str:
    """Returns the system that an expression finds in the name of a service: its first group, or else its match.

    Returns an empty name if it finds none, or there is no expression.
    """
    found = pattern.search(service) if pattern is not None else None
    if found is None:
        return ""
    return (found[1] if found.re.groups else found[0]) or ""
