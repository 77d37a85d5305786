"""Trains the last step of a model on the labelled lines of the fault lab: `python -m logwarden.training.head.judging`.

A run of a system is judged after four kinds of past: the fault-free time of its other runs, all of them, all of them
with every fault once more, and nothing. The third is there because in the lab a planned change comes twice a run
and a fault once, which says nothing about the world. Every system has the same weight on either side.

The trees are trained on all systems and written beside the model. Fourteen twins, each of which has not seen one
system, are written for the evaluation: figures of a system come from the twin that was not trained on it. Scale,
shift and threshold come from the twins' answers on the systems that they have not seen.

Legend: n lines of a run · m training rows · F inputs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import DECISION, SHIPPED, ModelCheckpoint, load_checkpoint, save_decision
from logwarden.model.decision import INPUTS, Decision, is_unheard_failure
from logwarden.model.defaults import LEARNING_LINES
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.trees import DEPTH, LEAVES, QUESTIONS, BoostedTrees
from logwarden.model.windowing import WindowBatch
from logwarden.training.faultlab.labels import State
from logwarden.training.faultlab.recording import RUN_GAP_S
from logwarden.training.faultlab.release import RECORDINGS, LabelledRun, load_release, refuse_last_look
from logwarden.training.metrics import firsts_of_episodes

Past = str
PASTS: tuple[Past, ...] = ("peace", "faults", "repeated", "none")
TWINS = Path(__file__).parents[1] / "evaluation" / "twins"
TREES = 120
BUDGET_PER_MILLION = 55.0
"""Alerts on a million fault-free lines, mean over systems, at even odds."""
FLOOR_LOG_ODDS = 1.0
"""Least log-odds of a failure never stated before. Above even odds, so that a stricter threshold keeps it a while."""
EPISODE_S = 60.0
"""Alerts of a service within this time are one."""
_CHUNK = 8192
_MOST_ALIKE = 8
_ALERTING_BITS = float(np.log2(1 + LEARNING_LINES)) - 1e-4  # a younger service raises no alert by default
_AT = {name: place for place, name in enumerate(INPUTS)}

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """m rows of one system, whose weights sum to the same on either side."""

    inputs: Floats
    """(m, F)"""
    labels: Ints
    """(m,) 1 for evidence of a fault."""
    weights: Doubles
    """(m,)"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run as a stream takes it."""

    raw: list[bytes]
    keys: list[bytes]
    service: Ints
    t: Doubles
    labels: LabelledRun


class PastViews:
    """The runs of one system, as a model sees their lines after different pasts."""

    def __init__(
        self, model: ModelCheckpoint, runs: Sequence[LabelledRun], *, scorer: WindowScorer | None = None
    ) -> None:
        self.scorer = scorer or WindowScorer(model, device="cpu", rows=60_000)
        self._services = sorted({line.service for run in runs for line in run.recording.lines})
        self.runs = [self._read(run) for run in runs]

    def inputs(self, judged: int, past: Past) -> tuple[Floats, Ints]:
        """Returns the inputs (n, F) of the judged run's lines after a past of the other runs, and their kinds (n,)."""
        parts = []
        for windows in self.windows(judged, past):
            order = np.argsort(windows.newest("offset"), kind="stable")
            parts.append((self.scorer.inputs(windows)[order], windows.newest("kind")[order]))
        inputs, kinds = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return inputs, kinds

    def windows(self, judged: int, past: Past) -> Iterator[WindowBatch]:
        """Yields a window for every line of the judged run after a past of the other runs, in parts.

        The offset of a line is its place in its run. A part is in stream order only when sorted by it.
        """
        stream = LogStream(self.scorer.line_table(), max_slots=len(self._services), shown_chars=0)
        began = 0.0
        for number, run in enumerate(self.runs):
            if number == judged or past == "none":
                continue
            normal = run.labels.labels.states == State.NORMAL
            whole = normal if past == "peace" else np.ones(len(normal), bool)
            for kept in (whole, ~normal) if past == "repeated" else (whole,):
                for _ in self.push(stream, run, np.flatnonzero(kept), began):
                    pass
                began += float(run.t[-1]) + RUN_GAP_S
        run = self.runs[judged]
        yield from self.push(stream, run, np.arange(len(run.t)), began)

    def push(self, stream: LogStream, run: Run, places: Ints, began: float) -> Iterator[WindowBatch]:
        """Yields a window for each of some lines of a run that began at a time, in parts."""
        for start in range(0, len(places), _CHUNK):
            at = places[start : start + _CHUNK]
            windows = stream.push(
                LineColumns(
                    texts=[run.raw[i] for i in at],
                    slots=run.service[at],
                    offset=at,
                    index=np.zeros(len(at), np.int32),
                    timestamp=((began + run.t[at]) * 1000).astype(np.int64),
                ),
                keys=[run.keys[i] for i in at],
            )
            stream.scored()
            yield windows

    def _read(self, run: LabelledRun) -> Run:
        raw = [line.text.encode("utf-8", "replace").replace(b"\n", b" ") for line in run.recording.lines]
        keys = LogStream(self.scorer.line_table(), max_slots=1).mask(raw)
        service = np.array([self._services.index(line.service) for line in run.recording.lines])
        return Run(raw, keys, service, np.array([line.t for line in run.recording.lines]), run)


def training_rows(views: PastViews, seed: int) -> TrainingRows:
    """Returns the rows of one system after all pasts."""
    refuse_last_look(run.labels.system for run in views.runs)
    chance = np.random.default_rng(seed)
    inputs, labels, weights = [], [], []
    for judged, run in enumerate(views.runs):
        states = run.labels.labels.states
        for past in PASTS:
            rows, kinds = views.inputs(judged, past)
            evidence, weight = thinned(np.flatnonzero(states == State.EVIDENCE), run.labels.labels.fault, kinds)
            normal = np.flatnonzero(states == State.NORMAL)
            share = kept_share(rows[normal])
            drawn = chance.random(len(normal)) < share
            inputs += [rows[evidence], rows[normal[drawn]]]
            labels += [np.ones(len(evidence), np.int64), np.zeros(int(drawn.sum()), np.int64)]
            weights += [weight, 1 / share[drawn]]
    sides, whole = np.concatenate(labels), np.concatenate(weights)
    for side in (0, 1):
        whole[sides == side] *= 1000 / whole[sides == side].sum()
    return TrainingRows(np.concatenate(inputs), sides, whole)


def grow(parts: Sequence[TrainingRows]) -> BoostedTrees:
    """Grows monotone trees on rows of several systems."""
    inputs, labels, weights = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("inputs", "labels", "weights")
    )
    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        learning_rate=0.1,
        max_depth=DEPTH,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=40,
        l2_regularization=5.0,
        max_bins=64,
        monotonic_cst=list(INPUTS.values()),
        early_stopping=False,
        random_state=0,
    ).fit(inputs, labels, sample_weight=weights)
    return as_arrays(model)


def as_arrays(model: HistGradientBoostingClassifier | HistGradientBoostingRegressor) -> BoostedTrees:
    """Returns the trees of a fitted model of scikit-learn."""
    grown = [trees[0].nodes for trees in model._predictors]  # the library has no public way to its trees
    inputs = np.zeros((len(grown), QUESTIONS), np.int64)
    bounds = np.full((len(grown), QUESTIONS), np.inf, np.float32)
    leaves = np.zeros((len(grown), LEAVES), np.float32)
    for number, nodes in enumerate(grown):
        _copy(nodes, 0, 0, inputs[number], bounds[number], leaves[number])
    return BoostedTrees(inputs, bounds, leaves, float(np.ravel(model._baseline_prediction)[0]))


def _copy(nodes: npt.NDArray[np.void], node: int, place: int, inputs: Ints, bounds: Floats, leaves: Floats) -> None:
    """Copies a subtree to a place of the complete tree. A leaf above the last row goes left for ever."""
    if place >= QUESTIONS:
        leaves[place - QUESTIONS] = nodes["value"][node]
        return
    left = right = node
    if not nodes["is_leaf"][node]:
        inputs[place] = nodes["feature_idx"][node]
        bounds[place] = _rounded_down(float(nodes["num_threshold"][node]))
        left, right = int(nodes["left"][node]), int(nodes["right"][node])
    _copy(nodes, left, 2 * place + 1, inputs, bounds, leaves)
    _copy(nodes, right, 2 * place + 2, inputs, bounds, leaves)


def _rounded_down(bound: float) -> np.float32:
    """The greatest float32 not above a bound, so that every float32 stays on its side of it."""
    rounded = np.float32(bound)
    return np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > bound else rounded


def thinned(places: Ints, fault: npt.NDArray[np.integer], kinds: Ints) -> tuple[Ints, Doubles]:
    """Returns at most eight lines of a kind in a fault, which together weigh √ of their number: a storm is one fact."""
    if not len(places):
        return places, np.zeros(0)
    pairs = np.stack([fault[places].astype(np.int64), kinds[places]])
    _, inverse, count = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    order = np.argsort(inverse, kind="stable")
    rank = np.empty(len(places), np.int64)
    rank[order] = np.arange(len(places)) - np.repeat(np.cumsum(count) - count, count)
    weight = (np.sqrt(count) / np.minimum(count, _MOST_ALIKE))[inverse]
    kept = rank < _MOST_ALIKE
    return places[kept], weight[kept]


def kept_share(rows: Floats) -> Doubles:
    """Returns (n,) the share of normal lines to keep: all that are near a threshold, a hundredth of the plain ones."""
    surprise, calm, severe = (rows[:, _AT[name]] for name in ("surprise", "calm_surprise", "severe"))
    hot = (surprise >= 8) | (calm >= 9) | ((severe > 0) & (surprise >= 5))
    warm = (surprise >= 5) | (calm >= 6) | ((severe > 0) & (surprise >= 3))
    return np.where(hot, 1.0, np.where(warm, 0.2, 0.01))


# ---------------------------------------------------------------- the command


@dataclass(frozen=True, slots=True)
class SystemViews:
    """What training and calibration need of one system."""

    name: str
    rows: TrainingRows
    judged: Mapping[Past, Floats]
    """Past → inputs (n, F) of the last run."""
    last: LabelledRun


def views_of(directory: Path, runs: Sequence[LabelledRun], *, seed: int) -> SystemViews:
    """Streams all pasts and runs of one system through the head of a model directory."""
    views = PastViews(replace(load_checkpoint(directory), decision=None), runs)
    judged = {past: views.inputs(len(runs) - 1, past)[0] for past in PASTS if past != "none"}
    return SystemViews(runs[0].system, training_rows(views, seed), judged, runs[-1])


def scaled(trees: BoostedTrees, scale: float, shift: float) -> BoostedTrees:
    """Returns trees whose sums are `scale` times those of these, plus `shift`."""
    leaves = (trees.leaves * np.float32(scale)).astype(np.float32)
    return BoostedTrees(trees.inputs, trees.bounds, leaves, trees.start * scale + shift)


def decision_of(trees: BoostedTrees, scale: float, shift: float, head: Calibration) -> Decision:
    """Returns the last step on the scale of the head, which decides for young services: one calibration fits both."""
    onto = scaled(trees, scale / head.scale, (shift - head.shift) / head.scale)
    return Decision(onto, (FLOOR_LOG_ODDS - head.shift) / head.scale)


def operating_point(views: Sequence[SystemViews], twins: Mapping[str, BoostedTrees]) -> tuple[float, float]:
    """Returns scale and shift from sums to log-odds, by the twins' answers on the systems that they have not seen.

    The scale is fitted to the labels. The shift puts even odds where alerts, folded by service and minute, reach the
    budget: the share of faulty lines in the laboratory says nothing about that in the world.
    """
    refuse_last_look(one.name for one in views)
    sums, labels, weights, folded = [], [], [], []
    for one in views:
        states, lines = one.last.labels.states, one.last.recording.lines
        times = np.array([line.t for line in lines])
        services = np.unique([line.service for line in lines], return_inverse=True)[1]
        for inputs in one.judged.values():
            known = inputs[:, _AT["log_age"]] >= _ALERTING_BITS
            answers = np.where(known, twins[one.name].scores(inputs), -np.inf)
            counted = known & (states <= State.EVIDENCE)
            sums.append(answers[counted])
            labels.append(states[counted] == State.EVIDENCE)
            weights.append(np.full(int(counted.sum()), 1e5 / max(int(counted.sum()), 1)))
            normal = states == State.NORMAL
            answers = np.where(known & is_unheard_failure(inputs), np.inf, answers)
            folded.append((firsts_of_episodes(answers, times, services, EPISODE_S)[normal], int(normal.sum())))
    fit = LogisticRegression(C=1e6).fit(
        np.concatenate(sums)[:, None], np.concatenate(labels), sample_weight=np.concatenate(weights)
    )
    scale = float(fit.coef_[0, 0])
    return scale, -scale * _bound_within_budget(folded)


def _bound_within_budget(folded: Sequence[tuple[Doubles, int]]) -> float:
    """Returns the least bound whose mean share of alerts over systems and pasts is within the budget.

    It lies above every answer where a single alert is more than the budget.
    """
    answers = np.concatenate([scores for scores, _ in folded])
    shares = np.concatenate([np.full(len(scores), 1e6 / count / len(folded)) for scores, count in folded])
    order = np.argsort(-answers, kind="stable")
    within = np.flatnonzero(np.cumsum(shares[order]) <= BUDGET_PER_MILLION)
    return float(answers[order][within[-1]]) if len(within) else float(np.nextafter(answers[order][0], np.inf))


def train(options: argparse.Namespace) -> None:
    """Trains trees and twins, and writes them."""
    views = []
    for _, runs in groupby(load_release(options.recordings), key=lambda run: run.system):
        views.append(views_of(options.model, list(runs), seed=options.seed))
        one = views[-1]
        labels = one.rows.labels
        print(f"{one.name}: {len(labels):,} rows, {int(labels.sum()):,} of them evidence", flush=True)
    twins = {one.name: grow([other.rows for other in views if other is not one]) for one in views}
    scale, shift = operating_point(views, twins)
    head = load_checkpoint(options.model).calibration
    options.twins.mkdir(parents=True, exist_ok=True)
    for name, trees in twins.items():
        save_decision(options.twins / f"{name}.safetensors", decision_of(trees, scale, shift, head))
    save_decision(options.model / DECISION, decision_of(grow([one.rows for one in views]), scale, shift, head))
    print(f"log-odds = {scale:.3f} · sum {shift:+.3f}; trees written to {options.model / DECISION}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SHIPPED, help="model directory that gets the trees")
    parser.add_argument("--twins", type=Path, default=TWINS, help="directory of the twins")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, help="directory of labelled runs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of normal lines (default: 0)")
    train(parser.parse_args(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
