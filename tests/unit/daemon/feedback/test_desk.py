"""The task that follows feedback: what is in force, what it shows, and what it does about failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from logwarden.daemon.errors import BrokerUnavailable, TopicMissing
from logwarden.daemon.feedback import newest
from logwarden.daemon.feedback.desk import FeedbackDesk
from logwarden.daemon.feedback.giving import muted
from logwarden.daemon.health import HealthState
from logwarden.daemon.records import FollowedEntries
from logwarden.daemon.web.metrics import PrometheusTelemetry
from logwarden.model.feedback import MOST, FeedbackKind
from tests.fakes import capture, events, metric, virtually
from tests.sim.stand_ins import EPOCH_MS, VirtualClock

Rows = Sequence[tuple[bytes, bytes | None]]
Timed = Sequence[tuple[tuple[bytes, bytes | None], int]]
FILE = Path("feedback.toml")


def mute(text: str, key: str = "") -> tuple[bytes, bytes | None]:
    name, record = muted(text, now_ms=EPOCH_MS - 1)
    return (key or name).encode(), record.encode()


class Topic:
    """A feedback topic. Each step of its reading waits, fails, or passes records on."""

    def __init__(self, *steps: Exception | Rows | float) -> None:
        self.steps = list(steps)
        self.begins = 0

    async def follow(self, since_ms: int) -> AsyncIterator[FollowedEntries]:
        assert since_ms == 0
        self.begins += 1
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield FollowedEntries(entries=[(*row, 0) for row in step], is_caught_up=True)
        while True:
            await asyncio.sleep(1)
            yield FollowedEntries(is_caught_up=True)


class Office:
    """A desk, its facts, and time."""

    def __init__(self, topic: Topic | None, load: Callable[[Path], bytes] | None = None) -> None:
        self.telemetry, self.health = PrometheusTelemetry(), HealthState()
        self.desk = FeedbackDesk(
            topic,
            VirtualClock(),
            self.telemetry,
            self.health,
            kind_of=str,
            name="feedback",
            file=None if load is None else FILE,
            load=load or Path.read_bytes,
        )

    def mutes(self, text: str) -> bool:
        return self.desk.book.judgement("web", "", text, EPOCH_MS) is FeedbackKind.MUTE

    async def for_s(self, seconds: float, then: Callable[[], Any] = lambda: None) -> Any:
        task = asyncio.create_task(self.desk.run())
        await asyncio.wait([task], timeout=seconds)
        result = then()
        task.cancel()
        await asyncio.wait([task])
        return result


@virtually
async def test_what_is_written_is_in_force_and_what_is_taken_back_is_not() -> None:
    """The newest record of a key counts, also one that removes it, and the metrics count what is in force."""
    office = Office(Topic([mute("first"), mute("other", "k")], 5.0, [mute("second")], [(b"k", None)]))
    await office.for_s(1)
    assert office.mutes("first")
    assert not office.mutes("second")
    office = Office(Topic([mute("first"), mute("other", "k")], 5.0, [mute("second")], [(b"k", None)]))
    await office.for_s(9)
    assert [office.mutes(text) for text in ("first", "second", "other")] == [True, True, False]
    assert metric(office.telemetry, "feedback_entries", kind="mute") == 2
    assert metric(office.telemetry, "feedback_records_total", outcome="read") == 3
    assert metric(office.telemetry, "feedback_records_total", outcome="removed") == 1
    assert (office.health.feedback, metric(office.telemetry, "feedback_failing")) == ("followed", 0)


FIRST, SECOND, TAKEN_BACK = mute("first", "k"), mute("second", "k"), (b"k", None)


@pytest.mark.parametrize(
    ("newer", "older", "in_force", "is_shown"),
    [
        ([(SECOND, 2)], [(FIRST, 1)], "second", True),
        ([(TAKEN_BACK, 2)], [(FIRST, 1)], "", True),
        ([(SECOND, 3)], [(FIRST, 1), (TAKEN_BACK, 2)], "second", False),
    ],
    ids=["replaced", "taken back", "tidied up"],
)
@pytest.mark.parametrize("is_newer_first", [True, False])
@virtually
async def test_the_newest_record_counts_where_a_key_lies_in_two_partitions(
    newer: Timed, older: Timed, in_force: str, is_shown: bool, is_newer_first: bool
) -> None:
    """Whatever partition is read first. Readiness, metric and log show what to do while the older one has a value."""
    office = Office(None)
    partitions = [(1, newer), (0, older)] if is_newer_first else [(0, older), (1, newer)]
    with capture() as caught:
        for number, records in partitions:
            entries = [(*record, time_ms) for record, time_ms in records]
            office.desk._take(FollowedEntries(entries=entries, partitions=[number] * len(entries)))
        office.desk._take(FollowedEntries(is_caught_up=True))
    assert [text for text in ("first", "second") if office.mutes(text)] == ([in_force] if in_force else [])
    assert ("Create the topic again with one partition" in office.health.feedback) is is_shown
    assert metric(office.telemetry, "feedback_failing") == is_shown
    assert len(events(caught, "feedback_not_read")) == is_shown


@virtually
async def test_a_missing_topic_is_named_once_and_found_within_five_seconds() -> None:
    """The daemon goes on, readiness shows the command that creates it, and feedback counts once it is there."""
    missing = [TopicMissing("feedback", "it does not exist", hint="create it with `kafka-topics`") for _ in range(3)]
    office = Office(Topic(*missing, [mute("first")]))
    with capture() as caught:
        shown = await office.for_s(5, lambda: (office.health.feedback, metric(office.telemetry, "feedback_failing")))
        assert shown[1] == 1
        assert "Create it with `kafka-topics`." in shown[0]
        assert not office.mutes("first")
    assert len(events(caught, "feedback_not_read")) == 1
    office = Office(Topic(*missing[:2], [mute("first")]))
    await office.for_s(5)
    assert office.mutes("first")
    assert (office.health.feedback, metric(office.telemetry, "feedback_failing")) == ("followed", 0)


@virtually
async def test_feedback_stays_in_force_while_the_topic_is_read_again() -> None:
    """An outage takes nothing back; what is no longer in the topic is gone only after all of it was read."""
    topic = Topic([mute("first")], BrokerUnavailable("here", "gone"), 4.0, [mute("second")])
    office = Office(topic)
    assert await office.for_s(1, lambda: office.mutes("first"))
    topic = Topic([mute("first")], 1.0, BrokerUnavailable("here", "gone"), [mute("second")])
    office = Office(topic)
    seen = list[tuple[bool, bool]]()

    async def look() -> None:
        for _ in range(8):
            await asyncio.sleep(0.5)
            seen.append((office.mutes("first"), office.mutes("second")))

    task = asyncio.create_task(look())
    await office.for_s(5)
    await task
    assert seen[0] == (True, False)
    assert seen[-1] == (False, True)
    assert all(first or second for first, second in seen)
    assert topic.begins == 2


@virtually
async def test_a_record_that_is_none_is_counted_and_harms_no_other() -> None:
    """Another producer's bytes, a key that is too long, and one more than can be kept."""
    newest.MOST_KEYS, most = 2, newest.MOST_KEYS
    try:
        office = Office(
            Topic([(b"x", b"nonsense"), (b"y" * 300, mute("odd")[1]), mute("text 1"), mute("text 2"), mute("text 3")])
        )
        with capture() as caught:
            await office.for_s(1)
    finally:
        newest.MOST_KEYS = most
    assert [office.mutes(f"text {number}") for number in (1, 2, 3)] == [True, True, False]
    counts = {
        outcome: metric(office.telemetry, "feedback_records_total", outcome=outcome)
        for outcome in ("read", "unreadable", "refused")
    }
    assert counts == {"read": 2, "unreadable": 2, "refused": 1}
    assert len(events(caught, "feedback_unreadable")) == 2


@virtually
async def test_only_what_is_in_force_and_has_no_room_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended makes room every day, and is no reason for a person to do anything."""
    monkeypatch.setitem(MOST, FeedbackKind.MUTE, 2)
    over = [muted(f"over {number}", now_ms=EPOCH_MS - 1_000, for_ms=500) for number in range(3)]
    rows: Rows = [(key.encode(), record.encode()) for key, record in over]
    for more, refused in (([mute("one"), mute("two")], 0), ([mute("one"), mute("two"), mute("three")], 1)):
        office = Office(Topic([*rows, *more]))
        with capture() as caught:
            await office.for_s(1)
        assert [event["entries"] for event in events(caught, "feedback_refused")] == [refused] * refused
        assert metric(office.telemetry, "feedback_records_total", outcome="refused") == refused
        assert sum(map(office.mutes, ("one", "two", "three"))) == 2


@virtually
async def test_a_bug_here_ends_no_daemon() -> None:
    """The daemon publishes alerts without feedback, shows why, and tries again."""
    office = Office(Topic(ZeroDivisionError(), [mute("first")]))
    with capture() as caught:
        await office.for_s(1)
        assert "a bug of logwarden (ZeroDivisionError)" in office.health.feedback
    assert events(caught, "feedback_bug")
    office = Office(Topic(ZeroDivisionError(), [mute("first")]))
    await office.for_s(3)
    assert office.mutes("first")


@virtually
async def test_a_file_is_read_again_when_it_changes() -> None:
    """Within five seconds; a broken one leaves the last good one in force and is named until it is corrected."""
    contents = {"now": b'[[mute]]\npattern = "first"\n'}
    office = Office(None, lambda _: contents["now"])
    seen = list[tuple[bool, bool, str]]()

    async def look() -> None:
        for content in (b"[[mute", b'[[mute]]\npattern = "second"\n', b""):
            await asyncio.sleep(4.5)
            seen.append((office.mutes("first"), office.mutes("second"), office.health.feedback))
            contents["now"] = content

    task = asyncio.create_task(look())
    await office.for_s(14)
    await task
    assert [row[:2] for row in seen] == [(True, False), (True, False), (False, True)]
    assert [row[2][:38] for row in seen] == ["followed", "The feedback file feedback.toml cannot", "followed"]


@virtually
async def test_a_file_is_in_force_without_a_topic() -> None:
    """People who keep everything under version control may never create the topic, and its broker may be away."""
    missing = TopicMissing("feedback", "it does not exist", hint="create it")
    for failure in (missing, BrokerUnavailable("here", "gone")):
        office = Office(Topic(*[failure] * 3, [mute("second")]), lambda _: b'[[mute]]\npattern = "first"\n')
        await office.for_s(0.1)
        assert office.mutes("first")
        assert metric(office.telemetry, "feedback_entries", kind="mute") == 1
        assert office.desk.complete_entries() is None
    office = Office(Topic(3.0, [mute("second")]), lambda _: b'[[mute]]\npattern = "first"\n')
    assert await office.for_s(0.1, lambda: office.health.feedback) == "starting"
    await office.for_s(5)
    assert office.mutes("first")
    assert office.mutes("second")
    assert list(office.desk.complete_entries() or ()) == [mute("second")[0].decode()]


@virtually
async def test_a_file_that_cannot_be_read_is_named() -> None:
    """A mounted file may vanish for a moment."""

    def load(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    office = Office(Topic([mute("first")]), load)
    await office.for_s(3)
    assert office.health.feedback == "The feedback file feedback.toml cannot be used: Permission denied. Correct it."
    assert office.mutes("first")


@virtually
async def test_the_start_waits_for_feedback_and_not_for_ever() -> None:
    """A restart publishes nothing that a person does not want, and a silent broker delays it by a limit."""
    office = Office(Topic(3.0, [mute("first")]))
    task = asyncio.create_task(office.desk.run())
    await office.desk.read_once(10)
    task.cancel()
    assert office.mutes("first")
    slow = Office(Topic(BrokerUnavailable("here", "gone"), 1.0, [mute("first")]))
    task = asyncio.create_task(slow.desk.run())
    await slow.desk.read_once(10)
    task.cancel()
    assert slow.mutes("first")
    with capture() as caught:
        await Office(None).desk.read_once(1)
    assert events(caught, "feedback_not_read_yet")
