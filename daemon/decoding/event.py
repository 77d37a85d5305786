"""A log event, as every format reads it out of a record. The formats do not know each other; they share this."""

from __future__ import annotations

from collections.abc import Sequence
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
    host: str | None = None
    """A name that counts as the service's where neither the event nor the record's key names one."""


class Reading(NamedTuple):
    """What was read out of a record of one or many events."""

    events: Sequence[LogEvent]
    broken: str = ""
    """Why parts of the record could not be read, in a sentence; empty if all of it was."""


_STEMS = (
    ("trac", "trc", "fine", "verb"), ("deb", "dbg", "fine"), ("inf", "log", "conf"), ("not", "ntc", "hint"),
    ("war", "wrn"), ("err", "fail", "sev", "eror"), ("crit", "crt", "fat", "ftl", "emerg", "alert", "panic"),
)  # fmt: skip
"""Of each level, parts of its words. A head without any of them does not state the level."""


_BEFORE = [f"{name} ".encode() for name in severity.NAMES]
MAX_LEVEL_CHARS = max(map(len, _BEFORE))


class Frame(NamedTuple):
    """A text that a transport wrapped, with what its wrapping states: of syslog, or of a container's log."""

    text: str
    level: int | None = None
    service: str | None = None
    at: str = ""
    """The frame's time as it is written; empty without one."""
    tag: str = ""
    """Words of the wrapping that belong before the text."""
    after: str = ""
    """Pairs of the wrapping that belong behind the text."""


_ALL_STEMS = (*(stem for stems in _STEMS for stem in stems), "lev", "lvl", "prio")


def quoted(value: str) -> str:
    """Returns the value of a pair, in quotes if it has more than one word."""
    return f'"{value}"' if " " in value or "\n" in value else value


def level_in(text: str) -> int | None:
    """Returns the level that a text states; None if it states none."""
    head = text[:160].lower()
    if head.isascii() and not any(stem in head for stem in _ALL_STEMS):
        return None
    return severity.of_line(text)


def with_level(level: int | None, text: str) -> str:
    """Returns a text that states its level: the text itself if its head does, else the level's name before it."""
    return text if level is None or _states(level, text) else f"{severity.NAMES[level]} {text}"


def level_before(level: int, text: str) -> bytes:
    """Returns what `with_level` puts before a text."""
    return b"" if _states(level, text) else _BEFORE[level]


def _states(level: int, text: str) -> bool:
    head = text[:160].lower()
    if head.isascii():
        for stem in _STEMS[level]:
            if stem in head:
                break
        else:
            return False
    return severity.of_line(text) == level
