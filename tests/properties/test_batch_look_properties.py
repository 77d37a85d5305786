"""Records that are looked at together, and objects of known shapes, are read as each record alone is."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logwarden.daemon.decoding import decoder as decoder_module
from logwarden.daemon.decoding.batch_look import Look
from logwarden.daemon.decoding.decoder import Decoded
from logwarden.daemon.decoding.json_names import OF_OBJECTS, WRAPPERS, roles
from logwarden.daemon.decoding.json_paths import PathTable, ranked
from logwarden.daemon.decoding.json_shapes import Roles, Shapes
from logwarden.daemon.records import InputFormat, Record
from tests.oracles import LogRecord, default_decoder
from tests.properties.test_json_properties import EXAMPLES, NAMES, OBJECTS, places
from tests.unit.daemon.decoding.test_text import CASES

MESSAGES = (
    *(
        "worker 4 has failed",
        "started",
        "",
        "  indented by two",
        "ends with a break\n",
        "one\ntwo",
        "12 ",
        "4711",
        "\t",
    ),
    *(
        "2026-11-23 10:00:00.5 ERROR x y",
        "Nov 23 10:00:00 h1 x: y",
        "2026-11-23T10:00:00Z INFO x",
        "GET /cart 500 3 ms",
    ),
    *(
        'level=error msg="x y" code=7',
        "INFO x started",
        '{"message": "inside x", "level": "warn"}',
        "{no json}",
        "é x y",
    ),
    *(
        "\x1b[31mred x\x1b[0m",
        "a\tb c",
        "x" * 70,
        "x y " * 3_000,
        "c3RhcnRlZCB0aGUgc2VydmVyIG9uIHBvcnQgODA=",
        "#Fields: x",
    ),
    *("E1123 10:00:02.123456 1 x.go:1] sync failed", "<11>Nov 23 10:00:00 h app[1]: x", "[10] [20] text", "\ud800 x"),
)
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        1.5,
        2**70,
        "",
        "x",
        "info",
        "ERROR",
        "2026-11-23T10:00:00.5Z",
        "2026-11-23T10:00:60Z",
        1_795_430_000,
    ),
    *([], {}, {"name": "x"}, ["a b"], {"level": "warn"}, "99:99", "/var/log/x.log", "api-6d4cf56db6-x2k2v", "9" * 300),
)
KEYS = (
    *("message", "msg", "log", "level", "severity", "@timestamp", "time", "service", "kubernetes", "host", "Message"),
    *(
        "error",
        "stack",
        "status",
        "code",
        "result",
        "name",
        "logger",
        "fields",
        "log.level",
        "service.name",
        "@mt",
        "x",
    ),
)
plain_values = st.sampled_from((*MESSAGES, *ODD))
objects = st.dictionaries(
    st.sampled_from(KEYS),
    st.sampled_from((*MESSAGES, *ODD))
    | st.dictionaries(st.sampled_from(KEYS), st.sampled_from((*MESSAGES, *ODD)), max_size=3),
    max_size=6,
)
TEXTS = [line.encode("utf-8", "surrogatepass") for line, _ in CASES.values()]


def changed(example: Any, changes: list[tuple[int, int]]) -> bytes:
    """Returns an event with other values at some of its places."""
    event = copy.deepcopy(example)
    for number, odd in changes:
        if ways := places(event):
            container, key = ways[number % len(ways)]
            container[key] = copy.deepcopy((*MESSAGES, *ODD)[odd])
    return json.dumps(event).encode("utf-8", "replace")


def written_twice(event: dict[str, Any], key: str, value: Any) -> bytes:
    """Returns an object in which a key stands once more, as a careless producer writes it."""
    whole = json.dumps(event)
    return f"{whole[:-1]}{', ' if event else ''}{json.dumps(key)}: {json.dumps(value)}}}".encode()


values = (
    objects.map(lambda event: json.dumps(event).encode())
    | st.builds(written_twice, objects, st.sampled_from(KEYS), st.sampled_from((*MESSAGES, *ODD)))
    | st.builds(
        changed,
        st.sampled_from(EXAMPLES),
        st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, len(MESSAGES) + len(ODD) - 1)), max_size=3),
    )
    | st.sampled_from([message.encode("utf-8", "replace") for message in MESSAGES])
    | st.sampled_from(TEXTS)
    | st.binary(max_size=12)
    | st.none()
)


def alone(records: Sequence[Record], form: InputFormat, limit: int) -> Decoded:
    """Oracle: reads every record on its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_module, "look", lambda records, *_: Look.without(len(records)))
        return default_decoder(form=form, max_line_chars=limit).decode(records)


@given(
    st.lists(values, max_size=6),
    st.sampled_from(["auto", "auto", "json", "raw"]),
    st.sampled_from([8192, 8192, 30]),
    st.sampled_from([1_795_430_000_000, -1]),
)
@example([b'{"message": "x y", "time": null, "at": "2026-11-23T10:00:00Z"}'], "auto", 8192, -1)
@example([b'{"message": "x y", "message": {"log": "inside z"}}', b'{"log": "a b", "level": "info"}'], "auto", 8192, -1)
def test_a_look_at_the_batch_changes_nothing(
    batch: list[bytes | None], form: InputFormat, limit: int, at_ms: int
) -> None:
    """Lines, services, times and dead letters of a batch are those of its records, one by one."""
    records = [LogRecord(value, offset=at, timestamp=at_ms, key=b"svc") for at, value in enumerate(batch)]
    assert default_decoder(form=form, max_line_chars=limit).decode(records) == alone(records, form, limit)


def as_found(given: Roles) -> Roles:
    return given


@given(st.lists(st.dictionaries(NAMES, OBJECTS | st.none(), max_size=4), min_size=1, max_size=4))
def test_a_known_shape_has_what_the_table_finds(events: list[dict[str, Any]]) -> None:
    """An object of a shape that was met before gives the values that a walk over it gives, in their order."""
    table = PathTable([["a", "c.a"], ["ab", "a.b"], ["a"]], ["fields"], [2])
    shapes = Shapes(table, as_found)
    for event in [*events, *events]:
        known = shapes.of(event)
        assert known is not None
        places_of_roles, inside = known
        for role, hits in enumerate(table.find(event)):
            found = [(key, inside[at][key]) for at, key in places_of_roles[role]]
            kept = [(k, v) for k, v in found if v is not None and (role == 2 or not isinstance(v, dict))]
            assert kept == [(key, value) for _, key, value in ranked(hits)]


def test_the_memory_of_shapes_is_bounded() -> None:
    """A producer that puts identifiers into keys, at any depth, fills no memory, and the usual shape stays known."""
    shapes = Shapes(PathTable(roles((), (), ()), WRAPPERS, OF_OBJECTS), as_found)
    usual = {"message": "x y", "log": {"file": {"path": "/var/log/x.log"}}}
    unknown = 0
    for number in range(4_000):
        unknown += (
            shapes.of({f"key-{number}": 1, "log": {f"k{number}": 1}, "message": {f"m{number}": {"x": 1}}}) is None
        )
        assert shapes.of(usual) is not None
        assert len(shapes) <= 4_200
    assert unknown > 3_000, "of objects that are all of different shapes, few are worth a visit"
    assert shapes.of({f"{number}": number for number in range(100)}) is None
    assert shapes.of({"k" * 5_000: 1}) is None
