"""The judge of whole sessions: counts and missing lines decide, the order of lines and other sessions do not."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from logwarden.model.checkpoint import SESSIONS, load_checkpoint, load_sessions, save_sessions
from logwarden.model.detector import LogAnomalyDetector
from logwarden.model.errors import ModelMismatch, ModelUnreadable
from logwarden.model.sessions import SessionJudge, SessionPairs, pairs_of
from logwarden.training.head.sessions import train_sessions

WIDTH = 12
ROUTINE = (0, 1, 1, 1, 2)
"""Kinds of the lines of a good session: opened, three parts, closed."""


def some_sessions(count: int = 200) -> tuple[SessionPairs, np.ndarray]:
    """Returns sessions of three kinds of lines, and labels: some lack their end, others have a part too many."""
    owners, kinds = [], []
    labels = np.zeros(count, bool)
    for number in range(count):
        lines = list(ROUTINE) + [3] * (number % 3)
        if number % 10 == 3:
            lines.remove(2)
        if number % 7 == 4:
            lines.append(1)
        labels[number] = number % 10 == 3 or number % 7 == 4
        owners += [number] * len(lines)
        kinds += lines
    return pairs_of(np.array(owners), np.array(kinds), count), labels


def kinds_of_lines(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(4, WIDTH)).astype(np.float32))


@cache
def trained(seed: int = 0) -> SessionJudge:
    pairs, labels = some_sessions()
    return train_sessions(kinds_of_lines(), pairs, labels, np.arange(200) < 150, seed=seed)


def test_pairs_count_the_lines_of_a_kind() -> None:
    """A kind that occurs twice in a session is one pair; an empty session has none."""
    pairs = pairs_of(np.array([0, 0, 2, 0]), np.array([5, 5, 5, 7]), 4)
    assert pairs.session.tolist() == [0, 0, 2]
    assert pairs.kind.tolist() == [5, 7, 5]
    assert pairs.lines.tolist() == [2, 1, 1]


def test_what_is_missing_and_what_is_too_much_is_learned() -> None:
    """No line of these sessions is odd by itself, and the judge finds all anomalous ones among those not learned."""
    pairs, labels = some_sessions()
    found = trained().log_odds(kinds_of_lines(), pairs) >= 0
    assert (found[150:] == labels[150:]).all()
    assert labels[150:].sum() > 8


def test_a_session_alone_is_judged_as_among_others() -> None:
    """Neither the other sessions nor the order of lines matters, and a session without lines is no anomaly."""
    judge, vectors = trained(), kinds_of_lines()
    pairs, _ = some_sessions()
    among = judge.log_odds(vectors, pairs)
    lines = np.array([1, 2, 0, 1, 1])  # session 0, in another order
    alone = judge.log_odds(vectors, pairs_of(np.zeros(5, np.int64), lines, 2))
    assert alone[0] == pytest.approx(among[0], abs=1e-4)
    assert alone[1] == -np.inf


def test_a_seed_repeats_itself() -> None:
    """The same labels and seed give the same judge; another seed gives another."""
    pairs, _ = some_sessions()
    trained.cache_clear()
    again = trained()
    trained.cache_clear()
    one, same, other = (judge.log_odds(kinds_of_lines(), pairs) for judge in (trained(), again, trained(1)))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_stored_judge_is_the_same_judge(tmp_path: Path) -> None:
    """What was saved is loaded. A file of another form is refused in one sentence."""
    path, pairs = tmp_path / SESSIONS, some_sessions()[0]
    judge = trained()
    save_sessions(path, judge)
    np.testing.assert_array_equal(
        load_sessions(path).log_odds(kinds_of_lines(), pairs), judge.log_odds(kinds_of_lines(), pairs)
    )
    weights = load_file(path)
    for bad in ({}, {name: value for name, value in weights.items() if "norm" not in name}):
        save_file(bad, path)
        with pytest.raises(ModelUnreadable, match="cannot be read"):
            load_sessions(path)


def test_a_judge_of_another_bert_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Vectors of another width mean nothing to it."""
    directory = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    save_sessions(directory / SESSIONS, SessionJudge(WIDTH))
    with pytest.raises(ModelMismatch, match="trained on another BERT"):
        load_checkpoint(directory)


def test_a_model_without_labelled_sessions_has_no_judge_of_them() -> None:
    """The error names the command that trains one."""
    with pytest.raises(ValueError, match="logwarden train --sessions"):
        LogAnomalyDetector().judge_session("block received\nblock stored")
