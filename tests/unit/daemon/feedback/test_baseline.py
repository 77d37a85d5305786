"""Incidents that nobody judged: which become baseline, and what is written about them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.feedback.baseline import DAY_MS, BaselineWatcher
from logwarden.daemon.feedback.newest import readable
from logwarden.daemon.feedback.records import FeedbackRecord, written
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.incidents.plans import PlanFacts
from logwarden.daemon.records import Delivery, KeyedRecord
from logwarden.model.feedback import FeedbackKind
from logwarden.model.recurrences import Recurrences
from tests.fakes import capture, events
from tests.feedback_stand_ins import NOW_MS, FeedbackTopic
from tests.unit.daemon.feedback.test_records import TWO


def on_day(day: float, *, planned: bool = False) -> IncidentRecord:
    """The same incident on a day before now, an hour long."""
    first, last = (written(round(NOW_MS + day * DAY_MS) - ago) for ago in (3_600_000, 0))
    lines = tuple(msgspec.structs.replace(line, first_seen=first, last_seen=last) for line in TWO.logwarden.lines[:1])
    plan = PlanFacts(id="p", reason="", until=None) if planned else None
    facts = msgspec.structs.replace(TWO.logwarden, lines=lines, first_seen=first, last_seen=last, planned=plan)
    return msgspec.structs.replace(TWO, logwarden=facts)


class Desk:
    """A baseline of 21 days on a topic in memory."""

    def __init__(self) -> None:
        self.topic = FeedbackTopic()
        self.given: dict[str, FeedbackRecord] = {}
        self.baseline = BaselineWatcher("feedback", self.entries, self.topic.sink, self.topic.clock, after_days=21)

    def entries(self) -> dict[str, FeedbackRecord]:
        return self.given | self.written()

    def written(self) -> dict[str, FeedbackRecord]:
        return readable(KeyedRecord(m.key or b"", m.value) for batch in self.topic.sink.sent for m in batch)


async def test_what_came_back_for_three_weeks_is_expected() -> None:
    """Its line is expected from now on, once, with the reason; an incident of 20 days is not."""
    desk = Desk()
    desk.baseline.remember([on_day(day) for day in range(-20, 0)])
    await desk.baseline.watch(on_day(0))
    assert not desk.written()
    desk.baseline.remember([on_day(day) for day in range(-22, 0, 5)])
    await desk.baseline.watch(on_day(0))
    await desk.baseline.watch(on_day(0))
    [(key, record)] = desk.written().items()
    assert key.startswith("baseline/")
    assert (record.kind, record.by, record.until) == (FeedbackKind.EXPECTED, "logwarden", None)
    assert record.reason == "its incidents came back for 21 days without a judgement"
    assert [line.text for line in record.lines] == ["disk 7 is full"]
    assert len(desk.topic.sink.sent) == 1


async def test_nothing_becomes_baseline_before_the_feedback_is_read() -> None:
    """A person may have called these lines a fault, and what is given later counts. The next record tries again."""
    desk = Desk()
    seen: list[Mapping[str, FeedbackRecord] | None] = [None, {}]
    watcher = BaselineWatcher("feedback", lambda: seen.pop(0), desk.topic.sink, desk.topic.clock, after_days=21)
    watcher.remember([on_day(day) for day in range(-22, 0)])
    await watcher.watch(on_day(0))
    assert not desk.written()
    await watcher.watch(on_day(0))
    assert len(desk.written()) == 1


async def test_it_is_written_once_although_the_topic_is_read_later() -> None:
    """A member follows the topic with a delay, and a busy incident has many records."""
    desk = Desk()
    late = BaselineWatcher("feedback", dict, desk.topic.sink, desk.topic.clock, after_days=21)
    late.remember([on_day(day) for day in range(-22, 0)])
    await late.watch(on_day(0))
    await late.watch(on_day(0))
    assert len(desk.topic.sink.sent) == 1


async def test_an_old_fault_that_breaks_out_again_is_no_baseline() -> None:
    """It was quiet for longer than a week, so that it is news."""
    desk = Desk()
    desk.baseline.remember([on_day(-30), on_day(-22), on_day(-8)])
    await desk.baseline.watch(on_day(0))
    assert not desk.written()


async def test_what_a_person_judged_or_announced_is_left_alone() -> None:
    """A real fault stays one, what was undone is not expected again, and planned incidents count for nothing."""
    desk = Desk()
    line = TWO.logwarden.lines[0]
    _, record = await FeedbackTopic(TWO).office.judge(
        TWO.id, FeedbackKind.REAL, services=[line.service], for_ms=None, reason=""
    )
    desk.given["incident/x"] = record
    desk.baseline.remember([on_day(day) for day in range(-22, 0)])
    await desk.baseline.watch(on_day(0))
    desk.given.clear()
    desk.baseline.remember([on_day(day, planned=True) for day in range(-22, 0)])
    await desk.baseline.watch(on_day(0))
    assert not desk.written()


async def test_what_cannot_be_written_is_tried_again() -> None:
    """A topic that is missing stops no incident."""
    desk = Desk()
    desk.baseline.remember([on_day(day) for day in range(-22, 0)])
    desk.topic.sink.refusals = [BrokerUnavailable("here", "gone")]
    with capture() as caught:
        await desk.baseline.watch(on_day(0))
    assert events(caught, "baseline_not_written")
    desk.topic.sink.deliver = lambda _: Delivery.FAILED
    await desk.baseline.watch(on_day(0))
    desk.topic.sink.sent.clear()  # which the broker did not take
    desk.topic.sink.deliver = lambda _: Delivery.ACKNOWLEDGED
    await desk.baseline.watch(on_day(0))
    assert len(desk.written()) == 1


def test_the_memory_of_kinds_is_bounded() -> None:
    """The kind without an incident for the longest time is forgotten first, and begins again."""
    found = Recurrences(9, most_kinds=2)
    assert not found.note("a", 0, 1)
    assert not found.note("b", 0, 1)
    assert found.note("a", 3, 9)
    assert not found.note("c", 9, 9)
    assert not found.note("b", 3, 9)
    assert len(found._chains) == 2
