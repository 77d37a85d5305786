"""Reads what people write to choose services and times: `web-*`, `30m`, `2026-11-23T10:00Z`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fnmatch import translate

MAX_PATTERNS = 32
MAX_PATTERN_CHARS = 256
OTHER_CLASS = "other"
"""Class of the services that no entry matches."""

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGE = re.compile(r"([0-9]{1,6})([smhd])")


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Returns the test whether a name is one of these names or patterns. Without patterns every name is.

    A pattern is one of a shell: `*` is any text, `?` one character, `[ab]` one of these. Raises ValueError for too many
    or too long ones. A match takes time that grows with the length of name and pattern only.
    """
    if not patterns:
        return lambda name: True
    if len(patterns) > MAX_PATTERNS:
        raise ValueError(f"{len(patterns)} patterns of services are too many; write at most {MAX_PATTERNS}")
    if any(len(pattern) > MAX_PATTERN_CHARS for pattern in patterns):
        raise ValueError(f"a pattern of services is too long; write at most {MAX_PATTERN_CHARS} characters")
    names = frozenset(patterns)
    wild = [pattern for pattern in patterns if set(pattern) & set("*?[")]
    if not wild:
        return names.__contains__
    # fnmatch makes its stars atomic: no pattern makes the match backtrack.
    compiled = re.compile("|".join(map(translate, wild)))
    return lambda name: name in names or compiled.match(name) is not None


def class_names(specs: Sequence[str]) -> list[str]:
    """Returns the classes of entries such as `web=web-*`, sorted, and that of all other services."""
    return sorted({OTHER_CLASS, *(spec.partition("=")[0] for spec in specs)})


def classifier(specs: Sequence[str]) -> Callable[[str], str]:
    """Returns the function from a service to its class. The first entry whose pattern matches counts."""
    tests = [(name, matcher([pattern])) for name, _, pattern in (spec.partition("=") for spec in specs)]

    def class_of(service: str) -> str:
        return next((name for name, matches in tests if matches(service)), OTHER_CLASS)

    return class_of


def time_of(text: str, now_ms: int) -> int:
    """Returns the milliseconds of a time ago, such as `30m`, `2h` or `7d`, or of a date; UTC where it states no zone.

    Raises ValueError for another text.
    """
    if match := _AGE.fullmatch(text):
        return now_ms - int(match[1]) * _UNITS_MS[match[2]]
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return round(1000 * moment.timestamp())
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:80]!r} is no time; write a time ago, such as 30m, 2h or 7d, or a date such as 2026-11-23T10:00Z"
        ) from None
