"""Turns a record's bytes into log lines: text, service, time. Decides by the record alone; keeps no state.

A value is unpacked and becomes UTF-8; then it is JSON (`structured.py`) or text (`text.py`), decided per record.
A record may contain several events; each is one line, and an event of several lines (a traceback) is condensed to one.
Every record comes out: as lines, as a counted blank, or as a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from functools import partial

from logwarden.daemon.decoding import charset, framing, journal, packed, pinned, schemas, services, spelled, terminal
from logwarden.daemon.decoding.batch_look import Look, look
from logwarden.daemon.decoding.decoded import Decoded, Rows
from logwarden.daemon.decoding.event import LogEvent, Reading
from logwarden.daemon.decoding.json_logs import JsonReader
from logwarden.daemon.decoding.json_plain import Begun
from logwarden.daemon.decoding.line_shapes import NO_TIME
from logwarden.daemon.decoding.line_times import UNTIMED, leading_ms
from logwarden.daemon.decoding.schemas import Schemas
from logwarden.daemon.decoding.structured import StructuredReader
from logwarden.daemon.decoding.text import MAX_FORMAT_BYTES, read_line, read_message, read_single, read_value
from logwarden.daemon.decoding.traces import condense
from logwarden.daemon.errors import UndecodableRecord
from logwarden.daemon.records import DeadLetter, InputFormat, Record
from logwarden.model.schema import truncated_utf8

__all__ = ["FAULT", "Decoded", "Decoder"]

_BLANKS = b" \t\r\n\0"
_BREAKS = b"\r\n\0"
_INDENTATION = b" \t"
_TAGS = (b"\x08", b"\n", b"\x12", b"\x1a")
"""First bytes of most protobuf messages, which may have no byte beyond ASCII."""
_SPACES = frozenset(b" \t\r\n\0")
_MAX_DEPTH = 2
"""Wrappings around a value that are taken off."""


_KINDS = {"avro": "AVRO", "protobuf": "PROTOBUF"}
"""Formats that are read by a schema, and the registry's name of their schemas."""

FAULT = "fault"
"""Stage of the dead letter of a record at which a reader of some format failed, which none should."""


class Decoder:
    """Reads records by the given format and paths.

    `format`: auto (decided record by record), raw, or the only one that is read. Paths are dotted; a key may itself
    contain dots (`kubernetes.labels.app.kubernetes.io/name`): the longest key that fits is taken. `encoding` is a
    charset or auto; `zone` is that of times that state none. `schemas` are those of a registry.
    """

    def __init__(
        self,
        *,
        format: InputFormat,
        text_paths: Sequence[str],
        service_paths: Sequence[str],
        time_paths: Sequence[str],
        max_line_chars: int,
        encoding: str = charset.AUTO,
        zone: tzinfo = UTC,
        schemas: Schemas | None = None,
    ) -> None:
        self._format = format
        self.schemas = schemas if format == "auto" or format in _KINDS else None
        """What knows the schemas of records; None if records are read without one."""
        self._max_line_chars = max_line_chars
        self._encoding = encoding
        self._zone = zone
        reader = JsonReader(
            text_paths=text_paths,
            service_paths=service_paths,
            time_paths=time_paths,
            read_text=partial(read_message, zone=zone),
            condense=condense,
            clean=terminal.plain,
            zone=zone,
        )
        self._structured = StructuredReader(reader, self._read_packed)
        self._out = Decoded()
        """What the running batch counts, also of what its envelopes carry."""
        self._room = packed.MAX_BYTES
        """Bytes to which the values of the running record may still unpack."""

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Reads records in order."""
        out = self._out = Decoded()
        if self._encoding == charset.AUTO and self._format in ("auto", "json"):
            found = look(records, self._structured, self._format, self._max_line_chars, self._zone)
        else:
            found = Look.without(len(records))
        out.rewritten += found.services
        indented = [
            place
            for place, record in enumerate(records)
            if (value := record.value)
            and value[0] in _SPACES
            and found.times[place] is not None
            and value.lstrip(_BREAKS)[0] in _INDENTATION
        ]
        others: dict[int, Rows] = {}
        for place in [place for place, at in enumerate(found.times) if at is None]:
            record = records[place]
            if record.value is None:  # a tombstone deletes a key; it is no log line
                out.blank.append(place)
                others[place] = ()
                continue
            rows = self._read_record(record, record.value, place, found, out)
            if len(rows) == 1 and rows[0][2] != NO_TIME:  # from here on it is one plain line, as most are
                found.lines[place], found.services[place], found.times[place], is_indented = rows[0]
                indented += [place] * is_indented
            else:
                others[place] = rows
        indented.sort()
        out.rewritten.sort()
        begin = 0
        for place, rows in others.items():
            out.take(records[begin:place], begin, found, indented)
            out.add(rows, place)
            begin = place + 1
        out.take(records[begin:], begin, found, indented)
        return out

    def _read_record(self, record: Record, value: bytes, place: int, found: Look, out: Decoded) -> Rows:
        """Returns the lines of one record. `found` is what a look at its batch found out."""
        begun, line = found.begun.get(place), found.lines[place]
        try:
            event: LogEvent | None = None
            if isinstance(begun, LogEvent):
                event = begun
            elif begun is not None:
                event = self._finished(begun, line)
            elif line:
                event = read_single(line, record.timestamp, self._zone, self._json_event)
            if event is None:
                self._room = packed.MAX_BYTES
                events, broken = self._read(value, record.timestamp, out)
            else:
                events, broken = (event,), ""
        except UndecodableRecord as error:
            out.dead.append((place, DeadLetter(record=record, stage=error.stage, reason=str(error))))
            return ()
        except Exception as error:  # a fault of a format: the daemon would end at this record again and again
            reason = f"logwarden failed to read the record: {ascii(error)[:200]}; report this fault"
            out.dead.append((place, DeadLetter(record=record, stage=FAULT, reason=reason)))
            return ()
        if broken:
            out.dead.append((place, DeadLetter(record=record, stage="element", reason=broken)))
        rows = []
        for text, service, at_ms, host in events:
            line = self._clean(text, out)
            if line:
                named = service or services.of_record(record, host)
                rows.append((line, named, record.timestamp if at_ms is None else at_ms, text[0] in _INDENTATION))
        if not rows and not broken:
            out.blank.append(place)
        elif len(rows) == 1 and not broken and rows[0][0] != value.strip(_BLANKS):
            out.rewritten.append(place)
        return rows

    def _finished(self, begun: Begun, line: bytes) -> LogEvent | None:
        """Returns the event of a JSON object. Returns None if it has to be read whole."""
        if line and len(line) <= MAX_FORMAT_BYTES:
            return self._structured.finished(
                begun, line, read_line(line, -1 if begun[5] is None else UNTIMED, self._zone)
            )
        text = begun[0]
        return self._structured.finished(begun, text.encode("utf-8", "replace"), read_message(text, zone=self._zone))

    def _read(self, value: bytes, near_ms: int, out: Decoded, depth: int = 0) -> Reading:
        """Returns the events of a record. Raises UndecodableRecord if its value contains none."""
        if self.schemas is not None and (number := schemas.number_of(value)) is not None:
            document = schemas.read(value, self.schemas, number, wanted=_KINDS.get(self._format, ""))
            if document is not None:
                return self._structured.read_document(document)
            value = schemas.content_of(value)
        if self._format in _KINDS and value.strip(_BLANKS):
            raise pinned.refusal(self._format)
        is_object = value[:1] == b"{"
        if not is_object and self._format == "auto" and depth < _MAX_DEPTH and (parts := _inside(value)):
            return self._read_parts(parts, near_ms, out, depth + 1)
        if (entries := journal.entries_of(value)) and self._format in ("auto", "json"):
            return self._structured.read_documents(entries)
        if self._encoding != charset.AUTO or value[:1] in _TAGS or packed.may_be_binary(value):
            value = packed.bare(self._unpacked(self._unpacked(value))) if value.strip(b"\0") else value
            reading = self._structured.read_protobuf(value) if self._format in ("auto", "otlp") else None
            if reading is not None:
                return reading
            value = self._as_text(value, out)
        if self._format in pinned.FORMATS:
            return self._read_pinned(value, near_ms)
        if self._format != "raw":
            strict = self._format == "json"
            begin = value.lstrip(b" \t\r\n\x1e")[:1]
            if strict or begin == b"{" or begin == b"[":
                reading = self._structured.read(value, strict=strict)
                if reading is not None:
                    return reading
                out.odd += begin == b"{"
            elif begin == b"<" and (reading := self._structured.read_xml(value)) is not None:
                return reading
        return Reading(self._text_events(value, near_ms))

    def _read_pinned(self, value: bytes, near_ms: int) -> Reading:
        """Returns the events of a value of UTF-8 text. Raises UndecodableRecord if it is not of the pinned format."""
        if not value.strip(_BLANKS):
            return Reading(())
        if self._format == "xml":
            reading = self._structured.read_xml(value)
        elif self._format == "otlp":
            reading = self._structured.read_otlp(value)
        else:
            text = self._bare_text(value)
            return pinned.read_lines(text, self._format, near_ms, self._zone, self._json_event)
        if reading is None:
            raise pinned.refusal(self._format)
        return reading

    def _read_parts(self, parts: Sequence[bytes], near_ms: int, out: Decoded, depth: int) -> Reading:
        """Returns the events of the values inside a value. A broken one is named, and its neighbours are read."""
        if len(parts) == 1:
            return self._read(parts[0], near_ms, out, depth)
        events: list[LogEvent] = []
        bad, first_bad = 0, ""
        for number, part in enumerate(parts, start=1):
            try:
                reading = self._read(part, near_ms, out, depth)
            except UndecodableRecord as error:
                reading = Reading((), str(error))
            events += reading.events
            if reading.broken:
                bad += 1
                first_bad = first_bad or f"frame {number}: {reading.broken}"
        broken = f"{bad} of {len(parts)} frames cannot be read whole, {first_bad}" if bad > 1 else first_bad
        if broken and not events:
            raise UndecodableRecord("element", broken)
        return Reading(events, broken)

    def _unpacked(self, value: bytes) -> bytes:
        content = packed.unpacked(value, self._room)
        if content is not value:
            self._room -= len(content)
        return content

    def _as_text(self, value: bytes, out: Decoded) -> bytes:
        """Returns a value as UTF-8. Raises UndecodableRecord for a value that is no text."""
        if not value.strip(b"\0"):
            return value
        text, recoded = charset.to_utf8(value, self._encoding)
        packed.refuse_binary(text if recoded and (self._encoding != charset.AUTO or charset.is_wide(value)) else value)
        out.replaced += recoded
        return text

    def _read_packed(self, value: bytes) -> Reading:
        """Returns the events of bytes that an envelope carried."""
        return self._read(value, -1, self._out)

    def _text_events(self, value: bytes, near_ms: int) -> Sequence[LogEvent]:
        """Returns the events of a value of UTF-8 text."""
        value = self._bare_text(value)
        if self._format == "raw":
            return (LogEvent(value, None, leading_ms(value, near_ms, self._zone)),)
        return read_value(value, near_ms, self._zone, self._json_event)

    @staticmethod
    def _bare_text(value: bytes) -> bytes:
        """Returns a text without control characters, and without what does not belong to its lines."""
        value = framing.with_breaks(value) if b"\0" in value else value
        return terminal.plain(value.rstrip(_BLANKS).lstrip(_BREAKS))

    def _json_event(self, value: bytes) -> LogEvent | None:
        """Returns the event of an object in a frame of text; None for a text that is none, or several events."""
        try:
            reading = self._structured.read(value)
        except UndecodableRecord:
            return None
        return reading.events[0] if reading is not None and len(reading.events) == 1 and not reading.broken else None

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


def _inside(value: bytes) -> list[bytes] | None:
    """Returns the values that a value frames or spells out; None for a value that stands for itself."""
    if frames := framing.frames_of(value):
        return frames
    token = value.strip()
    if token[:1] == b'"' == token[-1:]:
        inner = spelled.unquoted(token)
    else:
        inner = spelled.bytes_of(token) if b" " not in token[:512] or token[1:2] in (b"'", b'"') else None
    return None if inner is None else [inner]
