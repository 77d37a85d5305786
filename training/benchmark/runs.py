"""A judged run of the fault lab as arrays: what its lines are by the labels, and what one-line rules answer to them.

Legend: n lines of the run
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from logwarden.model.arrays import Bools, Doubles, Ints
from logwarden.training.evaluation.baselines import KEYWORDS
from logwarden.training.faultlab.labels import State, forms_of
from logwarden.training.faultlab.recording import RECOVERY_TAIL_S
from logwarden.training.faultlab.release import LabelledRun

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """One run and its labels."""

    system: str
    states: npt.NDArray[np.uint8]
    """(n,) values of `State`."""
    fault: npt.NDArray[np.int16]
    """(n,) the fault in whose reach the line is; -1 for none."""
    faults: int
    times: Doubles
    """(n,) seconds since the run began."""
    service: Ints
    """(n,)"""
    services: int
    keyword: Bools
    """(n,) lines with a word from the list of the keyword rule."""
    kind: Ints
    """(n,) numbers of the lines' masked forms."""
    planned: Bools
    """(n,) lines from the begin of a planned change to the end of the tail behind it."""
    plans: Doubles
    """(changes, 2) seconds of those begins and ends."""
    reached: Bools
    """(faults, n) lines of the services in reach, from the injection to the end of the tail."""
    quiet_s: float
    """Seconds of fault-free time."""

    @property
    def normal(self) -> Bools:
        """Returns (n,) the lines of fault-free time."""
        return np.asarray(self.states == State.NORMAL)

    @property
    def evidence(self) -> Bools:
        """Returns (n,) the lines that are evidence of a fault."""
        return np.asarray(self.states == State.EVIDENCE)

    @property
    def quiet_service_days(self) -> float:
        """Returns the fault-free time of all services together, in days."""
        return self.services * self.quiet_s / DAY_S


def judged_run(run: LabelledRun) -> JudgedRun:
    """Returns the arrays of a labelled run."""
    lines, events = run.recording.lines, run.recording.events
    times = np.array([line.t for line in lines])
    names, service = np.unique([line.service for line in lines], return_inverse=True)
    forms = forms_of(lines)
    _, kind = np.unique(forms, return_inverse=True)
    known = {form: KEYWORDS.search(form) is not None for form in set(forms)}
    plans = [(e.injected_at, e.recovered_at + RECOVERY_TAIL_S) for e in events if e.kind == "benign"]
    planned = np.zeros(len(times), bool)
    for begin, end in plans:
        planned |= (times >= begin) & (times <= end)
    faults = run.recording.faults
    reached = np.zeros((len(faults), len(times)), bool)
    for row, event in zip(reached, faults, strict=True):
        until = event.recovered_at + RECOVERY_TAIL_S
        row[:] = (times >= event.injected_at) & (times <= until) & np.isin(names, event.services)[service]
    return JudgedRun(
        system=run.system,
        states=run.labels.states,
        fault=run.labels.fault,
        faults=len(faults),
        times=times,
        service=service.astype(np.int64),
        services=len(names),
        keyword=np.array([known[form] for form in forms], bool),
        kind=kind.astype(np.int64),
        planned=planned,
        plans=np.array(plans, np.float64).reshape(-1, 2),
        reached=reached,
        quiet_s=_quiet_seconds([(e.injected_at, e.recovered_at) for e in faults], float(times[-1])),
    )


def _quiet_seconds(faults: list[tuple[float, float]], end: float) -> float:
    """The seconds up to `end` that lie in no fault and in no tail behind one."""
    # Faults from 10 to 20 and from 25 to 40, a tail of 10, an end at 100: 10 + (100 - 50) = 60.
    quiet, since = 0.0, 0.0
    for injected, recovered in sorted(faults):
        quiet += max(0.0, injected - since)
        since = max(since, recovered + RECOVERY_TAIL_S)
    return quiet + max(0.0, end - since)
