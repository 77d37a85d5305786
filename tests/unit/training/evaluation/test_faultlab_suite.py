"""The fault lab's table from labelled runs to rows: systems apart, both histories, the model beside its rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.progress import Progress

from logwarden.model.checkpoint import load_checkpoint
from logwarden.training import corpora
from logwarden.training.evaluation.suite import Suite
from logwarden.training.faultlab.labels import label
from logwarden.training.faultlab.release import LabelledRun
from logwarden.training.metrics import Interval
from tests.tapes import fault, recording


def _runs(system: str) -> list[LabelledRun]:
    """Returns two runs of one system: the first with a fault of its own, the last with another."""
    past = recording(
        [fault("early", 10, 20)], (1, "db", "served 1"), (12, "db", "ERROR lost the disk"), (60, "db", "served 2")
    )
    last = recording(
        [fault("late", 10, 20)], (1, "db", "served 1"), (12, "db", "ERROR no route to web"), (60, "web", "served 2")
    )
    return [
        LabelledRun(system=system, repetition=n, recording=tape, labels=labels, by_time="test", by_system="test")
        for n, (tape, labels) in enumerate(zip((past, last), label([past, last]), strict=True), 1)
    ]


def test_every_system_has_a_row_for_each_method_and_history(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two systems give two tables: one after runs with the same faults, one after fault-free time alone."""
    read: list[Path] = []

    def faultlab(root: Path) -> list[LabelledRun]:
        read.append(root)
        return [*_runs("toy"), *_runs("other")]

    monkeypatch.setattr(corpora, "faultlab", faultlab)
    suite = Suite(
        load_checkpoint(tiny_checkpoint), name="tiny", seeds=1, shipped=False, progress=Progress(disable=True)
    )
    suite.faultlab(tmp_path)
    assert read == [tmp_path]
    found = suite.findings
    methods = {"tiny", "surprise", "keyword in the line", "keyword, never logged before"}
    pasts = {"two runs with the same faults", "the fault-free time of two runs"}
    assert {(result.system, result.method, result.past) for result in found.lines} == {
        (system, method, past) for system in ("toy", "other") for method in methods for past in pasts
    }
    assert all((result.lines, result.anomalous) == (3, 1) for result in found.lines)
    keyword = [result for result in found.lines if result.method == "keyword in the line"]
    assert all(result.auroc == 1.0 for result in keyword)
    assert [grid.title.rpartition("after ")[2] for grid in found.grids] == [
        "two runs with the same faults",
        "the fault-free time of two runs",
    ]
    assert all([row[0] for row in grid.rows] == ["toy", "other", "mean"] for grid in found.grids)


def test_an_interval_is_printed_with_its_bounds() -> None:
    """A figure is printed with three decimals and its bounds in brackets."""
    assert str(Interval(value=0.91234, low=0.9, high=0.93)) == "0.912 [0.900, 0.930]"
