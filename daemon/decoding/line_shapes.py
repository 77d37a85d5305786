"""Finds out whether a line may be of a format, and its time if it is of none: once for all lines of one look.

The look of a line is the line with a 1 for each digit, and most lines of a service differ in digits only. It decides
which formats are possible and where a time stands. The digits decide about the time itself. Where they make none, and
for looks that are not known here, `looked_at` is the definition.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from enum import Enum
from functools import lru_cache

from logwarden.daemon.decoding import w3c
from logwarden.daemon.decoding.line_times import (
    DAY_MS,
    ENDS,
    FRACTION_MARKS,
    HEAD_BYTES,
    SECONDS,
    SIGNS,
    ZONE_STARTS,
    has_clock,
    has_form,
    iso_head,
    iso_minute,
    leading_ms,
    minute_of_head,
    whole_minute,
)

NO_TIME = -1
_MAX_BYTES = 400
"""Length of a line whose look is remembered."""
_MAX_LOOKS = 16_384
_LETTERS = frozenset(b"IWEFDVA")
_BRACKET, _SMALL_S, _LESS, _HASH = b"[s<#"
_MAY_BE_LETTER = frozenset(b"TVDIWEFCA[s")
_AFTER_LETTER = frozenset(b" \t])>|:/")
_LETTER_HEAD = re.compile(rb"[ \t\[(<|][TVDIWEFCA][ \t\])>|:/]|:[MSCX] ")
_LOGFMT = re.compile(rb"(?:[^|=]{0,64}\| ?)?[A-Za-z_@][\w.@/-]{0,63}=")
_TO_LOOK = bytes(ord("1") if 48 <= c < 58 else c for c in range(256))
_ISO = re.compile(rb"1111-11-11[ T]11:11:11(?:[.,](1{1,9}))?(?![.,:]?1)")
_CLOCK = re.compile(rb"11:11(:11)(?:[.,](1{1,9}))?(?![.,:]?1)")
_UTC = re.compile(rb" ?Z\b")
_SYSLOG = re.compile(rb".{6} ..:..:11 (?!1111 )")


class _Kind(Enum):
    """What a look decides about a line."""

    UNKNOWN = "it may be plain, and its time may stand anywhere"
    FORMAT = "it may be of a format"
    TIMELESS = "it is plain, and has no time"
    SYSLOG = "Nov 23 10:00:00 …"
    ISO = "2026-11-23 10:00:00 …"
    UTC = "2026-11-23T10:00:00Z …"
    CLOCK = "23/11/26 10:00:00 …, whatever the form of the date"
    BRACKETS = "[Mon Nov 23 10:00:00 2026] …"


_Decision = tuple[_Kind, int, int, int]
"""The kind, the place of the colon before the seconds, the digits of their fraction, and the end of the brackets."""
_TIMELESS, _SYSLOG_TIME, _FORMAT = _Kind.TIMELESS, _Kind.SYSLOG, _Kind.FORMAT


def plain_ms(line: bytes, near_ms: int, zone: tzinfo) -> int | None:
    """Returns the time of a line that is of no format, NO_TIME without one. Returns None if it may be of a format.

    `line` is not empty and begins with no white space.
    """
    if len(line) > _MAX_BYTES:
        return looked_at(line, near_ms, zone)
    kind, place, digits, end = _decided(line.translate(_TO_LOOK))
    if kind is _TIMELESS:
        return NO_TIME
    if kind is _FORMAT:
        return None
    if kind is _SYSLOG_TIME:
        minute = minute_of_head(line[:13], near_ms // DAY_MS, zone)
        return NO_TIME if minute is None else minute + 1000 * int(line[13:15])
    minute = _minute(kind, line, place, digits, end, near_ms // DAY_MS, zone)
    second = SECONDS.get(line[place : place + 3])
    if minute is None or second is None:
        return looked_at(line, near_ms, zone)
    if digits:  # ":17.25 …": the fraction is behind the mark at place + 3
        second += int(line[place + 4 : place + 4 + min(digits, 3)].ljust(3, b"0"))
    return minute + second


def _minute(kind: _Kind, line: bytes, place: int, digits: int, end: int, near_day: int, zone: tzinfo) -> int | None:
    """Returns the begin of the minute at the head of a line; None if the digits make none."""
    if kind is _Kind.CLOCK:
        return minute_of_head(line[: place + 1], near_day, zone)
    if kind is _Kind.ISO or kind is _Kind.UTC:
        found = iso_minute(line[:place], zone)
        return None if found is None else found[kind is _Kind.ISO]
    if kind is _Kind.BRACKETS:
        behind = place + 3 + (1 + digits if digits else 0)
        fraction = f".{'0' * digits}" if digits else ""
        at_ms, is_exact = whole_minute(line[: place + 1].decode(), fraction + line[behind:end].decode(), near_day, zone)
        return at_ms if is_exact else None
    return None


@lru_cache(maxsize=_MAX_LOOKS)
def _decided(look: bytes) -> _Decision:
    if _has_marks(look):
        return _FORMAT, 0, 0, 0
    if _is_small(look):
        return _TIMELESS, 0, 0, 0
    if iso := _iso(look):
        return iso
    if look[4:5] == b"-" and look[13:14] == b":":
        return _Kind.UNKNOWN, 0, 0, 0
    if _has_letter(look):
        return _FORMAT, 0, 0, 0
    if _SYSLOG.match(look):
        return _SYSLOG_TIME, 0, 0, 0
    if look[:1].isdigit() and (clock := _clock(look)):
        return clock
    if not has_clock(look) and not look[:9].isdigit() and not look[1:10].isdigit():
        return _TIMELESS, 0, 0, 0
    end = look.find(b"]", 16, HEAD_BYTES) if look[0] == _BRACKET else -1
    if end > 0:
        clock_in = _CLOCK.search(look, 1, end) if look[:end].isascii() else None
        return (
            (_Kind.BRACKETS, clock_in.start(1), len(clock_in[2] or b""), end) if clock_in else (_Kind.UNKNOWN, 0, 0, 0)
        )
    may_have_time = not look.isascii() or has_form(look[:HEAD_BYTES].decode())
    return _Kind.UNKNOWN if may_have_time else _TIMELESS, 0, 0, 0


def _iso(look: bytes) -> _Decision | None:
    """Returns where the seconds of `2026-11-23 10:00:00.123 …` are; None for a look with another head."""
    found = _ISO.match(look)
    if found is None:
        return None
    end, kind = found.end(), _Kind.ISO
    behind = end + (look[end : end + 1] == b" ")
    has_zone = _has_zone(look, behind)
    if (utc := _UTC.match(look, end)) and (has_zone or behind == end):
        end, kind = utc.end(), _Kind.UTC
    elif utc or has_zone:
        kind = _Kind.UNKNOWN
    # With a letter behind it, a line is of a format only if this is a moment at all.
    return _Kind.UNKNOWN if _has_letter_behind(look, end) else kind, 16, len(found[1] or b""), 0


def _clock(look: bytes) -> _Decision | None:
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
    return _Kind.CLOCK, colon + 3, digits, 0


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
    )


def _is_small(line: bytes) -> bool:
    """Returns True for a line that begins with a small letter, and has no clock behind it."""
    return 0x61 <= line[0] <= 0x7A and line.find(b":", 2, HEAD_BYTES) < 0


def _has_letter_behind(line: bytes, end: int) -> bool:
    """Returns True if a letter for the level, or a stream's name, may stand behind a time that ends here."""
    if len(line) < end + 4:
        return False
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
        or (first in _LETTERS and (line[1:2] == b"/" or line[1:5].isdigit()))
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
        or (
            (b" /" in line or b'"/' in line or b"://" in line or b"\t/" in line)
            and (
                b"GET" in line
                or b"POST" in line
                or b"PUT" in line
                or b"HEAD" in line
                or b"DELETE" in line
                or b"PATCH" in line
                or b"OPTIONS" in line
                or b"CONNECT" in line
            )
        )
    )


def _has_pairs(line: bytes) -> bool:
    """Returns True for a line that may be logfmt. All of its pairs are behind one another, or behind a bar."""
    first = line[: line.index(b"=")]
    if (b" " not in first or b"|" in first) and _LOGFMT.match(line):
        return True
    return (b"msg=" in line or b"message=" in line) and (b"level=" in line or b"lvl=" in line or b"severity=" in line)
