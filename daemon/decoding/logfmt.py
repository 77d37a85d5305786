"""Reads logfmt, pairs of `key=value`: level, message and error come first, because a long line is cut at its end."""

from __future__ import annotations

import re
from itertools import islice

from logwarden.daemon.decoding.event import Frame, quoted
from logwarden.model import severity

_PAIR = re.compile(r'(?<!\S)([A-Za-z_@][\w.@/-]{0,63})=("(?:[^"\\]|\\.)*"|[^\s"]\S*|(?=\s|$))')
_MAX_PAIRS = 64
_LEVELS = ("level", "lvl", "severity", "log.level", "loglevel", "log_level", "at")
_TIMES = ("time", "ts", "t", "timestamp", "@timestamp", "datetime", "date")
_MESSAGES = ("msg", "message", "event", "desc", "description", "text")
_ERRORS = ("err", "error", "exception", "exc", "cause", "panic", "reason", "error.message", "error_message", "errmsg")
_CODES = (
    "status", "status_code", "statuscode", "http.status_code", "http_status", "code", "grpc.code", "grpc_code", "rc",
    "grpc_status", "exit_code", "exitcode", "errno", "signal", "sqlstate",
)  # fmt: skip
_CALLERS = ("caller", "logger", "component", "module", "source", "subsystem")
_NO_ERROR = ("", "nil", "<nil>", "null", "none", "-", "false")


def read(line: str, *, promised: bool = False) -> Frame | None:
    """Returns the event of a line of logfmt; None for any other line.

    `promised`: the operator has pinned the format, so a line that begins with a pair is one.
    """
    if "=" not in line:
        return None
    # Without a bar, the first of the pairs begins the line, or the line has a level.
    if "|" not in line and " " in line[: line.index("=")].strip() and not _may_be_logger(line):
        return None
    first = _PAIR.search(line)
    if first is None:
        return None
    prefix = line[: first.start()].strip()
    starts = not prefix or prefix.endswith("|")
    if not starts and not _may_be_logger(line):
        return None
    found = [first, *islice(_PAIR.finditer(line, first.end()), _MAX_PAIRS - 1)]
    fields: dict[str, str] = {}
    # A writer that quotes nothing leaves words between the pairs; they belong to the value before them.
    for match, behind in zip(found, [*(later.start() for later in found[1:]), found[-1].end()], strict=True):
        words = line[match.end() : behind].strip()
        if words and match[1].lower() in (*_LEVELS, *_TIMES, *_CODES):
            line, words = f"{line} {words}", ""  # these are one word each
        fields.setdefault(match[1], f"{_value(match[2])} {words}" if words else _value(match[2]))
    names = {name.lower(): name for name in reversed(fields)}
    known = {key: names[key] for key in (*_LEVELS, *_MESSAGES, *_ERRORS, *_CODES, *_TIMES) if key in names}
    if promised and starts:
        return _event(fields, known, "", line, found)
    is_logger = ("level" in known or "lvl" in known or "severity" in known) and ("msg" in known or "message" in known)
    if not is_logger and not (starts and (len(fields) >= 3 or known.keys() & {"level", "lvl", "msg"})):
        return None
    if not known.keys() - set(_TIMES) or fields.get("msg", "").startswith("audit("):
        return None
    return _event(fields, known, "" if starts else prefix, line, found)


def _may_be_logger(line: str) -> bool:
    """Returns False for most lines without a level: its names end in `level`, `lvl` or `severity`."""
    small = line.lower()
    return "level=" in small or "lvl=" in small or "severity=" in small or not line.isascii()


def _event(fields: dict[str, str], known: dict[str, str], prefix: str, line: str, found: list[re.Match[str]]) -> Frame:
    taken: set[str] = set()

    def take(keys: tuple[str, ...]) -> list[tuple[str, str]]:
        names = [known[key] for key in keys if key in known and known[key] not in taken]
        taken.update(names)
        return [(name, fields[name]) for name in names]

    levels = [(name, _level(value)) for name, value in ((known[k], fields[known[k]]) for k in _LEVELS if k in known)]
    level = next((level for _, level in levels if level is not None), None)
    taken.update(name for name, value in levels if value is not None)
    times = take(_TIMES)
    request = [fields[name] for name in ("method", "path") if name in fields]
    if len(request) == 2:
        taken.update(("method", "path"))
        request[1] = request[1].partition("?")[0]
    messages = take(_MESSAGES[:2]) or take(_MESSAGES[2:])
    found_errors = [(name, value) for name, value in take(_ERRORS) if value.lower() not in _NO_ERROR]
    errors = [value for _, value in found_errors if not _is_number(value)]
    numbers = [(name, value) for name, value in found_errors if _is_number(value)]
    head = ": ".join(filter(None, [" ".join(filter(None, [prefix, *(v for _, v in messages[:1])])), *(errors)]))
    codes = take(_CODES)
    callers = [(name, fields[name]) for name in _CALLERS if name in fields]
    taken.update(name for name, _ in callers)
    others = [(name, value) for name, value in fields.items() if name not in taken]
    pairs = [f"{name}={quoted(value)}" for name, value in (*numbers, *codes, *messages[1:], *callers, *others)]
    tail = line[found[-1].end() :].strip()
    words = [" ".join(request) if len(request) == 2 else "", head, *pairs, tail]
    at = dict(times)
    written = times[0][1] if times else ""
    if written[1:3].find(":") >= 0 and (day := at.get("date")) and ":" not in day:  # date=2026-11-23 time=10:00:00
        written = f"{day} {written}"
    return Frame(text=" ".join(filter(None, words)), level=level, at=written)


def _is_number(value: str) -> bool:
    """Returns True for a number, which means nothing without its name."""
    return value.removeprefix("-").isdecimal()


def _level(value: str) -> int | None:
    if value.isdecimal() and len(value) < 6:
        return severity.of_number(int(value))
    return severity.of_word(value)


def _value(text: str) -> str:
    if not text.startswith('"'):
        return text
    return re.sub(r"\\(.)", lambda escaped: {"n": "\n", "t": "\t", "r": " "}.get(escaped[1], escaped[1]), text[1:-1])
