"""Reads a record's value that is JSON: parses it, takes batches apart and reads every element on its own.

Composes `json_values.py`, `envelopes.py`, `otlp.py` and `json_logs.py`, which do not know each other. A broken element
is counted and named; its neighbours are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from logwarden.daemon.decoding import otlp, xml_events
from logwarden.daemon.decoding.envelopes import ENVELOPE_KEYS, Packed, is_action, is_batch, parts_of
from logwarden.daemon.decoding.event import LogEvent, Reading
from logwarden.daemon.decoding.json_logs import JsonReader
from logwarden.daemon.decoding.json_plain import Begun, PlainReader
from logwarden.daemon.decoding.json_values import documents
from logwarden.daemon.errors import UndecodableRecord

_MAX_PACKED_DEPTH = 2
_NOT_PLAIN = ENVELOPE_KEYS | otlp.BATCH_KEYS | {"severityNumber", "timeUnixNano", "observedTimeUnixNano"}
"""An object without any of these keys is one event and no batch."""
_MIN_BYTES = 8
_NOTHING = "the JSON object contains no text and no fields to show"


class StructuredReader:
    """Reads values with `json`. `read_packed` reads bytes that an envelope carried, such as a gzip file in base64."""

    def __init__(self, json: JsonReader, read_packed: Callable[[bytes], Reading] | None = None) -> None:
        self._json = json
        self._plain = PlainReader(json)
        self.finished = self._plain.finished
        self._read_packed = read_packed
        self._fast = msgspec.json.Decoder()
        self._packed_depth = 0

    def read(self, value: bytes, *, strict: bool = False) -> Reading | None:
        """Returns the events of a value. Returns None if the value is a text that only looks like JSON.

        Raises UndecodableRecord if nothing in the value can be read. `strict`: the operator has promised JSON.
        """
        try:
            document = self._fast.decode(value)
        except (ValueError, RecursionError):
            return self._almost(value, strict)
        if type(document) is dict and _NOT_PLAIN.isdisjoint(document):
            event = self._json.read(document)
            if event is None:
                raise UndecodableRecord("text", _NOTHING)
            return Reading((event,))
        return self._many([document], "", strict)

    def read_document(self, document: dict[str, Any]) -> Reading:
        """Returns the events of an object that another format wrote. Raises UndecodableRecord if it has none."""
        return self.read_documents([document])

    def read_documents(self, found: list[Any]) -> Reading:
        """Returns the events of objects that another format wrote. Raises UndecodableRecord if they have none."""
        reading = self._many(found, "", strict=True)
        assert reading is not None, "an object is structured"
        return reading

    def begun(self, values: Iterable[bytes]) -> list[Begun | LogEvent | None]:
        """Returns the events of values of one object each, or the begins of them.

        None stands for a value that has to be read on its own: it is a batch, no JSON, or contains nothing.
        """
        decode, is_one, plain, read = self._fast.decode, _NOT_PLAIN.isdisjoint, self._plain.begun, self._json.read
        out: list[Begun | LogEvent | None] = []
        for value in values:
            try:
                document = decode(value)
                is_object = type(document) is dict and is_one(document)
                out.append((plain(document) or read(document)) if is_object else None)
            except Exception:  # the reader of the value alone meets a fault again, and answers for it
                out.append(None)
        return out

    def read_xml(self, value: bytes) -> Reading | None:
        """Returns the event of a value in XML. Returns None if the value is anything else."""
        document = xml_events.document_of(value)
        event = None if document is None else self._json.read(document)
        return None if event is None else Reading((event,))

    def read_protobuf(self, value: bytes) -> Reading | None:
        """Returns the events of a batch of OTLP in protobuf. Returns None if the value is anything else."""
        batch = otlp.from_protobuf(value)
        return None if batch is None else self._many([batch], "", strict=True)

    def read_otlp(self, value: bytes) -> Reading | None:
        """Returns the events of OTLP in JSON, of one document or one a line. Returns None without any log of it."""
        found = documents(value, strict=True)
        logs = [document for document in found.found if _is_otlp(document)] if found else []
        if found is None or not logs:
            return None
        reading = self._many(logs, found.broken, strict=True)
        others = len(found.found) - len(logs)
        if reading is None or not others:
            return reading
        broken = f"{others} of {len(found.found)} documents are no logs of OpenTelemetry"
        return Reading(reading.events, f"{broken}; {reading.broken}" if reading.broken else broken)

    def _almost(self, value: bytes, strict: bool) -> Reading | None:
        found = documents(value, strict=strict)
        if found is None:
            return None
        if not found.found:
            raise UndecodableRecord("json", found.broken)
        return self._many(found.found, found.broken, strict)

    def _many(self, found: list[Any], broken: str, strict: bool) -> Reading | None:
        events: list[LogEvent]
        if len(found) == 1 and (content := _bytes_of(found[0])):
            events = []
            broken = self._packed(content, events)
            return Reading(events, broken)
        if len(found) == 1 and not _is_structured(found[0]):
            if not strict:
                return None
            raise UndecodableRecord("json", f"the value is a JSON {_kind(found[0])}, not an object")
        events = []
        bad, first_bad, whole = 0, "", len(found) == 1
        is_bulk = any(map(is_action, found))
        for number, document in enumerate(found, start=1):
            if is_bulk and is_action(document):
                continue
            place = "" if whole else f"document {number}"
            if strict and isinstance(document, str):
                bad += 1
                first_bad = first_bad or f"{place}: it is a line of text, not JSON"
                continue
            for part in parts_of(document, place=place):
                reason = self._element(part.value, part.around, events)
                if reason:
                    bad += 1
                    first_bad = first_bad or (f"{part.place}: {reason}" if part.place else reason)
        if bad and not events and not broken:
            raise UndecodableRecord("text", first_bad)
        if bad:
            some = f"{bad} of {bad + len(events)} elements cannot be read, {first_bad}" if bad > 1 else first_bad
            broken = f"{broken}; {some}" if broken else some
        return Reading(events, broken)

    def _element(self, value: Any, around: dict[str, Any] | None, events: list[LogEvent]) -> str:
        """Reads an element into `events`. Returns why it cannot be read, empty if it was."""
        if isinstance(value, dict):
            if not otlp.BATCH_KEYS.isdisjoint(value):
                return self._otlp(value, around, events)
            record = otlp.record_of(value) if otlp.is_record(value) else value
            event = self._json.read(record, around) if record and isinstance(record, dict) else None
            if event is None:
                return _NOTHING
            events.append(event)
        elif isinstance(value, str):
            event = self._json.read({"message": value}, around)
            if event is not None:
                events.append(event)
        elif isinstance(value, Packed):
            return self._packed(value.value, events)
        elif value is not None:
            return f"the element is a JSON {_kind(value)}, not an object"
        return ""

    def _otlp(self, batch: dict[str, Any], around: dict[str, Any] | None, events: list[LogEvent]) -> str:
        first_bad, bad, count = "", 0, 0
        for record, resource in otlp.records_of(batch):
            count += 1
            event = self._json.read(record, {**(around or {}), **resource}) if isinstance(record, dict) else None
            if event is not None:
                events.append(event)
            else:
                bad += 1
                first_bad = first_bad or f"log record {count}: {record if isinstance(record, str) else _NOTHING}"
        if not count:
            return "the batch contains no log record"
        return f"{bad} of {count} log records cannot be read, {first_bad}" if bad else ""

    def _packed(self, value: bytes, events: list[LogEvent]) -> str:
        if self._packed_depth >= _MAX_PACKED_DEPTH:
            return "the record is packed too often"
        self._packed_depth += 1
        try:
            reading = self._read_packed(value) if self._read_packed else self.read(value)
        except UndecodableRecord as error:
            return str(error)
        finally:
            self._packed_depth -= 1
        if reading is None:
            reading = Reading((LogEvent(value),))
        events.extend(reading.events)
        return reading.broken


def _bytes_of(document: Any) -> bytes | None:
    """Returns the text that an array of bytes contains; None for any other document."""
    if not isinstance(document, list) or len(document) < _MIN_BYTES:
        return None
    if not all(type(part) is int and 0 < part < 256 for part in document):
        return None
    content = bytes(document)
    return content if content.isascii() and content.decode().strip().isprintable() else None


def _is_structured(document: Any) -> bool:
    return isinstance(document, dict) or (isinstance(document, list) and is_batch(document))


def _is_otlp(document: Any) -> bool:
    return isinstance(document, dict) and (not otlp.BATCH_KEYS.isdisjoint(document) or otlp.is_record(document))


def _kind(value: Any) -> str:
    return type(value).__name__
