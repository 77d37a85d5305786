"""Reads the options `--since` and `--service` of commands that show a topic."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.selecting import matcher, time_of


def since_when(text: str, now_ms: int) -> int:
    """Returns the milliseconds of `30m`, `2h`, `7d`, or of a date. Raises ConfigurationError for another text."""
    try:
        return time_of(text, now_ms)
    except ValueError as error:
        sentence, _, hint = str(error).partition("; ")
        raise ConfigurationError(sentence, hint=hint) from None


def names_of(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Returns the test whether a service is one of these. Raises ConfigurationError for patterns beyond a bound."""
    try:
        return matcher(patterns)
    except ValueError as error:
        sentence, _, hint = str(error).partition("; ")
        raise ConfigurationError(sentence, hint=hint) from None
