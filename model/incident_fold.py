"""Folds findings into incidents. Pure: the caller gives every time, and gets a list of what changed.

- *Of one service*: a finding belongs to the incident of the findings less than `gap_ms` before it.
- *Across services*: a service joins the incident in which another one began to fail less than `join_ms` before. So
  services that break together are one incident, and one that has failed for an hour takes in no other.
- *Evidence* adds over distinct lines (noisy-or, `model/runs.py`). An incident opens once it has enough.
- *Announced maintenance*: its findings, of all services, are one incident, which no other finding joins.
- *A fault that comes back* within `again_ms` is another incident, with four times the gap of the one before. So three
  outages are three incidents, and a check that fails once a minute becomes one.

Where a finding belongs is decided by the times of lines, whatever is published in between. When an incident is resolved
and forgotten is decided by the clock of publication. So late findings, replays and wrong clocks change neither the
incidents nor their ids: an id is that of the first finding, and what an earlier process published is `known`.

Owned by one thread. Everything is bounded, and what does not fit is counted.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from logwarden.model.incident_state import FoldRules, LiveIncident
from logwarden.model.incidents import Change, Finding, Incident, KnownIncident, Resolution, Status

NAMESPACE = uuid.UUID("3b0c2f7e-6a0d-5d52-8d5e-1f6f1d6b2f11")
"""Namespace of incident ids. It never changes."""
_LOOKED_AT = 64
"""Latest incidents of a system that a service may join."""
_EPISODES = 8
"""Latest incidents of a service that a late finding may belong to."""
_Name = tuple[str, str]
"""System and service."""
Settles = Callable[[LiveIncident], Resolution | None]
"""Returns the feedback that ends an incident. Returns None if none does."""


@dataclass(slots=True, eq=False)
class _Episode:
    """The findings of one service that belong to one incident."""

    incident: LiveIncident
    first_ms: int
    last_ms: int


class IncidentFold:
    """The incidents that may still change."""

    def __init__(self, rules: FoldRules | None = None, known: Iterable[KnownIncident] = ()) -> None:
        self.rules = rules or FoldRules()
        self.clock_ms: float = -math.inf
        """Newest time of publication."""
        self.duplicates = 0
        """Findings that were delivered before."""
        self.evicted = 0
        """Incidents that ended because too many were kept."""
        self._known: Mapping[str, KnownIncident] = {one.id: one for one in known}
        self._replayed: set[str] = set()
        """Ids of known incidents that were begun again."""
        self._past: dict[_Name, list[tuple[str, int, int]]] = {}
        """For each service the known incidents that it was in, with its first and last time there."""
        for one in self._known.values():
            for name, first_ms, last_ms in one.services:
                past = (_of_plan(one.plan.id), "") if one.plan else (one.system, name)
                self._past.setdefault(past, []).append((one.id, first_ms, last_ms))
        self._incidents: list[LiveIncident] = []  # in the order of their begin
        self._evicted: list[LiveIncident] = []
        self._recent: dict[str, deque[LiveIncident]] = {}
        self._episodes: OrderedDict[_Name, deque[_Episode]] = OrderedDict()
        self._last_with: dict[str, LiveIncident] = {}
        """For each kind of line the latest incident that lists it."""
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._settles: Settles = lambda _: None

    def __len__(self) -> int:
        return len(self._incidents)

    def open(self) -> Counter[tuple[str, str]]:
        """Counts the open incidents by severity, as published, and by the service that was in each of them first."""
        opened = (one for one in self._incidents if one.status is Status.OPEN)
        return Counter((one.written_severity, next(iter(one.services))) for one in opened)

    @property
    def needed_ms(self) -> float:
        """Returns the time of publication from which a replay makes all incidents again that may still change.

        Older ones are needed as well: a replay must know which findings belong to them.
        """
        return min((one.begin_ms for one in self._incidents), default=self.clock_ms) - self.rules.again_ms

    def add(self, finding: Finding) -> str | None:
        """Folds a finding. Returns the id of its incident.

        Returns None for a finding that was delivered before, or belongs to an incident that is over and is not replayed
        from its begin.
        """
        if finding.id in self._ids:
            self.duplicates += 1
            return None
        self._ids[finding.id] = None
        if len(self._ids) > self.rules.max_ids:
            self._ids.popitem(last=False)
        self.clock_ms = max(self.clock_ms, finding.clock_ms)
        at = min(finding.time_ms, finding.clock_ms + self.rules.ahead_ms)
        episode = self._episode(finding, at)
        if episode is None:
            self.duplicates += 1
            return None
        episode.first_ms, episode.last_ms = min(episode.first_ms, at), max(episode.last_ms, at)
        incident = episode.incident
        incident.take(finding, at, self.rules)
        if finding.kind in incident.lines and finding.plan is None:
            self._last_with[finding.kind] = incident
        return incident.id

    def advance(self, now_ms: float, settles: Settles = lambda _: None) -> list[Incident]:
        """Returns what is to be published about incidents now, and forgets the old ones.

        `now_ms`: the clock of publication, which advances while nothing is published. `settles`: the feedback of now.
        """
        now_ms = max(now_ms, self.clock_ms)
        self._settles = settles
        changes = [change for one in self._evicted for change in self._changes(one, now_ms)]
        self._evicted = []
        for one in self._incidents:
            changes += self._changes(one, now_ms)
        needed = {id(one.before) for one in self._incidents if one.before is not None}
        for one in list(self._incidents):
            ends_ms = one.clock_ms if one.plan is None else max(one.clock_ms, one.plan.until_ms)
            is_old = one.status is not Status.OPEN and (
                now_ms >= min(ends_ms, one.begin_ms + self.rules.longest_ms) + self.rules.again_ms
            )
            if is_old and id(one) not in needed:
                self._forget(one)
        return changes

    # ---------------------------------------------------------------- which incident

    def _episode(self, finding: Finding, at: int) -> _Episode | None:
        """Returns the episode of the finding's service that reaches to this time, or begins one.

        Returns None if the episode belongs to an incident that is known and was not begun again.
        """
        plan = finding.plan
        system = finding.system if plan is None else _of_plan(plan.id)
        name = (system, finding.service)
        episodes = self._episodes.get(name)
        for episode in reversed(episodes or ()):
            incident = episode.incident
            if episode.first_ms - incident.gap_ms <= at <= episode.last_ms + incident.gap_ms:
                if at - incident.first_ms < self.rules.longest_ms:
                    return episode
                incident.is_continued = True
        incident_id = str(uuid.uuid5(NAMESPACE, finding.id))
        past = name if plan is None else (system, "")
        if incident_id not in self._known and self._is_of_the_past(past, at):
            return None
        together = self._together(system, at) if plan is None else self._of_this_plan(system, at)
        incident = together or self._begin(incident_id, finding, at, system)
        incident.onset_ms = max(incident.onset_ms, at)
        incident.members.append(name)
        if finding.service not in incident.services and len(incident.services) >= self.rules.max_services:
            incident.more_services += 1
        if episodes is None:
            episodes = self._episodes[name] = deque(maxlen=_EPISODES)
            if len(self._episodes) > self.rules.max_members:
                self._episodes.popitem(last=False)
        self._episodes.move_to_end(name)
        episodes.append(_Episode(incident, at, at))
        return episodes[-1]

    def _together(self, system: str, at: int) -> LiveIncident | None:
        """Returns the latest incident in which a service began to fail just before."""
        rules = self.rules
        for incident in reversed(self._recent.get(system, ())):
            end = min(incident.onset_ms + rules.join_ms, incident.first_ms + rules.span_ms)
            if incident.first_ms - rules.join_ms <= at <= end:
                return incident
        return None

    def _of_this_plan(self, system: str, at: int) -> LiveIncident | None:
        """Returns the incident of a maintenance, unless it has lasted too long."""
        for incident in reversed(self._recent.get(system, ())):
            if at - incident.first_ms < self.rules.longest_ms:
                return incident
            incident.is_continued = True
        return None

    def _is_of_the_past(self, name: _Name, at: int) -> bool:
        """Returns True for a time in an episode that an earlier process folded, of an incident that is not replayed."""
        for incident_id, first_ms, last_ms in self._past.get(name, ()):
            known = self._known[incident_id]
            ends_ms = last_ms + self._gap_ms(known.recurrence)
            if known.plan is not None:
                ends_ms = min(max(last_ms, known.plan.until_ms), first_ms + self.rules.longest_ms) + self.rules.again_ms
            if incident_id not in self._replayed and first_ms <= at <= ends_ms:
                return True
        return False

    def _gap_ms(self, recurrence: int) -> int:
        return min(self.rules.gap_ms << min(2 * recurrence, 32), max(self.rules.again_ms, self.rules.gap_ms))

    def _begin(self, incident_id: str, finding: Finding, at: int, joins: str) -> LiveIncident:
        rules = self.rules
        known, before = self._known.get(incident_id), self._last_with.get(finding.kind)
        if finding.plan is not None:
            before = None
        if before is not None and (
            before.evidence < rules.evidence or at - before.lines[finding.kind].last_ms > rules.again_ms
        ):
            before = None
        recurrence = 0 if before is None else before.recurrence + 1
        if known is not None:
            recurrence = known.recurrence
        incident = LiveIncident(
            id=incident_id,
            system=finding.system,
            joins=joins,
            first_finding=finding.id,
            first_ms=at,
            onset_ms=at,
            last_ms=at,
            begin_ms=finding.clock_ms,
            clock_ms=finding.clock_ms,
            gap_ms=self._gap_ms(recurrence) if finding.plan is None else rules.longest_ms,
            recurrence=recurrence,
            before=before,
        )
        if known is not None:
            incident.revision, incident.written_severity = known.revision, known.severity
            incident.written = (known.status, known.findings)
            self._replayed.add(incident_id)
        self._incidents.append(incident)
        self._recent.setdefault(joins, deque(maxlen=_LOOKED_AT)).append(incident)
        if len(self._incidents) > rules.max_incidents:
            self._evict()
        return incident

    # ---------------------------------------------------------------- what is published

    def _changes(self, incident: LiveIncident, now_ms: float) -> Iterator[Incident]:
        """Advances the status of an incident, and yields what is to be published about it."""
        status = self._status(incident, now_ms)
        incident.status = status
        if status is Status.PENDING:
            return
        incident.before = None  # the record has the recurrence
        written = incident.written
        if written is None:
            yield self._published(incident, Change.OPENED, Status.OPEN, now_ms)
            if status is Status.OPEN:
                return
        elif incident.findings <= written[1] and (status is Status.OPEN or written[0] is not Status.OPEN):
            return  # nothing is new; a replay may even know less than the last record
        else:
            is_soon = now_ms < incident.written_ms + self.rules.update_ms
            is_as_severe = incident.severity == incident.written_severity
            if is_soon and is_as_severe and written[0] is status:
                return
        change = Change.UPDATED if status is Status.OPEN else Change(status.value)
        yield self._published(incident, change, status, now_ms)

    def _status(self, incident: LiveIncident, now_ms: float) -> Status:
        rules = self.rules
        if incident.evidence < rules.evidence:
            return Status.PENDING
        if incident.is_continued:
            return Status.EXPIRED
        written = incident.written
        if written is not None and written[0] is Status.RESOLVED and incident.findings <= written[1]:
            return Status.RESOLVED  # feedback that is taken back opens nothing, and a replay knows no feedback yet
        # Not before it is announced, and a replay does not have the lines yet that feedback must cover as well.
        is_whole = written is not None and incident.findings >= written[1]
        incident.resolution = self._settles(incident) if is_whole else None
        if incident.resolution is not None:
            return Status.RESOLVED
        quiet_ms = rules.quiet_ms if incident.plan is not None else max(rules.quiet_ms, 2 * incident.gap_ms)
        return Status.RESOLVED if now_ms >= incident.clock_ms + quiet_ms else Status.OPEN

    def _published(self, incident: LiveIncident, change: Change, status: Status, now_ms: float) -> Incident:
        incident.revision += 1
        incident.written, incident.written_ms = (status, incident.findings), now_ms
        found = incident.snapshot(change, status)
        incident.written_severity = found.severity
        return found

    # ---------------------------------------------------------------- what is forgotten

    def _evict(self) -> None:
        """Ends the oldest incident that is not open, or else the oldest of all. The newest stays."""
        oldest = next((one for one in self._incidents[:-1] if one.status is not Status.OPEN), self._incidents[0])
        oldest.is_continued = True
        self.evicted += 1
        self._evicted.append(oldest)
        self._forget(oldest)

    def _forget(self, incident: LiveIncident) -> None:
        self._incidents.remove(incident)
        incident.before = None
        recent = self._recent[incident.joins]
        if incident in recent:
            recent.remove(incident)
        if not recent:
            del self._recent[incident.joins]
        for name in incident.members:
            episodes = self._episodes.get(name)
            if episodes is None:
                continue
            for episode in [one for one in episodes if one.incident is incident]:
                episodes.remove(episode)
            if not episodes:
                del self._episodes[name]
        for kind in incident.lines:
            if self._last_with.get(kind) is incident:
                del self._last_with[kind]


def _of_plan(plan: str) -> str:
    """Returns what the services of a maintenance are joined by. No system's name contains this letter."""
    return f"\0{plan}"
