"""Reads one JSON object as a log event: `LEVEL message: type of error: its message status=… code=…`, service, time.

Decides by names of fields (`json_names.py`) and by the values in them; keeps no state but the shapes it has met. An
event inside an event, as Docker wraps it, is read one level deep: its own fields come first, those around it after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Any

import msgspec

from logwarden.daemon.decoding import json_names as names
from logwarden.daemon.decoding import services, spelled
from logwarden.daemon.decoding.event import LogEvent, with_level
from logwarden.daemon.decoding.json_errors import Condense, Fault, fault_of, sentence_of
from logwarden.daemon.decoding.json_paths import Found, Hit, PathTable, by_rank, plain, ranked
from logwarden.daemon.decoding.json_words import (
    fields_of,
    filled,
    indentation_of,
    level_of,
    message_of,
    request_of,
    shown,
    tail_of,
)
from logwarden.daemon.decoding.times import is_day, is_name, time_ms, with_clock
from logwarden.model import severity

ReadText = Callable[[str], LogEvent | None]
"""Reads a text that is no JSON, such as a syslog line inside a field; None for a text of no format."""

MAX_TEXT_CHARS = 65_536
"""Characters of a text to which more is added; a limit on the line cuts later."""
_MAX_INNER_CHARS = 1_048_576
_MAX_TIMES = 40
"""Fields of an event that are looked at for a time."""
SPACES = frozenset(" \t\r\n\0")
INNER_BEGINS = SPACES | {"{", "\ufeff"}


class JsonReader:
    """Reads objects by the given paths, which come before the built-in ones.

    `read_text` reads a message that is no JSON; `condense` turns a trace into a line; `clean` takes out of a line what
    is no text, where `read_text` has not looked at all of it; `zone` is the zone of times that state none.
    """

    def __init__(
        self,
        *,
        text_paths: Sequence[str],
        service_paths: Sequence[str],
        time_paths: Sequence[str],
        read_text: ReadText,
        condense: Condense,
        clean: Callable[[bytes], bytes],
        zone: tzinfo,
    ) -> None:
        self.table = _table(tuple(text_paths), tuple(service_paths), tuple(time_paths))
        self._read_text = read_text
        self._condense = condense
        self.clean = clean
        self.zone = zone
        self._json = msgspec.json.Decoder()

    def read(self, event: dict[str, Any], around: dict[str, Any] | None = None) -> LogEvent | None:
        """Returns the event of an object. Returns None if the object contains nothing to show.

        `around`: an object whose fields count where the event has none, such as the batch that the event came in.
        """
        found = self.table.find(event)
        if around:
            found = _with_fallback(found, self.table.find(around))
        text = self._text(event, found)
        read, whole, checked = None, text or "", None
        if text:
            if " " not in text[:64] or spelled.is_repr(text):
                text = whole = spelled.text_of(text.strip()) or text
            text = text.lstrip("\ufeff") or text
            if text[0] in INNER_BEGINS and (inner := self._inner(text)):
                found = _with_fallback(self.table.find(inner), found)
                event, text = inner, self._text(inner, found)
                whole = text or ""
            if text:
                bare = text.strip() if text[-1] in SPACES or text[0] in SPACES else text
                read = self._read_text(bare)
                text = checked = bare if read is None else read.text.decode("utf-8", "replace")
                if read is not None and text[:1] == "{" and (inner := self._inner(text)):  # behind a container's head
                    found = _with_fallback(self.table.find(inner), found)
                    event, text, checked = inner, self._text(inner, found), None
                if text == bare and whole[0] in SPACES:
                    text = indentation_of(whole) + bare
        line = self._line(event, found, text)
        if line is None:
            return None
        service, host = self._service(found, read)
        at_ms = self._time(found[names.TIME]) if found[names.TIME] else None
        if at_ms is None:
            at_ms = other_time(event, self.zone)
        if at_ms is None and read is not None:
            at_ms = read.at_ms
        written = line.encode("utf-8", "replace")
        return LogEvent(written if line is checked else self.clean(written), service, at_ms, host)

    # ------------------------------------------------------------ text

    def _text(self, event: dict[str, Any], found: Found) -> str | None:
        """Returns the message of an event, empty if it is blank; None without one."""
        if own := ranked(found[names.OWN_TEXT]):
            return shown(own[0][2])
        blank: str | None = None
        for _, key, value in ranked(found[names.TEXT]):
            text = message_of(key, value)
            if text:
                return filled(text, event) if key in names.TEMPLATE_KEYS else text
            blank = text if blank is None else blank
        return blank

    def _inner(self, text: str) -> dict[str, Any] | None:
        """Returns the object that a text consists of; None if it is none."""
        if len(text) > _MAX_INNER_CHARS or text.lstrip()[:1] != "{" or text.rstrip()[-1:] != "}":
            return None
        try:
            value = self._json.decode(text)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) and value else None

    def _line(self, event: dict[str, Any], found: Found, text: str | None) -> str | None:
        """Returns the canonical text, empty if the event is blank; None if there is nothing to show."""
        level = level_of(hits) if (hits := found[names.LEVEL]) else None
        if text and "\n" in text:
            text = self._condense(text) or text
        said = text or request_of(found)
        line = with_level(level, said[:MAX_TEXT_CHARS]) if said else ""
        if found[names.ERROR] or found[names.STACK] or found[names.ERROR_TEXT] or found[names.ERROR_TYPE]:
            error = self._error(found, said)
            if error:
                # A record of nothing but an error is one, even if it does not call itself so.
                line = f"{line}: {error}" if line else with_level(severity.ERROR if level is None else level, error)
        tail = ""
        if found[names.STATUS] or found[names.CODE] or found[names.OUTCOME]:
            tail = tail_of(found, line)
        if line:
            return f"{line} {tail}" if tail else line
        if text == "" and not tail:
            return ""  # a blank message, and nothing beside it
        fields = fields_of(event, found)
        if not fields:
            return None
        return fields if level is None or f"={severity.NAMES[level]}" in fields else with_level(level, fields)

    def _error(self, found: Found, said: str) -> str:
        """Returns what the fields of an error add to the message."""
        faults = (fault_of(value) for _, _, value in ranked(found[names.ERROR]))
        fault = next((fault for fault in faults if fault is not None), Fault())
        stack = fault.stack
        for _, key, value in () if stack else ranked(found[names.STACK]):
            trace = fault_of(value)
            if trace is not None and (trace.stack or plain(key) != "fullmessage"):
                stack = trace.stack or trace.message
                break
        kind = fault.type or _first_text(found[names.ERROR_TYPE])
        message, beside = fault.message, _first_text(found[names.ERROR_TEXT])
        if (
            not kind and message and " " not in message and " " in beside
        ):  # `error` is a name, and the text stands beside
            kind, message = message, beside
        message = message or beside
        fault = fault._replace(type=kind, message=message[:MAX_TEXT_CHARS], stack=stack)
        return sentence_of(fault, self._condense, said)

    # ------------------------------------------------------------ service, time

    def _service(self, found: Found, read: LogEvent | None) -> tuple[str | None, str | None]:
        """Returns the name of the service, and the name that counts where neither event nor key has one."""
        if hits := found[names.SERVICE]:
            if len(hits) > 1:
                hits.sort(key=by_rank)
            for _, _, value in hits:
                if name := services.name_of(value):
                    return name, None
        for _, _, value in ranked(found[names.POD]):
            if name := services.of_pod(value):
                return name, None
        if read is not None and read.service:
            return read.service, None
        for _, _, value in ranked(found[names.FILE]):
            if name := services.of_file(value):
                return name, None
        for _, key, value in ranked(found[names.WEAK]):
            if name := services.weak_name(key, value):
                return None, name
        return None, None

    def _time(self, hits: list[Hit] | None) -> int | None:
        for _, _, value in ranked(hits):
            at = time_ms(value, self.zone)
            if at is not None:
                others = [other for _, _, other in ranked(hits)] if is_day(value) else []
                return with_clock(value, at, others, self.zone) if others else at
        return None


def other_time(event: dict[str, Any], zone: tzinfo) -> int | None:
    """Returns the time of a field whose name speaks of one, where no field with a known name contains a time."""
    for key in list(event)[:_MAX_TIMES]:
        if is_name(key) and (at := time_ms(event[key], zone)) is not None:
            return at
    return None


@lru_cache(maxsize=16)  # thousands of paths, and most decoders share theirs
def _table(text_paths: tuple[str, ...], service_paths: tuple[str, ...], time_paths: tuple[str, ...]) -> PathTable:
    return PathTable(names.roles(text_paths, service_paths, time_paths), names.WRAPPERS, names.OF_OBJECTS)


def _with_fallback(found: Found, outer: Found) -> Found:
    """Returns the hits of an inner event, and those of the event around it where it has none, but for the text."""
    return [
        inner or (around if role >= names.LEVEL else None)
        for role, (inner, around) in enumerate(zip(found, outer, strict=True))
    ]


def _first_text(hits: list[Hit] | None) -> str:
    return next((value.strip() for _, _, value in ranked(hits) if isinstance(value, str) and value.strip()), "")
