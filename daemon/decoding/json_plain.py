"""Reads a plain JSON object, as most records are, in two parts: all but what its message states, and the event.

In between, the messages of a batch are looked at together. `JsonReader.read` is the definition, and reads all others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from logwarden.daemon.decoding import json_names as names
from logwarden.daemon.decoding import services, spelled
from logwarden.daemon.decoding.event import LogEvent, with_level
from logwarden.daemon.decoding.json_logs import INNER_BEGINS, MAX_TEXT_CHARS, SPACES, JsonReader, other_time
from logwarden.daemon.decoding.json_shapes import Objects, Place, Roles, Shapes
from logwarden.daemon.decoding.json_words import level_of_field
from logwarden.daemon.decoding.times import is_day, time_ms, with_clock

Begun = tuple[str, int | None, str | None, str | None, str | None, int | None]
"""The message, the level, the names of `_names`, the time. It keeps no part of the object: thousands of objects that
live at once keep the garbage collector busy. A plain tuple, because one is made for every record."""


class _Places(NamedTuple):
    """Where a shape has what a plain object is read from."""

    beside: tuple[Place, ...]
    texts: tuple[Place, ...]
    levels: tuple[Place, ...]
    services: tuple[Place, ...]
    pods: tuple[Place, ...]
    files: tuple[Place, ...]
    weak: tuple[Place, ...]
    times: tuple[Place, ...]


class PlainReader:
    """Reads objects as `reader` does."""

    def __init__(self, reader: JsonReader) -> None:
        self._reader = reader
        self._zone = reader.zone
        self._shapes = Shapes(reader.table, _places)

    def begun(self, event: dict[str, Any]) -> Begun | None:
        """Returns an object as far as it can be read before its message. Returns None if it is not plain."""
        found = self._shapes.of(event)
        if found is None:
            return None
        places, objects = found
        for at, key in places.beside:
            if objects[at][key] is not None:
                return None
        text = _text(places.texts, objects)
        if text is None:
            return None
        level: int | None = None
        for at, key in places.levels:
            if (stated := level_of_field(key, value := objects[at][key])) is not None:
                if isinstance(value, str):  # a word counts before a number
                    level = stated
                    break
                level = stated if level is None else level
        service, file, host = _names(places, objects)
        for at, key in places.times:  # the first one is the time of most
            if (at_ms := time_ms(objects[at][key], self._zone)) is not None:
                if is_day(day := objects[at][key]):
                    at_ms = with_clock(day, at_ms, [objects[of][name] for of, name in places.times], self._zone)
                return text, level, service, file, host, at_ms
        return text, level, service, file, host, other_time(event, self._zone)

    def finished(self, begun: Begun, line: bytes, read: LogEvent | None) -> LogEvent | None:
        """Returns the event of a begun one. Returns None if the whole object has to be read again.

        `line` is its message; it has no control characters. `read` is what the message states, if anything.
        """
        text, level, service, file, host, at_ms = begun
        written = line
        if read is not None:
            written = read.text
            if not written or written[:1] == b"{" or b"\n" in written or len(written) > MAX_TEXT_CHARS:
                return None
            at_ms = read.at_ms if at_ms is None else at_ms
            if service is None and read.service:
                service, host = read.service, None
            text = written.decode("utf-8", "replace")
        if level is not None and (stated := with_level(level, text)) is not text:
            written = stated.encode("utf-8", "replace")
            written = written if read is None else self._reader.clean(written)
        return LogEvent(written, service or file, at_ms, None if file else host)


def _places(roles: Roles) -> _Places:
    """Returns the places of a shape by what they are used for."""
    # A text at a path that an operator has set may be of any kind: such an object counts as not plain.
    beside = tuple(place for role in (names.OWN_TEXT, *names.BESIDE) for place in roles[role])
    used = (names.TEXT, names.LEVEL, names.SERVICE, names.POD, names.FILE, names.WEAK, names.TIME)
    return _Places(beside, *(roles[role] for role in used))


def _text(places: tuple[Place, ...], objects: Objects) -> str | None:
    """Returns the message of an object if it is one line of text, and no token that stands for another; else None."""
    for at, key in places:
        text = objects[at][key]
        if type(text) is str:
            if not text or text[0] in INNER_BEGINS or key in names.TEMPLATE_KEYS:
                return None
            text = text.strip() if text[-1] in SPACES else text
            is_plain = (" " in text[:64] and not spelled.is_repr(text)) or not (spelled.may_be(text) or text.isdigit())
            return text if is_plain and "\n" not in text else None
        if text is not None:
            return None
    return None


def _names(places: _Places, objects: Objects) -> tuple[str | None, str | None, str | None]:
    """Returns the service's name; that of a file, which counts behind the message's own; one that counts at last."""
    for at, key in places.services:
        value = objects[at][key]
        if type(value) is not dict and value is not None and (name := services.name_of(value)):
            return name, None, None
    for at, key in places.pods:
        value = objects[at][key]
        if type(value) is not dict and (name := services.of_pod(value)):
            return name, None, None
    for at, key in places.files:
        if name := services.of_file(objects[at][key]):
            return None, name, None
    for at, key in places.weak:
        value = objects[at][key]
        if type(value) is not dict and (name := services.weak_name(key, value)):
            return None, None, name
    return None, None, None
