"""Figures for scores against labels: ranking, F1 at a frozen threshold, bootstrap intervals, alarms per million lines.

Knows neither models nor recordings: (n,) scores, higher = more anomalous, and (n,) labels, true = anomalous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

Labels = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What a frozen threshold achieves."""

    threshold: float
    precision: float
    recall: float
    f1: float


def auroc(labels: Labels, scores: Scores) -> float:
    """Chance that an anomaly scores above a normal one, ties counting half. ValueError unless both classes occur."""
    _need_both(labels)
    return float(roc_auc_score(labels, scores))


def average_precision(labels: Labels, scores: Scores) -> float:
    """Area under precision over recall, which unlike AUROC feels the prevalence. ValueError unless both occur."""
    _need_both(labels)
    return float(average_precision_score(labels, scores))


def best_f1(labels: Labels, scores: Scores) -> Detection:
    """The best F1 of any threshold: choose it on validation, freeze it, then call `detection_at` on the test.

    Reported for a test set itself it is an upper bound, not a result.
    """
    _need_both(labels)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(f1[:-1].argmax())  # the last point belongs to no threshold
    return detection_at(labels, scores, float(thresholds[best]))


def detection_at(labels: Labels, scores: Scores, threshold: float) -> Detection:
    """Precision, recall and F1 when every score ≥ `threshold` raises an alert. Without any alert precision is 0."""
    raised = scores >= threshold
    hits = int((raised & labels).sum())
    precision = hits / max(int(raised.sum()), 1)
    recall = hits / max(int(labels.sum()), 1)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return Detection(threshold=threshold, precision=precision, recall=recall, f1=f1)


def threshold_of_normal(scores: Scores, quantile: float = 0.99) -> float:
    """The threshold that lets at most 1 − `quantile` of these (normal) scores raise an alert; needs no anomalies."""
    highest_quiet = float(np.quantile(scores, quantile, method="higher"))
    return float(np.nextafter(highest_quiet, np.inf))


def false_alarms_per_million(labels: Labels, scores: Scores, lines: npt.NDArray[np.integer], threshold: float) -> float:
    """Alerts on normal units (sessions, windows, lines) per million of their lines; `lines` (n,) counts each unit's."""
    normal_lines = int(lines[~labels].sum())
    return 1e6 * int((scores[~labels] >= threshold).sum()) / max(normal_lines, 1)


def bootstrap_interval(
    figure: Callable[[Labels, Scores], float],
    labels: Labels,
    scores: Scores,
    *,
    rounds: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """`figure` with the interval of its values over resamples of the anomalies and of the normal units, separately.

    Resampling within the classes keeps the prevalence, and every resample holds both classes.
    """
    _need_both(labels)
    chance = np.random.default_rng(seed)
    positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
    values = []
    for _ in range(rounds):
        drawn = np.concatenate([chance.choice(positives, len(positives)), chance.choice(negatives, len(negatives))])
        values.append(figure(labels[drawn], scores[drawn]))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=figure(labels, scores), low=float(low), high=float(high))


def _need_both(labels: Labels) -> None:
    if labels.all() or not labels.any():
        raise ValueError("A ranking figure needs anomalies and normal units; there is only one kind.")
