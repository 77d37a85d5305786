"""Records → log lines: text, service, time. Decides by the record alone; knows no window and no partition state.

A record is one log event and so one line: line breaks inside it (a traceback in one record) become spaces. Raw text and
JSON are told apart per record; the places of text, service and time in JSON are ordered lists of paths. Everything
comes out: as a line, as a counted blank, or as a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from logwarden.daemon.decoding.json_paths import first_value, split_paths, value_at
from logwarden.daemon.decoding.times import time_ms
from logwarden.daemon.errors import UndecodableRecord
from logwarden.daemon.records import DeadLetter, Record

MAX_SERVICE_CHARS = 256
"""Whole log lines arrive as keys at times. A service's name is in its alerts five times, which the broker must take."""


@dataclass(slots=True)
class Decoded:
    """Lines of a batch as columns, with what became of the other records."""

    lines: list[bytes] = field(default_factory=list)
    """UTF-8 without line breaks, not blank."""
    services: list[str] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    """Milliseconds since the epoch; -1 = unknown."""
    places: list[int] = field(default_factory=list)
    """Which record each line came from."""
    blank: list[int] = field(default_factory=list)
    """Records that held no text: done at once."""
    dead: list[tuple[int, DeadLetter]] = field(default_factory=list)
    replaced: int = 0
    """Lines with bytes that were not UTF-8."""
    cut: int = 0
    """Lines longer than the limit."""


class Decoder:
    """Reads records by the given format and paths.

    `format`: auto (JSON where a value starts with a brace), raw or json. Paths are dotted; a key may itself hold dots
    (`kubernetes.labels.app.kubernetes.io/name`): the longest key that fits is taken.
    """

    def __init__(
        self,
        *,
        format: str,
        text_paths: Sequence[str],
        service_paths: Sequence[str],
        time_paths: Sequence[str],
        max_line_bytes: int,
    ) -> None:
        self._format = format
        self._text_paths = split_paths(text_paths)
        self._service_paths = split_paths(service_paths)
        self._time_paths = split_paths(time_paths)
        self._max_line_bytes = max_line_bytes
        self._json = msgspec.json.Decoder()

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Reads records in order."""
        out = Decoded()
        for place, record in enumerate(records):
            value = record.value
            if value is None:  # a tombstone says that a key is gone; it is no log line
                out.blank.append(place)
                continue
            try:
                raw, service, at_ms = self._read(record, value)
            except UndecodableRecord as error:
                out.dead.append((place, DeadLetter(record=record, stage=error.stage, reason=str(error))))
                continue
            line = self._clean(raw, out)
            if not line:
                out.blank.append(place)
                continue
            out.lines.append(line)
            out.services.append((service or _key_text(record) or record.topic)[:MAX_SERVICE_CHARS])
            out.timestamps.append(record.timestamp if at_ms is None else at_ms)
            out.places.append(place)
        return out

    def _read(self, record: Record, value: bytes) -> tuple[bytes, str | None, int | None]:
        is_json = self._format == "json" or (self._format == "auto" and value.lstrip()[:1] == b"{")
        if not is_json:
            return value, None, None
        try:
            event = self._json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # the last: brackets in brackets
            raise UndecodableRecord("json", f"the value is not JSON: {error}") from None
        if not isinstance(event, dict):
            raise UndecodableRecord("json", f"the value is a JSON {type(event).__name__}, not an object")
        text = first_value(event, self._text_paths)
        if text is None:
            raise UndecodableRecord("text", "the JSON object holds no text at any of the text paths")
        if not isinstance(text, str):
            text = _as_json(text)
        return text.encode("utf-8", "replace"), self._service(event), time_ms(first_value(event, self._time_paths))

    def _service(self, event: dict[str, Any]) -> str | None:
        for path in self._service_paths:
            found = value_at(event, path)
            if isinstance(found, str) and found:
                return found
            if isinstance(found, int) and not isinstance(found, bool):
                return str(found)
        return None

    def _clean(self, raw: bytes, out: Decoded) -> bytes:
        limit = self._max_line_bytes
        cut = len(raw) > limit
        line = (_cut(raw, limit) if cut else raw).strip(b" \t\r\n\0")
        if not line.isascii():
            try:
                line.decode()
            except UnicodeDecodeError:
                line = line.decode("utf-8", "replace").encode()
                out.replaced += 1
                if len(line) > limit:  # U+FFFD takes three bytes where a bad one took one
                    cut, line = True, _cut(line, limit)
        out.cut += cut
        return line.replace(b"\r\n", b" ").replace(b"\n", b" ") if b"\n" in line else line


def _cut(raw: bytes, limit: int) -> bytes:
    """At most so many bytes, without half a character at the end: that would be no fault of the sender's."""
    raw = raw[:limit]
    return raw.decode("utf-8", "ignore").encode() if _is_utf8_but_for_the_end(raw) else raw


def _is_utf8_but_for_the_end(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(raw) - 3
    return True


def _as_json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError as error:  # writing goes less deep than reading
        raise UndecodableRecord("text", f"the text is no string: {error}") from None


def _key_text(record: Record) -> str:
    return record.key.decode("utf-8", "replace").strip() if record.key else ""
