"""Folds the alerts of scanned files into incidents, as the daemon folds those of the alerts topic.

The lines of all files are one stream in the order of their times. In a file without times a line counts as a second.
Findings are kept until they are folded, a bounded number of them.
"""

from __future__ import annotations

import re
from dataclasses import replace

from logwarden.daemon.incidents.alert import Alert
from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.incidents.incident import IncidentRecord, build_incident
from logwarden.model.feedback import NO_FEEDBACK, FeedbackBook, FeedbackKind
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incident_state import FoldRules
from logwarden.model.incidents import Finding, Incident

_KEPT = 200_000
"""Findings that wait for those of later files. More are folded in the order in which they were found."""
_MOST_INCIDENTS, _ENDLESS_MS = 20_000, 1 << 62
"""A scan keeps every incident until its end, and ends none for its length."""


class ScanIncidents:
    """The incidents of one scan."""

    def __init__(
        self, rules: FoldRules, system: re.Pattern[str] | None = None, feedback: FeedbackBook = NO_FEEDBACK
    ) -> None:
        self._feedback = feedback
        self._fold = IncidentFold(replace(rules, max_incidents=_MOST_INCIDENTS, max_ids=_KEPT, longest_ms=_ENDLESS_MS))
        self._reader = FindingReader(system)
        self._waiting: list[Finding] = []
        self._newest: dict[str, Incident] = {}
        self._dated: set[str] = set()
        """Ids of alerts on lines that state a time, and of their incidents."""
        self.places: dict[str, str] = {}
        """Id of an alert → its file and line."""

    def add(self, alert: Alert, place: str) -> None:
        """Adds an alert, and the place of its line for people."""
        source = alert.logwarden.source
        finding = self._reader.read(alert.encode(), published_ms=1_000 * source.last_offset)
        if alert.timestamp is not None:
            self._dated.add(finding.id)
        kind = finding.kind.rpartition(":")[2]
        judgement = self._feedback.judgement(finding.service, kind, alert.message, finding.time_ms)
        if judgement in (FeedbackKind.EXPECTED, FeedbackKind.MUTE):
            return
        plan = self._feedback.plan(finding.service, finding.time_ms, is_failure=finding.is_failure)
        self._waiting.append(replace(finding, clock_ms=finding.time_ms, plan=plan))
        self.places[finding.id] = place
        if len(self._waiting) >= _KEPT:
            self._fold_waiting()

    def records(self) -> list[IncidentRecord]:
        """Returns the incidents of everything that was added, in the order of their first lines."""
        self._fold_waiting()
        for _ in range(2):
            self._newest |= {one.id: one for one in self._fold.advance(float("inf"))}
        found = sorted(self._newest.values(), key=lambda one: (one.first_ms, one.id))
        return [build_incident(one, is_dated=one.id in self._dated) for one in found]

    def unplanned(self) -> int:
        """Returns the number of incidents that no announced maintenance caused."""
        return sum(record.logwarden.planned is None for record in self.records())

    def _fold_waiting(self) -> None:
        for finding in sorted(self._waiting, key=lambda one: one.time_ms):
            incident = self._fold.add(finding)
            if incident is not None and finding.id in self._dated:
                self._dated.add(incident)
        self._waiting.clear()
