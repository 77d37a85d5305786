"""Scores as arrays → the few alerts, and the verdicts that people read.

Knows no torch, so that the daemon's simulation and the command line work without loading the model.

Legend: w windows · L window size
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from logwarden.model import kinds
from logwarden.model.arrays import Bools, Doubles, Floats, Ints
from logwarden.model.budget import STRICT, AlertBudget
from logwarden.model.kinds import KINDS
from logwarden.model.learning import LearningNeed, LearningRules, learned_share
from logwarden.model.rates import RATE_COLUMNS
from logwarden.model.schema import DEFAULT_KINDS, AlertKind, LineRate, LineSilence, LogLine, LogWindow, Verdict
from logwarden.model.windowing import WindowBatch

RATES = ("line", "failures", "refusals")
"""Names of what `logwarden.model.rates` counts."""
GUILTY_SHARE = 0.5
"""A line is guilty if its weight is at least this share of the greatest weight in its window."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The model's answers on w windows, as arrays on the host."""

    logits: Floats
    """(w, 2) normal, anomaly."""
    probability: Doubles
    """(w,) calibrated probability of an anomaly."""
    line_weights: Floats
    """(w, L) share of the score that each line carries, oldest first; 0 in padding."""
    kinds: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """(w,) places in `logwarden.model.kinds.KINDS`; empty until `AlertPolicy.judged`."""


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """The rule that makes an alert of a score, and the facts of the model that a verdict carries."""

    threshold: float
    """Least probability of an anomaly that raises an alert."""
    learning_lines: int
    """Lines of a service that must be counted before its newest line may raise an alert."""
    model_revision: str
    """Names the weights, for the alert's reader."""
    learning: LearningRules | None = None
    """How long each service learns, where services differ or time counts. None: by `learning_lines` only."""
    budget_per_day: int = 0
    """Episodes of alerts within a day from which a service needs `STRICT` for another; 0: no budget."""
    kinds: Collection[AlertKind] = DEFAULT_KINDS
    """Kinds of anomalies that raise an alert."""

    def judged(self, batch: WindowBatch, scores: Scores) -> Scores:
        """Returns the scores with what the rates of lines say, which the model does not see."""
        found = kinds.kinds_of(batch, self.kinds)
        return replace(scores, probability=kinds.raised(scores.probability, found), kinds=found)

    def alerts_due(self, batch: WindowBatch, scores: Scores) -> Bools:
        """Returns (w,) True for the windows that raise an alert, given what `judged` returns."""
        # With 200 learning lines, a line with 200 lines before it has log_age log2(201) and may raise one. The 1e-4 is
        # wider than a rounding of float32 and narrower than the step of one line, 1.44 / 201 bits.
        known = batch.newest("log_age") >= np.float32(math.log2(1 + self.learning_lines)) - 1e-4
        due = (scores.probability >= self.threshold) & known
        return np.asarray(due & kinds.is_wanted(scores.kinds, self.kinds))

    @property
    def rules(self) -> LearningRules:
        """How long each service learns."""
        return self.learning or LearningRules(LearningNeed(self.learning_lines))

    def have_learned(self, services: Sequence[str], batch: WindowBatch, first_ms: Ints, places: Ints) -> Bools:
        """Returns (d,) True for the windows at these places whose service may raise alerts.

        `services` (d,): their names. `first_ms` (d,): time of the first line of each service; -1 where it has none.
        """
        lines = np.rint(np.exp2(batch.newest("log_age")[places].astype(np.float64)) - 1)
        at_ms = batch.newest("timestamp")[places]
        elapsed = np.where((first_ms >= 0) & (at_ms >= 0), at_ms - first_ms, -1)
        return np.asarray(learned_share(*self.rules.needs(services), lines, elapsed) >= 1.0)

    @property
    def beyond_budget(self) -> AlertPolicy:
        """Returns the rule for a service that has used up its budget."""
        return replace(self, threshold=max(self.threshold, STRICT))

    def over_budget(self, budget: AlertBudget, services: Sequence[Hashable], batch: WindowBatch, places: Ints) -> Bools:
        """Counts windows that are due, and returns (d,) True where their service had used up its budget.

        `places` (d,): the windows in the batch, in stream order. `services` (d,): what the budget knows them by.
        """
        if not self.budget_per_day:
            return np.zeros(len(places), bool)
        return budget.used_up(services, batch.newest("timestamp")[places].tolist(), self.budget_per_day)

    def verdict(
        self, batch: WindowBatch, scores: Scores, place: int, *, service: str, topic: str = "", partition: int = 0
    ) -> Verdict:
        """Returns the verdict on one window, given its place in the batch."""
        history = history_lines(batch, place)
        anomaly = float(scores.probability[place])
        return Verdict(
            window=LogWindow(
                service=service,
                topic=topic,
                partition=partition,
                lines=_lines(batch, scores.line_weights[place], place),
            ),
            probabilities=(1.0 - anomaly, anomaly),
            logits=(float(scores.logits[place, 0]), float(scores.logits[place, 1])),
            threshold=self.threshold,
            learning=history < self.learning_lines,
            history_lines=history,
            model_revision=self.model_revision,
            kind=KINDS[int(scores.kinds[place])],
            rate=rate_of(batch, place) if kinds.is_rate(scores.kinds[place]) else None,
            silence=silence_of(batch, place) if kinds.is_silence(scores.kinds[place]) else None,
        )


def rate_of(batch: WindowBatch, place: int) -> LineRate:
    """Returns the rate that went up in a window: that of its newest fresh line with one."""
    # Three fresh lines, at places 4, 5 and 6; a rate went up at 4 and 5: the answer is that of place 5.
    end = int(batch.ends[place])
    fresh = slice(end + 1 - int(batch.fresh[place]), end + 1)
    counted, before, of = (batch.columns[name][fresh] for name in RATE_COLUMNS)
    newest = int(np.flatnonzero(counted)[-1])
    return LineRate(counted=int(counted[newest]), before=int(before[newest]), of=RATES[int(of[newest])])


def silence_of(batch: WindowBatch, place: int) -> LineSilence:
    """Returns the silence after the newest line of a window."""
    end = int(batch.ends[place])
    seconds, longest = (int(batch.columns[name][end]) for name in ("rate", "rate_before"))
    return LineSilence(seconds=seconds, longest_before=longest)


def guilty_lines(weights: Floats) -> Bools:
    """Returns (…, L) True for the lines that carry the score. The newest line is one: the alert is about it."""
    # weights   0.0 0.5 0.2 0.3      half of the greatest is 0.25
    # guilty    0   1   0   1
    guilty = weights >= np.maximum(GUILTY_SHARE * weights.max(axis=-1, keepdims=True), 1e-6)
    guilty[..., -1] = True
    return np.asarray(guilty)


def history_lines(batch: WindowBatch, place: int) -> int:
    """Returns the number of lines of the service before the window's newest one, as far as ages are counted."""
    # The inverse of log_age = log2(1 + lines); rounding removes the error of float32.
    return round(2 ** float(batch.columns["log_age"][batch.ends[place]]) - 1)


def surprises(log_age: Floats, log_count: Floats) -> list[float]:
    """Returns the surprise of each line, in bits, from its columns `log_age` and `log_count`."""
    return np.maximum(log_age - log_count, 0.0).tolist()  # type: ignore[no-any-return]


def _lines(batch: WindowBatch, weights: Floats, place: int) -> tuple[LogLine, ...]:
    """The lines of one window, oldest first, without its padding."""
    # Window size 4, 3 lines that end at place 8 of the flat columns:
    #   lines       places 6, 7, 8 of the columns, [end - filled, end)
    #   weights     columns 1, 2, 3 of the row, [size - filled, size): column 0 is padding
    filled, end = int(batch.filled[place]), int(batch.ends[place]) + 1
    guilty = guilty_lines(weights)
    columns = {name: column[end - filled : end] for name, column in batch.columns.items()}
    surprise = surprises(columns["log_age"], columns["log_count"])
    return tuple(
        LogLine(
            text=columns["text"][i].decode("utf-8", "replace"),
            offset=int(columns["offset"][i]),
            index=int(columns["index"][i]),
            timestamp_ms=int(columns["timestamp"][i]) if columns["timestamp"][i] >= 0 else None,
            weight=float(weights[batch.size - filled + i]),
            kind=int(columns["kind"][i]),
            surprise=surprise[i],
            guilty=bool(guilty[batch.size - filled + i]),
        )
        for i in range(filled)
    )
