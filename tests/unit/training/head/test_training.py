"""`logwarden train` on sessions of one's own, with the tiny encoder: all the way from a file to a model that loads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from logwarden import LogAnomalyDetector
from logwarden.training.encoder.source_messages import log_statements
from logwarden.training.head import __main__ as command
from logwarden.training.head.windows import LineTexts, sessions_to_windows


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """Real lines of this machine's kind are not needed to see the plumbing; the labels follow one word."""
    path = tmp_path / "sessions.jsonl"
    good, bad = ["connection opened", "request served", "connection closed"], ["connection opened", "disk failed"]
    rows = [{"service": "shop", "lines": bad if n % 4 == 0 else good, "label": int(n % 4 == 0)} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _options(sessions: Path, checkpoint: Path, home: Path, *more: str) -> list[str]:
    folders = ["--out", str(home / "final"), "--results", str(home / "results"), "--logs", str(home / "logs")]
    small = ["--epochs", "1", "--batch-size", "16", "--threads", "1", "--device", "cpu"]
    return ["--sessions", str(sessions), "--bert-path", str(checkpoint / "encoder"), *folders, *small, *more]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_own_sessions_become_a_model_that_loads_and_predicts(
    sessions: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Labelled sessions in a file become a model directory that the Python API reads; a second run resumes."""
    options = _options(sessions, tiny_checkpoint, tmp_path)
    assert command.main(options) == 0
    answer = LogAnomalyDetector(tmp_path / "final", device="cpu").predict("disk failed")
    assert set(answer["probabilities"]) == {"normal", "anomaly"}
    assert list((tmp_path / "results").glob("checkpoint-*")), "a checkpoint to resume from"
    assert (tmp_path / "logs" / "train.jsonl").read_text().count("\n") >= 1
    assert command.main([*options, "--resume"]) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("not json", "sessions.jsonl:1 must be"),
        ('{"lines": [], "label": 1}', "sessions.jsonl:1 must be"),
        ('{"lines": ["a"], "label": 2}', "sessions.jsonl:1 must be"),
        ('{"lines": [1], "label": 1}', "sessions.jsonl:1 must be"),
        ('{"lines": ["a"], "label": 1}', "both labels"),
    ],
)
def test_wrong_sessions_are_one_sentence(
    row: str, message: str, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file with a wrong session ends training with one sentence that names the line and the form."""
    path = tmp_path / "sessions.jsonl"
    path.write_text(row + "\n")
    assert command.main(_options(path, tiny_checkpoint, tmp_path)) == 2
    assert message in capsys.readouterr().err


def test_an_output_directory_that_cannot_be_written_is_refused_before_the_work(
    sessions: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training reports an output directory that cannot be written before the work begins."""
    (tmp_path / "file").write_text("in the way")
    options = [*_options(sessions, tiny_checkpoint, tmp_path), "--out", str(tmp_path / "file" / "model")]
    assert command.main(options) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_a_missing_extra_is_named(
    sessions: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without the library that trains heads, the sentence names the extra to install."""
    monkeypatch.setattr("logwarden.training.head.training.find_spec", lambda name: None)
    assert command.main(_options(sessions, tiny_checkpoint, tmp_path)) == 2
    assert "logwarden[train]" in capsys.readouterr().err


def test_sessions_share_the_history_of_their_service(tiny_checkpoint: Path) -> None:
    """The second session's line is familiar because the first session of the service contains it."""
    from logwarden.model.encoder import LineEncoder

    texts = LineTexts(LineEncoder.from_directory(tiny_checkpoint / "encoder"))
    rows = [("shop", ["a b", "a c"], 0), ("shop", ["a b"], 1), ("till", ["a b"], 0)]
    windows, session = sessions_to_windows(texts, rows)
    of = {int(number): windows.familiarity[place, -1] for place, number in enumerate(session)}
    assert np.isclose(of[1][0], 1.0), "seen once before: log2(1 + 1)"
    assert np.isclose(of[1][1], np.log2(3)), "two lines came before it"
    assert of[2][0] == of[2][1] == 0, "another service has its own history"


def test_log_statements_tell_severe_from_routine(tmp_path: Path) -> None:
    """Levels and raised errors label messages; a text used both ways teaches nothing."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "module.py").write_text(
        "logger.error('cannot open file %s', name)\n"
        "log.info(f'opened file {name} for reading')\n"
        "raise ValueError('the value was out of range')\n"
        "logger.error('both ways spoken here')\nlogger.info('both ways spoken here')\n"
        "print.error('not a logger at all')\n"
    )
    found = {statement.text: statement.severe for statement in log_statements([tmp_path])}
    assert found == {
        "cannot open file *": True,
        "opened file * for reading": False,
        "the value was out of range": True,
    }
