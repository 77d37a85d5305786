"""Lines of every text format, whole, torn, mixed and packed, come out as events, as blanks or as dead letters."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import re
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import get_args

import cramjam
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logwarden.daemon.decoding.decoder import FAULT
from logwarden.daemon.decoding.line_times import leading_ms
from logwarden.daemon.records import InputFormat
from tests.oracles import LogRecord, default_decoder
from tests.unit.daemon.decoding.test_text import CASES

LINES = [line.encode() for line, _ in CASES.values()]
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PIECES = [
    b"\x1b[31m",
    b"\n",
    b"\r\n",
    b"\0",
    b"\t",
    b"\xe9",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b'"',
    b"\\",
    b"=",
    b"|",
    b"<",
    b"{",
    b"[",
    b" ",
]
BREAKS = st.sampled_from(PIECES) | st.binary(max_size=4)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """Returns lines of some formats with pieces cut out, put in and exchanged."""
    value = draw(st.sampled_from([b"\n", b" ", b""])).join(
        draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=3))
    )
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(value)))
        value = value[:start] + draw(BREAKS) + value[start + draw(st.integers(0, 9)) :]
    packs: list[Callable[[bytes], bytes]] = [bytes, bytes, bytes, gzip.compress, zlib.compress, bz2.compress]
    pack = draw(st.sampled_from(packs))
    return pack(value)[: draw(st.sampled_from([None, None, 40]))]


@given(st.lists(mutants() | st.binary(max_size=80), max_size=5), st.sampled_from(("auto", *get_args(InputFormat))))
def test_every_value_comes_out(values: list[bytes], form: InputFormat) -> None:
    """No record is lost, and no line that came out contains what a terminal obeys."""
    found = default_decoder(form=form).decode([LogRecord(value) for value in values])
    assert {*found.places, *found.blank, *(place for place, _ in found.dead)} == set(range(len(values)))
    assert FAULT not in {letter.stage for _, letter in found.dead}
    for line in found.lines:
        assert not CONTROL.search(line.decode())


EDGES = [
    b"53 <34>1 2026-11-23T10:00:00Z h billing - - - no [0] route",
    b"\n    at x[0]",
    b"\t[0] x",
    b" \n[0]",
    b"\n\n",
]


@given(st.lists(st.sampled_from(LINES + EDGES), min_size=1, max_size=6), st.lists(st.sampled_from(PIECES), max_size=2))
@example(lines=EDGES, odd=[b"\x1b[31m"])
def test_a_neighbour_changes_no_line(lines: list[bytes], odd: list[bytes]) -> None:
    """The short way of calm batches and the long way of others read a record alike."""
    alone = default_decoder().decode([LogRecord(line) for line in lines])
    beside = default_decoder().decode(
        [*[LogRecord(line) for line in lines], *[LogRecord(b"x" + piece) for piece in odd]]
    )
    for column in ("lines", "services", "timestamps"):
        assert getattr(beside, column)[: len(alone.lines)] == getattr(alone, column)
    assert [place for place in beside.indented if place < len(alone.lines)] == alone.indented


FORMS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "[%d/%b/%Y:%H:%M:%S +0000]",
    "%d.%m.%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%a %b %d %H:%M:%S %Y",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%b %d %H:%M:%S",
    "I%m%d %H:%M:%S.000000",
    "%s",
    "%d-%b-%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y%m%d %H:%M:%S",
    "%y/%m/%d %H:%M:%S",
    "%m-%d %H:%M:%S.000",
    "%Y%m%d-%H:%M:%S:000|",
)


@given(st.datetimes(datetime(2001, 9, 10), datetime(2098, 1, 1)), st.sampled_from(FORMS), st.integers(-9, 9))
@example(datetime(2026, 1, 1), "%b %d %H:%M:%S", -1)
def test_a_time_is_read_in_every_form(moment: datetime, form: str, hours: int) -> None:
    """A head is the moment that it was written for, also without a year and with the month before the day."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    at_ms = int(moment.timestamp()) * 1000
    text = str(at_ms // 1000) if form == "%s" else moment.strftime(form)
    near = at_ms + hours * 3_600_000
    assert leading_ms(f"{text} worker failed".encode(), near) == at_ms


@given(st.text(max_size=70))
def test_no_head_is_an_error(text: str) -> None:
    """A head of any characters is a time or none."""
    assert isinstance(leading_ms(text.encode("utf-8", "replace")), int | None)


HOSTILE = {
    "pairs": b'a="' * 20_000,
    "escapes": b'a="' + b"\\" * 60_000,
    "brackets": b"<1>1 - - a - - " + b'[a b="' * 9_000,
    "keys": b"CEF:0|" + b"a=" * 30_000,
    "bars": b"CEF:" + b"0|" * 30_000,
    "requests": b'GET "' * 12_000 + b"/",
    "clocks": b"1:11" * 16_000,
    "spaces": b"GET" + b" " * 60_000 + b"/",
    "colours": b"\x1b[" * 30_000,
    "links": b"\x1b]8;;" * 12_000,
    "counts": b"1 <1>\n" * 10_000,
    "counts that lie": b"9 <1>" * 12_000,
    "parts": b"2026-11-23T10:00:00.123456789Z stdout P a\n" * 1_500,
    "queries": b'1 2 3 [23/Nov/2026:10:00:00] "' + b"\\" * 60_000,
    "words": b"GET /" + b" HTTP/1" * 9_000,
    "servers": b"[23/Nov/2026:10:00:00.123] web a" + b"/" * 60_000 + b' "',
    "causes": (b"ERROR task failed\n" + b"  Caused by:\n" * 598) * 20,
    "documents": b'{"a":1}' * 15_000 + b'{"a":"' + b"x" * 8_000_000 + b'"}',
    "framed documents": b'\x1e{"a":1}' * 8_000 + b'{"a":"' + b"x" * 8_000_000 + b'"}',
    "blank lines of an error": (b'{"error":"x' + rb"\n" * 3_990 + b'y"}\n') * 60,
    "empty streams": gzip.compress(b"") * 120_000,
    "fields of a message": gzip.compress(b"\x08A" * 6_000_000 + b"\x08\x01"),
    "dates of a file": b'{"message":"x","log.file.path":"/var/log/a' + b"-2026-11-23" * 40 + b'!"}',
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_line_costs_no_more_than_a_long_one(value: bytes) -> None:
    """No line keeps the others waiting: twice the length costs no four times the time."""
    decoder = default_decoder()
    start = time.process_time()
    decoder.decode([LogRecord(value)])
    assert time.process_time() - start < 2.0


PACKERS = [gzip.compress, zlib.compress, bz2.compress, cramjam.zstd.compress, cramjam.lz4.compress]


@pytest.mark.parametrize("pack", PACKERS)
def test_packed_values_are_read_and_bombs_are_refused(pack: object) -> None:
    """A producer may pack its values; what would fill the memory is a dead letter, and its neighbours are read."""
    assert callable(pack)
    text, bomb = bytes(pack(b"worker failed\n" * 3)), bytes(pack(b"\0" * 40_000_000))
    found = default_decoder().decode([LogRecord(value) for value in (text, bomb, text[:-5], b"after")])
    assert found.lines[0].startswith(b"worker failed")
    assert found.lines[-1] == b"after"
    reasons = [letter.reason for _, letter in found.dead if letter.stage == "packed"]
    assert "more than 16,777,216 bytes" in reasons[0]


def test_an_old_time_is_near_its_record() -> None:
    """A line of the last minute of a year belongs to that year, though its record came in the next one."""
    record = int((datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=5)).timestamp()) * 1000
    assert leading_ms(b"Dec 31 23:59:58 web cron: x", record) == record - 7_000


@pytest.mark.parametrize("pack", PACKERS)
def test_streams_behind_each_other_are_one_value(pack: Callable[[bytes], bytes]) -> None:
    """Packers that work in parallel write many streams, and no event of the later ones is lost."""
    value = bytes(pack(b"ERROR no route\n")) + bytes(pack(b"ERROR disk full\n"))
    assert default_decoder().decode([LogRecord(value)]).lines == [b"ERROR no route", b"ERROR disk full"]


def test_a_record_of_many_bombs_is_bounded_as_a_whole() -> None:
    """Each packed element is below the bound; together they would fill the memory, and the next record may again."""
    element = {"data": base64.b64encode(gzip.compress(b"worker failed " * 600_000)).decode()}
    record = LogRecord(json.dumps({"records": [element] * 5}).encode())
    found = default_decoder().decode([record, record])
    assert found.places == [0, 1]
    assert ["4 of 5 elements" in letter.reason for _, letter in found.dead] == [True, True]
