"""Looks at the records of a batch together: finds those that are one plain line, or JSON with such a message.

Most are, and one look at all of them costs less than many. Every other record is read on its own; it may be such a
line, too. What is found here is what reading the record on its own gives.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from logwarden.daemon.decoding import services, spelled, terminal
from logwarden.daemon.decoding.event import MAX_LEVEL_CHARS, LogEvent, level_before
from logwarden.daemon.decoding.json_plain import Begun
from logwarden.daemon.decoding.line_times import UNTIMED
from logwarden.daemon.decoding.plain_lines import plain_times
from logwarden.daemon.decoding.structured import StructuredReader
from logwarden.daemon.decoding.text import MAX_FORMAT_BYTES
from logwarden.daemon.records import Record

_BREAKS_AND_BLANKS = b" \t\r\n"
_NO_JSON = re.compile(rb"\[[ \t]*(?:[^ \t{\[\"\-0-9tfnNI\]]|[0-9]+(?:\.[0-9]+)?(?:[ \t]+[^ \t,\]]|[^ \t0-9.,eE\]]))")
"""Begin of a line in brackets that no parser takes for JSON, such as `[main] …` and `[2026-11-23 …`."""
_BRACE, _BRACKET, _COMMA = b"{[,"
_SPECIAL = frozenset(b'{["<bB')
_QUOTES, _CLOSERS = frozenset(b'"<'), frozenset(b'">')
"""First and last bytes of a string of JSON and of XML."""
_SPELLS = frozenset(b"%\\")
"""First bytes of a text in the spelling of an address of the web, and of bytes as PostgreSQL prints them."""
_PRINTED = frozenset(b"'\"")
"""Behind the letter b: bytes as Python prints them."""
_LETTERS = frozenset(b"bB")
_MIN_SPELLED = spelled.MIN_CHARS
_SPELLING = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-="
"""All bytes of base64 and of hexadecimal digits."""


@dataclass(slots=True)
class Look:
    """What a look at a batch finds out, by place."""

    lines: list[bytes]
    """The record, or its message if it is JSON, where that is one line of ASCII; empty for all others."""
    times: list[int | None]
    """The line's time, NO_TIME without one. None: the record is read on its own."""
    begun: dict[int, Begun | LogEvent | None] = field(default_factory=dict)
    """Events of the records that are JSON objects, as far as they are read."""
    services: dict[int, str] = field(default_factory=dict)
    """Services of those that are read to their end."""

    @classmethod
    def without(cls, count: int) -> Look:
        """Returns the look at a batch whose records are all read on their own."""
        return cls([b""] * count, [None] * count)


def look(records: Sequence[Record], structured: StructuredReader, form: str, max_chars: int, zone: tzinfo) -> Look:
    """Looks at records of the format auto, or at those that are JSON of the format json."""
    out = Look.without(len(records))
    if form == "auto":
        out.lines = _single_lines(records, max_chars)
    near = [record.timestamp for record in records]
    objects = {
        place: value
        for place, record in enumerate(records)
        if (value := record.value) and value[0] == _BRACE and value.isascii()
    }
    if objects:
        out.begun = dict(zip(objects, structured.begun(objects.values()), strict=True))
    for place, event in out.begun.items():
        near[place] = -1  # a shipper's time is no guide to that of its message
        if event is not None and not isinstance(event, LogEvent):
            out.lines[place] = event[0].encode("utf-8", "replace")
            if event[5] is not None:
                near[place] = UNTIMED
    for place in terminal.unplain(out.lines):
        out.lines[place] = b""
    out.times = plain_times(out.lines, near, zone)
    if out.begun:
        _join_objects(out, records, min(max_chars, MAX_FORMAT_BYTES) - MAX_LEVEL_CHARS)
    return out


def _join_objects(out: Look, records: Sequence[Record], max_bytes: int) -> None:
    """Completes the lines and times of JSON objects whose messages are plain."""
    for place, event in out.begun.items():
        if event is None or isinstance(event, LogEvent) or out.times[place] is None:
            continue
        text, level, service, file, host, at_ms = event
        if len(out.lines[place]) > max_bytes:
            out.times[place] = None
            continue
        if level is not None:
            out.lines[place] = level_before(level, text) + out.lines[place]
        out.services[place] = service or file or services.of_record(records[place], host)
        if at_ms is not None:
            out.times[place] = at_ms


def _single_lines(records: Sequence[Record], max_bytes: int) -> list[bytes]:
    """Returns the text of each record that is one line; empty for all others. Controls may be left in it."""
    nothing = b""
    lines = [
        line
        if (value := record.value)
        and (line := value.strip(_BREAKS_AND_BLANKS))
        and (line[0] not in _SPECIAL or _is_text(line))
        and line[-1] != _COMMA  # the last byte of a netstring
        and (b" " in line or len(line) < _MIN_SPELLED or (line[0] not in _SPELLS and line.translate(None, _SPELLING)))
        else nothing
        for record in records
    ]
    longest = min(max_bytes, MAX_FORMAT_BYTES)
    if max(map(len, lines), default=0) > longest or b"\n" in b"".join(lines):
        lines = [line if len(line) <= longest and b"\n" not in line else nothing for line in lines]
    return lines


def _is_text(line: bytes) -> bool:
    """Returns False for a line that may be JSON, a string of JSON, XML, or bytes as Python prints them."""
    if line[0] == _BRACKET:
        return _NO_JSON.match(line) is not None
    if line[0] in _LETTERS:
        return len(line) < 2 or line[1] not in _PRINTED
    return line[0] in _QUOTES and line[-1] not in _CLOSERS
