"""From arrays to verdicts: when a score is an alert, which lines are to blame, what people get to read."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.model.schema import LogLine
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.verdicts import AlertPolicy, Scores, guilty_lines, history_lines
from logwarden.model.windowing import WindowBatch
from tests.oracles import TableSpy


def windows_of(count: int, size: int = 4) -> WindowBatch:
    """A window for each of `count` lines of one service; the text of line i names it."""
    spy = TableSpy()
    stream = LogStream(spy.table(), size=size, max_slots=1)
    return stream.push(
        LineColumns(
            texts=[b"line %d \xe4" % i if i == 1 else b"line %d" % i for i in range(count)],
            slots=np.zeros(count, np.int64),
            offset=np.arange(100, 100 + count),
            index=np.zeros(count, np.int32),
            timestamp=np.array([-1, *range(5001, 5000 + count)]),
        )
    )


def scores(
    batch: WindowBatch, probabilities: list[float], weights: list[list[float]] | None = None, size: int = 4
) -> Scores:
    rows = weights if weights is not None else [[0.0] * size for _ in probabilities]
    answers = Scores(
        np.tile(np.array([[-1.0, 1.0]], np.float32), (len(probabilities), 1)),
        np.array(probabilities),
        np.array(rows, np.float32),
    )
    return POLICY.judged(batch, answers)


POLICY = AlertPolicy(threshold=0.5, learning_lines=3, model_revision="r1")


def test_an_alert_needs_a_score_and_a_history() -> None:
    """At the threshold or above, and only once enough lines of the service were known before."""
    batch = windows_of(6)
    found = POLICY.alerts_due(batch, scores(batch, [0.9, 0.9, 0.9, 0.9, 0.5, 0.499]))
    assert found.tolist() == [False, False, False, True, True, False]


@pytest.mark.parametrize("learning_lines", [0, 1, 2, 199, 200, 10_000])
def test_verdict_and_alert_agree_on_learning(learning_lines: int) -> None:
    """Whether a service still learns is the same for the arrays and for the verdict that people read."""
    policy = AlertPolicy(threshold=0.5, learning_lines=learning_lines, model_revision="r1")
    batch = windows_of(2)
    for known in {0, 1, max(0, learning_lines - 1), learning_lines, learning_lines + 1}:
        batch.columns["log_age"][batch.ends[0]] = np.log2(np.float32(known + 1))
        verdict = policy.verdict(batch, scores(batch, [0.9, 0.9]), 0, service="s")
        assert verdict.history_lines == known == history_lines(batch, 0)
        assert verdict.learning == (known < learning_lines)
        assert verdict.is_anomaly == bool(policy.alerts_due(batch, scores(batch, [0.9, 0.9]))[0])


def test_a_verdict_holds_the_window_as_it_came() -> None:
    """Lines oldest first with their own offsets, times and shares; padding is no line; bytes become readable text."""
    batch = windows_of(3)
    verdict = POLICY.verdict(
        batch,
        scores(batch, [0.1, 0.2, 0.75], [[0] * 4, [0] * 4, [0.0, 0.5, 0.2, 0.3]]),
        2,
        service="s",
        topic="t",
        partition=7,
    )
    window = verdict.window
    assert (window.service, window.topic, window.partition) == ("s", "t", 7)
    assert [line.text for line in window.lines] == ["line 0", "line 1 �", "line 2"]
    assert [line.offset for line in window.lines] == [100, 101, 102]
    assert [line.timestamp_ms for line in window.lines] == [None, 5001, 5002]
    assert [line.weight for line in window.lines] == pytest.approx([0.5, 0.2, 0.3])
    assert [line.guilty for line in window.lines] == [True, False, True]
    assert window.newest is window.lines[-1]
    assert verdict.probabilities == pytest.approx((0.25, 0.75))
    assert (verdict.score, verdict.logits, verdict.threshold) == (0.75, (-1.0, 1.0), 0.5)
    assert (verdict.history_lines, verdict.learning, verdict.is_anomaly) == (2, True, False)


def test_a_full_window_holds_its_last_lines_only() -> None:
    """The verdict of a later line shows its own window, not the whole batch."""
    batch = windows_of(6)
    verdict = POLICY.verdict(batch, scores(batch, [0.9] * 6), 5, service="s")
    assert [line.offset for line in verdict.window.lines] == [102, 103, 104, 105]


def test_surprise_is_in_bits() -> None:
    """A line never heard is as surprising as the service is old; one that is always said, not at all."""
    batch = windows_of(4)
    lines = POLICY.verdict(batch, scores(batch, [0.9] * 4), 3, service="s").window.lines
    # "line *" four times, but the second ends in half a character and so is another line
    assert [line.surprise for line in lines] == pytest.approx([0.0, 1.0, np.log2(3 / 2), np.log2(4 / 3)], abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([0.6, 0.3, 0.1, 0.0], [True, True, False, True]),
        ([0.6, 0.29, 0.11, 0.0], [True, False, False, True]),
        ([0.0, 0.0, 0.0, 1.0], [False, False, False, True]),
        ([0.0, 0.0, 0.0, 0.0], [False, False, False, True]),
    ],
)
def test_guilty_is_who_carries_half_of_the_heaviest(weights: list[float], expected: list[bool]) -> None:
    """The lines that carry the score, and always the newest, because the alert is about it."""
    row = np.array(weights, np.float32)
    assert guilty_lines(row).tolist() == expected
    assert guilty_lines(np.stack([row, row])).tolist() == [expected, expected]


def test_a_line_is_what_it_was_when_made() -> None:
    """Verdicts are facts: nobody changes them on their way."""
    with pytest.raises(AttributeError):
        LogLine(text="x").text = "y"  # type: ignore[misc]
