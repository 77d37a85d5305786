"""The office that gives feedback for people: what it writes, and what it refuses."""

from __future__ import annotations

import pytest

from logwarden.daemon.errors import BrokerUnavailable, ConfigurationError, TopicUnusable
from logwarden.daemon.feedback.giving import ended, length_of, maintained
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.feedback.records import FeedbackLine, feedback_message, written
from logwarden.daemon.feedback.teaching import rows_of
from logwarden.daemon.incidents.alert import build_alert
from logwarden.daemon.records import Delivery
from logwarden.model.feedback import FeedbackKind
from logwarden.model.schema import AlertKind, LogLine, LogWindow, Verdict
from tests.fakes import capture, events
from tests.feedback_stand_ins import NOW_MS, FeedbackTopic
from tests.unit.daemon.feedback.test_records import TWO

HOUR_MS = 3_600_000
EARLY, LATE = "2026-11-23T11:30:00+02:00", "2026-11-23T09:45:00Z"
"""Half past nine and a quarter to ten: in the order of their texts it would be the other way round."""


async def test_an_incident_is_judged_by_the_begin_of_its_id() -> None:
    """The record has the incident's lines, who judged it, and why; the second judgement replaces the first."""
    topic = FeedbackTopic(TWO)
    for kind in (FeedbackKind.EXPECTED, FeedbackKind.REAL):
        key, _ = await topic.office.judge(TWO.id[:6], kind, services=(), for_ms=None, reason="nightly")
        assert key == f"incident/{TWO.id}"
    [(_, record)] = (await topic.office.entries()).items()
    assert (record.kind, record.by, record.reason, len(record.lines)) == (FeedbackKind.REAL, "ann", "nightly", 2)
    with pytest.raises(ConfigurationError, match="no incident begins with 'abcd'"):
        await topic.office.judge("abcd", FeedbackKind.REAL, services=(), for_ms=None, reason="")


async def test_feedback_that_is_undone_ends_now() -> None:
    """Lines before keep what it did, so that a replay decides as the first reading; a real one is removed."""
    topic = FeedbackTopic(TWO)
    key, _ = await topic.office.mute("a text", services=(), for_ms=None, reason="")
    topic.clock.at += 5
    assert (await topic.office.undo(key.removeprefix("mute/")[:5]))[0] == key
    assert (await topic.office.entries())[key].until == written(NOW_MS + 5)
    with pytest.raises(ConfigurationError, match="ended at"):
        await topic.office.undo(key)
    key, _ = await topic.office.judge(TWO.id, FeedbackKind.REAL, services=(), for_ms=None, reason="")
    await topic.office.undo("incident/")
    assert key not in await topic.office.entries()
    with pytest.raises(ConfigurationError, match="no feedback begins"):
        await topic.office.undo("zzzz")


async def test_a_maintenance_is_stopped_by_name_or_because_it_is_the_only_one() -> None:
    """A deploy job need not remember a name as long as no other maintenance runs."""
    topic = FeedbackTopic()
    office = topic.office
    with pytest.raises(ConfigurationError, match="no maintenance runs"):
        await office.stop("")
    await office.start("", services=["web"], systems=(), for_ms=None, reason="")
    topic.clock.at += 60_000
    key, record = await office.stop("")
    assert record.until == written(NOW_MS + 60_000)
    assert key.startswith("maintenance/")
    for name in ("one", "two"):
        await office.start(name, services=(), systems=["shop"], for_ms=HOUR_MS, reason="")
    with pytest.raises(ConfigurationError, match="more than one maintenance runs: 'one', 'two'"):
        await office.stop("")
    assert (await office.stop("two"))[0] == "maintenance/two"
    with pytest.raises(ConfigurationError, match="no maintenance named 'two' runs"):
        await office.stop("two")


async def test_what_ended_long_ago_leaves_the_topic() -> None:
    """Nobody tidies up by hand: the next feedback takes back what is of no use."""
    topic = FeedbackTopic()
    key, _ = await topic.office.start("old", services=(), systems=(), for_ms=None, reason="")
    topic.clock.at += 9 * 24 * HOUR_MS
    await topic.office.mute("a text", services=(), for_ms=None, reason="")
    assert key not in await topic.office.entries()
    assert [message.value is None for batch in topic.sink.sent[-2:] for message in batch] == [False, True]


async def test_what_is_given_while_old_feedback_is_removed_stays() -> None:
    """A deploy job uses a name again in the moment in which another person's command removes the old record of it."""
    topic = FeedbackTopic()
    key, _ = await topic.office.start("nightly", services=(), systems=(), for_ms=None, reason="")
    topic.clock.at += 9 * 24 * HOUR_MS
    again = feedback_message(*maintained("nightly", now_ms=topic.clock.at), "feedback")
    topic.before_removal = lambda: topic.sink.sent.append([again])
    await topic.office.mute("a text", services=(), for_ms=None, reason="")
    assert (await topic.office.entries())[key].encode() == again.value
    assert all(message.value is not None for batch in topic.sink.sent for message in batch)


@pytest.mark.parametrize(
    "failure", [BrokerUnavailable("here", "gone"), TopicUnusable("feedback", "no", hint="allow it"), TimeoutError()]
)
async def test_a_removal_that_fails_takes_nothing_and_fails_no_feedback(failure: Exception) -> None:
    """What was given is given; the old record stays, and the next feedback removes it."""
    topic = FeedbackTopic()
    key, _ = await topic.office.start("old", services=(), systems=(), for_ms=None, reason="")
    topic.clock.at += 9 * 24 * HOUR_MS

    def fail() -> None:
        raise failure

    topic.before_removal = fail
    with capture() as caught:
        mute, _ = await topic.office.mute("a text", services=(), for_ms=None, reason="")
    assert {key, mute} == set(await topic.office.entries())
    [event] = events(caught, "old_feedback_not_removed")
    assert (event["log_level"], event.get("hint")) == (
        ("warning", "allow it") if isinstance(failure, TopicUnusable) else ("debug", None)
    )
    topic.before_removal = lambda: None
    await topic.office.mute("another text", services=(), for_ms=None, reason="")
    assert key not in await topic.office.entries()


async def test_what_the_topic_did_not_take_is_not_given() -> None:
    """A person learns that feedback is not in force; a bound is named before anything is written."""
    topic = FeedbackTopic()
    topic.sink.deliver = lambda _: Delivery.FAILED
    with pytest.raises(BrokerUnavailable, match="give it again"):
        await topic.office.mute("a text", services=(), for_ms=None, reason="")
    blind = FeedbackOffice("feedback", topic.read, None, topic.sink, topic, topic.clock, by="")
    with pytest.raises(ConfigurationError, match="there is no incidents topic"):
        await blind.judge("abcd", FeedbackKind.REAL, services=(), for_ms=None, reason="")


@pytest.mark.parametrize(("text", "length"), [("10m", 600_000), ("2h", 7_200_000), ("7d", 604_800_000), (None, None)])
def test_a_length_is_a_number_and_a_unit(text: str | None, length: int | None) -> None:
    """As everywhere else on the command line."""
    assert length_of(text) == length


@pytest.mark.parametrize("text", ["10", "m", "0m", "-1h", "1 h", "9999999s", "1w", ""])
def test_another_length_is_refused(text: str) -> None:
    """A maintenance of no time, or of a wrong one, would be noticed too late."""
    with pytest.raises(ConfigurationError, match="is no length of time"):
        length_of(text)


def alert(offset: int, *texts: str, service: str = "db") -> bytes:
    """The value of an alert on the last of these lines."""
    lines = tuple(
        LogLine(
            text=text,
            offset=offset - len(texts) + number + 1,
            index=0,
            timestamp_ms=NOW_MS + 1_000 * (offset - len(texts) + number + 1),
            weight=0.5,
            kind=len(text),
            surprise=1.0,
            guilty=False,
        )
        for number, text in enumerate(texts)
    )
    window = LogWindow(service=service, topic="logs", partition=0, lines=lines)
    verdict = Verdict(
        window=window,
        probabilities=(0.1, 0.9),
        logits=(0.0, 1.0),
        threshold=0.5,
        learning=False,
        history_lines=9,
        model_revision="one",
        kind=AlertKind.NEW_LINE,
    )
    return build_alert(verdict, now_ms=None).encode()


async def test_judged_alerts_become_labelled_lines() -> None:
    """The judged line has a label, those before it none, and each line is there once, in the order of time."""
    values = [alert(3, "a", "bb", "ccc"), alert(4, "bb", "ccc", "dddd"), alert(9, "eeeee"), b"nonsense"]
    topic = FeedbackTopic(TWO)
    _, record = await topic.office.judge(TWO.id, FeedbackKind.REAL, services=["db"], for_ms=None, reason="")
    lines = [{"service": "db", "text": "", "dedup_key": f"db:{kind:016x}"} for kind in (3, 4)]
    entries = {
        "one": type(record)(schema_version=1, kind=FeedbackKind.EXPECTED, given=EARLY, lines=(_line(lines[0]),)),
        "two": type(record)(schema_version=1, kind=FeedbackKind.REAL, given=EARLY, lines=(_line(lines[1]),)),
    }
    rows = list(rows_of(entries, reversed(values), NOW_MS))
    assert [(row["text"], row["label"]) for row in rows] == [("a", None), ("bb", None), ("ccc", 0), ("dddd", 1)]
    assert rows[0]["time"] == written(NOW_MS + 1_000)
    taken_back = entries | {
        "three": type(record)(schema_version=1, kind=FeedbackKind.REAL, given=LATE, lines=(_line(lines[0]),))
    }
    assert [row["label"] for row in rows_of(taken_back, values, NOW_MS)] == [None, None, 1, 1]
    undone = entries | {"one": ended(entries["one"], NOW_MS)}
    assert [row["label"] for row in rows_of(undone, values, NOW_MS)] == [None, None, 1]


def _line(fields: dict[str, str]) -> FeedbackLine:
    return FeedbackLine(**fields)
