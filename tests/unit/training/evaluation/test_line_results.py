"""The table over the fault lab's labelled lines, on a system small enough to count by hand."""

import numpy as np

from logwarden.training.evaluation.line_results import line_grid, line_results, stream_of
from logwarden.training.evaluation.replay import ReplayedStream
from logwarden.training.faultlab.labels import label
from logwarden.training.faultlab.recording import Recording
from logwarden.training.faultlab.release import LabelledRun
from tests.tapes import fault, recording


def runs(*tapes: Recording) -> list[LabelledRun]:
    return [
        LabelledRun(system="toy", repetition=n, recording=tape, labels=its, by_time="test", by_system="test")
        for n, (tape, its) in enumerate(zip(tapes, label(tapes), strict=True), 1)
    ]


PAST = recording([], (1, "db", "served 1"), (2, "web", "error seen"))
LAST = recording(
    [fault("loud", 10, 20), fault("quiet", 40, 50)],
    (1, "db", "served 2"), (2, "web", "served 3"), (12, "db", "lost it"), (13, "db", "served 4"),
    (45, "db", "served 5"), (80, "db", "served 6"),
)  # fmt: skip


def replayed(margin: list[float]) -> ReplayedStream:
    """Returns the results of a model for all eight lines; the third text is the evidence of the fault."""
    return ReplayedStream(
        ids=np.array([0, 1, 0, 0, 2, 0, 0, 0], np.int32),
        texts=["served *", "error seen", "lost it"],
        surprise=np.array([0, 0, 0, 0, 12, 0, 0, 0], np.float64),
        new=np.array([1, 1, 0, 1, 1, 0, 0, 0], bool),
        learning=np.zeros(8, bool),
        margin=np.array([np.nan, np.nan, *margin]),
        threshold=0.0,
        over_budget=np.zeros(8, bool),
    )


def test_only_the_last_run_is_judged() -> None:
    """Earlier runs are the services' history, under the same numbers of services."""
    stream = stream_of(runs(PAST, LAST))
    assert stream.scored.tolist() == [False] * 2 + [True] * 6
    assert stream.service.tolist() == [0, 1, 0, 1, 0, 0, 0, 0]
    assert stream.at_ms.tolist() == [1_000, 2_000, *(122_000 + 1_000 * t for t in (1, 2, 12, 13, 45, 80))]


def test_a_fault_free_past_contains_no_fault() -> None:
    """A fault-free past has the fault-free lines of earlier runs only; the last run is whole."""
    stream = stream_of(runs(LAST, LAST), fault_free_past=True)
    assert stream.lines == ["served 2", "served 3", "served 6", *(line.text for line in LAST.lines)]
    assert stream.scored.tolist() == [False] * 3 + [True] * 6


def test_results_are_counted_on_labelled_lines_only() -> None:
    """Evidence counts against fault-free lines, lines in doubt not at all; an alert in its reach finds a fault."""
    stream = stream_of(runs(PAST, LAST))
    perfect, surprise, keyword, both = line_results(stream, replayed([-1, -1, 2, 9, -1, -1]), "model")
    assert (perfect.lines, perfect.anomalous, perfect.auroc, perfect.ap) == (4, 1, 1.0, 1.0)
    assert (perfect.found, perfect.faults, perfect.alarms_per_million) == (1, 2, 0.0)
    assert (surprise.auroc, surprise.found) == (1.0, 1)
    assert (keyword.method, keyword.auroc, keyword.found) == ("keyword in the line", 0.5, 0)
    assert both.found == 0


def test_false_alarms_are_alerts_in_fault_free_time() -> None:
    """An alert on one of three fault-free lines is 333,333 per million, and the table shows it."""
    stream = stream_of(runs(PAST, LAST))
    results = line_results(stream, replayed([1, -1, -1, -1, -1, -1]), "model")
    assert round(results[0].alarms_per_million) == 333_333
    grid = line_grid(results, "a quiet past")
    assert "a quiet past" in grid.title
    assert grid.rows[0][0] == "toy"
    assert grid.rows[0][1] == "1 of 4"
    assert "333,333" in grid.rows[0][2]
    assert grid.rows[-1][0] == "mean"
