"""Writes times and texts as a record of JSON can carry them, and reads times again. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(timestamp_ms: int | None) -> str | None:
    """Returns UTC with milliseconds and a Z. Returns None without a time, and outside the years 1 to 9999."""
    if timestamp_ms is None:
        return None
    second = _rfc3339_second(timestamp_ms // 1000)
    return None if second is None else f"{second}.{timestamp_ms % 1000:03d}Z"


@lru_cache(maxsize=4096)
def _rfc3339_second(seconds: int) -> str | None:
    """Returns the text up to the second, which most lines share with the line before them."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat(timespec="seconds")
    except OverflowError:
        return None


def milliseconds(timestamp: str) -> int:
    """Returns the time of a timestamp. Raises ValueError if it is none."""
    return round(1000 * datetime.fromisoformat(timestamp).timestamp())


def encodable(text: str) -> str:
    """Replaces lone surrogates, which JSON input can carry into a text and UTF-8 cannot carry out."""
    return text.encode("utf-8", "replace").decode()
