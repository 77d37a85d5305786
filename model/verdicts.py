"""From scores as arrays to verdicts that people read. Only for the few windows that somebody will look at.

Knows no torch: the daemon's simulation and the command line read it without loading the model.

Legend: w windows · L window size
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from logwarden.model.arrays import Bools, Doubles, Floats
from logwarden.model.schema import LogLine, LogWindow, Verdict
from logwarden.model.windowing import WindowBatch

GUILTY_SHARE = 0.5
"""A line is guilty if it carries at least this share of what the heaviest line of its window carries."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What the model says of w windows, as arrays on the host."""

    logits: Floats
    """(w, 2) normal, anomaly."""
    probability: Doubles
    """(w,) calibrated probability of an anomaly."""
    line_weights: Floats
    """(w, L) share of the score that each line carries, oldest first."""


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """When a score becomes an alert, and what goes into the verdict beside it."""

    threshold: float
    learning_lines: int
    """Lines of a service that must be known before its newest line may raise an alert."""
    model_revision: str

    def alerts_due(self, batch: WindowBatch, scores: Scores) -> Bools:
        """(w,) which windows raise an alert."""
        known = batch.newest("log_age") >= np.float32(math.log2(1 + self.learning_lines)) - 1e-4
        return np.asarray((scores.probability >= self.threshold) & known)

    def verdict(
        self, batch: WindowBatch, scores: Scores, place: int, *, service: str, topic: str = "", partition: int = 0
    ) -> Verdict:
        """The verdict of one window of the batch."""
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
        )


def guilty_lines(weights: Floats) -> Bools:
    """(…, L) line weights → which lines carry the score. The newest line always does: an alert is about it."""
    guilty = weights >= np.maximum(GUILTY_SHARE * weights.max(axis=-1, keepdims=True), 1e-6)
    guilty[..., -1] = True
    return np.asarray(guilty)


def history_lines(batch: WindowBatch, place: int) -> int:
    """How many lines of the service were known before the window's newest one, as far as ages are counted."""
    return round(2 ** float(batch.columns["log_age"][batch.ends[place]]) - 1)


def _lines(batch: WindowBatch, weights: Floats, place: int) -> tuple[LogLine, ...]:
    filled, end = int(batch.filled[place]), int(batch.ends[place]) + 1
    guilty = guilty_lines(weights)
    columns = {name: column[end - filled : end] for name, column in batch.columns.items()}
    return tuple(
        LogLine(
            text=columns["text"][i].decode("utf-8", "replace"),
            offset=int(columns["offset"][i]),
            index=int(columns["index"][i]),
            timestamp_ms=int(columns["timestamp"][i]) if columns["timestamp"][i] >= 0 else None,
            weight=float(weights[batch.size - filled + i]),
            surprise=max(0.0, float(columns["log_age"][i] - columns["log_count"][i])),
            guilty=bool(guilty[batch.size - filled + i]),
        )
        for i in range(filled)
    )
