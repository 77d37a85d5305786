"""Curves and thresholds of the benchmark, on rankings small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.model.arrays import Doubles
from logwarden.training.benchmark.curves import Ranking, bound_at, curve_of, found_at, frozen_elsewhere, ranking_of
from logwarden.training.benchmark.levels import at_threshold, calibration_error, reliability, windows_of
from logwarden.training.benchmark.methods import within_budget
from logwarden.training.benchmark.runs import JudgedRun, judged_run
from logwarden.training.faultlab.labels import label
from logwarden.training.faultlab.release import LabelledRun
from tests.tapes import fault, recording, restart


def run_of() -> JudgedRun:
    """A run with a restart, a loud and a silent fault; lines at 12 and 13 are evidence of the loud one."""
    tape = recording(
        [restart(3, 5), fault("loud", 10, 20), fault("silent", 200, 210)],
        *((1, "db", "served 1"), (4, "db", "warn: restarting"), (12, "db", "ERROR lost it"), (13, "db", "ERROR again")),
        *((26, "web", "served 2"), (100, "db", "served 3"), (101, "db", "served 4"), (205, "db", "served 5")),
        (300, "web", "served 6"),
    )
    (labels,) = label([tape])
    return judged_run(
        LabelledRun(system="toy", repetition=1, recording=tape, labels=labels, by_time="test", by_system="test")
    )


def ranking(alarms: list[float], best: list[float], normal: int = 10_000) -> Ranking:
    falling: Doubles = np.array(alarms, np.float64)
    return Ranking(falling, falling, np.array(best), normal, 1.0)


def test_a_run_is_read_by_its_labels() -> None:
    """Fault-free time ends with a fault and begins again after its tail; a planned change has a tail as well."""
    run = run_of()
    assert run.evidence.tolist() == [False, False, True, True, False, False, False, False, False]
    assert run.normal.tolist() == [True, True, False, False, False, True, True, False, True]
    assert run.planned.tolist() == [False, True, True, True, False, False, False, False, False]
    assert run.quiet_s == 10 + (200 - 40) + (300 - 230)
    assert run.services == 2


def test_a_minute_of_one_service_is_one_false_alarm() -> None:
    """Of two fault-free lines within a minute one counts, unless the later one is worse; learning lines never count."""
    run = run_of()
    scores = np.array([9.0, 0, 5, 6, 9, 3, 2, 1, 4])
    silent = np.array([True] + [False] * 8)
    found = ranking_of(run, scores, silent)
    assert found.alarms.tolist() == [4.0, 3.0, 0.0]
    assert found.unfolded.tolist() == [4.0, 3.0, 2.0, 0.0]
    assert found.best.tolist() == [6.0, 1.0]
    assert found.normal == 5


def test_equal_scores_stay_on_one_side_of_a_bound() -> None:
    """Two systems of 10,000 lines: 150 per million are three false alarms between them, and never half of a tie."""
    systems = [ranking([9, 7, 7, 5], [8, 6]), ranking([8, 7], [7.5])]
    assert bound_at(systems, 150) == 7
    assert found_at(systems, 150) == 2
    assert bound_at(systems, 300) == -np.inf
    assert found_at(systems, 300) == 3


def test_a_frozen_threshold_is_chosen_elsewhere() -> None:
    """Each system is judged by a bound that its own lines had no say in."""
    loud, quiet = ranking([9, 8, 7], [6]), ranking([1], [6])
    first, second = frozen_elsewhere([loud, quiet], 50)
    assert (first.found, first.per_million) == (1, 300.0)
    assert (second.found, second.per_million) == (0, 0.0)


def test_a_curve_has_a_corner_for_every_fault() -> None:
    """The strictest threshold comes first, and a curve ends at the greatest share asked for."""
    curve = curve_of([ranking([9, 7, 5], [8, 6, 1])], most=250)
    assert curve.found == [1, 2]
    assert curve.per_million == [100.0, 200.0]
    assert curve.per_service_day == [1.0, 2.0]


def test_alerts_are_counted_by_lines_and_by_episodes() -> None:
    """Two alerts within a minute are an episode; one in a planned change is a false alarm, but not outside of it."""
    run = run_of()
    alerts = np.array([0, 1, 1, 0, 0, 1, 1, 0, 0], bool)
    found = at_threshold(run, alerts)
    assert (found.found, found.faults, found.alerts) == (1, 2, 4)
    assert (found.false_lines, found.false_episodes, found.episodes, found.outside_plans) == (3, 2, 2, 1)
    assert found.by_service == [pytest.approx(2 * 86_400 / 240), 0.0]


def test_a_window_in_doubt_is_left_out() -> None:
    """A window of a service is anomalous with evidence in it, normal without a line in doubt, and else no window."""
    labels, scores = windows_of(run_of(), np.arange(9.0))
    assert labels.tolist() == [True]
    assert scores.tolist() == [7.0]


def test_probabilities_are_compared_with_what_was_seen() -> None:
    """Ten lines of .8 of which eight are evidence are calibrated; of which two are, wrong by .6."""
    stated = np.full(10, 0.8)
    assert calibration_error(stated, np.arange(10) < 8) == pytest.approx(0)
    assert calibration_error(stated, np.arange(10) < 2) == pytest.approx(0.6)
    (one,) = [
        b for b in reliability([stated, np.ones(1)], [np.arange(10) < 2, np.ones(1, bool)], [1, 1]) if b.high == 0.9
    ]
    assert (one.lines, round(one.stated, 3), one.seen) == (10, 0.8, 0.2)


def test_the_budget_withholds_what_the_daemon_withholds() -> None:
    """After three episodes of a service's day a weak alert is withheld, and a strong one is not."""
    run = run_of()
    odds = np.array([0.1, 9, 9, 9, 0.1, 9, 0.1, 0.1, 9])
    many = JudgedRun(**{name: getattr(run, name) for name in JudgedRun.__dataclass_fields__} | {
        "times": np.arange(9) * 100.0, "service": np.zeros(9, np.int64),
    })  # fmt: skip
    assert within_budget(odds, 0.0, np.zeros(9, bool), many).tolist() == [1, 1, 1, 1, 0, 1, 0, 0, 1]
