"""Records → log lines: text, service, time. Decides by the record alone; knows no window and no partition state.

A record is one log event and so one line: line breaks inside it (a traceback in one record) become spaces. Raw text and
JSON are told apart per record; the places of text, service and time in JSON are ordered lists of paths. Everything
comes out: as a line, as a counted blank, or as a dead letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from logwarden.daemon.errors import UndecodableRecord
from logwarden.daemon.records import DeadLetter, Record

_NANO, _MICRO, _MILLI = 10**16, 10**13, 10**10
"""Numbers above these are nano-, micro- and milliseconds since the epoch; below, seconds (until the year 2286)."""
MAX_SERVICE_CHARS = 256
"""Whole log lines arrive as keys at times. A service's name is in its alerts five times, which the broker must take."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_TEXT = re.compile(r"[0-9]{9,19}(?:\.[0-9]+)?")  # from the year 1973 on; eight digits are a date


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
        self._text_paths = [tuple(path.split(".")) for path in text_paths]
        self._service_paths = [tuple(path.split(".")) for path in service_paths]
        self._time_paths = [tuple(path.split(".")) for path in time_paths]
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
                raw, service, time_ms = self._read(record, value)
            except UndecodableRecord as error:
                out.dead.append((place, DeadLetter(record=record, stage=error.stage, reason=str(error))))
                continue
            line = self._clean(raw, out)
            if not line:
                out.blank.append(place)
                continue
            out.lines.append(line)
            out.services.append((service or _key_text(record) or record.topic)[:MAX_SERVICE_CHARS])
            out.timestamps.append(record.timestamp if time_ms is None else time_ms)
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
        text = _first(event, self._text_paths)
        if text is None:
            raise UndecodableRecord("text", "the JSON object holds no text at any of the text paths")
        if not isinstance(text, str):
            text = _as_json(text)
        return text.encode("utf-8", "replace"), self._service(event), _time_ms(_first(event, self._time_paths))

    def _service(self, event: dict[str, Any]) -> str | None:
        for path in self._service_paths:
            found = _at(event, path)
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


def _first(event: dict[str, Any], paths: Sequence[tuple[str, ...]]) -> Any:
    for path in paths:
        found = _at(event, path)
        if found is not None:
            return found
    return None


def _at(value: Any, path: tuple[str, ...]) -> Any:
    """The value at a path, or None. The longest dotted key that fits is taken."""
    if not isinstance(value, dict):
        return None
    if len(path) == 1:
        return value.get(path[0])
    for size in range(len(path), 0, -1):
        key = path[0] if size == 1 else ".".join(path[:size])
        if key in value:
            found = value[key] if size == len(path) else _at(value[key], path[size:])
            if found is not None:
                return found
    return None


def _time_ms(value: Any) -> int | None:
    """An event's own time: RFC 3339 text, or a number of (nano-, micro-, milli-) seconds since the epoch."""
    if isinstance(value, str):
        # First: fromisoformat reads many a number of milliseconds as a day of the 18th century.
        if _EPOCH_TEXT.fullmatch(value):
            return _time_ms(float(value))
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        ms = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
        return ms if ms >= 0 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**20:
        return None
    for limit, divisor in ((_NANO, 10**6), (_MICRO, 10**3), (_MILLI, 1)):
        if value > limit:
            return int(value // divisor)
    return round(value * 10**6) // 1000  # by way of microseconds, so that .001 stays a millisecond
