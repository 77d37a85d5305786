"""Adapts the last step of a model to labels: boosted trees that begin at the answers of the model's own.

Head and line encoder stay as they are. The new trees correct the log-odds of the old ones where the labels contradict
them. They are monotone as those are. So that nothing is forgotten, the answers on another recording must stay what they
were. Where a session is anomalous and its lines have no labels, the line that scores highest is taken for the anomaly,
anew for every tree.

The threshold stays. All scores are shifted to where most incidents are found for the fewest false alarms, on parts that
the trees have not seen.

Legend: m rows · F inputs · u units
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor

from logwarden.model.calibration import Calibration
from logwarden.model.decision import HISTORY_LINES, INPUTS, Decision
from logwarden.model.trees import DEPTH, LEAVES, BoostedTrees
from logwarden.training.head.judging import EPISODE_S, as_arrays, kept_share, scaled, thinned
from logwarden.training.head.labelled import ANOMALOUS, NORMAL, Ints, LabelledStream
from logwarden.training.head.line_inputs import Floats, LineInputs
from logwarden.training.metrics import firsts_of_episodes

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TREES = 40
RATE = 0.1
MOST_SHIFT = 3.0
"""Most log-odds by which all scores are shifted."""
FOLDS = 3
_PRICE = 0.01
"""Gain of F1 that a shift by one must bring."""
_PART = 1 << 16
_BINS = 64
_LEAST_CURVATURE = 1e-3
_MOST_STEP = 4.0
_PLAIN_LINES = 5_000
"""Normal lines that are kept at least, where there are so many."""
_AGE = list(INPUTS).index("log_age")
_HISTORY_BITS = float(np.log2(1 + HISTORY_LINES)) - 1e-4


@dataclass(frozen=True, slots=True)
class Rows:
    """m rows to learn from."""

    inputs: Floats
    """(m, F)"""
    targets: Doubles
    """(m,) probability of an anomaly."""
    weights: Doubles
    """(m,)"""
    unit: Ints
    """(m,) the anomalous unit of a row, of whose rows only the highest counts; -1 where every row counts."""


def adapt(
    start: Decision,
    calibration: Calibration,
    stream: LabelledStream,
    measured: LineInputs,
    units: Bools,
    rehearsed: Floats,
    advance: Callable[[], None],
) -> Decision:
    """Returns a last step that has learned from the chosen units (u,), and keeps its answers on other rows (k, F).

    `advance` is called after each of up to `FOLDS + 1` fits.
    """
    answers = np.full(len(units), -np.inf)
    for block in _blocks(stream, units):
        trees = _corrected(start, calibration, stream, measured, units & ~block, rehearsed)
        # A failure never stated before raises an alert whatever the shift: its floor stays where it is.
        unseen = unit_scores(Decision(trees, np.inf), calibration, stream, measured)
        answers[block] = unseen[block]
        advance()
    bound = _best_bound(stream, units, answers - log_odds(calibration.threshold))
    trees = _corrected(start, calibration, stream, measured, units, rehearsed)
    advance()
    return Decision(scaled(trees, 1.0, -bound / calibration.scale), start.floor)


def unit_scores(decision: Decision, calibration: Calibration, stream: LabelledStream, measured: LineInputs) -> Doubles:
    """Returns (u,) log-odds of units: of a line, or of the highest line of a session. Young services have -inf."""
    scores = line_scores(decision, calibration, measured)
    found = np.full(len(stream.labels), -np.inf)
    np.maximum.at(found, stream.unit, scores)
    return found


def line_scores(decision: Decision, calibration: Calibration, measured: LineInputs) -> Doubles:
    """Returns (n,) log-odds of lines; -inf where the service is too young for the last step to decide."""
    known = measured.inputs[:, _AGE] >= _HISTORY_BITS
    scores = np.full(len(known), -np.inf)
    places = np.flatnonzero(known)
    for start in range(0, len(places), _PART):  # the trees need a kilobyte for each row at once
        part = places[start : start + _PART]
        scores[part] = calibration.scale * decision.margins(measured.inputs[part]) + calibration.shift
    return scores


def folded_alarms(stream: LabelledStream, normal: Ints, scores: Doubles) -> Doubles:
    """Returns the scores of normal units; -inf for those that a reader sees as one with an earlier, higher one.

    Normal lines of a service within a minute are one alert. Every session is one.
    """
    if stream.sessions:
        return scores[normal]
    times = stream.clock_ms[normal] / 1_000
    return firsts_of_episodes(scores[normal], times, stream.service[normal], EPISODE_S)


def _corrected(
    start: Decision,
    calibration: Calibration,
    stream: LabelledStream,
    measured: LineInputs,
    units: Bools,
    rehearsed: Floats,
) -> BoostedTrees:
    own = _rows(stream, measured, units)
    places, shares = _sampled(np.flatnonzero(rehearsed[:, _AGE] >= _HISTORY_BITS), rehearsed)
    rehearsed, count = rehearsed[places], len(places)
    kept = _probability(calibration.scale * start.trees.scores(rehearsed) + calibration.shift)
    rows = Rows(
        np.concatenate([own.inputs, rehearsed]),
        np.concatenate([own.targets, kept]),
        np.concatenate([own.weights, 1 / shares]),
        np.concatenate([own.unit, np.full(count, -1)]),
    )
    return _boosted(start.trees, calibration, rows)


def _boosted(start: BoostedTrees, calibration: Calibration, rows: Rows) -> BoostedTrees:
    """Returns the trees and `TREES` more, each a step of Newton's method from the log-odds before it."""
    scores = calibration.scale * start.scores(rows.inputs) + calibration.shift
    coarse = _coarse(rows.inputs)
    added: list[BoostedTrees] = []
    for _ in range(TREES):
        weights = rows.weights * _is_highest(scores, rows.unit)
        chance = _probability(scores)
        curvature = np.maximum(chance * (1 - chance), _LEAST_CURVATURE)
        model = HistGradientBoostingRegressor(
            max_iter=1,
            learning_rate=1.0,
            max_depth=DEPTH,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=20,
            l2_regularization=5.0,
            max_bins=_BINS,
            monotonic_cst=list(INPUTS.values()),
            early_stopping=False,
        ).fit(coarse, (rows.targets - chance) / curvature, sample_weight=weights * curvature)
        grown = as_arrays(model)
        leaves = RATE * np.clip(grown.leaves + np.float32(grown.start), -_MOST_STEP, _MOST_STEP)
        added.append(BoostedTrees(grown.inputs, grown.bounds, leaves.astype(np.float32), 0.0))
        scores = scores + added[-1].scores(rows.inputs)
    onto = [scaled(one, 1 / calibration.scale, 0.0) for one in added]
    return BoostedTrees(
        np.concatenate([start.inputs, *(one.inputs for one in onto)]),
        np.concatenate([start.bounds, *(one.bounds for one in onto)]),
        np.concatenate([start.leaves, *(one.leaves for one in onto)]),
        start.start,
    )


def _coarse(inputs: Floats) -> Floats:
    """Returns the inputs (m, F) with at most `_BINS` values each: the library looks for them anew at every fit."""
    # Bounds 0, 2, 5 and values 1, 2, 7: each becomes the greatest bound that is not above it, so 0, 2, 5.
    found = np.empty_like(inputs)
    for place, column in enumerate(inputs.T):
        bounds = np.unique(np.quantile(column, np.linspace(0, 1, _BINS), method="lower"))
        found[:, place] = bounds[np.searchsorted(bounds, column, side="right") - 1]
    return found


def _is_highest(scores: Doubles, unit: Ints) -> Doubles:
    """(m,) 1 for rows without a unit and for the highest row of each unit, else 0."""
    found = np.ones(len(unit))
    places = np.flatnonzero(unit >= 0)
    # By unit, and within a unit by score: the last row of each unit is the highest.
    order = places[np.lexsort((scores[places], unit[places]))]
    last = np.append(unit[order][1:] != unit[order][:-1], np.ones(min(len(order), 1), bool))
    found[places] = 0.0
    found[order[last]] = 1.0
    return found


def _rows(stream: LabelledStream, measured: LineInputs, units: Bools) -> Rows:
    known = (measured.inputs[:, _AGE] >= _HISTORY_BITS) & units[stream.unit]
    label = stream.labels[stream.unit]
    anomalous, normal = np.flatnonzero(known & (label == ANOMALOUS)), np.flatnonzero(known & (label == NORMAL))
    if stream.sessions:
        weights, unit = np.ones(len(anomalous)), stream.unit[anomalous]
    else:
        anomalous, weights = thinned(anomalous, stream.incident[stream.unit], measured.kinds)
        unit = np.full(len(anomalous), -1)
    normal, shares = _sampled(normal, measured.inputs)
    return Rows(
        measured.inputs[np.concatenate([anomalous, normal])],
        np.concatenate([np.ones(len(anomalous)), np.zeros(len(normal))]),
        np.concatenate([weights, 1 / shares]),
        np.concatenate([unit, np.full(len(normal), -1)]),
    )


def _sampled(places: Ints, inputs: Floats) -> tuple[Ints, Doubles]:
    """Returns rows of normal lines, fewer of the plain ones, and the share (n,) of its like that each stands for."""
    least = min(1.0, _PLAIN_LINES / max(len(places), 1))
    shares = np.maximum(kept_share(inputs[places]), least)
    drawn = np.random.default_rng(0).random(len(places)) < shares
    return places[drawn], shares[drawn]


def _blocks(stream: LabelledStream, units: Bools) -> Iterator[Bools]:
    """Yields up to `FOLDS` blocks (u,) of the chosen units, one after another in time, with as many incidents each."""
    # Incidents 0 to 5 in three blocks: a block ends before the first unit of incident 2, and before that of 4.
    chosen = np.flatnonzero(units)
    numbers = np.unique(stream.incident[chosen][stream.incident[chosen] >= 0])
    parts = np.array_split(numbers, min(FOLDS, len(numbers)))
    begins = [int(np.flatnonzero(stream.incident == part[0])[0]) for part in parts[1:]]
    place = np.arange(len(units))
    for first, end in zip([0, *begins], [*begins, len(units)], strict=True):
        yield units & (place >= first) & (place < end)


def _best_bound(stream: LabelledStream, units: Bools, scores: Doubles) -> float:
    """Returns the score from which alerts have the best F1: of incidents found, and of alerts that are right.

    `scores` (u,): log-odds above those of the threshold.

    Normal lines of a service within a minute are one alert, as a reader sees them.
    """
    chosen = np.flatnonzero(units)
    incidents = np.full(int(stream.incident.max()) + 1, -np.inf)
    of_incident = chosen[stream.incident[chosen] >= 0]
    np.maximum.at(incidents, stream.incident[of_incident], scores[of_incident])
    incidents = incidents[np.unique(stream.incident[of_incident])]
    normal = chosen[stream.labels[chosen] == NORMAL]
    alarms = folded_alarms(stream, normal, scores)
    best, most = 0.0, -np.inf
    for bound in sorted(np.arange(-MOST_SHIFT * 10, MOST_SHIFT * 10 + 1) / 10, key=abs):
        found, wrong = int((incidents >= bound).sum()), int((alarms >= bound).sum())
        value = 2 * found / max(found + wrong + len(incidents), 1) - _PRICE * abs(bound)
        if value > most:
            best, most = float(bound), value
    return best


def log_odds(probability: float) -> float:
    """Places a threshold on the scale of log-odds; a threshold of 1 lies where probabilities round to it."""
    return math.log(probability / max(1 - probability, 1e-12))


def _probability(log_odds: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -60, 60))))
