"""Figures for scores against labels: ranking, F1 at a frozen threshold, bootstrap intervals, alarms per million lines.

Takes (n,) scores, higher = more anomalous, and (n,) labels, true = anomalous. Knows neither models nor recordings.
"""

from __future__ import annotations

from collections import deque
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
    """The figures of a frozen threshold."""

    threshold: float
    precision: float
    recall: float
    f1: float


def auroc(labels: Labels, scores: Scores) -> float:
    """Returns the chance that an anomaly scores above a normal unit; ties count half.

    Raises ValueError unless both classes occur.
    """
    _need_both(labels)
    return float(roc_auc_score(labels, scores))


def average_precision(labels: Labels, scores: Scores) -> float:
    """Returns the area under precision over recall, which unlike AUROC depends on the prevalence.

    Raises ValueError unless both classes occur.
    """
    _need_both(labels)
    return float(average_precision_score(labels, scores))


def best_f1(labels: Labels, scores: Scores) -> Detection:
    """Returns the threshold with the best F1. Choose it on validation data, then call `detection_at` on the test.

    On the test itself it is an upper bound, not a result. Raises ValueError unless both classes occur.
    """
    _need_both(labels)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(f1[:-1].argmax())  # the last point belongs to no threshold
    return detection_at(labels, scores, float(thresholds[best]))


def detection_at(labels: Labels, scores: Scores, threshold: float) -> Detection:
    """Returns precision, recall and F1 if every score ≥ `threshold` raises an alert; without alerts precision is 0."""
    raised = scores >= threshold
    hits = int((raised & labels).sum())
    precision = hits / max(int(raised.sum()), 1)
    recall = hits / max(int(labels.sum()), 1)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return Detection(threshold=threshold, precision=precision, recall=recall, f1=f1)


def threshold_of_normal(scores: Scores, quantile: float = 0.99) -> float:
    """Returns the threshold at which at most 1 − `quantile` of these (normal) scores raise an alert."""
    # Scores 0, 1, …, 99 and quantile .99: the highest score without an alert is 99. The threshold is the next number
    # above it, because a score equal to the threshold raises an alert.
    highest_quiet = float(np.quantile(scores, quantile, method="higher"))
    return float(np.nextafter(highest_quiet, np.inf))


def false_alarms_per_million(labels: Labels, scores: Scores, lines: npt.NDArray[np.integer], threshold: float) -> float:
    """Returns the alerts on normal units (sessions, windows, lines) per million of their `lines` (n,)."""
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
    """Returns `figure` with the interval of its values over resamples.

    Anomalies and normal units are resampled separately: the prevalence stays, and every resample has both classes.
    """
    _need_both(labels)
    chance = np.random.default_rng(seed)
    positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
    values = []
    for _ in range(rounds):
        sample = np.concatenate([chance.choice(positives, len(positives)), chance.choice(negatives, len(negatives))])
        values.append(figure(labels[sample], scores[sample]))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=figure(labels, scores), low=float(low), high=float(high))


def ranking_intervals(
    labels: Labels, scores: Scores, *, rounds: int = 500, level: float = 0.95, seed: int = 0
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Returns the low ends of the bootstrap intervals of (AUROC, AP), then the high ends.

    Equivalent to `bootstrap_interval` and fifty times faster: only the number of times that each distinct score is
    drawn matters, and that number is multinomial.
    """
    # Four sessions with three distinct scores; each round draws how often a score occurs in each class:
    #   scores [9, 5, 5, 1]   labels [T, T, F, F]
    #   code   [0, 1, 1, 2]   0 = the highest score
    #   hits   e.g. [2, 0, 0]   others e.g. [0, 1, 1]   (one round)
    #   below  [2, 1.5, 0.5]    normal units ranked lower than each score; a tie counts half
    #   area   (2 · 2 + 0 + 0) / (2 · 2) = 1
    _, code = np.unique(-scores, return_inverse=True)
    chance = np.random.default_rng(seed)
    hits, others = (
        chance.multinomial(
            int(chosen.sum()), np.bincount(code[chosen], minlength=code.max() + 1) / chosen.sum(), rounds
        )
        for chosen in (labels, ~labels)
    )  # rounds × distinct scores
    above_hits, above_others = hits.cumsum(axis=1), others.cumsum(axis=1)
    below = above_others[:, -1:] - above_others + others / 2
    area = (hits * below).sum(axis=1) / (labels.sum() * (~labels).sum())
    precision = (hits * above_hits / np.maximum(above_hits + above_others, 1)).sum(axis=1) / labels.sum()
    ends = (1 - level) / 2, (1 + level) / 2
    bounds = np.quantile(np.stack([area, precision]), ends, axis=1)  # end × figure
    return (float(bounds[0, 0]), float(bounds[0, 1])), (float(bounds[1, 0]), float(bounds[1, 1]))


def _need_both(labels: Labels) -> None:
    if labels.all() or not labels.any():
        raise ValueError("a ranking figure needs anomalies and normal units, and there is only one kind")


def firsts_of_episodes(
    scores: npt.NDArray[np.float64], times: npt.NDArray[np.float64], keys: npt.NDArray[np.int64], seconds: float
) -> npt.NDArray[np.float64]:
    """Returns (n,) the scores of lines that are above all with the same key in the seconds before; -inf for the others.

    So at any threshold the first line of an episode counts, and a later one only if it is worse.
    """
    # One queue for each key, whose scores fall: what is older and lower than a new score can hold back no later one.
    #   seconds, scores   0: 3   10: 5   20: 4   90: 4
    #   queue             3      5       5 4     4
    #   result            3      5       -       4
    result = np.full(len(scores), -np.inf)
    recent: dict[int, deque[tuple[float, float]]] = {}
    for place in np.flatnonzero(scores > -np.inf).tolist():
        score, now = float(scores[place]), float(times[place])
        queue = recent.setdefault(int(keys[place]), deque())
        while queue and queue[0][0] < now - seconds:
            queue.popleft()
        if not queue or score > queue[0][1]:
            result[place] = score
        while queue and queue[-1][1] <= score:
            queue.pop()
        queue.append((now, score))
    return result
