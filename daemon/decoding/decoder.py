"""Turns a record's bytes into log lines: text, service, time. Decides by the record alone; keeps no state.

Raw text and JSON are distinguished per record; the places of text, service and time in JSON are ordered lists of paths.
A record may contain several events; each is one line, and an event of several lines (a traceback) is condensed to one.
Every record comes out: as lines, as a counted blank, or as a dead letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from logwarden.daemon.decoding.event import LogEvent
from logwarden.daemon.decoding.json_paths import first_value, split_paths, value_at
from logwarden.daemon.decoding.times import time_ms
from logwarden.daemon.decoding.traces import condense
from logwarden.daemon.errors import UndecodableRecord
from logwarden.daemon.records import DeadLetter, Record
from logwarden.model.schema import truncated_utf8

MAX_SERVICE_CHARS = 256
"""Some producers put whole log lines into keys. An alert names its service five times, and a broker limits its size."""
_BLANKS = b" \t\r\n\0"
_INDENTATION = b" \t"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(slots=True)
class Decoded:
    """Lines of a batch as columns of one length, and the records that contain none."""

    lines: list[bytes] = field(default_factory=list)
    """UTF-8 without line breaks, not blank."""
    services: list[str] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    """Milliseconds since the epoch; -1 = unknown."""
    places: list[int] = field(default_factory=list)
    """The record of each line, as its place in the batch."""
    index: list[int] = field(default_factory=list)
    """Position of each line among the lines of its record, from 0."""
    indented: list[int] = field(default_factory=list)
    """Places of the lines that began with a blank, among the lines: they may continue the line before them."""
    blank: list[int] = field(default_factory=list)
    """Records without text: done at once."""
    dead: list[tuple[int, DeadLetter]] = field(default_factory=list)
    replaced: int = 0
    """Lines with bytes that are not UTF-8."""
    cut: int = 0
    """Lines longer than the limit."""


class Decoder:
    """Reads records by the given format and paths.

    `format`: auto (JSON where a value starts with a brace), raw or json. Paths are dotted; a key may itself contain
    dots (`kubernetes.labels.app.kubernetes.io/name`): the longest key that fits is taken.
    """

    def __init__(
        self,
        *,
        format: str,
        text_paths: Sequence[str],
        service_paths: Sequence[str],
        time_paths: Sequence[str],
        max_line_chars: int,
    ) -> None:
        self._format = format
        self._text_paths = split_paths(text_paths)
        self._service_paths = split_paths(service_paths)
        self._time_paths = split_paths(time_paths)
        self._max_line_chars = max_line_chars
        self._json = msgspec.json.Decoder()

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Reads records in order."""
        out = Decoded()
        for place, record in enumerate(records):
            value = record.value
            if value is None:  # a tombstone deletes a key; it is no log line
                out.blank.append(place)
                continue
            try:
                events = self._events(value)
            except UndecodableRecord as error:
                out.dead.append((place, DeadLetter(record=record, stage=error.stage, reason=str(error))))
                continue
            index = 0
            for text, service, at_ms in events:
                line = self._clean(text, out)
                if line:
                    if text[0] in _INDENTATION:
                        out.indented.append(len(out.lines))
                    out.lines.append(line)
                    out.services.append((service or _key_text(record) or record.topic)[:MAX_SERVICE_CHARS])
                    out.timestamps.append(record.timestamp if at_ms is None else at_ms)
                    out.places.append(place)
                    out.index.append(index)
                    index += 1
            if not index:
                out.blank.append(place)
        return out

    def _events(self, value: bytes) -> Iterable[LogEvent]:
        """Returns the events of a record. Raises UndecodableRecord if its value contains none."""
        is_json = self._format == "json" or (self._format == "auto" and value.lstrip()[:1] == b"{")
        if not is_json:
            return (LogEvent(value),)
        try:
            event = self._parse(value)
        except (ValueError, RecursionError) as error:  # the last: brackets in brackets
            raise UndecodableRecord("json", f"the value is not JSON: {error}") from None
        if not isinstance(event, dict):
            raise UndecodableRecord("json", f"the value is a JSON {type(event).__name__}, not an object")
        text = first_value(event, self._text_paths)
        if text is None:
            raise UndecodableRecord("text", "the JSON object has no text at any of the text paths")
        if not isinstance(text, str):
            text = _as_json(text)
        at_ms = time_ms(first_value(event, self._time_paths))
        return (LogEvent(text.encode("utf-8", "replace"), self._service(event), at_ms),)

    def _parse(self, value: bytes) -> Any:
        """Returns the value of a JSON text. Half of a surrogate pair becomes a question mark."""
        try:
            return self._json.decode(value)
        except msgspec.DecodeError:
            # JavaScript and Java write such a half where they truncate a text in the middle of an emoji.
            if not _SURROGATE.search(value):
                raise
        whole = json.dumps(json.loads(value), ensure_ascii=False)
        return self._json.decode(whole.encode("utf-8", "replace"))

    def _service(self, event: dict[str, Any]) -> str | None:
        for path in self._service_paths:
            found = value_at(event, path)
            if isinstance(found, str) and found:
                return found
            if isinstance(found, int) and not isinstance(found, bool):
                return str(found)
        return None

    def _clean(self, raw: bytes, out: Decoded) -> bytes:
        """Returns a line of valid UTF-8 within the limit, without line breaks and blanks around it."""
        line = whole = self._valid(raw.strip(_BLANKS), out)
        if b"\n" in whole:
            line = whole = condense(whole.decode()).encode()
        if len(whole) > self._max_line_chars:  # few lines: no text has more characters than bytes
            line = truncated_utf8(whole, self._max_line_chars)
            out.cut += line is not whole
        return line

    @staticmethod
    def _valid(line: bytes, out: Decoded) -> bytes:
        if not line.isascii():
            try:
                line.decode()
            except UnicodeDecodeError:
                out.replaced += 1
                return line.decode("utf-8", "replace").encode()
        return line


def _as_json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError as error:  # writing goes less deep than reading
        raise UndecodableRecord("text", f"the text is no string: {error}") from None


def _key_text(record: Record) -> str:
    return record.key.decode("utf-8", "replace").strip() if record.key else ""
