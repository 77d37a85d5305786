"""Feedback is never lost: whatever fails while it is followed, what is in force is what the topic has."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.feedback import desk
from logwarden.daemon.feedback.desk import READ_AGAIN_S, FeedbackDesk
from logwarden.daemon.feedback.giving import muted
from logwarden.daemon.feedback.newest import readable
from logwarden.daemon.health import HealthState
from logwarden.daemon.records import FollowedEntries, KeyedRecord
from logwarden.daemon.web.metrics import PrometheusTelemetry
from tests.fakes import capture
from tests.sim.loop import run_virtual
from tests.sim.stand_ins import EPOCH_MS, VirtualClock

KEYS = st.sampled_from("abcd")
VALUES = st.sampled_from([None, b"nonsense", *(muted(f"text {n}", now_ms=EPOCH_MS + n)[1].encode() for n in range(3))])
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), KEYS, VALUES),
        st.tuples(st.sampled_from(["outage", "compaction", "recreation", "wait"]), st.just(""), st.none()),
    ),
    max_size=30,
)
Event = tuple[str, str, bytes | None]


class Topic:
    """A compacted topic that lives through events. A reader that follows sees what is appended, and no more."""

    def __init__(self) -> None:
        self.log: list[tuple[bytes, bytes | None, int]] = []
        self.outages = 0

    def live(self, event: Event) -> None:
        name, key, value = event
        if name == "write":
            self.log.append((key.encode(), value, 0))
        elif name == "compaction":  # which also removes what takes a key back
            newest = {row[0]: row for row in self.log}
            self.log = [row for row in self.log if newest[row[0]] is row and row[1] is not None]
            self.outages += 1  # positions of readers are offsets, which the list here does not have
        elif name == "recreation":  # of which a reader learns nothing: its position lies beyond the end
            self.log = []
        elif name == "outage":
            self.outages += 1

    async def follow(self, since_ms: int) -> AsyncIterator[FollowedEntries]:
        outages, end, position = self.outages, len(self.log), 0
        while True:
            if self.outages != outages:
                raise BrokerUnavailable("here", "an outage")
            piece = self.log[position : position + 2]
            position += len(piece)
            yield FollowedEntries(entries=piece, is_caught_up=position >= end)
            await asyncio.sleep(0.1 if position < len(self.log) else 1.0)


def in_force(events: list[Event]) -> tuple[set[str], set[str]]:
    """Lives through events a second apart. Returns the keys in force then, and those that the topic has."""
    topic = Topic()

    async def live() -> set[str]:
        followed = desk_of(topic)
        task = asyncio.create_task(followed.run())
        for event in events:
            topic.live(event)
            await asyncio.sleep(1)
        await asyncio.sleep(5 + READ_AGAIN_S)
        task.cancel()
        await asyncio.wait([task])
        return {entry.key for entry in followed.book}

    found: set[str] = set()

    async def run() -> None:
        found.update(await live())

    with capture():
        run_virtual(run())
    return found, set(readable(KeyedRecord(*row) for row in topic.log))


def desk_of(topic: Topic) -> FeedbackDesk:
    return FeedbackDesk(topic, VirtualClock(), PrometheusTelemetry(), HealthState(), kind_of=str, name="feedback")


@given(EVENTS)
def test_feedback_is_never_lost(events: list[Event]) -> None:
    """After outages, compactions and another topic of the name, the entries in force are those of the topic."""
    found, there = in_force(events)
    assert found == there


def test_without_a_second_reading_feedback_differs_from_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The safeguard is needed: a desk that only follows keeps what a topic created again does not have."""
    monkeypatch.setattr(desk, "READ_AGAIN_S", math.inf)
    value = muted("a text", now_ms=EPOCH_MS)[1].encode()
    found, there = in_force([("write", "a", value), ("wait", "", None), ("recreation", "", None)])
    assert (found, there) == ({"a"}, set())


def test_what_is_read_in_part_is_not_in_force() -> None:
    """The safeguard is needed: while a topic is read again, what it took back later must not come into force."""
    value = muted("a text", now_ms=EPOCH_MS)[1].encode()
    rows = [(b"a", value, 0), (b"b", value, 0), (b"a", None, 0)]
    made = desk_of(Topic())
    made._take(FollowedEntries(entries=rows[:2], is_caught_up=False))
    assert len(made.book) == 0
    made._take(FollowedEntries(entries=rows[2:], is_caught_up=True))
    assert {entry.key for entry in made.book} == {"b"}
