"""Facts with times: each grows old by itself, and its reason disappears when the fact does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.health import STAGES, HealthState, sentence_of
from logwarden.daemon.readiness import figures, reasons


class Time:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def member(time: Time) -> HealthState:
    return HealthState(time, assigned=True, warm=True)


def test_ages_grow_by_themselves() -> None:
    """A fact that nobody reports again is the very one that an operator must see growing."""
    time = Time()
    health = member(time)
    assert health.since_progress_s("commit") is None
    health.progressed("commit")
    health.blocked("alerts", "it is missing", "create it")
    time.now += 12.3
    assert health.since_progress_s("commit") == pytest.approx(12.3)
    [reason] = reasons(health)
    assert reason.as_json() == {
        "code": "publish_blocked",
        "message": "It is missing. Create it.",
        "since_s": 12.3,
        "topic": "alerts",
    }


def test_work_waits_from_its_begin_or_from_the_last_success() -> None:
    """A stage that is never idle and finishes work is not late."""
    time = Time()
    health = member(time)
    health.waiting("score", True)
    time.now += 5
    health.waiting("score", True)
    assert health.waited_s("score") == 5, "a repeated report begins no new wait"
    health.progressed("score")
    time.now += 2
    assert health.waited_s("score") == 2
    health.waiting("score", False)
    assert health.waited_s("score") == 0


def test_a_block_keeps_its_first_time_and_its_last_sentence() -> None:
    """Each attempt reports its own cause; the outage began with the first."""
    time = Time()
    health = member(time)
    health.blocked("alerts", "no broker answers", "")
    time.now += 20
    health.blocked("alerts", "the topic is missing", "create it")
    [reason] = reasons(health)
    assert (reason.since_s, reason.message) == (20, "The topic is missing. Create it.")
    health.unblocked("alerts")
    assert reasons(health) == []
    health.blocked("alerts", "no broker answers", "")
    assert reasons(health) == [], "another block is not old yet"


def test_missing_topics_are_the_reported_ones() -> None:
    """A topic that was created leaves, one that is still missing keeps its age."""
    time = Time()
    health = member(time)
    health.missing(["a", "b"])
    time.now += 60
    health.missing(["b", "c"])
    assert [(reason.topic, reason.since_s) for reason in reasons(health)] == [("b", 60), ("c", 0)]
    health.missing([])
    assert reasons(health) == []


def test_a_failed_commit_names_its_cause_until_one_succeeds() -> None:
    """The group's coordinator may refuse for hours while fetches succeed."""
    time = Time()
    health = member(time)
    health.waiting("commit", True)
    health.attempt_failed("commit", "not the coordinator")
    time.now += 30
    health.attempt_failed("commit", "group authorization failed")
    [reason] = reasons(health)
    assert (reason.code, reason.since_s) == ("commits_failing", 30)
    assert "Group authorization failed." in reason.message
    health.progressed("commit")
    health.waiting("commit", False)
    assert reasons(health) == []


def test_silence_counts_while_a_fetch_is_under_way() -> None:
    """A pause ends the silence of the broker, and its answer is expected anew afterwards."""
    time = Time()
    health = member(time)
    health.silent(0.0)
    time.now += 30
    assert health.silent_s == 30
    health.paused = True
    assert health.silent_s is None
    time.now += 30
    health.paused = False
    assert health.silent_s == 0
    time.now += 3
    health.silent(2.0)
    assert health.silent_s == 2
    health.silent(None)
    assert health.silent_s is None


def test_lag_is_summed_and_its_slope_is_of_the_last_minute() -> None:
    """10 records a second on one partition while another stands: 10 a second in all."""
    time = Time()
    health = member(time)
    for second in range(121):
        health.lag(("logs", 0), 1_000 + 10 * max(0, second - 60))
        health.lag(("logs", 1), 50)
        if second == 60:
            assert (health.lag_records, health.lag_per_s) == (1_050, 0)
        time.now += 1
    assert health.lag_records == 1_650
    assert health.lag_per_s == pytest.approx(10, rel=0.05)


def test_a_revoke_forgets_the_lag() -> None:
    """The next owner reports it: a lag that is never updated again would page without end."""
    time = Time()
    health = member(time)
    health.partitions = 2
    health.lag(("logs", 0), 7)
    health.stalled[("logs", 0)] = "nothing arrives"
    health.assigned = False
    assert (health.lag_records, health.partitions, len(health.stalled)) == (0, 0, 0)


def test_figures_are_plain_values() -> None:
    """A person who asks for readiness sees ages and counts beside the reasons."""
    time = Time()
    health = member(time)
    health.partitions, health.in_flight, health.services, health.services_learning = 3, 40, 12, 5
    health.services_noisy, health.lines_per_service = 2, 812.34
    health.received()
    time.now += 4.25
    assert figures(health) == {
        "partitions": 3,
        "lag": 0,
        "lag_per_s": None,
        "seconds_since": {"fetch": 4.2, "ingest": None, "score": None, "publish": None, "commit": None},
        "in_flight": 40,
        "paused": False,
        "services": 12,
        "services_learning": 5,
        "services_noisy": 2,
        "incidents": "off",
        "feedback": "off",
        "lines_per_service": 812.3,
        "learning_partitions": 0,
        "learning_records_left": 0,
        "services_restored": 0,
        "services_forgotten": 0,
        "without_memory": [],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("the topic is missing", "The topic is missing."),
        ("logs/1 is stopped", "logs/1 is stopped."),
        ("Restart it!", "Restart it!"),
        (" ", ""),
    ],
)
def test_an_error_becomes_a_sentence(text: str, sentence: str) -> None:
    """Names of topics keep their case."""
    assert sentence_of(text) == sentence


FACTS: dict[str, tuple[Callable[[HealthState], object], Callable[[HealthState], object]]] = {
    "not_assigned": (lambda h: setattr(h, "assigned", False), lambda h: setattr(h, "assigned", True)),
    "not_warm": (lambda h: setattr(h, "warm", False), lambda h: setattr(h, "warm", True)),
    "draining": (lambda h: setattr(h, "draining", True), lambda h: setattr(h, "draining", False)),
    "publish_blocked": (lambda h: h.blocked("alerts", "it is missing", "create it"), lambda h: h.unblocked("alerts")),
    "input_topic_missing": (lambda h: h.missing(["logs"]), lambda h: h.missing([])),
    "batch_unreadable": (
        lambda h: h.unreadable.__setitem__(("logs", 1), "stopped"),
        lambda h: h.unreadable.pop(("logs", 1), None),
    ),
    "schema_missing": (
        lambda h: h.without_schema.__setitem__(("logs", 1), "it waits"),
        lambda h: h.without_schema.pop(("logs", 1), None),
    ),
    "partition_stalled": (
        lambda h: h.stalled.__setitem__(("logs", 1), "nothing arrives"),
        lambda h: h.stalled.pop(("logs", 1), None),
    ),
    "commits_failing": (lambda h: h.waiting("commit", True), lambda h: h.waiting("commit", False)),
    "publish_stalled": (lambda h: h.waiting("publish", True), lambda h: h.waiting("publish", False)),
    "score_stalled": (lambda h: h.waiting("score", True), lambda h: h.progressed("score")),
    "broker_silent": (lambda h: h.silent(1_000), lambda h: h.silent(None)),
}
"""For each code the call that reports its fact, and the one that ends it."""

EVENTS = st.one_of(
    st.tuples(st.sampled_from(sorted(FACTS)), st.booleans()),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.sampled_from(STAGES), st.booleans()),
    st.tuples(st.floats(min_value=0, max_value=1e4), st.just(True)),
)


@given(st.lists(EVENTS, max_size=30))
def test_no_age_is_negative_and_a_reason_ends_with_its_fact(events: list[tuple[str | float, bool]]) -> None:
    """Whatever was reported in whatever order, a member whose facts have all ended is ready."""
    time = Time()
    health = member(time)
    for event, begins in events:
        if isinstance(event, float):
            time.now += event
        elif event in FACTS:
            FACTS[event][0 if begins else 1](health)
        elif event == "pause":
            health.paused = begins
        elif event in STAGES:
            health.waiting(event, begins)
        assert all(reason.since_s >= 0 for reason in reasons(health))
        assert len({(r.code, r.topic, r.partition) for r in reasons(health)}) == len(reasons(health))
        assert all(age is None or age >= 0 for age in map(health.since_progress_s, STAGES))
    for _, end in FACTS.values():
        end(health)
    for stage in STAGES:
        health.waiting(stage, False)
    assert reasons(health) == []


@pytest.mark.parametrize("code", sorted(FACTS))
def test_every_fact_makes_its_reason(code: str) -> None:
    """After long enough each fact is a reason of its own code, and only that."""
    time = Time()
    health = member(time)
    FACTS[code][0](health)
    time.now += 3_600
    assert [reason.code for reason in reasons(health)] == [code]
    FACTS[code][1](health)
    assert reasons(health) == []
