"""The state topic is read within a bounded time; without it, scoring goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace

import pytest

from logwarden.daemon.errors import BrokerUnavailable, LogwardenError, TopicUnusable
from logwarden.daemon.pipeline.recall import LONGEST_S, QUIET_S, Recall
from logwarden.daemon.readiness import figures
from logwarden.daemon.records import Entries
from logwarden.daemon.state.choice import Place
from logwarden.daemon.state.records import FORMAT, StateKey, StateValue, Through
from tests.fakes import World, capture, events, metric, virtually
from tests.sim.loop import now_s

PLACE = Place("logs", "id", 2)


def record(masks: str = "") -> tuple[bytes, bytes]:
    value = StateValue(
        format=FORMAT,
        masks=masks,
        epoch=1,
        run="r",
        cut=5,
        is_first=True,
        has_past=False,
        through=Through(5, 0),
        snapshot=b"x",
    )
    return StateKey("", *PLACE, "svc").encode(), value.encode()


class Topic:
    """A state topic that fails as often as a test wants, then passes its records at a pace."""

    def __init__(self, *failures: LogwardenError, records: int = 1, pace_s: float = 0.0) -> None:
        self.failures = list(failures)
        self.records = records
        self.pace_s = pace_s
        self.wanted: list[set[int]] = []

    async def read(self, partitions: Collection[int], take: Callable[[Entries], None]) -> None:
        self.wanted.append(set(partitions))
        if self.failures:
            raise self.failures.pop(0)
        for _ in range(self.records):
            await asyncio.sleep(self.pace_s)
            take([record()])


def recall_of(world: World, topic: Topic | None) -> Recall:
    return Recall(replace(world.ports, state=topic), world.lifetime, group="", masks="")


@virtually
async def test_what_counts_is_read_for_the_partitions_that_need_it() -> None:
    """Only partitions of these numbers are read."""
    world, topic = World(), Topic()
    choice = await recall_of(world, topic).choice({PLACE: None})
    assert choice is not None
    assert [restored.service for restored in choice.of(PLACE)] == ["svc"]
    assert topic.wanted == [{2}]


@virtually
async def test_nothing_is_read_where_every_service_continues_or_no_state_is_kept() -> None:
    """A rebalance that changes nothing asks nothing of the brokers."""
    world, topic = World(), Topic()
    assert await recall_of(world, topic).choice({}) is not None
    assert await recall_of(world, None).choice({PLACE: None}) is not None
    assert not topic.wanted


@virtually
async def test_a_broker_that_answers_later_is_asked_again() -> None:
    """An election takes a moment; what was read before it is read from the begin again."""
    world = World()
    world.health.forgets("read", "it failed before", "")
    choice = await recall_of(world, Topic(BrokerUnavailable("b", "no"), BrokerUnavailable("b", "no"))).choice(
        {PLACE: None}
    )
    assert choice is not None
    assert len(choice.of(PLACE)) == 1
    assert not figures(world.health)["without_memory"]


@pytest.mark.parametrize(
    ("topic", "at_most_s"),
    [
        (Topic(TopicUnusable("state", "not allowed", hint="allow it", use="read")), 0.0),
        (Topic(*[BrokerUnavailable("b", "no leader")] * 1_000), LONGEST_S + 1),
        (Topic(pace_s=10_000.0), QUIET_S),
        (Topic(records=10_000, pace_s=QUIET_S / 2), LONGEST_S),
    ],
    ids=["forbidden", "away", "silent", "too long"],
)
@virtually
async def test_scoring_goes_on_without_a_topic_that_cannot_be_read(topic: Topic, at_most_s: float) -> None:
    """The wait is bounded, and log, readiness and metrics show what is missing; the member stays ready."""
    world = World()
    topic.failures = list(topic.failures)
    with capture() as caught:
        assert await recall_of(world, topic).choice({PLACE: None}) is None
    assert now_s() <= at_most_s
    assert len(events(caught, "state_not_read")) == 1
    assert len(figures(world.health)["without_memory"]) == 1
    assert metric(world.telemetry, "state_failures_total", stage="read") == 1


@virtually
async def test_records_of_another_release_are_reported() -> None:
    """Their services learn again, and the operator sees why."""
    world = World()

    class Old(Topic):
        async def read(self, partitions: Collection[int], take: Callable[[Entries], None]) -> None:
            take([record("other masks")])

    with capture() as caught:
        await recall_of(world, Old()).choice({PLACE: None})
    assert metric(world.telemetry, "state_unreadable_records_total", outcome="masks") == 1
    assert [event["reason"] for event in events(caught, "state_records_passed_over")] == ["masks"]
