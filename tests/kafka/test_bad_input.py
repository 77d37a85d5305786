"""Malformed records, end to end: none stops the daemon, and none is dropped without a trace."""

from __future__ import annotations

import json
from typing import Any

from tests.kafka.broker import create_topics
from tests.kafka.evidence import AlertLog, Group, eventually, produce, read_all
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S
from tests.kafka.topics import Topics

MIB = 1024 * 1024
FRAMED = b"\0\0\0\0\7"
"""What a serialiser of a schema registry writes before a value."""
HEADERS: list[tuple[str, bytes | None]] = [("trace", b"\xff\x00"), ("empty", b""), ("null", None)]


def by_offset(letters: list[Any]) -> dict[int, tuple[Any, dict[str, bytes]]]:
    headers = [dict(letter.headers) for letter in letters]
    return {int(h["x-original-offset"]): (letter, h) for letter, h in zip(letters, headers, strict=True)}


async def test_bad_input_is_scored_counted_or_buried(topics: Topics, fleet: Fleet) -> None:
    """Bytes that are not UTF-8, empty, huge, NUL, broken JSON: each is scored, counted as blank or buried, and lag
    ends at 0."""
    logs = topics.named("anything")
    await create_topics(topics.bootstrap, {logs: 1}, configs={"max.message.bytes": str(16 * MIB)})
    broken = FRAMED + b"no end"
    records: list[tuple[bytes | None, bytes | None]] = [
        (b"web", b"plain line"),
        (b"web", b"caf\xe9 \xff\xfe not UTF-8"),
        (b"web", b""),
        (b"web", None),
        (b"web", b"x" * (10 * MIB)),
        (b"web", b"before\x00\x00after \x00"),
        (b"web", broken),
        (b"web", b"{}"),
        (b"web", FRAMED + b"y" * 900_000),
        (b"k" * 900_000, b"a line whose key is a novel"),
        (b"k" * 900_000, FRAMED + b"the key is a novel"),
        (None, b'{"message": "nested", "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
        (b"web", b"\xef\xbf\xbd\x01\x1b[31m red \x7f"),
        (b"web", json.dumps({"message": "a JSON line", "service": {"name": "api"}}).encode()),
        (b"web", b'{"headers like a novel'),
        (b"web", b'{"message": "a record that was cut off'),
        (b"web", b"the last line"),
    ]
    dead = {6: "binary", 7: "text", 8: "binary", 10: "binary", 11: "json", 14: "json"}
    blank = {2, 3}
    scored = {offset for offset in range(len(records)) if offset not in dead and offset not in blank}
    await produce(
        topics.bootstrap,
        logs,
        [(key, value, 0) for key, value in records],
        headers={6: HEADERS, 14: [("novel", b"z" * 300_000)]},
    )
    member = fleet.start(KAFKA__INPUT_TOPICS=logs)
    group = Group(topics.bootstrap, topics.group, logs, 1)
    async with AlertLog.reading(topics.bootstrap, topics.alerts) as alerts:
        await eventually(member.ready, READY_S, "a ready member")
        await eventually(group.is_done, 60, "lag 0")
        await eventually(lambda: alerts.covers_offsets(scored), 10, "an alert for every line")
    assert {place.offset for place in alerts.places} == scored
    letters = by_offset(await read_all(topics.bootstrap, topics.dead_letters))
    assert {offset: h["x-error-stage"].decode() for offset, (_, h) in letters.items()} == dead
    _assert_original(letters, topics=topics, logs=logs, broken=broken)
    quoted = {a["logwarden"]["source"]["last_offset"]: a for a in map(json.loads, (r.value for r in alerts.records))}
    assert quoted[1]["message"] == "caf\u00e9 \u00ff\u00fe not UTF-8"
    assert quoted[13]["service"]["name"] == "api"
    assert json.loads(quoted[13]["event"]["original"])["message"] == "a JSON line"
    assert "original" not in quoted[0]["event"]
    assert quoted[15]["message"] == "a record that was cut off"
    assert len(quoted[9]["service"]["name"]) < 1_000
    assert member.metric("logwarden_cut_lines_total") == 1
    assert member.metric("logwarden_empty_lines_total") == len(blank)
    assert member.metric("logwarden_dead_letters_total") == len(dead)
    assert member.metric("logwarden_replaced_lines_total") == 1
    assert member.terminate() == 0
    assert "plain line" not in member.log(), "raw lines stay out of the daemon's own log"


def _assert_original(
    letters: dict[int, tuple[Any, dict[str, bytes]]], *, topics: Topics, logs: str, broken: bytes
) -> None:
    """Checks that a dead letter is the original record, with its place and the reason."""
    letter, headers = letters[6]
    assert (letter.key, letter.value) == (b"web", broken)
    assert list(letter.headers[: len(HEADERS)]) == HEADERS
    assert headers["x-original-topic"].decode() == logs
    assert headers["x-original-partition"] == b"0"
    assert int(headers["x-original-timestamp"]) > 0
    assert headers["x-error-class"] == b"UndecodableRecord"
    assert b"no end" not in headers["x-error-reason"]
    letter, headers = letters[8]
    assert headers["x-original-size"] == b"900005"
    assert letter.value.startswith(FRAMED + b"yyy")
    assert len(letter.value) < 900_005
    letter, headers = letters[10]
    assert headers["x-original-key-size"] == b"900000"
    assert letter.value.startswith(FRAMED + b"the key")
    letter, headers = letters[14]
    assert (letter.value, headers["x-original-headers-size"]) == (b'{"headers like a novel', b"300005")
