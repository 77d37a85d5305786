"""Reads the time of an event: RFC 3339 text, or a number of seconds since the epoch in one of four units."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_NANO, _MICRO, _MILLI = 10**16, 10**13, 10**10
"""Numbers above these are nano-, micro- and milliseconds since the epoch; below, seconds (until the year 2286)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_TEXT = re.compile(r"[0-9]{9,19}(?:\.[0-9]+)?")  # from the year 1973 on; eight digits are a date


def time_ms(value: Any) -> int | None:
    """An event's own time: RFC 3339 text, or a number of (nano-, micro-, milli-) seconds since the epoch."""
    if isinstance(value, str):
        # First: fromisoformat reads many a number of milliseconds as a day of the 18th century.
        if _EPOCH_TEXT.fullmatch(value):
            return time_ms(float(value))
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        ms = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
        return ms if ms >= 0 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**20:
        return None
    for limit, divisor in ((_NANO, 10**6), (_MICRO, 10**3), (_MILLI, 1)):
        if value > limit:
            return int(value // divisor)
    return round(value * 10**6) // 1000  # by way of microseconds, so that .001 stays a millisecond
