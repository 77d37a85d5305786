"""A scanned file as one run: evidence adds over distinct lines and is compared with that of good runs."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.daemon.commands.run_tally import RunTally
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


def test_a_line_counts_once_with_its_worst_score() -> None:
    """Two distinct lines carry the run; the harmless one is part of the sum and not of the list."""
    tally = tally_of(*RUN)
    assert tally.evidence == pytest.approx(-np.log(0.25 * 0.5 * 0.999))
    assert [row[1:] for row in tally.strongest()] == [(2, 0, "disk full"), (1, 3, "link lost")]


def test_few_good_runs_are_compared_by_the_strongest() -> None:
    """With two baselines a run is odd only if it has more evidence than both."""
    tally = tally_of(*RUN)
    assert "more than each of its 2 baselines" in tally.sentence([0.1, 2.0])
    assert "no more than the strongest of its 2 baselines" in tally.sentence([0.1, 2.5])
    assert "baselines" not in tally.sentence([])


def test_many_good_runs_draw_a_fence_that_a_bad_one_among_them_does_not_move() -> None:
    """The strongest baseline failed as hard as the judged run, and the run still lies far out."""
    good = [0.01 + i / 10_000 for i in range(19)]
    assert "far out of its 20 baselines" in tally_of(*RUN).sentence([*good, 9.0])
    assert "within its 20 baselines" in tally_of(("served page", 0.01)).sentence([*good, 9.0])


def test_certainty_has_finite_evidence() -> None:
    """A probability of one is as much as twelve digits can say."""
    assert np.isfinite(tally_of(("gone", 1.0)).evidence)
