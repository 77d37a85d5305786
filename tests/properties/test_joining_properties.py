"""The same lines give the same events, however they were cut into batches, and no line is lost or doubled."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from logwarden.daemon.decoding import trace_lines
from logwarden.daemon.decoding.traces import condense
from logwarden.daemon.pipeline.joining import Joiner, JoinLimits
from tests.traces import SAMPLES
from tests.unit.daemon.pipeline.test_joining import Event, Stream, lines_of

_LINES = [
    "2026-03-04 09:15:00 INFO row 1 picked",
    "row 2 picked",
    "    row 3 picked",
    "ERROR row 4 failed",
    "WARN row 5 slow:",
    "  INFO row 6 padded",
    "ValueError: row 7",
    "{",
    '  "row": 8',
    "}",
]
CHUNKS = st.one_of(
    st.sampled_from(_LINES).map(lambda line: [line]),
    st.sampled_from(list(SAMPLES.values())).map(lines_of),
    st.tuples(st.sampled_from(list(SAMPLES.values())).map(lines_of), st.integers(0, 30), st.integers(0, 30)).map(
        lambda part: part[0][min(part[1:]) : max(part[1:])]
    ),
)
PIECES = st.lists(st.tuples(st.sampled_from("ab"), CHUNKS), max_size=8)


def lines_in(pieces: list[tuple[str, list[str]]], order: list[int]) -> list[str]:
    """Returns the lines of two services, mixed: each number takes the next line of one of them."""
    queues = {name: [f"{name}|{line}" for who, part in pieces if who == name for line in part] for name in "ab"}
    mixed = []
    for number in order:
        queue = queues["ab"[number % 2]]
        mixed += [queue.pop(0)] if queue else []
    return [*mixed, *queues["a"], *queues["b"]]


def joined(lines: list[str], cuts: list[int], max_lines: int) -> tuple[list[Event], list[int]]:
    """Returns the events and the absorbed lines, if batches end at these places."""
    stream = Stream(Joiner(JoinLimits(max_lines=max_lines)))
    ends = sorted({min(cut, len(lines)) for cut in cuts} | {len(lines)})
    start = 0
    for end in ends:
        if end > start:
            stream.take(lines[start:end])
            start = end
    stream.end()
    return stream.events, stream.absorbed


@settings(max_examples=150, deadline=None)
@given(
    PIECES,
    st.lists(st.integers(0, 1), max_size=40),
    st.lists(st.integers(0, 200), max_size=12),
    st.sampled_from([2, 5, 1_000]),
)
def test_the_cut_into_batches_changes_no_event(
    pieces: list[tuple[str, list[str]]], order: list[int], cuts: list[int], max_lines: int
) -> None:
    """Line by line or at once, the events are the same, and each service's are in order."""
    lines = lines_in(pieces, order)
    at_once, absorbed = joined(lines, [], max_lines)
    for other in (cuts, list(range(len(lines)))):
        events, taken = joined(lines, other, max_lines)
        assert sorted(events) == sorted(at_once)
        assert sorted(taken) == sorted(absorbed)
        for name in "ab":
            numbers = [number for number, _ in events if lines[number].startswith(name)]
            assert numbers == sorted(numbers)


@settings(max_examples=150, deadline=None)
@given(PIECES, st.lists(st.integers(0, 1), max_size=40), st.lists(st.integers(0, 200), max_size=12))
def test_every_line_is_in_one_event(pieces: list[tuple[str, list[str]]], order: list[int], cuts: list[int]) -> None:
    """A line begins an event or belongs to one, never both and never neither."""
    lines = lines_in(pieces, order)
    events, absorbed = joined(lines, cuts, 1_000)
    assert sorted([*absorbed, *(number for number, _ in events)]) == list(range(len(lines)))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200) | st.lists(CHUNKS).map(str))
def test_any_text_is_condensed_to_a_line(text: str) -> None:
    """No text breaks the reading of traces, and the result is one line that is stable."""
    line = condense(text)
    assert "\n" not in line
    assert condense(line) == line.strip()


@given(
    st.sampled_from([line for sample in SAMPLES.values() for line in lines_of(sample)]),
    st.text("0123456789", max_size=4),
)
def test_the_look_of_a_key_decides_as_the_key(line: str, digits: str) -> None:
    """A key may be continued exactly if its look may."""
    key = re.sub("[0-9]+", digits or "7", line).encode()
    assert trace_lines.verdict.__wrapped__(key) == trace_lines.verdict(trace_lines.look_of(key))
