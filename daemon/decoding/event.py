"""A log event, as every format reads it out of a record. The formats do not know each other; they share this."""

from __future__ import annotations

from typing import NamedTuple

from logwarden.model import severity


class LogEvent(NamedTuple):
    """One log event of a record. A tuple, because one is made for every record."""

    text: bytes
    """What the event states, not cleaned yet. Of a structured event: level, message, error, status, in this order."""
    service: str | None = None
    """Name of the service, where the event has one."""
    at_ms: int | None = None
    """Time in milliseconds since the epoch, where the event has one."""


def with_level(level: int | None, text: str) -> str:
    """Returns a text that states its level: the text itself if its head does, else the level's name before it."""
    if level is None or severity.of_line(text) == level:
        return text
    return f"{severity.NAMES[level]} {text}"
