"""Reads the time of an event in the forms that loggers and shippers write: text, numbers since the epoch, objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from logwarden.daemon.decoding.time_forms import whole_moment

PATHS = (
    *("@timestamp", "timestamp", "@t", "time", "ts", "eventtime", "event.time", "event_time", "datetime", "instant"),
    *("timemillis", "time_ms", "timestamp_ms", "timestampmillis", "epoch_ms", "timestamp_epoch", "asctime", "date"),
    *("timeunixnano", "time_unix_nano", "observedtimeunixnano", "timenanos", "ts_ms", "utctimestamp", "utc_time"),
    *("eventtimestamp", "event.created", "requestreceivedtimestamp", "stagetimestamp", "receivetimestamp"),
    *("time_local", "time_iso8601", "time_iso_8601", "request_time_iso", "msec", "log_time", "logtime", "logged_at"),
    *(
        "created_at",
        "occurred_at",
        "event_timestamp",
        "timereported",
        "timegenerated",
        "isodate",
        "r_isodate",
        "s_isodate",
    ),
    *("__realtime_timestamp", "_source_realtime_timestamp", "t.$date", "t", "start_time", "starttime", "created"),
    *("record.time", "systemtime", "timecreated", "when", "dt", "event.ingested", "ingested_at", "published"),
    *("eventdate", "received_at", "receivedat", "reported_at", "emitted_at", "sent_at", "log_timestamp", "epoch"),
    *("headers.timestamp", "starts_at", "clock", "occurred_on", "created_on", "raised_on", "logged_on"),
)
"""Fields that contain the time of an event, the best first."""

_NANO, _MICRO, _MILLI = 10**16, 10**13, 10**10
"""Numbers above these are nano-, micro- and milliseconds since the epoch; below, seconds (until the year 2286)."""
_FIRST = 10**8
"""A smaller number is a duration or an uptime: its second since the epoch would lie before 1974."""
_MAX_ZONE_CHARS = 64
_DAY_CHARS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_EPOCH_TEXT = re.compile(r"[0-9]{9,19}(?:\.[0-9]{1,9})?")  # from the year 1973 on; eight digits are a date
_COMPACT = re.compile(r"((?:19|20)[0-9]{2})([01][0-9])([0-3][0-9])([0-2][0-9])([0-5][0-9])([0-5][0-9])([0-9]{3})?")
_NAME = re.compile(
    r"(?i)time|date|stamp|epoch|fecha|datum|zeit|heure|время|时间|時間|日時|시간|(?:[a-z]|_)at$|(?:^|_)ts$"
)
_ASP = re.compile(r"/Date\((-?[0-9]{9,16})(?:[+-][0-9]{4})?\)/")
_PARTS = (
    ("epochSecond", "nanoOfSecond"),
    ("seconds", "nanos"),
    ("epoch_second", "nano_of_second"),
)
_SECONDS = {f"{second:02}": 1000 * second for second in range(60)}
_MILLIS = {f"{ms:03}": ms for ms in range(1000)}


def time_ms(value: Any, zone: tzinfo = UTC) -> int | None:
    """Returns an event's own time in milliseconds since the epoch; None if the value is no time.

    A text without a zone is read in `zone`.
    """
    if isinstance(value, str):
        at_ms = _of_utc(value) if value[-1:] == "Z" and value[10:11] == "T" else None
        return _of_text(value, zone) if at_ms is None else at_ms
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _of_number(value)
    if isinstance(value, Mapping):
        return _of_object(value, zone)
    if isinstance(value, list) and 2 <= len(value) <= 7 and all(type(part) is int for part in value):
        return _of_list(value, zone)
    return None


def _of_list(parts: list[int], zone: tzinfo) -> int | None:
    """Returns the time of an array: seconds and nanoseconds, or year, month, day, hour and so on, as Java writes it."""
    if len(parts) == 2:
        return _of_object({"seconds": parts[0], "nanos": parts[1]}, zone)
    if len(parts) < 5:
        return None
    year, month, day, hour, minute, second, nano = (*parts, 0, 0)[:7]
    try:
        return _ms_of(datetime(year, month, day, hour, minute, second, nano // 1000, zone), zone)
    except (ValueError, OverflowError):
        return None


def is_day(value: Any) -> bool:
    """Returns True for a text that may be a day without an hour."""
    return isinstance(value, str) and len(value) <= _DAY_CHARS and ":" not in value


def with_clock(day: str, at_ms: int, others: Sequence[Any], zone: tzinfo) -> int:
    """Returns the time of a day and of an hour among other fields; `at_ms`, the day's begin, without an hour."""
    clocks = (other for other in others if isinstance(other, str) and ":" in other[:3])
    moments = (time_ms(f"{day} {clock}", zone) for clock in clocks)
    return next((moment for moment in moments if moment is not None), at_ms)


def is_name(key: str) -> bool:
    """Returns True for the name of a field that may contain a time, by its words alone."""
    return _NAME.search(key) is not None


def _of_utc(value: str) -> int | None:
    """Returns the time of `2026-11-23T10:33:20.656Z`, as most shippers write it; None for another form."""
    minute, second = _utc_minute(value[:17]), _SECONDS.get(value[17:19])
    if minute is None or second is None:
        return None
    fraction = value[19:-1]
    if len(fraction) == 4 and fraction[0] == ".":
        ms = _MILLIS.get(fraction[1:])
    elif not fraction:
        ms = 0
    else:
        rest = fraction[4:]
        ms = _MILLIS.get(fraction[1:4]) if fraction[0] == "." and rest.isascii() and rest.isdigit() else None
    return None if ms is None else minute + second + ms


@lru_cache(maxsize=4_096)
def _utc_minute(head: str) -> int | None:
    """Returns the time of `2026-11-23T10:33:` in UTC; None if it is none."""
    try:
        moment = datetime.fromisoformat(f"{head}00Z") if head[16:] == ":" else None
    except ValueError:
        return None
    return None if moment is None else _ms_of(moment, UTC)


def _of_text(value: str, zone: tzinfo) -> int | None:
    # First: fromisoformat reads many a number of milliseconds as a day of the 18th century.
    if compact := _COMPACT.fullmatch(value):
        value = "{}{}{}T{}{}{}.{}".format(*compact.groups("0"))
    elif value[4:5] != "-" and _EPOCH_TEXT.fullmatch(value):
        return _of_number(float(value) if "." in value else int(value))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return _of_other_text(value.strip(), zone) if 8 <= len(value) <= 80 else None
    return _ms_of(moment, zone)


def _ms_of(moment: datetime, zone: tzinfo) -> int | None:
    try:
        ms = ((moment if moment.tzinfo else moment.replace(tzinfo=zone)) - _EPOCH) // _MS
    except (OverflowError, ValueError):  # a zone moves the first or the last day out of the calendar
        return None
    return ms if ms >= 0 else None


def _of_number(value: float) -> int | None:
    if not _FIRST < value < 10**20:
        return None
    for limit, divisor in ((_NANO, 10**6), (_MICRO, 10**3), (_MILLI, 1)):
        if value > limit:
            return int(value // divisor)
    return round(value * 10**6) // 1000  # by way of microseconds, so that .001 stays a millisecond


def _of_object(value: Mapping[str, Any], zone: tzinfo) -> int | None:
    """Returns the time of an object: log4j's instant, protobuf's Timestamp, Monolog's date, MongoDB's date."""
    for seconds, nanos in _PARTS:
        second = value.get(seconds)
        if isinstance(second, str) and second.isascii() and second.isdigit() and len(second) < 16:
            second = int(second)
        if isinstance(second, int | float) and not isinstance(second, bool) and 0 < second < 10**11:
            nano = value.get(nanos, value.get("nanoseconds"))
            rest = nano if isinstance(nano, int | float) and 0 <= nano < 10**9 else 0
            return int(second * 1000) + int(rest // 10**6)
    for key in ("date", "$date", "$numberLong", "$timestamp", "iso", "time", "timestamp", "repr", "SystemTime"):
        inner = value.get(key)
        if isinstance(inner, str | int | float):
            name = value.get("timezone")
            own = _named_zone(name[:_MAX_ZONE_CHARS]) if isinstance(name, str) else None
            return time_ms(inner, own or zone)
        if isinstance(inner, Mapping) and key == "$date":
            return time_ms(inner.get("$numberLong"))
    return None


def _of_other_text(text: str, zone: tzinfo) -> int | None:
    """Returns the time of a text that is not quite ISO: in slashes, as web servers, C and people write it."""
    at_ms = whole_moment(text, zone)
    if at_ms is not None:
        return at_ms
    if text[:1] == "@" and _EPOCH_TEXT.fullmatch(text, 1):
        return _of_number(float(text[1:]))
    if found := _ASP.fullmatch(text):
        return _of_number(int(found[1]))
    if text[:3].isalpha() and "," in text[:10]:
        try:
            return _ms_of(parsedate_to_datetime(text), zone)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return None


@lru_cache(maxsize=256)
def _named_zone(name: str) -> tzinfo | None:
    """Returns the zone of an offset, or of a name such as Europe/Berlin; None for a name that no zone has."""
    try:
        return _fixed_zone(name) or ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _fixed_zone(offset: str | None) -> tzinfo | None:
    """Returns the zone of an offset such as +02:00, +0200, +02 or Z; None for none of these."""
    if not offset:
        return None
    if offset.upper() in ("Z", "UTC", "GMT"):
        return UTC
    found = re.fullmatch(r"([+-])([0-9]{2}):?([0-9]{2})?", offset)
    if not found:
        return None
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes)) if minutes < 24 * 60 else None
