"""JSON of every logger and every batch, with other values at any of its places, comes out once."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.decoding.json_names import OF_OBJECTS, WRAPPERS, roles
from logwarden.daemon.decoding.json_paths import PathTable
from tests.oracles import LogRecord, default_decoder
from tests.unit.daemon.decoding.test_envelopes import BATCHES
from tests.unit.daemon.decoding.test_json_logs import LOGGERS
from tests.unit.daemon.decoding.test_otlp import FAILED, batch

EXAMPLES: list[Any] = [event for event, _ in LOGGERS.values()]
EXAMPLES += [value for value in BATCHES.values() if not isinstance(value, str)] + [batch(FAILED, service__name="x")]
ODD: st.SearchStrategy[object] = st.sampled_from(
    [
        *(
            None,
            True,
            False,
            0,
            -1,
            2**70,
            1e308,
            0.5,
            "",
            " ",
            "\n",
            "\ud800",
            "\x1b[31mred",
            "{",
            '{"a":1}',
            "[1]",
            [],
        ),
        *({}, [[]], {"message": {"message": {}}}, [None, 1, "x", {}], {"": {"": ""}}, "a" * 300, "\u2028", "9" * 400),
    ]
)
DECODER = default_decoder()


def places(value: Any) -> list[tuple[Any, Any]]:
    """Returns every container of a value with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(value, key), *places(inner)]]


@given(st.sampled_from(EXAMPLES), st.lists(st.tuples(st.integers(0, 10**6), ODD), max_size=3), st.booleans())
def test_other_values_at_any_place_are_read(example: Any, changes: list[tuple[int, Any]], ascii: bool) -> None:
    """A producer's next version writes a number where it wrote a text, and an object where it wrote a list."""
    event = copy.deepcopy(example)
    for number, odd in changes:
        if ways := places(event):
            container, key = ways[number % len(ways)]
            container[key] = copy.deepcopy(odd)
    value = json.dumps(event, ensure_ascii=ascii).encode("utf-8", "replace")
    found = DECODER.decode([LogRecord(b"before"), LogRecord(value), LogRecord(b"after")])
    dead = {place for place, _ in found.dead}
    assert {*found.places, *found.blank} | dead == {0, 1, 2}
    assert (found.lines[0], found.lines[-1]) == (b"before", b"after")
    assert all(line.decode() and b"\n" not in line for line in found.lines)
    assert all(letter.reason for _, letter in found.dead)


NAMES = st.sampled_from(["a", "b", "A_b", "a-B", "fields", "c.a", "a.b", ""])
OBJECTS = st.recursive(st.integers(0, 9), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=8)


def plainly(event: Any, path: list[str]) -> list[Any]:
    """Oracle of the table: tries every way to split a path over the keys of nested objects."""
    if not path:
        return [event]
    found = []
    for key, inner in event.items() if isinstance(event, dict) else ():
        parts = key.casefold().replace("_", "").replace("-", "").split(".")
        if path[: len(parts)] == parts:
            found += plainly(inner, path[len(parts) :])
    return found


@given(st.dictionaries(NAMES, OBJECTS, max_size=4))
def test_the_table_finds_what_a_search_finds(event: dict[str, Any]) -> None:
    """Keys match in any spelling and with dots inside; a second look at the same keys finds them again."""
    table = PathTable([["a", "c.a"], ["ab", "a.b"]], ["fields"])
    for _ in range(2):
        for role, paths in ((0, ["a", "c.a"]), (1, ["ab", "a.b"])):
            hits = [value for _, _, value in table.find(event)[role] or ()]
            split = [path.split(".") for path in paths]
            wanted = [value for path in split for value in plainly(event, path) + plainly(event, ["fields", *path])]
            assert sorted(hits) == sorted(value for value in wanted if isinstance(value, int))


def test_the_memory_of_shapes_is_bounded() -> None:
    """A producer that puts identifiers into keys fills no memory."""
    table = PathTable(roles((), (), ()), WRAPPERS, OF_OBJECTS)
    for number in range(2000):
        table.find({f"key-{number}": 1, "message": "m"})
    assert 0 < len(table._root.plans) <= 512
    table.find({f"{number}": number for number in range(100)})
    table.find({"k" * 5000: 1})
    assert all(len(keys) <= 64 and sum(map(len, keys)) <= 2048 for keys in table._root.plans)
