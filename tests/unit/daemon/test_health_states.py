"""Every state of a member as facts in and judgements out: ready, live, the reasons, and whether the process ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from logwarden.daemon.health import HealthState, Stage
from logwarden.daemon.readiness import reasons
from logwarden.daemon.records import Partition
from logwarden.daemon.watchdog import STUCK, Held, StuckJudge

LOGS, OTHER = Partition("logs", 0), Partition("logs", 1)
TIMEOUT_S, ASK_S = 300.0, 30.0


class Member:
    """A member whose facts a test lays down, and whose time passes second by second, as the watchdog looks."""

    def __init__(self, timeout_s: float | None = TIMEOUT_S) -> None:
        self.now = 0.0
        self.health = HealthState(lambda: self.now, assigned=True, warm=True)
        self.health.partitions = 2
        self.judge = StuckJudge(self.health, timeout_s=timeout_s, now=0.0)
        self.held = {LOGS: Held(partition=LOGS, position=7, outstanding=0)}
        self.held[OTHER] = Held(partition=OTHER, position=0, outstanding=0)
        self.ends: Mapping[Partition, int] | None = {LOGS: 7, OTHER: 0}
        """What the broker answers about the ends of partitions. None: it does not answer."""
        self.group_answers = True
        self.silent_s: float | None = 0.0
        """Seconds since the broker answered a fetch at the begin; None where none is under way."""
        self.each_second: Callable[[], None] = lambda: None

    def outage(self) -> None:
        self.ends, self.group_answers = None, False
        began = self.now

        def grow_silent() -> None:
            self.silent_s = self.now - began

        self.each_second = grow_silent

    def recover(self) -> None:
        self.ends, self.group_answers = {LOGS: 7, OTHER: 0}, True
        self.silent_s, self.each_second = 0.0, lambda: None

    def hang(self, stage: Stage) -> None:
        """Lets a stage have work that it never finishes."""
        self.health.waiting(stage, True)

    def let_pass(self, seconds: float) -> None:
        """Lets time pass, until the watchdog ends the process."""
        until = self.now + seconds
        while self.now < until and self.health.live:
            self.now += 1.0
            self.each_second()
            self.health.silent(self.silent_s)
            self.health.in_flight = sum(piece.outstanding for piece in self.held.values())
            self.judge.observe(list(self.held.values()), self.now)
            if self.now % ASK_S == 0:
                self._ask()
            sentence = self.judge.verdict(self.now)
            if sentence is not None:
                self.health.failed(sentence, code=STUCK)

    def _ask(self) -> None:
        if not self.health.assigned and self.group_answers:
            self.judge.group_answered(self.now)
        elif self.health.assigned and self.ends is not None:
            wanted = self.judge.questions()
            self.judge.ends_are({p: end for p, end in self.ends.items() if p in wanted}, self.now)
        else:
            self.judge.nothing_answered()


def nothing(member: Member) -> None:
    """Leaves the member as it is."""


def bare(member: Member) -> None:
    member.health.assigned = member.health.warm = False
    member.group_answers = False


def draining(member: Member) -> None:
    member.health.draining = True


def failed(member: Member) -> None:
    member.health.failed("the group removed this member")


def blocked(member: Member) -> None:
    member.health.blocked("alerts", "the topic 'alerts' cannot be written to: it is missing", "create it")


def missing(member: Member) -> None:
    member.health.missing(["lgos"])


def unreadable(member: Member) -> None:
    member.health.unreadable[LOGS] = "logs/0 is stopped at offset 7: a wrong checksum"
    member.ends = {LOGS: 900, OTHER: 0}


def outage(member: Member) -> None:
    member.outage()


def outage_of_a_full_member(member: Member) -> None:
    member.outage()
    member.health.paused = True
    member.held[LOGS] = Held(partition=LOGS, position=7, outstanding=32_768)
    blocked(member)
    member.hang("publish")


def no_fetch(member: Member) -> None:
    member.silent_s = None


def commits_refused(member: Member) -> None:
    member.hang("commit")
    member.each_second = lambda: member.health.attempt_failed("commit", "no Kafka broker answered: not coordinator")


def scoring_hangs(member: Member) -> None:
    member.hang("score")


def ingest_hangs(member: Member) -> None:
    member.hang("ingest")


def publishing_hangs(member: Member) -> None:
    member.hang("publish")


def publishing_fails_again_and_again(member: Member) -> None:
    member.hang("publish")
    member.outage()
    member.health.paused = True
    member.held[LOGS] = Held(partition=LOGS, position=7, outstanding=32_768)
    member.each_second = lambda: member.health.attempt_failed("publish", "no Kafka broker answered")


def publishing_is_blocked(member: Member) -> None:
    member.hang("publish")
    blocked(member)


def scoring_hangs_in_an_outage(member: Member) -> None:
    member.hang("score")
    member.outage()


def scoring_hangs_in_a_drain(member: Member) -> None:
    member.hang("score")
    draining(member)


def scoring_is_slow(member: Member) -> None:
    member.hang("score")
    member.each_second = lambda: member.health.progressed("score") if member.now % 50 == 0 else None


def lines_are_lost(member: Member) -> None:
    member.held[LOGS] = Held(partition=LOGS, position=7, outstanding=3)


def silent_consumer(member: Member) -> None:
    member.ends = {LOGS: 9, OTHER: 0}


def silent_consumer_in_an_outage(member: Member) -> None:
    silent_consumer(member)
    member.let_pass(60)
    member.outage()


def paused(member: Member) -> None:
    silent_consumer(member)
    member.health.paused = True


def one_partition_is_silent(member: Member) -> None:
    silent_consumer(member)

    def move() -> None:
        member.held[OTHER] = Held(partition=OTHER, position=int(member.now), outstanding=0)

    member.each_second = move


def context_arrives(member: Member) -> None:
    silent_consumer(member)
    member.each_second = member.health.received


def never_assigned(member: Member) -> None:
    member.health.assigned = False


def never_assigned_without_coordinator(member: Member) -> None:
    member.health.assigned = False
    member.group_answers = False


def never_assigned_then_outage(member: Member) -> None:
    never_assigned(member)
    member.let_pass(200)
    member.outage()


def spare(member: Member) -> None:
    member.held, member.ends, member.silent_s = {}, {}, None


def suspended(member: Member) -> None:
    scoring_hangs(member)
    silent_consumer(member)
    member.let_pass(31)
    member.now += 900


@dataclass(frozen=True)
class State:
    """Facts, the seconds for which they last, and the judgement then."""

    facts: Callable[[Member], None]
    seconds: float
    codes: list[str] = field(default_factory=list)
    exits: bool = False
    timeout_s: float | None = TIMEOUT_S


STATES = [
    State(nothing, 1_000),
    State(bare, 1_000, ["not_assigned", "not_warm"]),
    State(draining, 1_000, ["draining"]),
    State(failed, 1, ["failed"]),
    State(blocked, 9),
    State(blocked, 11, ["publish_blocked"]),
    State(blocked, 1_000, ["publish_blocked"]),
    State(missing, 1_000, ["input_topic_missing"]),
    State(unreadable, 1_000, ["batch_unreadable"]),
    State(outage, 9),
    State(outage, 11, ["broker_silent"]),
    State(outage, 1_000, ["broker_silent"]),
    State(outage_of_a_full_member, 1_000, ["publish_blocked"]),
    State(no_fetch, 1_000),
    State(commits_refused, 10),
    State(commits_refused, 12, ["commits_failing"]),
    State(commits_refused, 1_000, ["commits_failing"]),
    State(scoring_hangs, 59),
    State(scoring_hangs, 61, ["score_stalled"]),
    State(scoring_hangs, 299, ["score_stalled"]),
    State(scoring_hangs, 300, ["stuck", "score_stalled"], exits=True),
    State(scoring_hangs, 1_000, ["score_stalled"], timeout_s=None),
    State(ingest_hangs, 300, ["stuck", "ingest_stalled"], exits=True),
    State(publishing_hangs, 11, ["publish_stalled"]),
    State(publishing_hangs, 300, ["stuck", "publish_stalled"], exits=True),
    State(publishing_fails_again_and_again, 1_000, ["publish_stalled"]),
    State(publishing_is_blocked, 1_000, ["publish_blocked"]),
    State(scoring_hangs_in_an_outage, 1_000, ["broker_silent", "score_stalled"]),
    State(scoring_hangs_in_a_drain, 1_000, ["draining", "score_stalled"]),
    State(scoring_is_slow, 1_000),
    State(lines_are_lost, 300),
    State(lines_are_lost, 301, ["stuck"], exits=True),
    State(silent_consumer, 89),
    State(silent_consumer, 91, ["partition_stalled"]),
    State(silent_consumer, 329, ["partition_stalled"]),
    State(silent_consumer, 331, ["stuck", "partition_stalled"], exits=True),
    State(silent_consumer, 1_000, ["partition_stalled"], timeout_s=None),
    State(silent_consumer_in_an_outage, 1_000, ["broker_silent"]),
    State(paused, 1_000),
    State(one_partition_is_silent, 1_000, ["partition_stalled"]),
    State(context_arrives, 1_000, ["partition_stalled"]),
    State(never_assigned, 329, ["not_assigned"]),
    State(never_assigned, 331, ["stuck", "not_assigned"], exits=True),
    State(never_assigned_then_outage, 1_000, ["not_assigned"]),
    State(never_assigned_without_coordinator, 1_000, ["not_assigned"]),
    State(spare, 1_000),
    State(suspended, 29, ["score_stalled"]),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: f"{state.facts.__name__}-{state.seconds:g}")
def test_facts_in_judgement_out(state: State) -> None:
    """Each fact makes the member unready by its own code, and the process ends only where a restart helps."""
    member = Member(state.timeout_s)
    state.facts(member)
    member.let_pass(state.seconds)
    assert [reason.code for reason in reasons(member.health)] == state.codes
    assert member.health.live == (not state.exits and "failed" not in state.codes)
    assert (member.health.failure_code == STUCK) == state.exits


def test_a_stuck_consumer_is_named() -> None:
    """The sentence names the partitions, so that an operator can compare them with Kafka's own tools."""
    member = Member()
    silent_consumer(member)
    member.let_pass(1_000)
    assert member.health.failure == (
        "the consumer has received nothing for 300 s, although the broker has more records of logs/0"
    )
    [stuck, stalled] = reasons(member.health)
    assert "Restart it." in stuck.message
    assert (stalled.topic, stalled.partition) == ("logs", 0)
    assert "2 records of logs/0 from offset 7 on" in stalled.message


def test_a_consumer_that_receives_again_is_not_stuck() -> None:
    """One record that arrives begins the time anew, and the reason disappears with its fact."""
    member = Member()
    silent_consumer(member)
    member.let_pass(320)
    assert [reason.code for reason in reasons(member.health)] == ["partition_stalled"]
    member.held[LOGS] = Held(partition=LOGS, position=9, outstanding=0)
    member.let_pass(1)
    assert reasons(member.health) == []
    member.let_pass(1_000)
    assert member.health.live


def test_an_outage_begins_the_time_anew() -> None:
    """What stood still while no broker answered gets the whole time after it, as a restart would give it."""
    member = Member()
    member.hang("score")
    member.outage()
    member.let_pass(1_000)
    member.recover()
    member.let_pass(298)
    assert member.health.live
    member.let_pass(3)
    assert not member.health.live


def test_a_group_that_assigns_in_between_is_not_stuck() -> None:
    """Rebalances in a row are no standstill: only a member that never gets through one is stuck."""
    member = Member()
    for _ in range(10):
        member.health.assigned = False
        member.let_pass(200)
        member.health.assigned = True
        member.let_pass(1)
    assert member.health.live
