"""A quick look that spares a slow one never changes what is read: it may only send a line the slow way for nothing."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from logwarden.daemon.decoding import (
    access_log,
    letters,
    line_shapes,
    line_times,
    logfmt,
    plain_lines,
    terminal,
    time_forms,
)
from logwarden.daemon.decoding.batch_look import _NO_JSON
from logwarden.daemon.decoding.json_values import documents
from logwarden.daemon.decoding.structured import StructuredReader
from tests.oracles import json_reader
from tests.unit.daemon.decoding.test_text import CASES

LINES = [line for line, _ in CASES.values()]
PAINT = (b"\x1b[", b"1b[", b"1B[", b"33[", b"^[", b"\\e[", b"[0m", b"[39m", b"[0;39m", b"[00m", b"[31m", b"0", b"[")
OTHERS = (b"\t", b"\n", b"\r", b"\xc2\x85", b"\x7f", b"x")
WORDS = ("", "u\u017f=502", "upstream_status: 502", "lEvel=", " ")
texts = st.lists(st.lists(st.sampled_from(PAINT + OTHERS)).map(b"".join), max_size=5)


@given(texts)
@example([b"", b"^", b"[", b"x33", b"[0m"])
@example([b"[1m x [0m"])
def test_a_text_that_a_terminal_would_obey_is_found_among_others(lines: list[bytes]) -> None:
    """Every text with colours or control characters is found, wherever it stands in the batch."""
    changed = {place for place, line in enumerate(lines) if terminal.plain(line) != line}
    assert changed <= terminal.unplain(lines)
    assert changed <= {place for place, line in enumerate(lines) if not terminal.is_plain_line(line)}


def test_ordinary_brackets_are_no_colours() -> None:
    """Lines with processes, places and times in brackets need no second look."""
    assert not terminal.unplain([b"sshd[3578055]: x", b"[main] y[0]", b"[2026-11-23 10:00:00] z", b"", b"a\tb[3]"])


@given(st.text("[]{}\"' \t0123456789.,-:+eEtruefalsnuNI/ax", max_size=12).map(lambda rest: f"[{rest}".encode()))
@example(b"[10] [20] x")
@example(b"[1e5]")
@example(b"[10 ,20]")
@example(b"[NaN]")
def test_a_line_in_brackets_that_is_no_json_is_none_for_the_parsers(line: bytes) -> None:
    """A line that the quick look takes for text is text for the parsers of JSON, too."""
    if _NO_JSON.match(line):
        assert documents(line) is None
        assert StructuredReader(json_reader()).read(line) is None


def test_most_heads_in_brackets_are_text_at_once() -> None:
    """Times, levels and threads in brackets do not go through a parser of JSON first."""
    for head in (b"[Mon Nov 23", b"[2026-11-23T", b"[23/Nov/2026:10", b"[10.30 16:49:06]", b"[ main ] x", b"[ERROR] x"):
        assert _NO_JSON.match(head), head


moments = st.builds(
    lambda form, second, fraction: form.format(second, f".{fraction}" if fraction else ""),
    st.sampled_from(
        [
            "23/Nov/2026:10:59:{:02}{} +0100", "Mon Nov 23 10:00:{:02}{} 2026", "2026-11-23T10:00:{:02}{}Z",
            "Nov 23 23:59:{:02}{}", "23-11-2026 10:00:{:02}{} PM", "10:00:{:02}{}", "1795429200.{:02}{}",
            "[23 Nov 2026 10:00:{:02}{} CET", "99:99:{:02}{}", "10:00:{:02}{} 2026-11-23 11:00:00",
        ]
    ),
    st.integers(0, 99),
    st.text("0123456789", max_size=10),
)  # fmt: skip


@given(moments, st.sampled_from([-1, 1_795_430_000_000]), st.sampled_from([UTC, timezone(timedelta(hours=3))]))
def test_a_time_out_of_its_minute_is_the_time(text: str, near_ms: int, zone: timezone) -> None:
    """The seconds added to a minute that was read before give what reading the whole time gives."""
    day = near_ms // 86_400_000
    assert line_times.moment_ms(text, near_ms, zone) == line_times._moment.__wrapped__(text, day, zone)


HEADS = (
    "2026-11-23 10:00:{:02}{} - WARN x", "2026-11-23T10:00:{:02}{}Z x", "2026-11-23 10:00:{:02}{} Z[x]",
    "2026-11-23 10:00:{:02}{}, x", "2026-11-23 10:00:{:02}{} +0200 x", "2026-11-23 10:00:{:02}{} [E] x",
    "2026-99-23 10:00:{:02}{} x", "Nov 23 10:00:{:02} x{}", "Nov 23 10:00:{:02} 2026 x{}", "Foo 23 10:00:{:02} x{}",
    "26/11/23 10:00:{:02}{} INFO x", "20261123-10:00:{:02}{}|x", "23.11.2026 10:00:{:02}{} CET x",
    "11-23 10:00:{:02}{} 7 7 E x: y", "11/23/2026 10:00:{:02}{} PM x", "[Mon Nov 23 10:00:{:02}{} 2026] [x] y",
    "[23/Nov/2026:10:00:{:02}{} +0000] x", "[10.30 10:00:{:02}{}] x", "1795429200 10:00:{:02}{} x",
    "179542920{:02}{} x", "x 10:{:02}{}", "job {:02} done{}", "10:00:{:02}{} x=1 y=2", "57 <34>x{:02}{}",
)  # fmt: skip


@given(
    st.sampled_from([*HEADS, *(line.replace("{", "{{").replace("}", "}}") for line in LINES)]),
    st.integers(0, 99),
    st.sampled_from(["", ".5", ".25", ",123", ":999", ".123456", ".1234567891"]),
    st.sampled_from([1_795_430_000_000, -1]),
    st.sampled_from([UTC, timezone(timedelta(hours=3))]),
)
def test_the_look_of_a_line_decides_as_the_line(
    form: str, second: int, fraction: str, near_ms: int, zone: timezone
) -> None:
    """A line of a look that was met before has the time, or may be of a format, as if it was looked at alone."""
    line = form.format(second, fraction).encode("utf-8", "replace").strip() or b"x"
    expected = line_shapes.looked_at(line, near_ms, zone)
    assert plain_lines.plain_ms(line, near_ms, zone) == expected
    other = line.translate(bytes.maketrans(b"0123456789", b"1203456789"))
    plain_lines.plain_ms(other, near_ms, zone)
    assert plain_lines.plain_ms(line, near_ms, zone) == expected


def test_an_epoch_before_a_clock_is_the_time() -> None:
    """The seconds of a clock are not added to a number that is a time without them."""
    assert line_times.leading_ms(b"1795429200 x 10:00:17 y") == 1_795_429_200_000


@given(st.sampled_from(LINES), st.integers(0, 60), st.text(max_size=6))
def test_one_pattern_for_all_forms_matches_where_a_form_does(line: str, place: int, piece: str) -> None:
    """No form of a time is missed because the pattern that stands for all of them does not match."""
    text = f"{line[:place]}{piece}{line[place:]}"[:64]
    for start in range(len(text)):
        for one, forms in (
            (time_forms._ANY_NUMBERED, time_forms._NUMBERED),
            (time_forms._ANY_NAMED, time_forms._NAMED),
        ):
            assert one.match(text, start) or not any(form.match(text, start) for form in forms)


@given(st.sampled_from(LINES), st.integers(0, 40), st.text("IWEFDVATMCS[]/:0 9|", max_size=3))
def test_the_begin_of_a_line_leads_to_every_head_with_a_letter(line: str, place: int, piece: str) -> None:
    """Of the patterns of heads with a letter, the first that matches is among those that a line's begin selects."""
    text = f"{line[:place]}{piece}{line[place:]}"
    matching = [pattern for pattern in letters._HEADS if pattern.match(text)]
    assert not matching or matching[0] in letters._heads(text[:5])


@given(
    st.sampled_from(LINES),
    st.integers(0, 200),
    st.sampled_from(["", "u\u017f=502", "upstream_status: 502", "lEvel=", " "]),
)
def test_a_line_without_certain_words_has_no_request_and_no_level(line: str, place: int, piece: str) -> None:
    """The words that are looked for first are in every line in which the patterns find something."""
    text = f"{line[:place]}{piece}{line[place:]}"
    assert access_log._may_name_upstream(text) or access_log._UPSTREAM.search(text) is None
    assert access_log._may_be_request(text) or access_log._REQUEST.search(text) is None
    assert access_log._may_be_completed(text) or access_log._COMPLETED.search(text) is None
    names = {found[1].lower() for found in logfmt._PAIR.finditer(text)}
    assert logfmt._may_be_logger(text) or not names & {"level", "lvl", "severity"}
    assert re.search("=", text) or logfmt.read(text) is None


def test_every_method_of_a_request_is_looked_for() -> None:
    """A line with a request is of a format whatever its method is."""
    for method in access_log.METHODS.split("|"):
        line = f"{method} /cart HTTP/1.1 500 3 ms"
        assert access_log.read(line) is not None
        assert plain_lines.plain_ms(line.encode(), -1, UTC) is None
