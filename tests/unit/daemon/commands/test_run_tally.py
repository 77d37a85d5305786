"""A scanned file as one run: strong lines add up, missing lines count, and good runs are the measure."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.daemon.commands.run_tally import PastRuns, RunTally
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.verdicts import Scores
from logwarden.model.windowing import WindowBatch
from tests.oracles import TableSpy


def windows_of(*texts: str) -> WindowBatch:
    stream = LogStream(TableSpy().table(), size=4, max_slots=1)
    return stream.push(
        LineColumns(
            texts=[text.encode() for text in texts],
            slots=np.zeros(len(texts), np.int64),
            offset=np.arange(len(texts)),
            index=np.zeros(len(texts), np.int32),
            timestamp=np.full(len(texts), -1),
        )
    )


def tally_of(*lines: tuple[str, float]) -> RunTally:
    batch = windows_of(*(text for text, _ in lines))
    scores = Scores(
        np.zeros((len(lines), 2), np.float32),
        np.array([probability for _, probability in lines]),
        np.zeros((len(lines), 4), np.float32),
    )
    tally = RunTally()
    tally.add(batch, scores)
    return tally


RUN = (("disk full", 0.5), ("disk full", 0.75), ("served page", 0.001), ("link lost", 0.5))


def good(*probabilities: float) -> PastRuns:
    """Returns good runs of one line, with these probabilities of an anomaly."""
    return PastRuns([tally_of(("served page", probability)) for probability in probabilities])


def test_strong_lines_add_up() -> None:
    """The line that repeats counts as often as it comes; the harmless one is part of the sum and not of the list."""
    tally = tally_of(*RUN)
    assert tally.evidence == pytest.approx(-np.log(0.5 * 0.25 * 0.5 * 0.999))
    assert [row[1:] for row in tally.strongest()] == [(2, 0, "disk full"), (1, 3, "link lost")]


def test_batches_leave_no_trace_in_the_strongest_lines() -> None:
    """The eight strongest of twenty lines are the same, read at once or one by one."""
    lines = tuple((f"line {'abcdefghij'[i % 10]}", i / 40) for i in range(20))
    whole, parts = tally_of(*lines), RunTally()
    for text, probability in lines:
        batch = windows_of(text)
        one = Scores(np.zeros((1, 2), np.float32), np.array([probability]), np.zeros((1, 4), np.float32))
        parts.add(batch, one)
    assert parts.evidence == pytest.approx(whole.evidence)
    assert whole.evidence == pytest.approx(-sum(np.log(1 - i / 40) for i in range(12, 20)))


def test_few_good_runs_are_compared_by_the_strongest() -> None:
    """With two baselines a run is odd only if it has more evidence than both."""
    tally = tally_of(*RUN)
    assert "more than each of its 2 baselines" in tally.sentence(good(0.1, 0.8))
    assert "no more than the strongest of its 2 baselines" in tally.sentence(good(0.1, 0.99))
    assert "baselines" not in tally.sentence(PastRuns([]))


def test_many_good_runs_draw_a_fence_that_a_bad_one_among_them_does_not_move() -> None:
    """The strongest baseline failed as hard as the judged run, and the run still lies far out."""
    past = good(*(0.01 + i / 10_000 for i in range(19)), 0.9999)
    assert "far out of its 20 baselines" in tally_of(*RUN).sentence(past)
    assert "within its 20 baselines" in tally_of(("served page", 0.01)).sentence(past)


STEPS = ("fetch", "unpack", "configure", "build", "check", "install", "report", "clean")
WHOLE = tuple((f"step {word} is done", 0.001) for word in STEPS)


def test_a_run_that_breaks_off_lacks_the_lines_of_good_runs() -> None:
    """Forty backups end with the same lines; one that stops after the second line logs nothing odd and lies far out."""
    past = PastRuns([tally_of(*WHOLE)] * 40)
    torn = tally_of(*WHOLE[:2])
    assert past.missing(torn) == [text for text, _ in WHOLE[2:]]
    assert "6 that most baselines have are missing; it lies far out of its 40 baselines" in torn.sentence(past)
    assert "missing" not in tally_of(*WHOLE).sentence(past)


def test_a_few_good_runs_do_not_tell_what_is_missing() -> None:
    """Of three baselines nobody knows what they usually lack."""
    past = PastRuns([tally_of(*WHOLE)] * 3)
    assert past.evidence_of_lack(tally_of(*WHOLE[:2])) == 0.0


def test_certainty_has_finite_evidence() -> None:
    """A probability of one is as much as twelve digits can say."""
    assert np.isfinite(tally_of(("gone", 1.0)).evidence)
