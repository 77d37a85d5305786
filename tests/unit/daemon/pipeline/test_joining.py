"""Lines of one stream form events: where one begins, where it ends, and what a bound does to it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import compress

import pytest

from logwarden.daemon.decoding import trace_lines
from logwarden.daemon.pipeline import joining
from logwarden.daemon.pipeline.joining import Joiner, JoinLimits
from logwarden.model.masking import mask_blob
from tests.traces import SAMPLES, Sample

Event = tuple[int, str]
"""(number of its first line, the one line that stands for it)"""


@dataclass
class Stream:
    """Lines of streams `service text`, numbered as they come, in batches of any size."""

    joiner: Joiner[int]
    count: int = 0
    absorbed: list[int] = field(default_factory=list)
    cut: int = 0
    events: list[Event] = field(default_factory=list)

    def take(self, lines: Sequence[str], *, times: Sequence[int] | None = None, now: float = 0.0) -> list[Event]:
        """Returns the events that ended."""
        batch = Batch(lines, self.count, times)
        self.count += len(lines)
        outcome = self.joiner.join(batch, now)
        if outcome is None:
            ended = [(batch.row(place), text.decode()) for place, text in enumerate(batch.texts)]
        else:
            texts = [outcome.texts.get(place, text) for place, text in enumerate(batch.texts)]
            kept = compress([(batch.row(place), text.decode()) for place, text in enumerate(texts)], outcome.kept)
            before, after = ([(e.row, e.text.decode()) for e in part] for part in (outcome.before, outcome.after))
            ended = [*before, *kept, *after]
            self.absorbed += [batch.row(place) for place in outcome.absorbed]
            self.cut += outcome.cut
        self.events += ended
        return ended

    def end(self) -> list[Event]:
        """Returns the events that were open."""
        ended = [(event.row, event.text.decode()) for event in self.joiner.expire(float("inf"), float("inf"))]
        self.events += ended
        return ended


class Batch:
    """See `logwarden.daemon.pipeline.joining.Lines`. A line may begin with the name of its stream and a bar."""

    def __init__(self, lines: Sequence[str], first: int, times: Sequence[int] | None) -> None:
        parts = [re.fullmatch(r"(?s)(?:(\w+)\|)?(.*)", line) for line in lines]
        self._streams = [part[1] or "" for part in parts if part]
        raw = [part[2] for part in parts if part]
        self.texts: Sequence[bytes] = [line.strip().encode() for line in raw]
        self.keys: Sequence[bytes] = mask_blob(b"\n".join(self.texts) + b"\n")
        self.indented: Collection[int] = {place for place, line in enumerate(raw) if line[:1] in (" ", "\t")}
        self._first, self._times = first, times

    def stream(self, place: int) -> str:
        return self._streams[place]

    def time_ms(self, place: int) -> int:
        return -1 if self._times is None else self._times[place]

    def row(self, place: int) -> int:
        return self._first + place


def stream(**limits: object) -> Stream:
    return Stream(Joiner(JoinLimits(**limits)))  # type: ignore[arg-type]


def lines_of(sample: Sample) -> list[str]:
    return [line for line in sample.text.split("\n") if line.strip()]


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_a_trace_by_line_is_the_trace_in_a_record(sample: Sample) -> None:
    """Joined line by line, between other lines, an event contains what it contains in one record."""
    lines = lines_of(sample)
    found = stream()
    found.take(["2026-03-04 09:15:00 INFO before", *lines, "2026-03-04 09:16:00 INFO after"])
    assert [number for number, _ in found.events] == [0, 1, len(lines) + 1]
    line = found.events[1][1]
    assert [text for text in sample.contains if text not in line] == [], line
    assert found.absorbed == list(range(2, len(lines) + 1))


def test_ordinary_lines_are_left_alone() -> None:
    """Without an open event and without a line that opens one, a batch is not touched."""
    found = stream()
    batch = Batch(["row 1 picked", "row 2 picked", "  row 3 picked"], 0, None)
    assert found.joiner.join(batch, 0.0) is None
    assert len(found.joiner) == 0


def test_an_error_waits_for_its_next_line() -> None:
    """The last line of a batch may be continued by the next batch; the time-out ends it otherwise."""
    found = stream()
    assert found.take(["ERROR row 1 failed"], now=1.0) == []
    assert found.joiner.expire(before=0.9, since=-1.0) == []
    assert [event.text for event in found.joiner.expire(before=1.0, since=-1.0)] == [b"ERROR row 1 failed"]
    assert found.take(["    at a.B.c(B.java:1)"]) == [], "an orphan frame may be continued by others"


def test_an_event_ends_although_lines_continue_to_come() -> None:
    """The first line of an event waits for a bounded time, however long lines drip in."""
    found = stream()
    found.take(["ERROR row 1 failed"], now=1.0)
    found.take(["  at a.B.c(B.java:1)"], now=5.0)
    assert found.joiner.expire(before=4.0, since=0.9) == []
    assert len(found.joiner.expire(before=4.0, since=1.0)) == 1


def test_streams_do_not_mix() -> None:
    """A frame continues the event of its own service."""
    found = stream()
    found.take(["a|ERROR x", "b|ERROR y", "a| at a.A.a(A.java:1)", "b| at b.B.b(B.java:1)", "a|fine", "b|fine"])
    assert [number for number, _ in found.events] == [0, 1, 4, 5]
    assert "A.java" in found.events[0][1]
    assert "B.java" in found.events[1][1]


def test_a_gap_in_the_records_ends_an_event() -> None:
    """Records that lie further apart than the time-out belong to two events, also in a replay."""
    lines = ["ERROR row 1 failed", " at a.A.a(A.java:1)", " at b.B.b(B.java:1)", "fine"]
    together, apart = stream(), stream()
    together.take(lines, times=[0, 300, 600, 900])
    assert [number for number, _ in together.events] == [0, 3]
    apart.take(lines, times=[0, 300, 601, 901])
    assert [number for number, _ in apart.events] == [0, 2, 3]


def test_records_without_times_are_joined() -> None:
    """An unknown time is no gap."""
    found = stream()
    found.take(["ERROR row 1 failed", " at a.A.a(A.java:1)", "fine"], times=[-1, 10**12, -1])
    assert [number for number, _ in found.events] == [0, 2]


def test_a_long_event_is_cut_and_its_rest_is_one_event() -> None:
    """No line is dropped at the bound: the rest is an event of its own, and so is the next error."""
    found = stream(max_lines=10)
    lines = ["ERROR row 1 failed:", *(f"    row {i}" for i in range(24)), "ERROR row 2 failed"]
    found.take(lines)
    found.end()
    assert [number for number, _ in found.events] == [0, 10, 20, 25]
    assert found.cut == 2
    assert sorted([*found.absorbed, *(number for number, _ in found.events)]) == list(range(len(lines)))
    assert all(f"row {i}" in " ".join(text for _, text in found.events) for i in range(24))


def test_an_event_is_cut_at_its_bytes() -> None:
    """A few lines of megabytes do not wait in memory."""
    found = stream(max_bytes=2_000)
    found.take(["ERROR row 1 failed", *(" " + "x" * 1_500 for _ in range(5)), "fine"])
    assert found.cut == 2
    assert [number for number, _ in found.events] == [0, 3, 5, 6]


def test_all_open_events_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many services with an error each do not fill the memory: the oldest events end first, in order."""
    monkeypatch.setattr(joining, "_MAX_OPEN_BYTES", 1_000)
    found = stream()
    found.take([f"s{i}|ERROR row {i} failed" for i in range(20)])
    assert len(found.joiner) < 10
    assert [number for number, _ in found.events] == list(range(20 - len(found.joiner)))
    assert found.cut == len(found.events)


@pytest.mark.parametrize(("bound", "value"), [("_MAX_KEYS", 5), ("_MAX_KEY_BYTES", 60)])
def test_the_verdicts_on_keys_are_bounded(bound: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that logs nothing twice, be its lines short or long, keeps the joiner small and its events right."""
    monkeypatch.setattr(joining, bound, value)
    found = stream()
    for letter in "abcdefghij":
        found.take([f"INFO {letter}", f"ERROR {letter}", f"  at {letter}.A.a(A.java:1)"])
        assert len(found.joiner._plain) + len(found.joiner._heads) <= 8
    assert len(found.absorbed) == 10


def test_a_joined_line_keeps_the_limit() -> None:
    """The one line that stands for an event is as long as any other line may be."""
    found = stream(max_line_chars=64)
    found.take(["ERROR row 1 failed:", *("    " + "word " * 20 for _ in range(9)), "fine"])
    assert len(found.events[0][1]) == 64


def test_a_start_pattern_decides_alone() -> None:
    """With the operator's own pattern each line without it continues the line before, frames or not."""
    found = stream(start_pattern=r"^\d\d:\d\d ")
    found.take(["09:15 row", "1 picked", "Traceback", "09:16 row", "09:17 row", "2 picked"])
    found.end()
    assert found.events == [(0, "09:15 row 1 picked Traceback"), (3, "09:16 row"), (4, "09:17 row 2 picked")]


def test_lines_before_the_first_start_are_one_event() -> None:
    """A reader may begin in the middle of an event."""
    found = stream(start_pattern=r"^\d\d:\d\d ")
    found.take(["1 picked", "2 picked", "09:16 row"])
    assert found.events == [(0, "1 picked 2 picked")]


def test_a_dropped_event_is_forgotten() -> None:
    """After a revoke the next owner reads the lines again."""
    found = stream()
    found.take(["a|ERROR row 1 failed", "b|ERROR row 2 failed"])
    found.joiner.drop(lambda row: row == 0)
    assert found.joiner.rows() == [1]
    assert [number for number, _ in found.end()] == [1]


def test_what_must_not_belong_to_an_event_begins_another() -> None:
    """A caller may refuse a line, as at the end of the context."""
    found = Stream(Joiner(JoinLimits(), lambda first, row: row != 2))
    found.take(["ERROR row 1 failed", " at a.A.a(A.java:1)", " at b.B.b(B.java:1)", " at c.C.c(C.java:1)", "fine"])
    assert [number for number, _ in found.events] == [0, 2, 4]


@pytest.mark.parametrize(
    "text",
    [
        "<11>1 disk full",
        "<14>1 disk full",
        "level=50 msg=slow",
        "sev: 3 disk",
        "ORA-06512: at line 3",
        "ORA-06513: at x",
    ],
)
def test_a_number_that_decides_is_no_part_of_a_look(text: str) -> None:
    """A level that is a number, and a code of a vendor, stay what they are."""
    assert trace_lines.look_of(text.encode()) == text.encode()


def test_errors_with_numbers_of_their_own_are_one_look() -> None:
    """A service that logs an error per order costs one look at its lines, not one per order."""
    before = trace_lines.verdict.cache_info().misses
    Stream(Joiner(JoinLimits())).take(
        [f"ERROR payment {number} refused by the bank" for number in range(10_000, 10_200)]
    )
    assert trace_lines.verdict.cache_info().misses - before <= 1
