"""Replayed lines get the scores of the daemon, under the daemon's defaults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from logwarden.daemon.settings.groups import Settings
from logwarden.model.checkpoint import load_checkpoint
from logwarden.model.defaults import LEARNING_LINES
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.training.evaluation import replay as replay_module
from logwarden.training.evaluation.replay import log_odds, replay, without_level
from tests.recordings import WORDS, stream


def test_the_defaults_are_those_of_the_daemon() -> None:
    """The evaluation measures the product with the settings that an operator gets without setting any."""
    settings, used = Settings(), vars(replay_module)
    assert settings.window.size == used["WINDOW_SIZE"]
    assert settings.window.step == 1, "the replay makes a window for every line"
    assert settings.alerts.learning_lines == used["LEARNING_LINES"]
    assert settings.limits.max_history_lines_per_service == used["MAX_HISTORY_LINES"]
    assert settings.limits.max_line_chars == used["MAX_LINE_CHARS"]
    assert settings.alerts.threshold is None, "the replay uses the threshold of the model"


@pytest.mark.parametrize("lines", [LEARNING_LINES, LEARNING_LINES + 1])
def test_a_service_learns_for_as_many_lines_as_in_the_daemon(lines: int, tiny_checkpoint: Path) -> None:
    """The first line that may raise an alert is the one after the learning lines."""
    model = load_checkpoint(tiny_checkpoint)
    slot = np.zeros(lines, np.int64)
    replayed = replay(model, stream(lines), slot, slot, np.zeros(lines, bool))
    assert replayed.learning.tolist() == [True] * LEARNING_LINES + [False] * (lines - LEARNING_LINES)


def test_a_line_is_read_up_to_the_daemons_limit(tiny_checkpoint: Path) -> None:
    """Two lines that differ only beyond the limit are one masked line."""
    model = load_checkpoint(tiny_checkpoint)
    long = "word " * 2_000
    slot = np.zeros(2, np.int64)
    replayed = replay(model, [f"{long} here", f"{long} there"], slot, slot, np.zeros(2, bool))
    assert replayed.new.tolist() == [True, False]


def test_a_stream_is_scored_as_the_daemon_scores_it(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring lines first and making windows of them later gives the very scores of `logwarden.model.stream`."""
    model = load_checkpoint(tiny_checkpoint)
    monkeypatch.setattr(replay_module, "CHUNK", 300)
    lines = stream(2 * LEARNING_LINES + 400)
    slots = np.arange(len(lines)) % 2
    scorer = WindowScorer(model, device="cpu")
    log = LogStream(scorer.line_table(), size=32, max_slots=2)
    batch = log.push(
        LineColumns(
            texts=[line.encode() for line in lines],
            slots=slots,
            offset=np.arange(len(lines)),
            index=np.zeros(len(lines), np.int32),
            timestamp=np.arange(len(lines)),
        )
    )
    logits = scorer.score(batch).logits
    expected = np.empty(len(lines))
    expected[batch.newest("offset")] = 1.5 * (logits[:, 1] - logits[:, 0]) - 0.25  # the calibration of that checkpoint
    replayed = replay(model, lines, slots, slots, np.ones(len(lines), bool))
    np.testing.assert_allclose(replayed.margin, expected, atol=1e-4)
    assert replayed.threshold == pytest.approx(log_odds(0.6))
    assert replayed.learning.sum() == 2 * LEARNING_LINES
    assert replayed.texts[replayed.ids[0]] == f"INFO {lines[0].split()[1]} {lines[0].split()[2]} *"


def test_lines_before_the_split_get_no_score_but_make_history(tiny_checkpoint: Path) -> None:
    """History changes the scores of later lines and is not scored itself."""
    model = load_checkpoint(tiny_checkpoint)
    lines = stream(300)
    slot, scored = np.zeros(300, np.int64), np.arange(300) >= 250
    replayed = replay(model, lines, slot, slot, scored)
    assert np.array_equal(np.isnan(replayed.margin), ~scored)
    assert replayed.new.sum() == len(WORDS)
    assert not replayed.alerts[:250].any()


def test_grouped_windows_hold_lines_of_their_group_only(tiny_checkpoint: Path) -> None:
    """A session's first line is scored alone, whatever the service wrote just before it."""
    model = load_checkpoint(tiny_checkpoint)
    lines = [*stream(260), "ERROR disk failure", "INFO request served 1"]
    service = np.zeros(len(lines), np.int64)
    ones = np.ones(len(lines), bool)
    apart = np.r_[np.zeros(261, np.int64), 1]
    alone = replay(model, [*lines[:260], "INFO cache refreshed 5", lines[261]], service, apart, ones).margin[-1]
    grouped = replay(model, lines, service, apart, ones).margin[-1]
    raw = replay(model, lines, service, service, ones).margin[-1]
    # Not equal to the last bit: the history of the two streams differs by one line.
    assert grouped == pytest.approx(alone, abs=0.05)
    assert abs(raw - grouped) > 1e-4


def test_the_level_word_goes_and_prose_stays() -> None:
    """Only the first word of severity in capitals is removed, with its colon."""
    lines = ["081109 203530 147 INFO dfs: Error in ERROR", "LOG:  checkpoint", "an error, no level"]
    assert without_level(lines) == ["081109 203530 147 dfs: Error in ERROR", "checkpoint", "an error, no level"]
