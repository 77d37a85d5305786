"""Turns a record's bytes into log lines: text, service, time. Decides by the record alone; keeps no state.

Raw text and JSON are distinguished per record; the places of text, service and time in JSON are ordered lists of paths.
A record may contain several events; each is one line, and an event of several lines (a traceback) is condensed to one.
Every record comes out: as lines, as a counted blank, or as a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from logwarden.daemon.decoding import services
from logwarden.daemon.decoding.event import LogEvent, Reading
from logwarden.daemon.decoding.json_logs import JsonReader
from logwarden.daemon.decoding.structured import StructuredReader
from logwarden.daemon.decoding.traces import condense
from logwarden.daemon.errors import UndecodableRecord
from logwarden.daemon.records import DeadLetter, Record
from logwarden.model.schema import truncated_utf8

_BLANKS = b" \t\r\n\0"
_INDENTATION = b" \t"


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
        self._max_line_chars = max_line_chars
        reader = JsonReader(text_paths=text_paths, service_paths=service_paths, time_paths=time_paths)
        self._structured = StructuredReader(reader)

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Reads records in order."""
        out = Decoded()
        for place, record in enumerate(records):
            value = record.value
            if value is None:  # a tombstone deletes a key; it is no log line
                out.blank.append(place)
                continue
            try:
                events, broken = self._read(value)
            except UndecodableRecord as error:
                out.dead.append((place, DeadLetter(record=record, stage=error.stage, reason=str(error))))
                continue
            if broken:
                out.dead.append((place, DeadLetter(record=record, stage="element", reason=broken)))
            index = 0
            for text, service, at_ms, host in events:
                line = self._clean(text, out)
                if line:
                    if text[0] in _INDENTATION:
                        out.indented.append(len(out.lines))
                    out.lines.append(line)
                    out.services.append(service or _service_of(record, host))
                    out.timestamps.append(record.timestamp if at_ms is None else at_ms)
                    out.places.append(place)
                    out.index.append(index)
                    index += 1
            if not index and not broken:
                out.blank.append(place)
        return out

    def _read(self, value: bytes) -> Reading:
        """Returns the events of a record. Raises UndecodableRecord if its value contains none."""
        if self._format != "raw":
            strict = self._format == "json"
            begin = value.lstrip(b" \t\r\n\x1e")[:1]
            if strict or begin == b"{" or begin == b"[":
                reading = self._structured.read(value, strict=strict)
                if reading is not None:
                    return reading
        return Reading((LogEvent(value),))

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


def _service_of(record: Record, host: str | None) -> str:
    """Returns the service of a record whose value names none: its header, its key, its host, its topic."""
    found = services.of_headers(record.headers) if record.headers else None
    return found or (services.of_key(record.key) if record.key else None) or host or record.topic[: services.MAX_CHARS]
