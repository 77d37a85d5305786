"""Reads the time at the head of a raw line: ISO 8601, syslog, web servers, C, RFC 1123, klog, epoch and local orders.

A time without a zone is in the zone of the settings. A time without a year, or with day and month in unknown order, is
the one nearest to the record's own time that is not days after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from itertools import islice

from logwarden.daemon.decoding import time_forms
from logwarden.daemon.decoding.time_forms import FIRST_YEAR, LAST_YEAR, ZONES, offset_min, to_ms

HEAD_BYTES = 64
"""Bytes of a line in which its time is searched."""
DAY_MS = 86_400_000
UNTIMED = -(2**63) - 1
"""Stands for a record's time, which it can never be, where the time of a line is known and need not be read."""
_NUMBER = re.compile(r"(\d{9,10})(?:[.,](\d{1,9}))?(?![\d.])|(\d{13})(?:\d{3})?(?!\d)")
_SECONDS_OF_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}:([0-9]{2})(?:[.,]([0-9]{1,9}))?(?![0-9])")
_WITHOUT_COLONS = re.compile(
    rb"[\[(\"]?\d{8}[T _-]?\d{6,9}(?![\d-])|(?:t|ts|time|timestamp)=\d{9,10}[., ]|\d{4}(?:\xe5\xb9\xb4|\xeb\x85\x84)"
    rb"|[\[(\"]?\d{4}-\d\d-\d\d[T _-]\d\d\.\d\d\.\d\d"
    rb"|(?:[^\d\n]{0,30}[\s\]])?[\[(]\d{10}[.,]\d{1,9}[\])]"
)
"""Heads with a time whose hours and minutes no colon parts: `20261123T100000`, points, East Asia, an epoch."""
_WORD_END = re.compile(r"[\s\[(=\"*,]+")
_MAX_WORDS = 4
SECONDS = {f":{second:02}".encode(): 1000 * second for second in range(61)}
MILLIS = {f"{ms:03}".encode(): ms for ms in range(1000)}
_POINTS = (b".", b",")
FRACTION_MARKS = (b".", b",", b":")
ENDS = (b" ", b"|", b"\t", b"")
SIGNS = (b"+", b"-")
ZONE_STARTS = frozenset(name[:3].encode() for name in ZONES) | {b"Z", b"Z "}
_ISO_REST = re.compile(rb"(?:[.,:](\d{1,9}))? ?(Z\b|[+-]\d\d:?\d\d\b|[A-Z]{3,4}\b)?")


def leading_ms(line: bytes, near_ms: int = -1, zone: tzinfo = UTC) -> int | None:
    """Returns the time at a line's head in milliseconds since the epoch; None for a line without one."""
    if line[4:5] == b"-" and line[13:14] == b":":
        found = iso_head(line, zone)
        if found is not None:
            return found[0]
    is_syslog = line[6:7] == b" " and line[9:10] == b":" and line[12:13] == b":" and line[15:16] == b" "
    if is_syslog and not (line[16:20].isdigit() and line[20:21] == b" "):  # a year may stand behind the time
        minute = minute_of_head(line[:13], near_ms // DAY_MS, zone)
        second = line[13:15]
        return None if minute is None or not second.isdigit() else minute + 1000 * int(second)
    if line[:1].isdigit():
        at_ms = _of_digits(line, near_ms, zone)
        if at_ms is not None:
            return at_ms
    if not has_clock(line) and not line[:9].isdigit() and not line[1:10].isdigit():
        return None
    if line[:1] == b"[" and (end := line.find(b"]", 16, HEAD_BYTES)) > 0:  # a time in brackets, alone as a rule
        at_ms = moment_of_day(line[:end].decode("utf-8", "replace"), near_ms // DAY_MS, zone)
        if at_ms is not None:
            return at_ms
    return _of_head(line[:HEAD_BYTES].decode("utf-8", "replace"), near_ms, zone)


def _of_digits(line: bytes, near_ms: int, zone: tzinfo) -> int | None:
    """Returns the time of `17/06/09 20:10:41 …`, whatever its date's form; None if more than a fraction follows."""
    # "17/06/09 20:10:41.250 x": colon at 11, the minute up to 14, seconds at 14, fraction at 17, its end at 21
    colon = line.find(b":", 5, 24)
    second = SECONDS.get(line[colon + 3 : colon + 6])
    if colon < 0 or second is None:
        return None
    end = colon + 6
    if line[end : end + 1] in FRACTION_MARKS:
        second += MILLIS.get(line[end + 1 : end + 4], 1_000_000)
        end += 4
    behind = line[end + 1 : end + 4]
    if second >= 1_000_000 or line[end : end + 1] not in ENDS or behind in ZONE_STARTS or behind[:1] in SIGNS:
        return None
    if behind[1:2] == b"M":  # AM, PM
        return None
    minute = minute_of_head(line[: colon + 4], near_ms // DAY_MS, zone)
    return None if minute is None else minute + second


def has_clock(line: bytes) -> bool:
    """Returns True for a line with hours and minutes in its head."""
    place = line.find(b":", 1, HEAD_BYTES)
    while place > 0:
        if line[place - 1 : place].isdigit() and line[place + 1 : place + 3].isdigit():
            return True
        place = line.find(b":", place + 1, HEAD_BYTES)
    return _WITHOUT_COLONS.match(line) is not None


def iso_head(line: bytes, zone: tzinfo) -> tuple[int, int] | None:
    """Returns the time of `2026-11-23 10:00:00.123 …` and the place behind it; None for another head."""
    minute, second = iso_minute(line[:16], zone), SECONDS.get(line[16:19])
    if minute is None or second is None:
        return None
    # Most lines go on with ".123 " or " ", and then with a word that is no zone.
    mark = line[19:20]
    place = 19 if mark == b" " else 23
    ms = second if mark == b" " else MILLIS.get(line[20:23], -1) + second if mark in _POINTS else -1
    if (
        ms >= second
        and line[place : place + 1] == b" "
        and line[place + 1 : place + 4] not in ZONE_STARTS
        and line[place + 1 : place + 2] not in SIGNS
    ):
        return minute[1] + ms, place
    rest = _ISO_REST.match(line, 19)
    assert rest is not None, "the pattern matches the empty text"
    fraction, written = rest.groups()
    ms = second + (int(fraction[:3].ljust(3, b"0")) if fraction else 0)
    if written is None:
        return minute[1] + ms, rest.end(1) if fraction else 19
    offset = 0 if written == b"Z" else offset_min(written.decode())
    if offset is None:  # the word behind the time is no zone
        return minute[1] + ms, rest.end(1) if fraction else 19
    return minute[0] + ms - offset * 60_000, rest.end()


def moment_ms(text: str, near_ms: int = -1, zone: tzinfo = UTC) -> int | None:
    """Returns a time that stands alone; None for a text that is none."""
    return moment_of_day(text[:HEAD_BYTES], near_ms // DAY_MS, zone) if text else None


def moment_of_day(text: str, near_day: int, zone: tzinfo) -> int | None:
    """Returns the time of a text, which is found out once per minute: lines of one minute follow each other."""
    # "23/Nov/2026:10:00:17.25 +0100" is "23/Nov/2026:10:00:00.00 +0100" and 17,250 ms
    found = _SECONDS_OF_CLOCK.search(text)
    if found is None:
        return _moment(text, near_day, zone)
    second, fraction = found.groups()
    start, end = found.span(1)
    rest = text[end:] if fraction is None else f"{text[end]}{'0' * len(fraction)}{text[found.end() :]}"
    at_ms, is_exact = whole_minute(text[:start], rest, near_day, zone)
    if not is_exact or second > "59":
        return _moment(text, near_day, zone)
    return None if at_ms is None else at_ms + 1000 * int(second) + int((fraction or "0")[:3].ljust(3, "0"))


@lru_cache(maxsize=4_096)
def whole_minute(begin: str, rest: str, near_day: int, zone: tzinfo) -> tuple[int | None, bool]:
    """Returns the time at the minute's begin, and True if the time of its other moments is this and their seconds."""
    at_ms = _moment(f"{begin}00{rest}", near_day, zone)
    has_fraction = rest[1:2] == "0" and rest[0] in ".,"
    other = _moment(f"{begin}01{rest[0]}1{rest[2:]}" if has_fraction else f"{begin}01{rest}", near_day, zone)
    if at_ms is None or other is None:
        return None, at_ms is other
    return at_ms, other - at_ms == (1100 if has_fraction else 1000)


@lru_cache(maxsize=4_096)
def _moment(text: str, near_day: int, zone: tzinfo) -> int | None:
    head = text.encode("utf-8", "replace")
    if head[:1] == b"[":
        return _of_head(text[:HEAD_BYTES], near_day * DAY_MS, zone)
    return leading_ms(head, near_day * DAY_MS, zone)


@lru_cache(maxsize=8_192)
def minute_of_head(head: bytes, near_day: int, zone: tzinfo) -> int | None:
    """Returns the time of a head that ends behind the colon before its seconds; None if it has none."""
    text = head.decode("utf-8", "replace")
    at_ms, next_ms = (_of_head(text + second, near_day * DAY_MS, zone) for second in ("00", "01"))
    # Before its clock a head may have a number that is a time without it.
    return at_ms if at_ms is not None and next_ms == at_ms + 1000 else None


@lru_cache(maxsize=8_192)
def iso_minute(head: bytes, zone: tzinfo) -> tuple[int, int] | None:
    """Returns the milliseconds of `2026-11-23 10:00`, in UTC and in the zone of the settings."""
    try:
        moment = datetime.fromisoformat(head.decode())
    except ValueError:
        return None
    if not FIRST_YEAR <= moment.year < LAST_YEAR or moment.tzinfo:
        return None
    return to_ms(moment.replace(tzinfo=UTC)), to_ms(moment.replace(tzinfo=zone))


def has_form(head: str) -> bool:
    """Returns False for a head of ASCII in which no time is found, whatever its digits are."""
    return any(time_forms.has_form(head, place) or _NUMBER.match(head, place) for place in _places(head))


def _places(head: str) -> Iterator[int]:
    """Yields where a time may begin: at the head's beginning or behind one of its first words."""
    for place in (0, *(word.end() for word in islice(_WORD_END.finditer(head), _MAX_WORDS))):
        if head[place : place + 1].isalnum():
            yield place


def _of_head(head: str, near_ms: int, zone: tzinfo) -> int | None:
    """Returns the time at the head's beginning or behind one of its first words."""
    for place in _places(head):
        if (at_ms := time_forms.moment_at(head, place, near_ms, zone)) is not None:
            return at_ms
        if found := _NUMBER.match(head, place):
            return _of_number(found)
    return None


def _of_number(found: re.Match[str]) -> int | None:
    seconds, fraction, ms = found.groups()
    at_ms = int(ms) if ms else int(seconds) * 1000 + int((fraction or "0")[:3].ljust(3, "0"))
    return at_ms if 315_532_800_000 < at_ms < 4_102_444_800_000 else None
