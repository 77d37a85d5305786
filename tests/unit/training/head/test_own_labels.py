"""`logwarden train` from files of labels to a model directory, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from logwarden.model.checkpoint import DECISION, load_checkpoint, save_decision
from logwarden.model.decision import INPUTS, Decision
from logwarden.model.detector import LogAnomalyDetector
from logwarden.model.trees import LEAVES, QUESTIONS, BoostedTrees
from logwarden.training.head import __main__ as command
from logwarden.training.head import own_labels
from logwarden.training.head.comparison import AtThreshold, Figures, is_better, verdict_of
from tests.tapes import recording

CALM = ("request served", "cache refreshed", "block received", "connection closed")


@pytest.fixture
def start(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A model directory whose trees have one answer for every line: -2."""
    directory = tmp_path / "start"
    shutil.copytree(tiny_checkpoint, directory)
    trees = BoostedTrees(
        np.zeros((1, QUESTIONS), np.int64),
        np.full((1, QUESTIONS), np.inf, np.float32),
        np.zeros((1, LEAVES), np.float32),
        -2.0,
    )
    save_decision(directory / DECISION, Decision(trees, 0.5))
    return directory


@pytest.fixture(autouse=True)
def _rehearse_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's recording takes seconds; a few lines show the plumbing as well."""
    from logwarden.training.head import line_inputs

    few = recording([], *((float(n), "db", CALM[n % 4]) for n in range(400)))
    monkeypatch.setattr(line_inputs, "load_recording", lambda _: few)


def _lines(path: Path, *, incidents: int = 12, text: str = "relay {} drifted by {} ms") -> Path:
    """Writes a service whose incidents are four lines that no word of failure betrays."""
    rows, now = [], 1_700_000_000.0
    for incident in range(incidents):
        for n in range(60):
            now += 2
            rows.append((now, f"{CALM[n % 4]} {n}", 0))
        for word in ("north", "south", "east", "west"):
            now += 2
            rows.append((now, text.format(word, incident), 1))
    with path.open("w") as out:
        for at, words, label in rows:
            time = datetime.fromtimestamp(at, UTC).isoformat()
            out.write(json.dumps({"time": time, "text": words, "label": label}) + "\n")
    return path


def test_labels_become_a_model_that_loads(start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that finds what the old one misses is written, with a table, a verdict and nothing else on the screen."""
    lines, out = _lines(tmp_path / "lines.jsonl"), tmp_path / "mine"
    assert command.main(["--lines", str(lines), "--model", str(start), "--out", str(out)]) == 0
    screen = capsys.readouterr()
    assert "Yours is better: 4 of 4 incidents" in screen.out
    assert "the old model: 0 of 4 incidents" in screen.out
    assert f"LOGWARDEN_MODEL__PATH={out}" in screen.out
    assert screen.err.splitlines() == [
        "warning: 48 anomalous and 720 normal lines in 12 incidents are few, so the figures below may be luck; "
        "label 100, 5,000 and 10 or more to be surer"
    ], "no library and no progress bar writes into a file"
    old, new = load_checkpoint(start), load_checkpoint(out)
    assert old.revision != new.revision
    assert "trees adapted to 32 anomalous and" in new.calibration.fitted_on
    assert new.decision is not None
    assert len(new.decision.trees.leaves) == 41


def test_a_model_that_is_not_better_is_not_written(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels that nothing in the lines bears out change nothing, unless the caller insists."""
    lines, out = _lines(tmp_path / "lines.jsonl", text="request served {1}"), tmp_path / "mine"
    options = ["--lines", str(lines), "--model", str(start), "--out", str(out)]
    assert command.main(options) == command.EXIT_KEPT
    assert "Yours is not better" in capsys.readouterr().out
    assert not out.exists()
    assert command.main([*options, "--force"]) == 0
    assert load_checkpoint(out).decision is not None


def test_labelled_sessions_are_read_too(start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sessions of a few lines, some of which contain a line that the old model does not mind."""
    path = tmp_path / "sessions.jsonl"
    odd = ["relay drifted north", "relay drifted south", "relay drifted east"]
    rows = [
        {"lines": [*CALM, *(odd[n // 10 % 3 :][:1] if n % 10 == 9 else [])], "label": int(n % 10 == 9)}
        for n in range(400)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "mine"
    assert command.main(["--sessions", str(path), "--model", str(start), "--out", str(out)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "normal sessions" in printed
    assert "Judged as wholes, by the kinds of their lines and their counts: 14 of 14 incidents, 0 false" in printed
    judge = LogAnomalyDetector(out)
    assert judge.judge_session("\n".join([*CALM, odd[0]]))["prediction"] == judge.labels[1]
    assert judge.judge_session("\n".join(CALM))["prediction"] == judge.labels[0]


def test_a_session_that_lacks_a_line_is_found_as_a_whole(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line is odd by itself, and the judge of sessions that is written finds the shorter ones."""
    path = tmp_path / "sessions.jsonl"
    rows = [{"lines": CALM[: 3 if n % 10 == 9 else 4], "label": int(n % 10 == 9)} for n in range(400)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "mine"
    assert command.main(["--sessions", str(path), "--model", str(start), "--out", str(out)]) == 0
    assert "counts: 14 of 14 incidents, 0 false alarms" in " ".join(capsys.readouterr().out.split())
    judge = LogAnomalyDetector(out)
    assert judge.judge_session("\n".join(CALM[:3]))["prediction"] == judge.labels[1]
    assert judge.judge_session("\n".join(CALM))["prediction"] == judge.labels[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "name either labelled lines"),
        (["--lines", "a", "--sessions", "b"], "name either labelled lines"),
        (["--lines", "nothing.jsonl"], "there is no file at nothing.jsonl"),
        (["--lines", "{few}"], "8 anomalous and 120 normal lines are too few"),
        (["--lines", "{few}", "--threads", "0"], "--threads must be at least 1"),
        (["--lines", "{few}", "--out", "{few}"], "is a file"),
        (["--lines", "{few}", "--out", "{few}/below"], "cannot write to"),
        (["--lines", "{few}", "--out", "{tmp}"], "something else than a model"),
        (["--lines", "{enough}", "--model", "{tmp}"], "is not a model directory"),
        (["--lines", "{enough}", "--model", "{tiny}"], "no trees to start from"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    options: list[str], words: str, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake of the caller's ends with exit code 2 and one sentence."""
    names = {
        "few": _lines(tmp_path / "few.jsonl", incidents=2),
        "enough": _lines(tmp_path / "enough.jsonl"),
        "tmp": tmp_path,
        "tiny": tiny_checkpoint,
    }
    assert command.main([option.format(**names) for option in options]) == 2
    screen = capsys.readouterr().err
    assert words in screen
    assert screen.splitlines()[-1].startswith("logwarden train: ")


def test_a_last_part_of_young_services_is_refused(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of services that have logged next to nothing cannot show which model is better."""
    rows = [json.loads(row) for row in _lines(tmp_path / "lines.jsonl").read_text().splitlines()]
    for place, row in enumerate(rows):
        row["service"] = f"job-{place // 100}"
    path = tmp_path / "young.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert command.main(["--lines", str(path), "--model", str(start), "--out", str(tmp_path / "mine")]) == 2
    assert "services that have logged 200 lines before" in capsys.readouterr().err


def test_help_needs_no_library_of_models() -> None:
    """`logwarden train --help` answers at once: it imports neither torch nor scikit-learn."""
    code = (
        "import contextlib, sys\nfrom logwarden.training.head.__main__ import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "print([name for name in ('torch', 'transformers', 'sklearn', 'numpy', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "--sessions" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def _figures(found: int, folded: int, precision: float) -> Figures:
    at = AtThreshold(found=found, alarms=folded, folded=folded)
    return Figures(precision=precision, incidents=10, normal=1_000, usual=at, strict=at)


@pytest.mark.parametrize(
    ("yours", "better"),
    [
        ((9, 2, 0.90), True),  # one incident more
        ((8, 0, 0.90), True),  # no false alarm
        ((8, 2, 0.92), True),  # a better order, and as good alerts
        ((8, 2, 0.90), False),  # the same
        ((9, 2, 0.85), False),  # one incident more, and a much worse order
        ((7, 2, 0.95), False),  # a better order, and an incident less
        ((9, 9, 0.90), False),  # one incident more, and many false alarms
    ],
)
def test_which_is_better(yours: tuple[int, int, float], better: bool) -> None:
    """Incidents and false alarms count first, then the order; the old one finds 8 of 10 with 2 false alarms, at .90."""
    other = _figures(8, 2, 0.90)
    assert is_better(_figures(*yours), other) is better
    sentence = verdict_of(_figures(*yours), other, "shipped")
    assert sentence.startswith("Yours is better: " if better else "Yours is not better: ")
    assert sentence.endswith("the shipped model: 8 of 10 incidents, 2 false alarms, average precision 0.900.")


def test_the_recording_to_rehearse_is_installed() -> None:
    """The demo's recording is in every installation, so training finds it without the repository."""
    assert (own_labels.REHEARSED / "manifest.json").is_file()
    assert len(INPUTS) == 16
