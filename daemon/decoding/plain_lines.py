"""Reads the times of lines of no format, of many at once or of one: the place from the look, the digits from the line.

Lines of one minute follow each other, so a minute is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from logwarden.daemon.decoding.line_shapes import (
    BRACKETS,
    FORMAT,
    NO_TIME,
    TIMELESS,
    TO_LOOK,
    UNKNOWN,
    Kind,
    PlaceOfTime,
    decided,
    decisions,
    looked_at,
)
from logwarden.daemon.decoding.line_times import (
    DAY_MS,
    MILLIS,
    SECONDS,
    UNTIMED,
    iso_minute,
    minute_of_head,
    whole_minute,
)

_MAX_MINUTES = 4_096
_MAX_DAYS = 16
_DOUBTED = frozenset((UNKNOWN, Kind.ISO, Kind.UTC))
"""Looks whose digits decide whether the line may be of a format."""
_Memo = dict[bytes | tuple[bytes, bytes], int | None]
_Memos = tuple[_Memo, _Memo, _Memo, _Memo]
_memos: dict[tuple[int, tzinfo], _Memos] = {}
"""Minutes by day and zone, of heads, of ISO in the zone and in UTC, in brackets. A look-up costs half of a call."""


def plain_times(lines: Sequence[bytes], near: Sequence[int], zone: tzinfo) -> list[int | None]:
    """Returns `plain_ms` of each line of a batch, each without a line break; None for an empty one, too.

    `near` is UNTIMED for a line of which only the question counts whether it may be of a format.
    """
    looks = b"\n".join(lines).translate(TO_LOOK).split(b"\n") if lines else ()
    known, seconds, millis = decisions.get, SECONDS.get, MILLIS
    out: list[int | None] = []
    day, memos = -2, _memos_of(-2, zone)
    for line, look, near_ms in zip(lines, looks, near, strict=True):
        decision = known(look) or decided(look)
        kind, memo, head, second, fraction, rest, _ = decision
        if kind is TIMELESS:
            out.append(NO_TIME)
        elif kind is FORMAT:
            out.append(None)
        elif near_ms == UNTIMED and kind not in _DOUBTED:
            out.append(NO_TIME)
        else:
            if near_ms // DAY_MS != day:
                day = near_ms // DAY_MS
                memos = _memos_of(day, zone)
            key = line[head] if kind is not BRACKETS else (line[head], line[rest])
            minute, second_ms = memos[memo].get(key), seconds(line[second])
            if minute is None or second_ms is None:
                out.append(_time(decision, line, near_ms, zone, memos))
            elif fraction is None:
                out.append(minute + second_ms)
            else:
                out.append(minute + second_ms + (millis.get(line[fraction]) or _fraction(line[fraction])))
    return out


def plain_ms(line: bytes, near_ms: int, zone: tzinfo) -> int | None:
    """Returns the time of a line that is of no format, NO_TIME without one. Returns None if it may be of a format.

    `line` is not empty and begins with no white space.
    """
    look = line.translate(TO_LOOK)
    decision = decisions.get(look) or decided(look)
    kind = decision[0]
    if kind is TIMELESS:
        return NO_TIME
    return None if kind is FORMAT else _time(decision, line, near_ms, zone, _memos_of(near_ms // DAY_MS, zone))


def _time(decision: PlaceOfTime, line: bytes, near_ms: int, zone: tzinfo, memos: _Memos) -> int | None:
    if decision.kind is UNKNOWN:
        return looked_at(line, near_ms, zone)
    memo = memos[decision.memo]
    head = line[decision.head]
    key = (head, line[decision.rest]) if decision.kind is BRACKETS else head
    if key not in memo:
        if len(memo) >= _MAX_MINUTES:
            memo.clear()
        memo[key] = _minute(decision, head, line, near_ms // DAY_MS, zone)
    minute, second = memo[key], SECONDS.get(line[decision.second])
    if minute is None and decision.kind is Kind.SYSLOG:
        return NO_TIME  # nothing tells the year
    if minute is None or second is None:
        return looked_at(line, near_ms, zone)
    return minute + second + (_fraction(line[decision.fraction]) if decision.fraction else 0)


def _minute(decision: PlaceOfTime, head: bytes, line: bytes, near_day: int, zone: tzinfo) -> int | None:
    """Returns the begin of the minute at the head of a line; None if the digits make none."""
    if decision.kind is BRACKETS:
        fraction = f".{'0' * decision.digits}" if decision.digits else ""
        at_ms, is_exact = whole_minute(head.decode(), fraction + line[decision.rest].decode(), near_day, zone)
        return at_ms if is_exact else None
    if decision.kind is Kind.HEAD or decision.kind is Kind.SYSLOG:
        return minute_of_head(head, near_day, zone)
    found = iso_minute(head[:-1], zone)
    return None if found is None else found[decision.kind is Kind.ISO]


def _fraction(digits: bytes) -> int:
    return int(digits.ljust(3, b"0"))


def _memos_of(day: int, zone: tzinfo) -> _Memos:
    """Returns the memos of a day."""
    found = _memos.get((day, zone))
    if found is None:
        if len(_memos) >= _MAX_DAYS:  # the records of a replay may be of many days
            _memos.clear()
        found = _memos[day, zone] = ({}, {}, {}, {})
    return found
