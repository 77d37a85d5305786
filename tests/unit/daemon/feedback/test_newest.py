"""Which record of a key counts, where the feedback topic has several."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from logwarden.daemon.feedback import newest
from logwarden.daemon.feedback.giving import muted
from logwarden.daemon.feedback.newest import NewestRecords, readable
from logwarden.daemon.records import KeyedRecord
from tests.feedback_stand_ins import NOW_MS, FeedbackTopic

Row = tuple[str | None, int, int]
"""Text of a mute, time of publication, partition."""


def record(row: Row, key: bytes = b"k") -> KeyedRecord:
    text, time_ms, partition = row
    value = None if text is None else muted(text, now_ms=NOW_MS)[1].encode()
    return KeyedRecord(key, value, time_ms, partition)


def test_the_last_value_of_a_key_is_read() -> None:
    """A record without a value takes the key back, and one that is none counts as none."""
    _, record = muted("a text", now_ms=NOW_MS)
    value = record.encode()
    rows = [(b"b", value), (b"a", value), (b"c", value), (b"b", None), (b"c", b"?"), (b"d" * 300, value)]
    assert readable(KeyedRecord(*row) for row in rows) == {"a": record}


@pytest.mark.parametrize(
    ("rows", "pattern"),
    [
        ([("old", 1, 0), ("new", 2, 1)], "new"),
        ([("new", 2, 0), ("old", 1, 1)], "new"),
        ([("old", 1, 0), (None, 2, 1)], None),
        ([("new", 2, 0), (None, 1, 1)], "new"),
        ([("low", 1, 0), ("high", 1, 1)], "high"),
        ([("skewed", 9, 0), ("last", 2, 0), ("other", 5, 1)], "other"),
    ],
    ids=["replaced", "the other way", "taken back", "given again", "at once", "a clock that went back"],
)
def test_of_two_partitions_the_newest_record_counts(rows: Sequence[Row], pattern: str | None) -> None:
    """In every order in which partitions may be read; within one, its own order counts and not its clock."""
    for order in itertools.permutations({row[2] for row in rows}):
        found = readable(record(row) for number in order for row in rows if row[2] == number)
        assert [one.pattern for one in found.values()] == ([] if pattern is None else [pattern])


async def test_a_person_undoes_what_the_daemon_applies() -> None:
    """List, undo and stop read the record that is in force, not the one of the partition that was read last."""
    topic = FeedbackTopic()
    key, given = muted("the old text", now_ms=NOW_MS)
    _, newer = muted("the new text", now_ms=NOW_MS + 1)
    old = KeyedRecord(key.encode(), given.encode(), NOW_MS, 1)
    new = KeyedRecord(key.encode(), newer.encode(), NOW_MS + 1, 0)
    for rows in ([old, new], [new, old]):

        async def read(rows: list[KeyedRecord] = rows) -> list[KeyedRecord]:
            return rows

        topic.office._read = read
        assert [one.pattern for one in (await topic.office.entries()).values()] == ["the new text"]
        assert (await topic.office.undo(key))[1].pattern == "the new text"


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys beyond the bound are refused, also after removals of many others; those that are kept may change."""
    monkeypatch.setattr(newest, "MOST_KEYS", 2)
    found = NewestRecords[str]()
    assert [found.put(key, "1") for key in "abc"] == [True, True, False]
    assert found.put("a", "2", partition=1)
    assert found.put("a", None, partition=1)
    assert [found.put(f"{number}", None) for number in range(99)] == [True] * 99
    assert len(found._last) == 6
    assert found.put("b", None)
    assert found.put("c", "1")
    assert found.newest == {"c": "1"}
    assert found.scattered == {"a": (0, 1)}
