"""Finds out whether a line may be of a format, and where its time stands if it is of none: once per look.

The look of a line is the line with a 1 for each digit, and most lines of a service differ in digits only. It decides
which formats are possible and where a time stands. The digits decide about the time itself. Where they make none, and
for looks that are not known here, `looked_at` is the definition.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from enum import Enum
from typing import NamedTuple

from logwarden.daemon.decoding import access_log, line_protocol, w3c
from logwarden.daemon.decoding.line_times import (
    ENDS,
    FRACTION_MARKS,
    HEAD_BYTES,
    SIGNS,
    ZONE_STARTS,
    has_clock,
    has_form,
    iso_head,
    leading_ms,
)

NO_TIME = -1
_MAX_BYTES = 400
"""Length of a line whose look is remembered."""
_MAX_LOOKS = 16_384
_LETTERS = frozenset(b"IWEFDVA")
_BRACKET, _SMALL_S, _LESS, _HASH, _COLON = b"[s<#:"
_MAY_BE_LETTER = frozenset(b"TVDIWEFCA[s")
_AFTER_LETTER = frozenset(b" \t])>|:/!")
_LETTER_HEAD = re.compile(rb"[ \t\[(<|][TVDIWEFCA][ \t\])>|:/!]|:[MSCX] ")
_LOGFMT = re.compile(rb"(?:[^|=]{0,64}\| ?)?[A-Za-z_@][\w.@/-]{0,63}=")
TO_LOOK = bytes(ord("1") if 48 <= c < 58 else c for c in range(256))
_ISO = re.compile(rb"1111-11-11[ T]11:11:11(?:[.,](1{1,9}))?(?![.,:]?1)")
_CLOCK = re.compile(rb"11:11(:11)(?:[.,](1{1,9}))?(?![.,:]?1)")
_CLOSERS = (b"}", b"]", b")", b">")
_OBJECT_BEHIND = re.compile(
    rb'^[^{]{0,160}[ \t]\{"|^\{:?[A-Za-z_]|^map\[[A-Za-z]|^#<[A-Z]|^[A-Za-z]\w{0,40}\((?:\[\()?[\'"]'
    rb"|^[A-Za-z][\w.$]{0,80} ?[({\[] ?[A-Za-z_]+[=:]"
)
"""An object of JSON behind a head, or an object as a language prints it: `printed.py`."""
_METHODS = re.compile(rb"(?:%b)(?![0-9A-Za-z_])" % access_log.METHODS.encode())
_WORD_SIGNS = frozenset(bytes([sign]) for sign in range(128) if chr(sign).isalnum() or sign == ord("_"))
_UTC = re.compile(rb" ?Z\b")
_SYSLOG = re.compile(rb".{6} ..:..:11 (?!1111 )")


class Kind(Enum):
    """What a look decides about a line."""

    UNKNOWN = "it may be plain, and its time may stand anywhere"
    FORMAT = "it may be of a format"
    TIMELESS = "it is plain, and has no time"
    HEAD = "23/11/26 10:00:00 …, whatever the form of the date"
    SYSLOG = "Nov 23 10:00:00 …"
    ISO = "2026-11-23 10:00:00 …"
    UTC = "2026-11-23T10:00:00Z …"
    BRACKETS = "[Mon Nov 23 10:00:00 2026] …"


class PlaceOfTime(NamedTuple):
    """Where the time of all lines of a look stands. Slices that are made once: they are taken out of every line."""

    kind: Kind
    memo: int = 0
    """Which of the memos of minutes has the line's one."""
    head: slice = slice(0)
    """What states the minute: the line's begin, and the colon before the seconds."""
    second: slice = slice(0)
    """The seconds behind their colon."""
    fraction: slice | None = None
    """At most three digits of the fraction of the second."""
    rest: slice = slice(0)
    """In brackets: what is behind the fraction."""
    digits: int = 0
    """In brackets: how many the fraction has."""


UNKNOWN, FORMAT, TIMELESS, BRACKETS = Kind.UNKNOWN, Kind.FORMAT, Kind.TIMELESS, Kind.BRACKETS
_OF_FORMAT, _NOT_KNOWN, _HAS_NO_TIME = PlaceOfTime(FORMAT), PlaceOfTime(UNKNOWN), PlaceOfTime(TIMELESS)
_MEMO_OF = {Kind.HEAD: 0, Kind.SYSLOG: 0, Kind.ISO: 1, Kind.UTC: 2, BRACKETS: 3}
decisions: dict[bytes, PlaceOfTime] = {}
"""What `decided` has decided."""


def decided(look: bytes) -> PlaceOfTime:
    """Returns what a look decides, and remembers it."""
    if not look:
        return _OF_FORMAT
    if len(look) > _MAX_BYTES:
        return _NOT_KNOWN
    if len(decisions) >= _MAX_LOOKS:
        decisions.clear()
    found = decisions[look] = _decide(look)
    return found


def _decide(look: bytes) -> PlaceOfTime:
    if _has_marks(look):
        return _OF_FORMAT
    if _is_small(look):
        return _HAS_NO_TIME
    if iso := _iso(look):
        return iso
    if look[4:5] == b"-" and look[13:14] == b":":
        return _NOT_KNOWN
    if _has_letter(look):
        return _OF_FORMAT
    if _SYSLOG.match(look):
        return _at(Kind.SYSLOG, 12)
    if look[:1].isdigit() and (clock := _clock(look)):
        return clock
    if not has_clock(look) and not look[:9].isdigit() and not look[1:10].isdigit():
        return _HAS_NO_TIME
    end = look.find(b"]", 16, HEAD_BYTES) if look[0] == _BRACKET else -1
    if end > 0:
        clock_in = _CLOCK.search(look, 1, end) if look[:end].isascii() else None
        return _at(BRACKETS, clock_in.start(1), len(clock_in[2] or b""), end) if clock_in else _NOT_KNOWN
    may_have_time = not look.isascii() or has_form(look[:HEAD_BYTES].decode())
    return _NOT_KNOWN if may_have_time else _HAS_NO_TIME


def _iso(look: bytes) -> PlaceOfTime | None:
    """Returns where the seconds of `2026-11-23 10:00:00.123 …` are; None for a look with another head."""
    found = _ISO.match(look)
    if found is None:
        return None
    end, kind = found.end(), Kind.ISO
    behind = end + (look[end : end + 1] == b" ")
    has_zone = _has_zone(look, behind)
    if (utc := _UTC.match(look, end)) and (has_zone or behind == end):
        end, kind = utc.end(), Kind.UTC
    elif utc or has_zone:
        kind = Kind.UNKNOWN
    # With a letter behind it, a line is of a format only if this is a moment at all.
    is_known = kind is not UNKNOWN and not _has_letter_behind(look, end)
    return _at(kind, 16, len(found[1] or b"")) if is_known else _NOT_KNOWN


def _clock(look: bytes) -> PlaceOfTime | None:
    """Returns where the seconds of `17/06/09 20:10:41 …` are; None if more than a fraction follows."""
    # "17/06/09 20:10:41.250 x": colon at 11, the one before the seconds at 14, fraction at 17, its end at 21
    colon = look.find(b":", 5, 24)
    if colon < 0 or look[colon + 3 : colon + 6] != b":11":
        return None
    end = colon + 6
    digits = 0
    if look[end : end + 1] in FRACTION_MARKS:
        digits = len(look[end + 1 : end + 11]) - len(look[end + 1 : end + 11].lstrip(b"1"))
        if not 1 <= digits <= 9:
            return None
        end += 1 + digits
    is_last = look[end : end + 1] in ENDS and look[end + 2 : end + 3] != b"M"  # AM, PM
    has_year = look[end + 1 : end + 5] == b"1111" and not look[end + 5 : end + 6].isalnum()
    if not is_last or has_year or look[end + 1 : end + 4] in ZONE_STARTS or look[end + 1 : end + 2] in SIGNS:
        return None
    return _at(Kind.HEAD, colon + 3, digits)


def _at(kind: Kind, colon: int, digits: int = 0, end: int = 0) -> PlaceOfTime:
    """Returns the decision for a time with a colon here before its seconds."""
    # "[Mon Nov 23 10:00:17.25 2026] x": colon at 17, digits at 21 and 22, the rest behind them up to `end` at 28
    first = colon + 4
    fraction = slice(first, first + min(digits, 3)) if digits else None
    behind = first + digits if digits else colon + 3
    memo = _MEMO_OF[kind]
    return PlaceOfTime(kind, memo, slice(colon + 1), slice(colon, colon + 3), fraction, slice(behind, end), digits)


def _has_zone(look: bytes, place: int) -> bool:
    has_offset = look[place : place + 1] in SIGNS and look[place + 1 : place + 2] == b"1"
    return has_offset or look[place : place + 3] in ZONE_STARTS


def looked_at(line: bytes, near_ms: int, zone: tzinfo) -> int | None:
    """Returns what `plain_ms` does, by a look at the line itself."""
    if _has_marks(line):
        return None
    if _is_small(line):
        return NO_TIME
    if line[:1].isdigit() and line[4:5] == b"-" and line[13:14] == b":":
        found = iso_head(line, zone)
        if found is not None:
            return None if _has_letter_behind(line, found[1]) else found[0]
    if _has_letter(line):
        return None
    at_ms = leading_ms(line, near_ms, zone)
    return NO_TIME if at_ms is None else at_ms


def _has_marks(line: bytes) -> bool:
    """Returns True for a line with the marks of a format somewhere in it."""
    return (
        ((b"/" in line or b"Completed " in line or b"Sent " in line) and _has_request(line))
        or (b"=" in line and _has_pairs(line))
        or (b"|" in line and b"EF:" in line)
        or (line[-1:] in _CLOSERS and _OBJECT_BEHIND.search(line) is not None)
    )


def _is_small(line: bytes) -> bool:
    """Returns True for a line that begins with a small letter, and has no clock behind it."""
    return 0x61 <= line[0] <= 0x7A and line.find(b":", 2, HEAD_BYTES) < 0


def _has_letter_behind(line: bytes, end: int) -> bool:
    """Returns True if a letter for the level, or a stream's name, may stand behind a time that ends here."""
    if len(line) < end + 4:
        return False
    end += line[end] == _COLON
    behind = line[end + 1]
    return behind in _MAY_BE_LETTER and (
        (behind == _BRACKET and _LETTER_HEAD.search(line, end, end + 80) is not None)
        or (behind == _SMALL_S and line[end : end + 4] == b" std")
        or line[end + 2] in _AFTER_LETTER
    )


def _has_letter(line: bytes) -> bool:
    """Returns True for a line whose head may have a letter for the level, a priority, or a count of octets."""
    first = line[0]
    if 0x30 <= first <= 0x39:
        # Times without a year, a clock alone, and the process of a cache server.
        may_have_letter = line[2:3] == b"-" or line.find(b":", 1, 9) > 0
        return (may_have_letter and _LETTER_HEAD.search(line, 1, 48) is not None) or is_counted(line)
    if first == _BRACKET:
        return _LETTER_HEAD.search(line, 0, 64) is not None
    return (
        first == _LESS
        or (first in _LETTERS and (line[1:2] == b"/" or line[1:3] == b" (" or line[1:5].isdigit()))
        or (first == _HASH and line.startswith(w3c.DIRECTIVES))
    )


def is_counted(line: bytes) -> bool:
    """Returns True for a line behind the count of its octets: `57 <34>…`."""
    return line[:1].isdigit() and line.find(b" <", 1, 9) > 0


def _has_request(line: bytes) -> bool:
    return (
        b"HTTP/" in line
        or b"Completed " in line
        or b"Sent " in line
        or b'] "' in line
        or ((b" /" in line or b'"/' in line or b"://" in line or b"\t/" in line) and _has_method(line))
    )


def _has_method(line: bytes) -> bool:
    """Returns True for a line with the name of a method as a word: `BLOCK` ends in one, and is none."""
    return any(line[max(0, found.start() - 1) : found.start()] not in _WORD_SIGNS for found in _METHODS.finditer(line))


def _has_pairs(line: bytes) -> bool:
    """Returns True for a line that may be logfmt. All of its pairs are behind one another, or behind a bar."""
    first = line[: line.index(b"=")]
    if (b" " not in first or b"|" in first) and (_LOGFMT.match(line) or line_protocol.may_be(first, line)):
        return True
    return (b"msg=" in line or b"message=" in line) and (b"level=" in line or b"lvl=" in line or b"severity=" in line)
