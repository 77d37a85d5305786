"""People who give feedback in haste, twice, against each other, or with a wrong clock."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.feedback.giving import is_over, maintained
from logwarden.daemon.feedback.records import feedback_message, feedback_of, time_ms, written
from logwarden.daemon.incidents.writing import milliseconds
from logwarden.model.feedback import FeedbackBook, FeedbackKind
from tests.feedback_stand_ins import NOW_MS, FeedbackTopic
from tests.unit.daemon.feedback.test_records import TWO

HOUR_MS = 3_600_000
EXPECTED, REAL = FeedbackKind.EXPECTED, FeedbackKind.REAL


async def judge(topic: FeedbackTopic, kind: FeedbackKind) -> list[str]:
    """Judges the incident. Returns what the person learns about it."""
    found: list[str] = []
    await topic.office.judge(TWO.id, kind, services=(), for_ms=None, reason="", remark=found.append)
    return found


async def start(topic: FeedbackTopic, name: str = "deploy", **fields: Any) -> None:
    given: dict[str, Any] = {"services": (), "systems": ("shop",), "for_ms": HOUR_MS, "reason": ""}
    await topic.office.start(name, **(given | fields))


async def test_two_people_who_judge_opposite_learn_of_each_other() -> None:
    """The later judgement counts, and names the one that it replaces; the same one again replaces nothing."""
    topic = FeedbackTopic(TWO)
    assert await judge(topic, EXPECTED) == []
    assert await judge(topic, EXPECTED) == []
    topic.clock.at += 1
    [sentence] = await judge(topic, REAL)
    assert sentence == f"It replaces the judgement 'expected' by 'ann' of {written(NOW_MS)}."
    [record] = (await topic.office.entries()).values()
    assert record.kind is REAL


async def test_a_clock_that_is_behind_takes_no_judgement_its_effect() -> None:
    """A colleague's clock is an hour ahead: what is given afterwards counts all the same, and begins now."""
    topic = FeedbackTopic(TWO)
    topic.clock.at = NOW_MS + HOUR_MS
    await topic.office.mute("disk 7 is full", services=(), for_ms=None, reason="")
    topic.clock.at = NOW_MS
    await judge(topic, REAL)
    entries = {key: feedback_of(key, each, lambda text: text) for key, each in (await topic.office.entries()).items()}
    real = next(each for each in entries.values() if each.kind is REAL)
    assert (real.given_ms, real.from_ms <= NOW_MS) == (NOW_MS + HOUR_MS + 1, True)
    decided = FeedbackBook(entries.values()).judgement("db", "disk 7 is full", "disk 7 is full", NOW_MS + 2 * HOUR_MS)
    assert decided is REAL


async def test_a_clock_of_another_year_is_not_followed() -> None:
    """One wrong record must not move the time of all that is given after it."""
    topic = FeedbackTopic(TWO)
    topic.clock.at = NOW_MS + 400 * 24 * HOUR_MS
    await topic.office.mute("a text", services=(), for_ms=None, reason="")
    topic.clock.at = NOW_MS
    await judge(topic, EXPECTED)
    given = {record.kind: record.given for record in (await topic.office.entries()).values()}
    assert given[EXPECTED] == written(NOW_MS)


async def test_what_is_given_again_begins_where_it_began() -> None:
    """A window and a mute that are prolonged keep their begin: lines of before may still be on their way."""
    topic = FeedbackTopic()
    await start(topic)
    mute, _ = await topic.office.mute("a text", services=(), for_ms=HOUR_MS, reason="")
    topic.clock.at += HOUR_MS // 2
    await start(topic)
    await topic.office.mute("a text", services=(), for_ms=HOUR_MS, reason="")
    for key in ("maintenance/deploy", mute):
        record = (await topic.office.entries())[key]
        assert (record.from_time, record.until) == (written(NOW_MS), written(NOW_MS + HOUR_MS * 3 // 2))
    topic.clock.at += 2 * HOUR_MS
    await start(topic)
    assert (await topic.office.entries())["maintenance/deploy"].from_time is None, "the window before it has ended"


async def test_a_name_belongs_to_one_running_maintenance() -> None:
    """A second job of the same name would end the window of the first one; after its end the name is free."""
    topic = FeedbackTopic()
    await start(topic)
    with pytest.raises(ConfigurationError, match=r"'maintenance/deploy' of 'shop' runs until 2026-11-23T11:10"):
        await start(topic, systems=("bank",))
    await topic.office.stop("deploy")
    await start(topic, systems=("bank",))
    assert (await topic.office.entries())["maintenance/deploy"].systems == ("bank",)


async def test_what_is_undone_before_its_begin_is_over() -> None:
    """A window of next week that is taken back never applies, is listed as ended, and is undone once."""
    topic = FeedbackTopic()
    key, record = maintained("later", now_ms=NOW_MS + 24 * HOUR_MS)
    topic.sink.sent.append([feedback_message(key, record, "feedback")])
    assert not is_over(record, NOW_MS)
    await topic.office.undo(key)
    undone = (await topic.office.entries())[key]
    assert is_over(undone, NOW_MS)
    assert undone.until is not None
    assert milliseconds(undone.until) == NOW_MS + 24 * HOUR_MS
    with pytest.raises(ConfigurationError, match="'maintenance/later' ended at"):
        await topic.office.undo(key)


@pytest.mark.parametrize("name", ["x" * 100_000, "zz\n\x1b[2J", ""])
async def test_no_name_floods_a_terminal(name: str) -> None:
    """What a person gave by mistake is quoted in part, as text; and of many names some."""
    topic = FeedbackTopic(TWO)
    for number in range(99):
        await start(topic, f"deploy-{number}-" + "x" * 200)
    office = topic.office
    for refused in (office.stop(name), office.undo(name), office.undo("deploy")):
        with pytest.raises(ConfigurationError) as caught:
            await refused
        text = f"{caught.value} {caught.value.hint}"
        assert len(text) < 700
        assert text.isprintable()
    with pytest.raises(ConfigurationError, match="of the service 'yyy") as caught:
        await office.judge(TWO.id, REAL, services=["y" * 1_000] * 60, for_ms=None, reason="")
    assert "and 55 more" in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2J", "zero\u200bwidth", " blank", "x" * 300])
async def test_a_name_is_one_that_people_can_type(name: str) -> None:
    """A window whose name nobody can write could not be ended by it."""
    with pytest.raises(ConfigurationError, match="the name of the maintenance"):
        await start(FeedbackTopic(), name)


async def test_feedback_of_the_file_is_not_undone_by_a_command() -> None:
    """The resolution of an incident names its key, so that people will try."""
    with pytest.raises(ConfigurationError, match="'file/0123' is feedback of a file") as caught:
        await FeedbackTopic().office.undo("file/0123")
    assert caught.value.hint == "take it out of the file that LOGWARDEN_FEEDBACK__FILE names"


@pytest.mark.parametrize("pattern", ["*", "", "***", " * a b * ", "ab"])
async def test_a_mute_of_everything_is_refused(pattern: str) -> None:
    """The sentence states what a pattern needs."""
    with pytest.raises(ConfigurationError, match="at least 3 characters beside stars and blanks"):
        await FeedbackTopic().office.mute(pattern, services=(), for_ms=None, reason="")


async def test_a_note_of_any_size_is_kept_or_refused() -> None:
    """Control characters stay what they are; a note of 100 kB is refused in a short sentence."""
    topic = FeedbackTopic(TWO)
    await topic.office.mute("a text", services=(), for_ms=None, reason="\x00\x1b[2J\u202e\ud800 line\n")
    [record] = (await topic.office.entries()).values()
    assert record.reason == "\x00\x1b[2J\u202e? line\n"
    with pytest.raises(ConfigurationError, match="longer than 1,024 characters"):
        await topic.office.mute("a text", services=(), for_ms=None, reason="x" * 100_000)


async def test_a_job_ends_no_maintenance_but_its_own() -> None:
    """Its start failed; the maintenance of another job, whose name begins alike, goes on."""
    topic = FeedbackTopic()
    await start(topic, "deploy-7")
    with pytest.raises(ConfigurationError, match="no maintenance named 'deploy' runs"):
        await topic.office.stop("deploy")
    assert (await topic.office.stop("maintenance/deploy-7"))[0] == "maintenance/deploy-7"


@pytest.mark.parametrize(
    ("begin", "until"),
    [
        (None, "9999-12-31T23:59:59.999999Z"),
        (None, "9999-12-31T23:59:59-23:00"),
        ("0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59Z"),
    ],
)
async def test_the_ends_of_time_are_times(begin: str | None, until: str) -> None:
    """Another producer means *for ever*, or *always*; its record is undone as any other."""
    topic = FeedbackTopic()
    record = msgspec.structs.replace(maintained("x", now_ms=NOW_MS)[1], from_time=begin, until=until)
    topic.sink.sent.append([feedback_message("maintenance/x", record, "feedback")])
    assert time_ms(until) == milliseconds("9999-12-31T23:59:59.000Z") + (0 if until.endswith("59Z") else 999)
    await topic.office.undo("maintenance/x")
    assert is_over((await topic.office.entries())["maintenance/x"], NOW_MS)


async def test_what_begins_at_the_end_of_time_never_applies() -> None:
    """It is over at once, and an undo of it is refused in a sentence."""
    topic = FeedbackTopic()
    end = "9999-12-31T23:59:59.999999Z"
    record = msgspec.structs.replace(maintained("x", now_ms=NOW_MS)[1], from_time=end, until=end)
    topic.sink.sent.append([feedback_message("maintenance/x", record, "feedback")])
    with pytest.raises(ConfigurationError, match="'maintenance/x' ended at 9999"):
        await topic.office.undo("maintenance/x")
