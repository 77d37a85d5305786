"""`logwarden train` without labels, on small streams and few messages: which systems teach, and which only validate."""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from logwarden.model.defaults import WINDOW_SIZE
from logwarden.training import corpora
from logwarden.training.corpora import FaultRound
from logwarden.training.encoder.source_messages import SourceMessage
from logwarden.training.head import __main__ as command
from logwarden.training.head import training
from logwarden.training.head.training import TrainingSplit, read_sessions
from logwarden.training.head.windows import LineTexts, WindowSet
from tests.models import tiny_encoder

LINES = 420


def _stream(system: str) -> list[str]:
    """Returns routine lines of one system with a few harmless and severe ones that it logs once."""
    words = ["alpha", "beta", "gamma", "delta", "omega"]
    lines = [f"{system}: INFO served block {n} to {words[n % 5]}" for n in range(LINES)]
    for place in range(210, LINES, 30):
        lines[place] = f"{system}: INFO opened path {chr(97 + place // 30)} of {words[place % 5]}"
    lines[300] = f"{system}: ERROR connection refused by {system}"
    return lines


def _round(number: int, *, failed: bool, service: str) -> FaultRound:
    lines = [f"{service}: INFO request {n} of the user accepted" for n in range(LINES // 2)]
    return FaultRound(
        campaign="Nova", test=str(number), round=number, failed=failed, component="c", services={service: lines}
    )


@pytest.fixture(autouse=True)
def _data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the recordings and the installed packages by small ones."""
    names = ("HDFS_2k", "Zookeeper_2k", "Linux_2k", "Mac_2k", "Apache_2k")
    rounds = [
        _round(1, failed=False, service="of-the-first-round"),
        _round(2, failed=True, service="failed"),
        _round(2, failed=False, service="api"),
        _round(2, failed=False, service="api"),
    ]
    monkeypatch.setattr(corpora, "unlabelled_streams", lambda: {name: _stream(name[:-3]) for name in names})
    monkeypatch.setattr(corpora, "openstack_fault_rounds", lambda: iter(rounds))
    letters = [chr(97 + n) for n in range(26)]
    severe = [SourceMessage(f"cannot open the {a}{a} disk on node {a}", True) for a in letters]
    benign = [SourceMessage(f"the {a}{a} session was opened by user {a}", False) for a in letters]
    monkeypatch.setattr(training, "log_statements", lambda roots: [*severe, *benign])


def _folders(home: Path) -> list[str]:
    return ["--out", str(home / "final"), "--results", str(home / "results"), "--logs", str(home / "logs")]


def _texts_of(windows: WindowSet, texts: list[str]) -> str:
    return "\n".join(texts[row] for row in np.unique(windows.ids))


def test_held_out_systems_only_validate_and_one_is_never_read() -> None:
    """No line of a held-out system is trained on, no other system validates, and HDFS is in neither part."""
    texts = LineTexts(tiny_encoder())
    split = training._from_recipe(texts, 300, seed=1)
    rows = texts.texts()
    taught, held = _texts_of(split.train, rows), _texts_of(split.held_out, rows)
    assert (len(split.train), len(split.held_out)) == (300, 200)
    assert "Mac" in taught
    assert "Apache" in taught
    assert "Zookeeper" not in taught
    assert "Linux" not in taught
    assert "Zookeeper" in held
    assert "Linux" in held
    assert "Mac" not in held
    assert "HDFS" not in "\n".join(rows)
    assert not split.as_they_came.labels.any()
    assert "Mac" not in _texts_of(split.as_they_came, rows)


def test_messages_of_training_do_not_validate() -> None:
    """A message of source code is on one side only, so validation meets messages that are new to the model."""
    texts = LineTexts(tiny_encoder())
    split = training._from_recipe(texts, 600, seed=1)
    rows = texts.texts()
    taught, held = _texts_of(split.train, rows), _texts_of(split.held_out, rows)
    foreign = [f"{chr(97 + n)}{chr(97 + n)} {word}" for n in range(26) for word in ("disk", "session")]
    both = [words for words in foreign if words in taught and words in held]
    assert both == []
    assert sum(words in taught for words in foreign) > 30
    assert any(words in held for words in foreign)


def test_only_rounds_without_a_fault_or_failure_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds with an injected fault or a failure are left out; the lines of a service are joined up to a limit."""
    monkeypatch.setattr(training, "_MAX_STREAM_LINES", 300)
    streams = training._streams()
    assert set(streams) == {"Zookeeper_2k", "Linux_2k", "Mac_2k", "Apache_2k", "openstack/api"}
    assert {name: len(lines) for name, lines in streams.items()} == dict.fromkeys(streams, 300)
    assert streams["openstack/api"][LINES // 2] == "api: INFO request 0 of the user accepted"


def test_harvested_failures_join_the_messages(tmp_path: Path) -> None:
    """With --failures the texts of other languages are messages of the recipe too."""
    path = tmp_path / "failures.jsonl.gz"
    with gzip.open(path, "wt") as out:
        for n in range(26):
            out.write(json.dumps({"package": "p", "text": f"the lease {chr(97 + n)} was lost by its owner"}) + "\n")
    texts = LineTexts(tiny_encoder())
    training._from_recipe(texts, 100, seed=1, failures=path)
    assert any("was lost by its owner" in text for text in texts.texts())
    without = LineTexts(tiny_encoder())
    training._from_recipe(without, 100, seed=1)
    assert not any("was lost by its owner" in text for text in without.texts())


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_recipe_becomes_a_model(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Without --sessions the command trains on the recipe, and its log has the loss by its parts."""
    folders = [
        "--out",
        str(tmp_path / "final"),
        "--results",
        str(tmp_path / "results"),
        "--logs",
        str(tmp_path / "logs"),
    ]
    small = ["--windows", "640", "--epochs", "2", "--batch-size", "64", "--threads", "1", "--device", "cpu"]
    assert command.main(["--bert-path", str(tiny_checkpoint / "encoder"), *folders, *small]) == 0
    calibration = json.loads((tmp_path / "final" / "calibration.json").read_text())
    assert calibration["scale"] > 0
    assert calibration["threshold"] == training.THRESHOLD
    logged = [json.loads(line) for line in (tmp_path / "logs" / "train.jsonl").read_text().splitlines()]
    assert any("balance_loss" in entry for entry in logged)
    assert {"eval_auroc", "eval_ap"} <= {name for entry in logged for name in entry}


def _windows(labels: list[float]) -> WindowSet:
    count = len(labels)
    familiarity = np.zeros((count, WINDOW_SIZE, 3), np.float32)
    return WindowSet(
        torch.zeros(1, 4), np.zeros((count, WINDOW_SIZE), np.int32), familiarity, np.array(labels, np.float32)
    )


class _Scores:
    """Stands for a trainer: its scores rise or fall with the label."""

    def __init__(self, sign: float, *, wrapped: bool = False) -> None:
        self._sign = sign
        self._wrapped = wrapped

    def predict(self, windows: WindowSet) -> SimpleNamespace:
        margin = self._sign * (windows.labels - 0.5)
        logits = np.stack([np.zeros_like(margin), margin], axis=-1)
        return SimpleNamespace(predictions=(logits, None) if self._wrapped else logits)


@pytest.mark.parametrize("wrapped", [False, True])
def test_calibration_counts_false_alarms_and_ignores_doubtful_labels(wrapped: bool) -> None:
    """Windows of half a label do not decide the scale; an unchanged window above the threshold is a false alarm."""
    held_out = _windows([0.0, 0.1, 0.5, 0.6, 0.9, 1.0])
    split = TrainingSplit(held_out, held_out, _windows([0.0, 0.0, 1.0]))
    fitted = training._calibrate(cast(Any, _Scores(4.0, wrapped=wrapped)), split)
    assert fitted.scale > 0
    assert fitted.threshold == training.THRESHOLD
    assert fitted.fitted_on == "4 held-out windows; 1 of 3 harmless lines as they came pass"


def test_scores_that_fall_with_the_label_end_training() -> None:
    """A model whose scores fall where the label rises learned nothing, and no model is written."""
    held_out = _windows([0.0, 0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="learned nothing"):
        training._calibrate(cast(Any, _Scores(-4.0)), TrainingSplit(held_out, held_out, held_out))


def test_windows_of_one_label_have_no_ranking() -> None:
    """Held-out windows of a single label give no figures instead of wrong ones; both labels give both figures."""
    logits = np.array([[0.0, 1.0], [0.0, -1.0]])
    assert training._metrics(argparse.Namespace(predictions=logits, label_ids=[0.0, 0.5])) == {}
    both = training._metrics(argparse.Namespace(predictions=(logits,), label_ids=[1.0, 0.0]))
    assert both == {"auroc": 1.0, "ap": 1.0}


def test_a_missing_file_of_sessions_is_named(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path without a file ends the command with the option that names another."""
    folders = [
        "--out",
        str(tmp_path / "final"),
        "--results",
        str(tmp_path / "results"),
        "--logs",
        str(tmp_path / "logs"),
    ]
    options = ["--sessions", str(tmp_path / "none.jsonl"), "--bert-path", str(tiny_checkpoint / "encoder")]
    assert command.main([*options, *folders, "--threads", "1"]) == 2
    assert "--sessions" in capsys.readouterr().err


def test_blank_rows_of_a_file_of_sessions_are_skipped(tmp_path: Path) -> None:
    """Blank rows do not count as sessions, and a session without a service belongs to `default`."""
    path = tmp_path / "sessions.jsonl"
    path.write_text('{"lines": ["a"], "label": 0}\n\n  \n{"lines": ["b"], "label": 1, "service": "shop"}\n')
    assert [session["service"] for session in read_sessions(path)] == ["default", "shop"]
