"""What a detector finds in a recording of the fault lab: each injected fault, how soon, and what it cried wolf about.

Reads the labels of the recording; the lines are judged before they come here. A fault counts as found when a line of a
service that it can reach raises an alert between its injection and a little after recovery. Knows no model.

Legend: n lines of the recording
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from logwarden.training.evaluation.baselines import KEYWORDS
from logwarden.training.evaluation.replay import Judged
from logwarden.training.faultlab.recording import Recording

TAIL_S = 15.0
"""After recovery, in which an alert still counts to the fault: clients notice late. The demo's figure."""

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFound:
    """One fault under one method; None where it was not found."""

    fault: str
    alerts: int
    delay_s: float | None
    """From injection to the first alert, in recorded seconds."""
    delay_lines: int | None
    """Lines of the reachable services from injection to the first alert, that line included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingResult:
    """One method on one recording."""

    method: str
    supervision: str
    note: str
    faults: tuple[FaultFound, ...]
    clean_alerts: int
    """On lines of the part before the first fault, those of a service's learning phase not counted."""
    clean_lines: int
    stray_alerts: int
    """After the clean part, in reach of no fault."""
    judged_lines: int

    @property
    def found(self) -> int:
        return sum(fault.alerts > 0 for fault in self.faults)

    @property
    def alarms_per_million(self) -> float:
        """False alarms per million lines of the clean part."""
        return 1e6 * self.clean_alerts / max(self.clean_lines, 1)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The recording as arrays: where each line stands against the faults."""

    t: Doubles
    clean: Bools
    """(n,) before the first fault was near."""
    reached: Bools
    """(faults, n) lines of services that the fault can reach, from injection to TAIL_S after recovery."""


def timeline_of(recording: Recording) -> Timeline:
    """The labels of a recording, line by line."""
    t = np.array([line.t for line in recording.lines], np.float64)
    service = np.array([line.service for line in recording.lines], object)
    reached = [
        np.isin(service, list(fault.services)) & (t >= fault.injected_at) & (t <= fault.recovered_at + TAIL_S)
        for fault in recording.faults
    ]
    return Timeline(t, t <= recording.clean_until, np.array(reached, bool).reshape(len(reached), len(t)))


def result_of(
    recording: Recording,
    timeline: Timeline,
    alerts: Bools,
    learning: Bools,
    *,
    method: str,
    supervision: str = "none",
    note: str = "",
) -> RecordingResult:
    """Holds the alerts of one method against the labels. `alerts` (n,), `learning` (n,): lines that may raise none."""
    alerts = alerts & ~learning
    found = []
    for fault, reach in zip(recording.faults, timeline.reached, strict=True):
        places = np.flatnonzero(alerts & reach)
        first = int(places[0]) if len(places) else None
        found.append(
            FaultFound(
                fault=fault.name,
                alerts=len(places),
                delay_s=float(timeline.t[first] - fault.injected_at) if first is not None else None,
                delay_lines=int(reach[: first + 1].sum()) if first is not None else None,
            )
        )
    outside = ~timeline.clean & ~timeline.reached.any(axis=0)
    return RecordingResult(
        method=method,
        supervision=supervision,
        note=note,
        faults=tuple(found),
        clean_alerts=int((alerts & timeline.clean).sum()),
        clean_lines=int((timeline.clean & ~learning).sum()),
        stray_alerts=int((alerts & outside).sum()),
        judged_lines=int((~learning).sum()),
    )


def quiet_threshold(timeline: Timeline, scores: Doubles, learning: Bools) -> float:
    """The lowest threshold with no alert in the clean part: read off the labels, so an upper bound and no result."""
    calm = scores[timeline.clean & ~learning]
    return float(np.nextafter(calm.max(), np.inf)) if len(calm) else -np.inf


def trivial_alerts(judged: Judged) -> Mapping[str, Bools]:
    """What a line of code would alert on; each of the recording's lines is seen once, in order."""
    keyword = np.array([KEYWORDS.search(text) is not None for text in judged.texts], bool)[judged.ids]
    return {
        "keyword in the line": keyword,
        "line never said before": judged.new,
        "keyword, never said before": keyword & judged.new,
        "surprise of 10 bits": judged.surprise >= 10,
    }
