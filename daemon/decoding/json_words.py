"""Puts the fields of a JSON event into words: its message, level, status and codes, or all fields without a message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from logwarden.daemon.decoding import json_names as names
from logwarden.daemon.decoding.event import quoted
from logwarden.daemon.decoding.json_paths import Found, Hit, plain, ranked
from logwarden.model import severity

_MAX_WORD = 64
_MAX_WORDS = 2048
_MAX_FIELDS = 40
_MAX_CODES = 8
_PLAIN_TEXTS = frozenset(("message", "msg", "log", "body", "event"))
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TORN = re.compile(r"^\[[0-9;]{1,8}m|\[[0-9;]{1,8}m$")
"""A colour whose escape character a shipper dropped."""
_HOLE = re.compile(r"\{[@$]?([A-Za-z_]\w{0,63})(?:[,:][^{}]{0,64})?\}")
_NO_LEVELS = frozenset(("log", "config", "ok", "success", "statement", "detail", "hint", "s", "note", "state", "a"))
_NO_STATUSES = frozenset(("fail", "failure", "fine", "failed"))
"""Outcomes that are words of levels as well; a letter is no level of a status either."""
_BAD = frozenset(
    (
        *(
            "failure",
            "failed",
            "fail",
            "error",
            "err",
            "false",
            "no",
            "denied",
            "deny",
            "rejected",
            "reject",
            "refused",
        ),
        *("timeout", "timedout", "aborted", "abort", "crashed", "unhealthy", "down", "unknown", "invalid", "blocked"),
        *("forbidden", "unauthorized", "expired", "cancelled", "canceled", "partial", "dead", "lost"),
    )
)
"""Words for a bad outcome; a good one is left out."""
_TRUE_IS_BAD = frozenset(("failed", "iserror", "haserror", "timedout", "oomkilled", "crashed", "aborted"))
_QUIET = frozenset((None, "", "-", "null", "None", "nil"))


def shown(value: Any) -> str:
    """Returns the text at a path that an operator has set."""
    if isinstance(value, str):
        return value
    return _bytes_text(value) or msgspec.json.encode(value).decode()


def indentation_of(text: str) -> str:
    """Returns the blanks at the head of a text, by which a line of a trace continues the line before it."""
    if text[:1] not in " \t" or not text:
        return ""
    blanks = text[: len(text) - len(text.lstrip(" \t"))]
    return "" if blanks == " " else blanks  # syslog daemons leave one blank before every message


def message_of(key: str, value: Any) -> str | None:
    """Returns a value as a message; None if it is none."""
    if type(value) is str:
        if key in _PLAIN_TEXTS or not value.strip().isdigit() or plain(key) in _PLAIN_TEXTS:
            return "" if value.isspace() else value
        return None
    if isinstance(value, list):
        return _bytes_text(value) or " ".join(_scalar(part) for part in value[:_MAX_FIELDS]).strip() or None
    if plain(key) in _PLAIN_TEXTS:
        return _scalar(value)
    return None


def _bytes_text(value: Any) -> str | None:
    """Returns the text of an array of bytes, as journald and Node write it."""
    if isinstance(value, list) and value and all(type(part) is int and -129 < part < 256 for part in value):
        return bytes(part % 256 for part in value).decode("utf-8", "replace")
    return None


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    return _json(value)


def _json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:  # writing goes less deep than reading
        return ""


def filled(template: str, event: dict[str, Any]) -> str:
    """Returns a template of Serilog with the values of its holes."""
    inside = event.get("Properties")
    values = inside if isinstance(inside, dict) else event
    return _HOLE.sub(lambda hole: _scalar(values[hole[1]])[:500] if hole[1] in values else hole[0], template)


def level_of(hits: list[Hit]) -> int | None:
    """Returns the level of the best field that states one. A word counts before a number, whose scale is unknown."""
    number: int | None = None
    for _, key, value in ranked(hits):
        if (found := level_of_field(key, value)) is not None:
            if isinstance(value, str):
                return found
            number = found if number is None else number
    return number


def level_of_field(key: str, value: Any) -> int | None:
    """Returns the level that a field states; None if it states none."""
    if isinstance(value, str):
        return _level_of_text(key, value) if len(value) <= _MAX_WORD and len(key) <= _MAX_WORD else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _level_of_number(plain(key), value, key.isupper())
    if isinstance(value, list) and value and isinstance(value[0], str):  # tags, of which the first one is the level
        return level_of_field(key, value[0])
    return None


@lru_cache(maxsize=4096)
def _level_of_text(key: str, value: str) -> int | None:
    word = _TORN.sub("", _ANSI.sub("", value)).strip().strip("<>[]")
    name = plain(key)
    if word.isascii() and word.isdigit() and len(word) <= 6:
        return _level_of_number(name, int(word), key.isupper())
    if name in ("type", "s", "priority", "status", "logtype") and word.casefold() in _NO_LEVELS:
        return None
    if name == "status" and (len(word) < 3 or word.casefold() in _NO_STATUSES):
        return None
    # Some write the logger's constant: `Level.SEVERE`, `LOG_LEVEL_ERROR`.
    word = word.rpartition(".")[2] or word
    found = severity.of_word(word)
    return severity.of_word(word.rpartition("_")[2]) if found is None and "_" in word else found


def _level_of_number(name: str, number: float, is_upper: bool) -> int | None:
    if name in ("type", "s", "status", "logtype") or number != number:
        return None
    if name == "severitynumber":
        return severity.of_otel(int(number)) if abs(number) < 100 else None
    if name == "severitylevel":  # of Application Insights
        return _OF_INSIGHTS[int(number)] if 0 <= number < len(_OF_INSIGHTS) else None
    if name == "levelno":
        return _python(number)
    if name in ("pri", "priority", "syslogpriority"):
        # Journald's PRIORITY is syslog's; `priority` in small letters may be that of an order or a ticket.
        return severity.of_syslog(int(number)) if abs(number) < 1000 and (name == "pri" or is_upper) else None
    return severity.of_number(number)


_OF_INSIGHTS = (severity.TRACE, severity.INFO, severity.WARNING, severity.ERROR, severity.CRITICAL)


def _python(number: float) -> int | None:
    """Returns the level of a number of Python's logging, 10 to 50."""
    levels = (severity.DEBUG, severity.INFO, severity.WARNING, severity.ERROR, severity.CRITICAL)
    return levels[int(number) // 10 - 1] if 10 <= number < 60 else None


def tail_of(found: Found, line: str) -> str:
    """Returns status, codes and a bad outcome as `key=value`, each key once, without those that the line contains."""
    parts: dict[str, str] = {}
    for rank, _, value in ranked(found[names.STATUS]):
        word = _code_word(value)
        if word is not None and (rank < 1000 or word.isdigit()):
            parts["status"] = word
            break
    for _, key, value in ranked(found[names.CODE]):
        name = key.rpartition(".")[2].lstrip("_")
        word = _code_word(value)
        if word is not None and name not in parts and len(parts) < _MAX_CODES:
            parts[name] = word
    for _, key, value in ranked(found[names.OUTCOME]):
        name = key.rpartition(".")[2]
        if isinstance(value, bool):
            if value == (plain(name) in _TRUE_IS_BAD):
                parts.setdefault(name, "true" if value else "false")
        elif isinstance(value, str) and value.strip().casefold() in _BAD:
            parts.setdefault(name, value.strip())
    pairs = [f"{key}={value}" for key, value in parts.items()]
    return " ".join(pair for pair in pairs if pair not in line)


def _code_word(value: Any) -> str | None:
    """Returns a status or a code as a word; None if the value is too long for one, or means nothing."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 10**12 else None
    if isinstance(value, str) and 0 < len(value) <= _MAX_WORD and value not in _QUIET:
        return quoted(value.strip())
    return None


def request_of(found: Found) -> str:
    """Returns the text of an event without a message that records a request or an action; empty if it does not."""
    words = [
        value.strip()[:_MAX_WORDS]
        for role in (names.METHOD, names.URL, names.ACTION)
        for _, _, value in ranked(found[role])[:1]
        if isinstance(value, str)
    ]
    enough = found[names.STATUS] or found[names.ACTION] or len(words) > 1
    return " ".join(words) if enough else ""


def fields_of(event: dict[str, Any], found: Found) -> str:
    """Returns the fields of an event as its text, by name, without time and level if there are others."""
    left_out = {plain(key) for _, key, _ in found[names.TIME] or ()}
    left_out |= {plain(key) for _, key, value in found[names.LEVEL] or () if level_of_field(key, value) is not None}
    pairs = sorted(_pairs(event, left_out)) or sorted(_pairs(event, set()))
    return " ".join(f"{key}={value}" for key, value in pairs[:_MAX_FIELDS])


def _pairs(event: dict[str, Any], left_out: set[str], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    for key, value in list(event.items())[:_MAX_FIELDS]:
        if isinstance(value, dict):
            if depth < 3:
                yield from _pairs(value, left_out, f"{prefix}{key}.", depth + 1)
        elif _is_shown(value) and plain(key) not in left_out:
            yield f"{prefix}{key}"[:200], _scalar(value)[:500]


def _is_shown(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and not any(isinstance(part, dict | list) for part in value)
    return value not in _QUIET
