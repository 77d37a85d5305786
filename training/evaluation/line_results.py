"""Compares a detector with the fault lab's labelled lines, system by system. The model is given no label.

The runs of a system are one stream. The first two are history, as a service's past would be, and the third is scored.
The past is either whole, so that every fault has occurred twice before, or its fault-free lines alone. Lines in doubt
are scored and not counted. A fault counts as found when any line in its reach raises an alert. Knows labels and
results, neither models nor files.

Legend: n lines of the last run that are labelled
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from logwarden.training.evaluation.baselines import KEYWORDS
from logwarden.training.evaluation.replay import ReplayedStream
from logwarden.training.evaluation.tables import Grid
from logwarden.training.faultlab.labels import State
from logwarden.training.faultlab.recording import RUN_GAP_S
from logwarden.training.faultlab.release import LabelledRun
from logwarden.training.metrics import auroc, average_precision

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineResult:
    """One method on one system."""

    system: str
    past: str
    method: str
    lines: int
    anomalous: int
    auroc: float
    ap: float
    found: int
    """Faults in whose reach the method raised an alert."""
    faults: int
    alarms_per_million: float
    """Alerts per million lines of fault-free time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStream:
    """All runs of one system, one after the other."""

    system: str
    lines: list[str]
    service: npt.NDArray[np.int64]
    at_ms: npt.NDArray[np.int64]
    """(n,) time of each line; a run begins two minutes after the one before it."""
    scored: Bools
    """The lines of the last run."""
    last: LabelledRun


def stream_of(runs: Sequence[LabelledRun], *, fault_free_past: bool = False) -> SystemStream:
    """Joins the runs of one system in their order; with `fault_free_past` without the other lines of earlier runs."""
    past, times, began = [], [], 0.0
    for run in runs[:-1]:
        for line, state in zip(run.recording.lines, run.labels.states, strict=True):
            if state == State.NORMAL or not fault_free_past:
                past.append(line)
                times.append(began + line.t)
        began += run.recording.lines[-1].t + RUN_GAP_S
    lines = [*past, *runs[-1].recording.lines]
    times += [began + line.t for line in runs[-1].recording.lines]
    names = sorted({line.service for line in lines})
    number = {name: place for place, name in enumerate(names)}
    scored = np.zeros(len(lines), bool)
    scored[len(past) :] = True
    return SystemStream(
        system=runs[-1].system,
        lines=[line.text for line in lines],
        service=np.array([number[line.service] for line in lines]),
        at_ms=(np.array(times) * 1000).astype(np.int64),
        scored=scored,
        last=runs[-1],
    )


def line_results(stream: SystemStream, replayed: ReplayedStream, name: str, past: str = "") -> list[LineResult]:
    """Returns the results on the last run: of the model, called `name`, and of three one-line rules."""
    texts = np.array([KEYWORDS.search(text) is not None for text in replayed.texts], bool)
    keyword, new = texts[replayed.ids][stream.scored], replayed.new[stream.scored]
    surprise = replayed.surprise[stream.scored]
    methods: list[tuple[str, Doubles, Bools]] = [
        (name, replayed.margin[stream.scored], replayed.alerts[stream.scored]),
        ("surprise", surprise, surprise >= 10),
        ("keyword in the line", keyword.astype(np.float64), keyword),
        ("keyword, never logged before", (keyword & new).astype(np.float64), keyword & new),
    ]
    return [_result(stream, past, method, scores, alerts) for method, scores, alerts in methods]


def line_grid(results: Sequence[LineResult], past: str) -> Grid:
    """Lays out a row for each system and their mean. `past` describes the history before the scored run."""
    methods = list(dict.fromkeys(result.method for result in results))
    at = {(result.system, result.method): result for result in results}
    systems = list(dict.fromkeys(result.system for result in results))
    rows = []
    for system in systems:
        first = at[system, methods[0]]
        results_of_system = (at[system, method] for method in methods)
        rows.append((system, f"{first.anomalous:,} of {first.lines:,}", *map(_cell, results_of_system)))
    means = [_mean([at[system, method] for system in systems]) for method in methods]
    rows.append(("mean", "", *means))
    header = ("system", "anomalous lines", *(f"{m}: AUROC · AP · faults found · false alarms/M" for m in methods))
    remark = "Third run of each system; the model was given no label. Surprise raises an alert from 10 bits on."
    return Grid(f"fault lab, line by line, after {past}", header, rows, remark)


def _mean(results: Sequence[LineResult]) -> str:
    area, precision = np.mean([(x.auroc, x.ap) for x in results], axis=0)
    alarms = float(np.mean([x.alarms_per_million for x in results]))
    found, faults = sum(x.found for x in results), sum(x.faults for x in results)
    return f"{area:.3f} · {precision:.3f} · {found} of {faults} · {alarms:,.0f}"


def _cell(result: LineResult) -> str:
    return (
        f"{result.auroc:.3f} · {result.ap:.3f} · {result.found} of {result.faults} · {result.alarms_per_million:,.0f}"
    )


def _result(stream: SystemStream, past: str, method: str, scores: Doubles, alerts: Bools) -> LineResult:
    labels = stream.last.labels
    evidence, normal = labels.states == State.EVIDENCE, labels.states == State.NORMAL
    known = evidence | normal
    found = set(labels.fault[alerts & (labels.fault >= 0)].tolist())
    return LineResult(
        system=stream.system,
        past=past,
        method=method,
        lines=int(known.sum()),
        anomalous=int(evidence.sum()),
        auroc=auroc(evidence[known], scores[known]),
        ap=average_precision(evidence[known], scores[known]),
        found=len(found),
        faults=len(stream.last.recording.faults),
        alarms_per_million=1e6 * float((alerts & normal).sum()) / max(int(normal.sum()), 1),
    )
