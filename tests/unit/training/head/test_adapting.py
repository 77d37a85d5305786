"""Adapting the last step: it learns what the labels contradict, stays monotone, and answers elsewhere as before."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import load_decision
from logwarden.model.decision import INPUTS, Decision
from logwarden.training.head.adapting import (
    _best_bound,
    _is_highest,
    adapt,
    folded_alarms,
    line_scores,
    unit_scores,
)
from logwarden.training.head.judging import TWINS
from logwarden.training.head.labelled import LabelledStream
from logwarden.training.head.line_inputs import LineInputs

AT = {name: place for place, name in enumerate(INPUTS)}
CALIBRATION = Calibration(scale=1.8, shift=0.3)


@pytest.fixture(scope="module")
def start() -> Decision:
    return load_decision(TWINS / "redis.safetensors")


def rows(count: int, seed: int, **values: float) -> LineInputs:
    """Returns familiar, harmless lines of old services, with some inputs set."""
    chance = np.random.default_rng(seed)
    inputs = np.zeros((count, len(INPUTS)), np.float32)
    inputs[:, AT["log_age"]] = chance.uniform(10, 14, count)
    inputs[:, AT["log_count"]] = inputs[:, AT["log_age"]] - chance.uniform(0, 3, count)
    inputs[:, AT["margin"]] = chance.uniform(-5, -3, count)
    inputs[:, AT["calm_log_count"]] = inputs[:, AT["log_count"]]
    for name, value in values.items():
        inputs[:, AT[name]] = value
    return LineInputs(inputs, np.arange(count))


def joined(*parts: LineInputs) -> LineInputs:
    inputs = np.concatenate([part.inputs for part in parts])
    return LineInputs(inputs, np.arange(len(inputs)))


def labelled(labels: np.ndarray, *, sessions: bool = False, unit: np.ndarray | None = None) -> LabelledStream:
    unit = np.arange(len(labels)) if unit is None else unit
    count = len(unit)
    return LabelledStream(
        texts=[b"a"] * count,
        service=np.zeros(count, np.int64),
        at_ms=np.arange(count) * 70_000,
        unit=unit,
        labels=labels,
        incident=np.where(labels == 1, np.cumsum(labels == 1) - 1, -1),
        sessions=sessions,
    )


def unlucky(count: int, seed: int) -> LineInputs:
    """Lines that the old model is silent on: fairly rare, and without a word of failure."""
    return rows(count, seed, log_count=1.0, calm_log_count=1.0, surprise=9.0, calm_surprise=9.0, elsewhere=0.0)


def test_what_the_labels_contradict_is_learned_and_the_rest_stays(start: Decision) -> None:
    """Rare lines without a word of failure are anomalous here. Answers to lines of other systems stay what they were.

    Without the other lines in the training they would not: a model of one system calls every third one an anomaly.
    """
    measured = joined(rows(600, 1), unlucky(60, 2))
    order = np.random.default_rng(3).permutation(660)
    measured = LineInputs(measured.inputs[order], measured.kinds)
    stream = labelled((order >= 600).astype(np.int64))
    elsewhere = rows(800, 4, severe=1.0, log_count=4.0, calm_log_count=4.0).inputs
    chance = np.random.default_rng(5)
    for name, low, high in (("surprise", 3, 8), ("calm_surprise", 3, 8), ("margin", -2, 6)):
        elsewhere[:, AT[name]] = chance.uniform(low, high, 800)
    calls: list[int] = []
    everything = np.ones(660, bool)
    new = adapt(start, CALIBRATION, stream, measured, everything, elsewhere, lambda: calls.append(1))
    forgetful = adapt(start, CALIBRATION, stream, measured, everything, measured.inputs, lambda: None)
    before, after = (unit_scores(one, CALIBRATION, stream, measured) for one in (start, new))
    assert (before[stream.labels == 1] < 0).all(), "the old model misses them"
    assert (after[stream.labels == 1] >= 0).mean() > 0.95
    assert (after[stream.labels == 0] < 0).mean() > 0.99
    old, kept, lost = (chances(one, elsewhere) for one in (start, new, forgetful))
    assert np.abs(kept - old).mean() < 0.02
    assert np.abs(lost - old).mean() > 0.1
    assert len(calls) == 4
    assert new.floor == start.floor


def chances(decision: Decision, inputs: np.ndarray) -> np.ndarray:
    """Returns the probabilities that the trees give to rows."""
    return np.asarray(1 / (1 + np.exp(-CALIBRATION.scale * decision.trees.scores(inputs) - CALIBRATION.shift)))


def test_the_new_trees_are_monotone(start: Decision) -> None:
    """Labels that praise surprise cannot turn its direction: no input that only raises a score lowers it."""
    measured = joined(rows(300, 1, surprise=9.0, calm_surprise=9.0), rows(60, 2, surprise=1.0))
    stream = labelled((np.arange(360) % 6 == 5).astype(np.int64))
    order = np.argsort(np.argsort(stream.labels, kind="stable"), kind="stable")  # low surprise is the anomaly
    measured = LineInputs(measured.inputs[order], measured.kinds)
    new = adapt(start, CALIBRATION, stream, measured, np.ones(360, bool), measured.inputs, lambda: None)
    probe = rows(400, 5)
    for name, direction in INPUTS.items():
        if direction:
            low, high = probe.inputs.copy(), probe.inputs.copy()
            high[:, AT[name]] += 2
            change = new.trees.scores(high) - new.trees.scores(low)
            assert (direction * change >= -1e-6).all(), name


def test_of_an_anomalous_session_the_highest_line_is_the_anomaly(start: Decision) -> None:
    """Sessions of four lines, one of which is at fault: it rises, and the harmless ones beside it stay low."""
    sessions = 200
    anomalous = np.arange(sessions) % 5 == 0
    measured = rows(4 * sessions, 1)
    guilty = np.flatnonzero(np.repeat(anomalous, 4) & (np.arange(4 * sessions) % 4 == 2))
    measured.inputs[guilty] = unlucky(len(guilty), 2).inputs
    stream = labelled(anomalous.astype(np.int64), sessions=True, unit=np.repeat(np.arange(sessions), 4))
    new = adapt(start, CALIBRATION, stream, measured, np.ones(sessions, bool), rows(300, 3).inputs, lambda: None)
    scores = line_scores(new, CALIBRATION, measured)
    beside = np.repeat(anomalous, 4)
    beside[guilty] = False
    assert (scores[guilty] >= 0).mean() > 0.9
    assert (scores[beside] < 0).all()


def test_the_shift_reaches_every_score(start: Decision, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where alerts are best from log-odds of 2 on, all scores fall by 2, and the threshold stays."""
    stream, measured = labelled((np.arange(260) % 60 == 59).astype(np.int64)), rows(260, 1)
    everything, found = np.ones(260, bool), []
    for bound in (0.0, 2.0):
        monkeypatch.setattr("logwarden.training.head.adapting._best_bound", lambda *_, bound=bound: bound)
        new = adapt(start, CALIBRATION, stream, measured, everything, measured.inputs, lambda: None)
        found.append(unit_scores(new, CALIBRATION, stream, measured))
    np.testing.assert_allclose(found[0] - found[1], 2.0, atol=1e-4)


def test_two_incidents_are_enough_to_learn_from(start: Decision) -> None:
    """Each of two incidents is judged by trees that learned from the other one."""
    labels = np.zeros(260, np.int64)
    labels[[100, 101, 200]] = 1
    stream = labelled(labels)
    stream.incident[101] = 0
    stream.incident[200] = 1
    new = adapt(start, CALIBRATION, stream, rows(260, 1), np.ones(260, bool), rows(300, 3).inputs, lambda: None)
    assert len(new.trees.leaves) > len(start.trees.leaves)


def test_young_services_have_no_score(start: Decision) -> None:
    """The last step does not decide for a service of 100 lines, so its lines are neither right nor wrong."""
    measured = rows(3, 1, log_age=float(np.log2(101)))
    assert np.isneginf(line_scores(start, CALIBRATION, measured)).all()


def test_the_highest_row_of_each_unit_counts() -> None:
    """Rows without a unit count all, of the others the highest of each."""
    found = _is_highest(np.array([1.0, 5.0, 2.0, 3.0, 9.0]), np.array([0, 0, 4, 4, -1]))
    assert found.tolist() == [0, 1, 0, 1, 1]


def test_scores_are_shifted_where_it_pays() -> None:
    """Four incidents at 1.5 and many false alarms at 1: the bound moves between them, and no further than needed."""
    stream = labelled(np.array([0] * 40 + [1] * 4))
    scores = np.array([1.0] * 40 + [1.5] * 4)
    assert _best_bound(stream, np.ones(44, bool), scores) == pytest.approx(1.1)
    scores[:40] = -1.0
    assert _best_bound(stream, np.ones(44, bool), scores) == 0.0


def test_false_alarms_within_a_minute_are_one() -> None:
    """A reader sees one alert for two normal lines ten seconds apart; every session is one."""
    stream = labelled(np.zeros(3, np.int64))
    stream.at_ms[:] = [0, 10_000, 200_000]
    assert folded_alarms(stream, np.arange(3), np.array([2.0, 1.0, 1.0])).tolist() == [2.0, -np.inf, 1.0]
    apart = labelled(np.zeros(3, np.int64), sessions=True)
    assert folded_alarms(apart, np.arange(3), np.array([2.0, 1.0, 1.0])).tolist() == [2.0, 1.0, 1.0]
