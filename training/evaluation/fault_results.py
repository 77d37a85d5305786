"""Compares the alerts of a detector with a recording of the fault lab: faults found, delays, false alarms.

Reads events of the recording and finished alerts; knows no model. A fault counts as found when a line of a service that
it can reach raises an alert between its injection and `RECOVERY_TAIL_S` after its recovery.

Legend: n lines of the recording
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from logwarden.training.evaluation.baselines import KEYWORDS
from logwarden.training.evaluation.replay import ReplayedStream
from logwarden.training.faultlab.recording import RECOVERY_TAIL_S, Recording

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFound:
    """One fault under one method; the delays are None for a fault that was not found."""

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
    """Alerts before the first fault, without those in a service's learning phase."""
    clean_lines: int
    stray_alerts: int
    """Alerts after the clean part and in reach of no fault."""
    judged_lines: int

    @property
    def found(self) -> int:
        """Counts the faults with at least one alert."""
        return sum(fault.alerts > 0 for fault in self.faults)

    @property
    def alarms_per_million(self) -> float:
        """Returns the false alarms per million lines of the clean part."""
        return 1e6 * self.clean_alerts / max(self.clean_lines, 1)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A recording as arrays: the place of each line before, in and after the faults."""

    t: Doubles
    clean: Bools
    """(n,) lines of the lead-in, before the first fault."""
    reached: Bools
    """(faults, n) lines of services that the fault can reach, from injection to RECOVERY_TAIL_S after recovery."""


def timeline_of(recording: Recording) -> Timeline:
    """Computes the timeline of a recording."""
    t = np.array([line.t for line in recording.lines], np.float64)
    service = np.array([line.service for line in recording.lines], object)
    # A fault on services {a} from 2 to 5 s, with a tail of 3 s:
    #   t        [1, 2, 4, 7, 9]
    #   service  [a, a, b, a, a]
    #   reached  [F, T, F, T, F]
    reached = [
        np.isin(service, list(fault.services)) & (t >= fault.injected_at) & (t <= fault.recovered_at + RECOVERY_TAIL_S)
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
    """Compares the alerts (n,) of one method with the faults. `learning` (n,): lines that may not raise an alert."""
    alerts = alerts & ~learning
    found = []
    for fault, reach in zip(recording.faults, timeline.reached, strict=True):
        # The delay in lines counts the reachable lines up to the first alert, that line included:
        #   reach [F, T, T, T], alerts [F, F, F, T] -> first = 3, delay_lines = 3
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
    """Returns the lowest threshold without an alert in the clean part. It uses labels: an upper bound, not a result."""
    clean = scores[timeline.clean & ~learning]
    return float(np.nextafter(clean.max(), np.inf)) if len(clean) else -np.inf


def trivial_alerts(replayed: ReplayedStream) -> Mapping[str, Bools]:
    """Returns the alerts (n,) of each one-line rule, by its name."""
    keyword = np.array([KEYWORDS.search(text) is not None for text in replayed.texts], bool)[replayed.ids]
    return {
        "keyword in the line": keyword,
        "line never logged before": replayed.new,
        "keyword, never logged before": keyword & replayed.new,
        "surprise of 10 bits": replayed.surprise >= 10,
    }
