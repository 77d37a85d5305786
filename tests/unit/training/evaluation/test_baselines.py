"""The trivial detectors and the figures, against definitions written out the slow way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.training import metrics
from logwarden.training.evaluation import baselines
from logwarden.training.evaluation.baselines import BASELINES, LineSessions

TEXTS = ("request served", "cache refreshed", "connection refused by *", "retrying *", "disk failure on *")


def sessions(*rows: tuple[bool, list[int]]) -> LineSessions:
    """Sessions one after another, all in one service."""
    lengths = [len(ids) for _, ids in rows]
    return LineSessions(
        ids=np.array([number for _, ids in rows for number in ids], np.int32),
        session=np.repeat(np.arange(len(rows)), lengths).astype(np.int32),
        service=np.zeros(sum(lengths), np.int32),
        anomalous=np.array([label for label, _ in rows], bool),
        texts=TEXTS,
    )


TRAIN = sessions(*[(False, [0, 0, 1, 0])] * 20, *[(False, [0, 1, 1, 0, 3])] * 10, *[(True, [0, 2, 3, 2])] * 6)
TEST = sessions((False, [0, 0, 1, 0]), (True, [0, 2, 4, 2, 2]), (False, [0, 1, 1, 0, 3]), (True, [0, 2, 3, 2]))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=60))
def test_surprise_is_its_definition(lines: list[tuple[int, int]]) -> None:
    """log2((age + 1) / (count + 1)), counted line by line and service by service."""
    age: dict[int, int] = {}
    count: dict[tuple[int, int], int] = {}
    expected = []
    for service, number in lines:
        expected.append(math.log2((age.get(service, 0) + 1) / (count.get((service, number), 0) + 1)))
        age[service] = age.get(service, 0) + 1
        count[service, number] = count.get((service, number), 0) + 1
    found = baselines.surprises(
        np.array([number for _, number in lines], np.int32), np.array([service for service, _ in lines], np.int32)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 9, width=32)), max_size=40))
def test_pooling_is_its_definition(lines: list[tuple[int, float]]) -> None:
    """The largest value of a session, and the mean of its four largest with zeros for the missing ones."""
    session = np.array([at for at, _ in lines], np.int32)
    values = np.array([value for _, value in lines], np.float32)
    rows = [sorted((value for at, value in lines if at == number), reverse=True) for number in range(4)]
    np.testing.assert_allclose(baselines.pool_max(values, session, 4), [max(row, default=0) for row in rows])
    np.testing.assert_allclose(baselines.pool_top(values, session, 4), [sum(row[:4]) / 4 for row in rows], rtol=1e-5)


def test_selecting_sessions_keeps_their_lines_in_order() -> None:
    """A selection renumbers the sessions and loses or moves no line of them."""
    chosen = TEST.select(np.array([False, True, False, True]))
    assert chosen.ids.tolist() == [0, 2, 4, 2, 2, 0, 2, 3, 2]
    assert chosen.session.tolist() == [0] * 5 + [1] * 4
    assert chosen.anomalous.tolist() == [True, True]
    assert chosen.lengths.tolist() == [5, 4]
    assert chosen.counts().toarray()[0].tolist() == [1, 0, 3, 0, 1]


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "length"])
def test_every_baseline_ranks_an_obvious_anomaly_first(name: str) -> None:
    """A session of refused connections and a failing disk is worse than a routine one, whatever the method."""
    scores = BASELINES[name].score(TRAIN, TEST, 0)
    assert scores.shape == (4,)
    assert scores[1] > scores[0]


@pytest.mark.parametrize("name", [name for name, row in BASELINES.items() if row.supervision != "labels"])
def test_unsupervised_baselines_do_not_see_labels_of_anomalies(name: str) -> None:
    """A method is given the supervision that its row states: without labels, relabelling the test changes nothing."""
    flipped = LineSessions(
        ids=TEST.ids, session=TEST.session, service=TEST.service, anomalous=~TEST.anomalous, texts=TEST.texts
    )
    np.testing.assert_array_equal(BASELINES[name].score(TRAIN, TEST, 0), BASELINES[name].score(TRAIN, flipped, 0))


def test_the_nearest_neighbour_is_found_among_distinct_sessions() -> None:
    """A repeated training session is at distance 0; one more line than it is at distance 1."""
    near = BASELINES["1-NN"].score(TRAIN, sessions((False, [1, 0, 0, 0]), (True, [1, 0, 0, 0, 2])), 0)
    np.testing.assert_allclose(near, [0.0, 1.0], atol=1e-6)


def test_figures_of_a_small_table() -> None:
    """Four scores whose figures can be counted by hand."""
    labels, scores = np.array([False, True, False, True]), np.array([0.1, 0.4, 0.5, 0.9])
    assert metrics.auroc(labels, scores) == pytest.approx(3 / 4)
    assert metrics.average_precision(labels, scores) == pytest.approx((1 + 2 / 3) / 2)
    best = metrics.best_f1(labels, scores)
    assert best.threshold == 0.4
    assert best.f1 == pytest.approx(0.8)
    found = metrics.detection_at(labels, scores, 0.6)
    assert (found.threshold, found.precision, found.recall) == (0.6, 1.0, 0.5)
    assert found.f1 == pytest.approx(2 / 3)
    assert metrics.detection_at(labels, scores, 2.0).f1 == 0.0
    lines = np.array([100, 7, 300, 7])
    assert metrics.false_alarms_per_million(labels, scores, lines, 0.4) == pytest.approx(1e6 / 400)


def test_a_threshold_of_normal_lets_through_what_it_promises() -> None:
    """At a quantile of .9 of a hundred different quiet scores at most ten raise an alert; of equal ones, none."""
    quiet = np.random.default_rng(3).normal(size=100)
    assert (quiet >= metrics.threshold_of_normal(quiet, 0.9)).sum() <= 10
    assert (np.ones(50) >= metrics.threshold_of_normal(np.ones(50), 0.9)).sum() == 0


def test_a_bootstrap_interval_holds_its_figure_and_narrows_with_more_units() -> None:
    """The interval is around the figure, and forty times the units give a narrower one."""
    chance = np.random.default_rng(5)

    def interval_of(size: int) -> metrics.Interval:
        labels = np.arange(size) % 4 == 0
        scores = chance.normal(size=size) + labels
        return metrics.bootstrap_interval(metrics.auroc, labels, scores, rounds=100)

    small, large = interval_of(40), interval_of(1600)
    assert small.low <= small.value <= small.high
    assert large.high - large.low < (small.high - small.low) / 2


@pytest.mark.parametrize("labels", [np.zeros(3, bool), np.ones(3, bool)])
def test_ranking_needs_both_classes(labels: metrics.Labels) -> None:
    """A figure over one class alone would be a number without meaning, so it is refused."""
    with pytest.raises(ValueError, match="only one kind"):
        metrics.auroc(labels, np.arange(3.0))
