"""Compares two last steps on the last part of labelled units: ranking, incidents found, false alarms, and a verdict.

Legend: n lines · u units
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.table import Table

from logwarden.model.budget import STRICT
from logwarden.training.head.adapting import folded_alarms, log_odds
from logwarden.training.head.labelled import ANOMALOUS, NORMAL, LabelledStream
from logwarden.training.metrics import average_precision

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SAME = 0.005
"""Difference of average precision or F1 below which two models are equal."""
WORSE = 0.02
"""Loss of average precision that no better F1 makes good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtThreshold:
    """What alerts from a probability on bring."""

    found: int
    """Incidents with an alert."""
    alarms: int
    """Normal units with an alert."""
    folded: int
    """The same, where those of a service within a minute are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One model on the last part."""

    precision: float
    """Average precision over units."""
    incidents: int
    normal: int
    """Normal units."""
    usual: AtThreshold
    strict: AtThreshold
    """Beyond a service's alerts of a day."""

    @property
    def f1(self) -> float:
        """Returns F1 at the usual threshold: of incidents found, and of alerts that are right."""
        return 2 * self.usual.found / max(self.usual.found + self.usual.folded + self.incidents, 1)


def figures_of(stream: LabelledStream, units: Bools, scores: Doubles, threshold: float) -> Figures:
    """Measures log-odds (u,) on the chosen units (u,). Raises ValueError unless both labels occur among them.

    Units of services that are too young for the last step have a score of -inf. They are missed, and no false alarm.
    """
    judged = np.isfinite(scores) & units & (stream.labels != -1)
    anomalous = stream.labels[judged] == ANOMALOUS
    if anomalous.all() or not anomalous.any():
        raise ValueError(
            f"the last part, which is kept to measure on, has {int(anomalous.sum()):,} anomalous and "
            f"{int((~anomalous).sum()):,} normal {stream.name} of services that have logged 200 lines before; "
            "label more lines of the last incidents and of the time around them"
        )
    return Figures(
        precision=average_precision(anomalous, scores[judged]),
        incidents=len(np.unique(stream.incident[units & (stream.labels == ANOMALOUS)])),
        normal=int((~anomalous).sum()),
        usual=_at(stream, units, scores, log_odds(threshold)),
        strict=_at(stream, units, scores, log_odds(max(STRICT, threshold))),
    )


def is_better(yours: Figures, other: Figures) -> bool:
    """Returns True if yours finds more for its false alarms, or ranks better and finds no less; and if it finds any."""
    gain, ranked = yours.f1 - other.f1, yours.precision - other.precision
    return yours.usual.found > 0 and ((gain > SAME and ranked > -WORSE) or (abs(gain) <= SAME and ranked > SAME))


def table_of(yours: Figures, other: Figures, name: str, stream: LabelledStream, threshold: float) -> Table:
    """Lays out both models. `name` is that of the other one."""
    table = Table(
        title=f"held out: the last {other.incidents} incidents, {other.normal:,} normal {stream.name}",
        title_justify="left",
    )
    table.add_column("")
    for column in (name, "yours"):
        table.add_column(column, justify="right")
    table.add_row("average precision", *(f"{one.precision:.3f}" for one in (other, yours)))
    for label, chosen in ((f"{threshold:.2f}", "usual"), (f"{max(STRICT, threshold):.2f}", "strict")):
        parts: list[AtThreshold] = [getattr(one, chosen) for one in (other, yours)]
        table.add_row(f"incidents found at {label}", *(f"{at.found} of {other.incidents}" for at in parts))
        per_million = (f"{at.alarms:,} ({1e6 * at.alarms / other.normal:,.0f})" for at in parts)
        table.add_row(f"false alarms at {label} (per million normal {stream.name})", *per_million)
    return table


def verdict_of(yours: Figures, other: Figures, name: str) -> str:
    """Returns one plain sentence: which is better, and by what."""
    mine, old = (
        f"{one.usual.found} of {one.incidents} incidents, {one.usual.alarms:,} false alarms, average precision "
        f"{one.precision:.3f}"
        for one in (yours, other)
    )
    better = "better" if is_better(yours, other) else "not better"
    return f"Yours is {better}: {mine}; the {name} model: {old}."


def verdict_of_sessions(whole: Figures) -> str:
    """Returns one plain sentence about the judge of whole sessions."""
    return (
        f"Judged as wholes, by the kinds of their lines and their counts: {whole.usual.found} of {whole.incidents} "
        f"incidents, {whole.usual.alarms:,} false alarms, average precision {whole.precision:.3f}."
    )


def _at(stream: LabelledStream, units: Bools, scores: Doubles, bound: float) -> AtThreshold:
    alert = units & (scores >= bound)
    normal = np.flatnonzero(units & (stream.labels == NORMAL))
    return AtThreshold(
        found=len(np.unique(stream.incident[alert & (stream.labels == ANOMALOUS)])),
        alarms=int(alert[normal].sum()),
        folded=int((folded_alarms(stream, normal, scores) >= bound).sum()),
    )
