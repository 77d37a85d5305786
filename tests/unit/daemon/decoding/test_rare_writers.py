"""Values as rare writers make them: printed objects, bytes in a text, entries of a journal, letters, dates, dumps."""

from __future__ import annotations

import base64
import gzip
import json
import zlib

import pytest

from logwarden.daemon.decoding import journal, printed, services
from logwarden.daemon.decoding.line_times import leading_ms
from logwarden.daemon.decoding.traces import condense
from tests.oracles import LogRecord, default_decoder
from tests.unit.daemon.decoding.test_traces import taken

AT = 1_795_428_000_250
"""2026-11-23T10:00:00.250Z."""
EVENT = b'{"level":"error","message":"no plums"}'


def lines_of(value: object) -> list[str]:
    """Returns the lines of a value; a batch of equal ones gives the same for each."""
    written = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else None
    record = LogRecord(json.dumps(value).encode() if written is None else written)
    once = [line.decode() for line in default_decoder().decode([record]).lines]
    assert [line.decode() for line in default_decoder().decode([record] * 3).lines] == once * 3
    return once


@pytest.mark.parametrize(
    "value",
    [
        "Fruit(level=error, message=no plums, row=7)",
        "Fruit{level='error', message='no plums'}",
        "Fruit [level=error, message=no plums]",
        'Fruit { level: "error", message: "no plums" }',
        '#<Fruit level="error", message="no plums">',
        "map[level:error msg:no plums row:7]",
        "{level=error, message=no plums, row=7}",
        '{:level :error, :message "no plums"}',
        "{Level:error Msg:no plums}",
        '{"level":"error", /* of the left tree */ "message":"no plums"}',
        'tree_1  | {"level":"error","message":"no plums"}',
        "array('level' => 'error', 'message' => 'no plums')",
        "OrderedDict([('level', 'error'), ('message', 'no plums')])",
        '{"level":"error","message":"no plums","a":.5,"b":+1.,"c":0x1F,"d":-007}',
    ],
)
def test_an_object_is_read_as_a_language_prints_it(value: str) -> None:
    """Level and message come out, whichever signs join and enclose them."""
    assert lines_of(value) == ["ERROR no plums"]


@pytest.mark.parametrize(
    "line",
    [
        "pick(row=7, tree=left)",
        "{row:1 level:error} no plums",
        'INFO asked {"message":"no plums"}',
        "Fruit(level=3)",
        "Fruit('level')",
        "map[row:7]",
        "()",
    ],
)
def test_other_brackets_stay_text(line: str) -> None:
    """A call, a body and a head in braces are no event of a logger."""
    assert printed.object_in(line) is None
    assert lines_of(line) == [line]


def test_what_stands_before_an_object_stays() -> None:
    """A prefix with a time gives the event its time, and its words stay before the message."""
    found = default_decoder().decode([LogRecord(b"2026-11-23T10:00:00.250Z tree[7]: " + EVENT)])
    assert (found.lines, found.timestamps) == ([b"tree[7]: ERROR no plums"], [AT])
    assert default_decoder().decode([LogRecord(b"tree_1  | " + EVENT)]).services == ["tree"]


def test_a_printed_object_of_hostile_length_is_read_in_time() -> None:
    """Pairs and quotes without an end cost no square of their length."""
    for line in ("a(" + "b=" * 8_000 + ")", "{level='" * 2_000 + "}", "x " * 8_000 + "}"):
        assert printed.object_in(line) is None


@pytest.mark.parametrize(
    "value",
    [
        "b'no plums'",
        '{"message":"b\'no plums\'"}',
        "\\x" + b"no plums on the tree".hex(),
        "0x" + b"no plums on the tree".hex(),
        {"log": {"$binary": base64.b64encode(b"no plums on the tree").decode(), "$type": "00"}},
        {"Messages": [{"Body": "no plums"}]},
        b"\x00\x00\xfe\xff" + "no plums".encode("utf-32-be"),
        {"payload": {"$binary": {"base64": base64.b64encode(b"no plums on the tree").decode()}}},
        {"message": {"bytes": base64.b64encode(b"no plums on the tree").decode()}},
        {"message": base64.b64encode(gzip.compress(b"no plums on the tree")).decode()},
        base64.b64encode(zlib.compress(b"no plums on the tree")),
    ],
)
def test_bytes_inside_a_text_are_read(value: object) -> None:
    """As Python and PostgreSQL print them, in extended JSON, and packed before they were spelled."""
    assert lines_of(value)[0].startswith("no plums")


@pytest.mark.parametrize(
    "token",
    ["b'no plums", "be kind", "eJyrVspNLS5OTE9VslJKySzOVkgrzclRyM9", "H4sIAAEwCGsC/0vJLM5WSCvNyVH", "\\x6e6f"],
)
def test_a_token_that_stands_for_nothing_stays(token: str) -> None:
    """A torn packing and a torn literal are read as they are."""
    assert lines_of({"message": token}) == [token]


def test_a_packed_message_unpacks_within_a_bound() -> None:
    """A kilobyte that stands for a megabyte stays a token."""
    bomb = base64.b64encode(gzip.compress(b"plum " * 200_000)).decode()
    assert default_decoder().decode([LogRecord(json.dumps({"message": bomb}).encode())]).lines == [bomb.encode()]


ENTRY = b"__REALTIME_TIMESTAMP=1795428000250000\n_SYSTEMD_UNIT=tree.service\nPRIORITY=3\n"


@pytest.mark.parametrize(
    "message", [b"MESSAGE=no plums\n", b"MESSAGE\n\x08\0\0\0\0\0\0\0no plums\n"], ids=["a line", "a length"]
)
def test_entries_of_a_journal_are_events(message: bytes) -> None:
    """Each entry of an export has its level, its unit and its time; a blank line parts two."""
    found = default_decoder().decode([LogRecord((ENTRY + message + b"\n") * 2)])
    assert [*zip(found.lines, found.services, found.timestamps, strict=True)] == [(b"ERROR no plums", "tree", AT)] * 2


@pytest.mark.parametrize("value", [b"__init__=1", b"__AB=1\nno plums", b"__AB=1\n\nplums left\n", b"_A=1\nMESSAGE=x\n"])
def test_other_pairs_are_no_journal(value: bytes) -> None:
    """A name in small letters or a line of words is text."""
    assert journal.entries_of(value) is None


def test_a_torn_journal_keeps_what_came_before() -> None:
    """A field whose length goes beyond the end is left out."""
    assert journal.entries_of(b"__AB=1\nMESSAGE=x\nMORE\n\xff\0\0\0\0\0\0\0tail") == [{"__AB": "1", "MESSAGE": "x"}]


@pytest.mark.parametrize(
    ("value", "is_text"),
    [
        (bytes.fromhex("1600000002") + b"plum\0\x0a\0\0\0no plum\0\0", False),
        (b"\1" + bytes(range(1, 17)) + b"\2\x08plum", False),
        (b"no\1 plums on the tree", True),
        (b"\7no plums\1", True),
    ],
)
def test_bytes_that_are_no_text_are_refused(value: bytes, is_text: bool) -> None:
    """Records of BSON and of a registry are refused; a bell in a text is not."""
    assert bool(default_decoder().decode([LogRecord(value)]).lines) is is_text


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"2026-11-23T10:00:00Z E! [trees] no plums", b"ERROR"),
        (b"2026-11-23T10:00:00Z W! [trees] no plums", b"WARNING"),
        (b"E (4711) tree: no plums", b"ERROR"),
        (b"2026-11-23 10:00:00.250|E|tree|no plums", b"ERROR"),
        (b"I (9) tree: no plums", b"INFO"),
        (b"2026-11-23 10:00:00.250000: E tree/pick.cc:7] no plums", b"ERROR"),
        (b'{"level":4,"lvl_name":"ERROR","message":"no plums"}', b"ERROR"),
        (b'{"Level":17,"SeverityText":"ERROR","message":"no plums","error":"frost"}', b"ERROR"),
    ],
)
def test_a_letter_is_a_level(line: bytes, level: bytes) -> None:
    """Before an exclamation mark, or before the milliseconds of a device."""
    assert default_decoder().decode([LogRecord(line)] * 2).lines[1].startswith(level + b" ")


@pytest.mark.parametrize(
    ("line", "ms"),
    [
        ("11-23-2026 10:00:00.250 plums", AT),
        ("2026-11-23 10.00.00.250 plums", AT),
        ("2026-11-23-10.00.00.250000 plums", AT),
        ("2026-327T10:00:00.250Z plums", AT),
        ("[ERROR] [1795428000.250000000] [tree]: no plums", AT),
        ("Monday, 23-Nov-26 10:00:00 GMT plums", AT - 250),
        ("2026-366T10:00:00.250Z plums", None),
        ("2026-000T10:00:00.250Z plums", None),
        ("13-13-2026 10:00:00 plums", None),
    ],
)
def test_days_are_written_in_many_orders(line: str, ms: int | None) -> None:
    """The month first, the day of the year, points in the clock, seconds since the epoch in brackets."""
    assert leading_ms(line.encode()) == ms
    assert default_decoder().decode([LogRecord(line.encode())]).timestamps[0] == (
        1_700_000_000_000 if ms is None else ms
    )


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        (["thread 12 panic: no plums", "/tree.zig:1:5: 0x1036d8 in pick (tree)", "    @panic(x);", "    ^", "x"], 4),
        (["Process 7 (a) of user 1 dumped core.", "Stack trace of thread 7:", "#0  0x0f pick (a.so + 0x3)", "x"], 3),
        (["while executing", '"pick $row"', '    (procedure "a" line 3)', "    invoked from within", '"run"', "x"], 5),
    ],
)  # fmt: skip
def test_lines_of_a_trace_stay_together(lines: list[str], count: int) -> None:
    """Of Zig, of a core dump, of Tcl."""
    assert taken(lines) == count


def test_reports_in_frames_stay_together() -> None:
    """Of a virtual machine, line by line behind a sign, and of an interface, between two rules."""
    assert taken(["# A fatal error has been detected by the VM:", "#", "#  SIGSEGV (0xb) at pc=0x0f", "x"]) == 3
    rule = "\u2550\u2550\u2550"
    assert taken(["\u2550\u2550\u2561 EXCEPTION CAUGHT BY TREES \u255e\u2550", "Bad state: no plums", rule, "x"]) == 3


def test_a_mark_between_documents_is_dropped() -> None:
    """Files with a byte order mark, one behind the other, are documents."""
    value = b'{"message":"no plums"}\n\xef\xbb\xbf{"message":"no pears"}'
    assert lines_of(value) == ["no plums", "no pears"]


def test_japanese_with_few_kana_is_read() -> None:
    """Messages of logs have more ideographs than prose."""
    text = "注文を受け付けました、在庫は十分です"
    assert lines_of(text.encode("shift_jis")) == [text]


def test_a_counter_in_a_key_names_no_service() -> None:
    """Beside an id, the number of a row is none of a service."""
    assert services.of_key(b"plums:7:0a1b2c3d") == "plums"
    assert services.of_key(b"plums/7") == "plums/7"


def test_a_group_names_its_first_member() -> None:
    """Members of a group of exceptions may have no frames."""
    lines = [
        "  + Exception Group Traceback (most recent call last):",
        '  |   File "/tree.py", line 7, in <module>',
        "  | ExceptionGroup: row (2 sub-exceptions)",
        "  +-+---------------- 1 ----------------",
        "    | ValueError: no plums",
        "    +------------------------------------",
    ]
    assert "ValueError: no plums" in condense("\n".join(lines))


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"severity": "WARN", "displayMessage": "no plums", "outcome": {"reason": "FROST"}}, "WARNING no plums: FROST"),
        ({"exceptions": [{"errorClass": "FrostError", "message": "no plums"}]}, "ERROR FrostError: no plums"),
        ({"body": {"trace": {"exception": {"class": "FrostError", "message": "no"}}}}, "ERROR FrostError: no"),
        ({"records": {"t-0": [{"value": base64.b64encode(EVENT).decode(), "offset": 3}]}}, "ERROR no plums"),
    ],
)
def test_vendors_put_the_reason_elsewhere(event: object, line: str) -> None:
    """Of identity providers, of trackers of errors, of a broker's records behind a function."""
    assert lines_of(event) == [line]
