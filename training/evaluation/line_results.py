"""What a detector says of the fault lab's labelled lines, system by system: nothing of it is told to the model.

The runs of a system are one stream: the first two are heard, as a service's past would be, and the third is judged, so
every line comes after the history that it is measured against. The past is heard in two ways: whole, with the same
faults in it twice, so that every failure is one that has come before; or its fault-free lines alone, so that it has
not. Lines in doubt are judged and not counted. A fault counts as found when any line in its reach raises an alert.
Knows labels and verdicts, neither models nor files.

Legend: n lines of the last run that are labelled
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from logwarden.training.evaluation.baselines import KEYWORDS
from logwarden.training.evaluation.replay import Judged
from logwarden.training.evaluation.tables import Grid
from logwarden.training.faultlab.labels import State
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
    """Faults in whose reach it raised an alert."""
    faults: int
    alarms_per_million: float
    """Alerts among a million lines of fault-free time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """All runs of one system, one after the other."""

    system: str
    lines: list[str]
    service: npt.NDArray[np.int64]
    judged: Bools
    """The lines of the last run."""
    last: LabelledRun


def stream_of(runs: Sequence[LabelledRun], *, past_in_peace: bool = False) -> Stream:
    """The runs of one system in their order; with `past_in_peace` only the fault-free lines of all but the last."""
    past = [
        line
        for run in runs[:-1]
        for line, state in zip(run.recording.lines, run.labels.states, strict=True)
        if state == State.NORMAL or not past_in_peace
    ]
    lines = [*past, *runs[-1].recording.lines]
    names = sorted({line.service for line in lines})
    number = {name: place for place, name in enumerate(names)}
    judged = np.zeros(len(lines), bool)
    judged[len(past) :] = True
    return Stream(
        system=runs[-1].system,
        lines=[line.text for line in lines],
        service=np.array([number[line.service] for line in lines]),
        judged=judged,
        last=runs[-1],
    )


def line_results(stream: Stream, said: Judged, name: str, past: str = "") -> list[LineResult]:
    """The model, called `name`, and what a line of code would say, on the last run."""
    texts = np.array([KEYWORDS.search(text) is not None for text in said.texts], bool)
    keyword, new = texts[said.ids][stream.judged], said.new[stream.judged]
    surprise = said.surprise[stream.judged]
    methods: list[tuple[str, Doubles, Bools]] = [
        (name, said.margin[stream.judged], said.alerts[stream.judged]),
        ("surprise", surprise, surprise >= 10),
        ("keyword in the line", keyword.astype(np.float64), keyword),
        ("keyword, never said before", (keyword & new).astype(np.float64), keyword & new),
    ]
    return [_result(stream, past, method, scores, alerts) for method, scores, alerts in methods]


def line_grid(results: Sequence[LineResult], past: str) -> Grid:
    """A row for each system, and the mean of all. `past` says what was heard before."""
    methods = list(dict.fromkeys(result.method for result in results))
    at = {(result.system, result.method): result for result in results}
    systems = list(dict.fromkeys(result.system for result in results))
    rows = []
    for system in systems:
        first = at[system, methods[0]]
        told = (at[system, method] for method in methods)
        rows.append((system, f"{first.anomalous:,} of {first.lines:,}", *map(_cell, told)))
    means = [_mean([at[system, method] for system in systems]) for method in methods]
    rows.append(("mean", "", *means))
    header = ("system", "anomalous lines", *(f"{m}: AUROC · AP · faults found · false alarms/M" for m in methods))
    remark = "Third run of each system; no label seen by the model. Alerts on surprise from 10 bits."
    return Grid(f"fault lab, line by line, after {past}", header, rows, remark)


def _mean(its: Sequence[LineResult]) -> str:
    area, precision = np.mean([(x.auroc, x.ap) for x in its], axis=0)
    alarms = float(np.mean([x.alarms_per_million for x in its]))
    return f"{area:.3f} · {precision:.3f} · {sum(x.found for x in its)} of {sum(x.faults for x in its)} · {alarms:,.0f}"


def _cell(result: LineResult) -> str:
    return (
        f"{result.auroc:.3f} · {result.ap:.3f} · {result.found} of {result.faults} · {result.alarms_per_million:,.0f}"
    )


def _result(stream: Stream, past: str, method: str, scores: Doubles, alerts: Bools) -> LineResult:
    labels = stream.last.labels
    evidence, normal = labels.states == State.EVIDENCE, labels.states == State.NORMAL
    known = evidence | normal
    heard = set(labels.fault[alerts & (labels.fault >= 0)].tolist())
    return LineResult(
        system=stream.system,
        past=past,
        method=method,
        lines=int(known.sum()),
        anomalous=int(evidence.sum()),
        auroc=auroc(evidence[known], scores[known]),
        ap=average_precision(evidence[known], scores[known]),
        found=len(heard),
        faults=len(stream.last.recording.faults),
        alarms_per_million=1e6 * float((alerts & normal).sum()) / max(int(normal.sum()), 1),
    )
