"""The last step's training: library trees become arrays, twins see no line of their system, the budget holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from logwarden.model.checkpoint import DECISION, load_checkpoint, load_decision
from logwarden.model.decision import INPUTS
from logwarden.training.faultlab.release import RECORDINGS, runs_below
from logwarden.training.head import judging
from logwarden.training.head.judging import (
    TWINS,
    TrainingRows,
    _bound_within_budget,
    as_arrays,
    grow,
    main,
    scaled,
    thinned,
)
from logwarden.training.metrics import firsts_of_episodes
from tests.recorded import short_release


def toy(seed: int, rows: int = 3_000) -> TrainingRows:
    chance = np.random.default_rng(seed)
    inputs = chance.uniform(0, 10, (rows, len(INPUTS))).astype(np.float32)
    labels = (inputs[:, 2] + inputs[:, 8] + chance.normal(0, 1, rows) > 11).astype(np.int64)
    return TrainingRows(inputs, labels, np.ones(rows))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_arrays_answer_as_the_library_does(depth: int) -> None:
    """Trees of every depth that the library grows, on rows that lie on their bounds too."""
    rows = toy(3)
    rounded = rows.inputs.round(1)
    model = HistGradientBoostingClassifier(max_iter=20, max_depth=depth, early_stopping=False, random_state=0)
    model.fit(rounded, rows.labels)
    np.testing.assert_allclose(as_arrays(model).scores(rounded), model.decision_function(rounded), atol=1e-4)


def test_grown_trees_rank_and_scale() -> None:
    """Trees rank rows that they have not seen, and scaling moves every answer alike."""
    trees, other = grow([toy(1), toy(2)]), toy(4)
    scores = trees.scores(other.inputs)
    assert scores[other.labels == 1].mean() > scores[other.labels == 0].mean() + 2
    np.testing.assert_allclose(scaled(trees, 2.0, -1.0).scores(other.inputs), 2 * scores - 1, atol=1e-4)


def test_a_storm_is_one_fact() -> None:
    """Of a hundred alike lines of a fault eight are kept, which weigh ten together; others keep their weight."""
    kinds = np.array([7] * 100 + [8, 9])
    places, weights = thinned(np.arange(102), np.zeros(102, np.int16), kinds)
    assert len(places) == 10
    assert weights.sum() == pytest.approx(10 + 1 + 1)


def test_first_lines_of_an_episode() -> None:
    """A later line counts again if it is worse, if the minute is over, or for another service."""
    times = np.array([0.0, 10.0, 20.0, 30.0, 90.0, 95.0])
    scores = np.array([3.0, 5.0, 4.0, 4.0, 4.0, -np.inf])
    keys = np.array([0, 0, 0, 1, 0, 0])
    found = firsts_of_episodes(scores, times, keys, 60.0)
    assert found.tolist() == [3.0, 5.0, -np.inf, 4.0, 4.0, -np.inf]


def test_the_bound_keeps_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two systems of 15,000 lines: 100 per million are three alerts between them, whatever they score."""
    monkeypatch.setattr(judging, "BUDGET_PER_MILLION", 100.0)
    one, two = (np.full(15_000, -np.inf) for _ in range(2))
    one[:4], two[:2] = (9.0, 7.0, 5.0, 3.0), (8.0, 6.0)
    assert _bound_within_budget([(one, 15_000), (two, 15_000)]) == 7.0
    assert _bound_within_budget([(np.array([1.0, -np.inf]), 2)]) > 1.0


def test_every_system_has_a_twin() -> None:
    """Each system of the release can be judged by trees that have not seen it."""
    assert {path.stem for path in TWINS.glob("*.safetensors")} == set(runs_below(RECORDINGS))
    answers = {name: load_decision(TWINS / f"{name}.safetensors").trees.leaves.sum() for name in runs_below(RECORDINGS)}
    assert len(set(answers.values())) == len(answers)


def test_the_command_writes_trees_and_twins(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two systems of two runs: a model gets trees, and each system a twin that read the other's lines only."""
    recordings, model, twins = tmp_path / "recordings", tmp_path / "model", tmp_path / "twins"
    shutil.copytree(tiny_checkpoint, model)
    short_release(recordings, ("mosquitto", "squid"), 2)
    assert main(["--model", str(model), "--twins", str(twins), "--recordings", str(recordings)]) == 0
    printed = capsys.readouterr().out
    assert printed.index("mosquitto: ") < printed.index("squid: ") < printed.index("log-odds = ")
    decisions = [load_decision(path) for path in (model / DECISION, *sorted(twins.iterdir()))]
    assert [path.stem for path in sorted(twins.iterdir())] == ["mosquitto", "squid"]
    assert len({decision.trees.leaves.tobytes() for decision in decisions}) == 3
    head = load_checkpoint(model).calibration
    assert all(decision.floor * head.scale + head.shift == pytest.approx(1.0, abs=1e-5) for decision in decisions)
