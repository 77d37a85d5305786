"""Takes batches of log events apart: arrays and the envelopes of clouds, shippers and brokers. Knows no log formats."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_DEPTH = 3
"""Envelopes inside envelopes that are opened."""
_BATCHES = ("records", "Records", "logEvents")
"""Lists whose elements are events whatever these contain."""
_LISTS = (
    "events",
    "logs",
    "entries",
    "messages",
    "items",
    "batch",
    "lines",
    "value",
    "values",
    "data",
    "hits",
    "results",
    "Events",
    "Messages",
    "Logs",
    "Entries",
    "logEntries",
    "log_entries",
    "alerts",
)
"""Lists whose elements are events if these look like events."""
_OWN_TEXT = (
    "message",
    "msg",
    "log",
    "short_message",
    "MESSAGE",
    "@m",
    "textPayload",
    "Message",
    "text",
    "body",
    "Body",
    "event",
)
_OWN_TEXTS = frozenset(_OWN_TEXT)
_OF_EVENTS = frozenset(
    (
        *(*_OWN_TEXT, "level", "severity", "lvl", "@t", "@timestamp", "timestamp", "ts", "error", "err", "_source"),
        *("Level", "Timestamp", "LogLevel", "jsonPayload", "PRIORITY", "line", "full_message", "status"),
    )
)
_ACTIONS = frozenset(("index", "create", "update", "delete"))
ENVELOPE_KEYS = frozenset(
    (*_BATCHES, *_LISTS, "streams", "schema", "specversion", "recordId", "kinesis", "publishTime", "_source", "doc")
) | {"data_base64", "Sns", "eventSourceARN", "op", "subscription", "awslogs"}
"""A record without any of these keys is no envelope."""


class Part(NamedTuple):
    """One element of a batch."""

    value: Any
    """An object or a text, or a value that is no event."""
    around: dict[str, Any] | None = None
    """Fields of the batch that count for all of its elements."""
    place: str = ""
    """Name of the element in a sentence; empty for the whole record."""


def parts_of(document: Any, depth: int = 0, around: dict[str, Any] | None = None, place: str = "") -> Iterator[Part]:
    """Yields the events of a document in order, or the document itself if it is no batch."""
    if depth < MAX_DEPTH:
        if isinstance(document, list) and is_batch(document):
            yield from _of_list(document, "element", depth, around, place)
            return
        if isinstance(document, dict) and not ENVELOPE_KEYS.isdisjoint(document):
            opened = _open(document)
            if opened is not None:
                yield from _of_opened(document, opened, depth, around, place)
                return
    yield Part(document, around, place)


def is_batch(document: list[Any]) -> bool:
    """Returns True for an array of events: one of its elements is an object."""
    return any(isinstance(element, dict) for element in document) or _is_fluentd(document)


def is_action(document: Any) -> bool:
    """Returns True for a line of an Elasticsearch bulk request that names the place of the next line's document."""
    if not isinstance(document, dict) or len(document) != 1:
        return False
    [(key, value)] = document.items()
    return (
        key in _ACTIONS and isinstance(value, dict) and all(name.startswith("_") or name in _ROUTES for name in value)
    )


_ROUTES = frozenset(
    ("routing", "pipeline", "retry_on_conflict", "require_alias", "version", "if_seq_no", "if_primary_term")
)


class _Opened(NamedTuple):
    name: str
    inside: Any
    around: dict[str, Any] | None = None


def _of_opened(
    document: dict[str, Any], opened: _Opened, depth: int, around: dict[str, Any] | None, place: str
) -> Iterator[Part]:
    outer = opened.around if opened.around is not None else _scalars(document)
    if around:
        outer = {**around, **outer}
    if isinstance(opened.inside, list):
        yield from _of_list(opened.inside, opened.name, depth, outer, place)
    else:
        yield from parts_of(opened.inside, depth + 1, outer, place)


def _of_list(elements: list[Any], name: str, depth: int, around: dict[str, Any] | None, place: str) -> Iterator[Part]:
    if _is_fluentd(elements):
        elements, name = _fluentd_events(elements), "event"
    for number, element in enumerate(elements, start=1):
        where = f"{place}{', ' if place else ''}{name} {number}"
        yield from parts_of(element, depth + 1, around, where)


def _open(document: dict[str, Any]) -> _Opened | None:
    """Returns the inside of an envelope; None if the document is none."""
    for key in _BATCHES:
        inside = document.get(key)
        if isinstance(inside, list) and inside and any(isinstance(part, dict | str) for part in inside[:8]):
            return _Opened(f"{key} element", inside, _group(document) if key == "logEvents" else None)
    if (partitions := _of_partitions(document.get("records"))) is not None:
        return _Opened("record", partitions, {})
    streams = document.get("streams")
    if isinstance(streams, list) and streams and all(isinstance(stream, dict) for stream in streams):
        return _Opened("stream", [part for stream in streams for part in _loki(stream)], {})
    single = _open_single(document)
    if single is not None:
        return single
    if not any(document.get(key) for key in _OWN_TEXT):
        for key in _LISTS:
            inside = document.get(key)
            if key == "hits" and isinstance(inside, dict):
                inside = inside.get("hits")
            if isinstance(inside, list) and any(isinstance(part, dict) and _may_be_event(part) for part in inside[:64]):
                return _Opened(f"{key} element", inside, _common(document))
    return None


def _of_partitions(batches: Any) -> list[Any] | None:
    """Returns the values of a broker's records that come by partition, in base64; None for anything else."""
    if not isinstance(batches, dict) or not batches:
        return None
    records = [record for batch in batches.values() if isinstance(batch, list) for record in batch]
    if not records or not all(isinstance(record, dict) and "value" in record for record in records):
        return None
    return [_unpacked(record["value"]) for record in records]


def _common(document: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the attributes that a batch states once for all of its events; None if it states none."""
    common = document.get("common")
    attributes = common.get("attributes") if isinstance(common, dict) else None
    return {**attributes, **_scalars(document)} if isinstance(attributes, dict) else None


def _may_be_event(part: dict[str, Any]) -> bool:
    """Returns True for an object with a field of events, or with an object that has one."""
    inside = list(part.values())[:16]
    return not _OF_EVENTS.isdisjoint(part) or any(
        isinstance(value, dict) and not _OWN_TEXTS.isdisjoint(value) for value in inside
    )


def _open_single(document: dict[str, Any]) -> _Opened | None:
    """Returns the inside of an envelope around one event; None if the document is none."""
    payload = document.get("payload")
    if "schema" in document and "payload" in document and len(document) <= 4:
        return _Opened("payload", _after(payload), {})
    if "op" in document and isinstance(document.get("after"), dict):
        return _Opened("after", document["after"], {})
    if "specversion" in document:
        outer = {name: document[key] for name, key in (("service", "source"), ("time", "time")) if key in document}
        if "service" in outer:
            outer["service"] = str(outer["service"]).rstrip("/").rpartition("/")[2]
        if "data_base64" in document:
            return _Opened("data", _unpacked(document["data_base64"]), outer)
        if isinstance(document.get("data"), dict | str | list):
            return _Opened("data", _unpacked(document["data"]), outer)
    if isinstance(document.get("_source"), dict):
        return _Opened("_source", document["_source"], {})
    if isinstance(document.get("doc"), dict) and len(document) <= 3:
        return _Opened("doc", document["doc"], {})
    for key in ("kinesis", "Sns", "awslogs"):
        inside = document.get(key)
        if isinstance(inside, dict):
            data = inside.get("data") or inside.get("Message")
            if isinstance(data, str):
                at = inside.get("Timestamp") or inside.get("approximateArrivalTimestamp")
                return _Opened("data", _unpacked(data), {} if at is None else {"time": at})
    message = document.get("message")
    if "subscription" in document and isinstance(message, dict) and isinstance(message.get("data"), str):
        return _Opened("data", _unpacked(message["data"]), {})
    data = document.get("data")
    if isinstance(data, str) and not any(document.get(key) for key in _OWN_TEXT):
        unpacked = _unpacked(data)
        if unpacked is not data:
            return _Opened("data", unpacked)
    return None


def _after(payload: Any) -> Any:
    """Returns the row of a change event as Debezium writes it, or the payload itself."""
    if isinstance(payload, dict) and "op" in payload and isinstance(payload.get("after"), dict):
        return payload["after"]
    return payload


class Packed(NamedTuple):
    """Bytes that an envelope carried as base64; they may be a record of their own."""

    value: bytes


def _unpacked(data: Any) -> Any:
    """Returns the bytes of a base64 text; the value itself if it is something else."""
    if not isinstance(data, str) or len(data) < 8 or len(data) % 4 or " " in data[:64]:
        return data
    try:
        value = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return data
    # Words are base64, too, by accident; what they decode to is neither text nor packed.
    if value[:2] == b"\x1f\x8b" or value[:4] == b"\x28\xb5\x2f\xfd":
        return Packed(value)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return data
    return Packed(value) if all(char.isprintable() or char.isspace() for char in text[:256]) else data


def _group(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a CloudWatch batch that count for its events."""
    group = document.get("logGroup")
    return {"service": group.rstrip("/").rpartition("/")[2]} if isinstance(group, str) and group else {}


def _loki(stream: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the entries of a stream of Loki's push API as events: its labels, a time and a line."""
    labels = stream.get("stream")
    values, entries = stream.get("values"), stream.get("entries")
    outer = (
        {key: value for key, value in labels.items() if key not in ("message", "time")}
        if isinstance(labels, dict)
        else {}
    )
    if "service_name" in outer or "job" in outer or "app" in outer:
        outer["service"] = outer.get("service") or outer.get("app") or outer.get("service_name") or outer.get("job")
    for value in values if isinstance(values, list) else ():
        if isinstance(value, list) and len(value) >= 2 and isinstance(value[1], str):
            extra = value[2] if len(value) > 2 and isinstance(value[2], dict) else {}
            yield {**outer, **extra, "time": value[0], "message": value[1]}
        else:
            yield value
    for entry in entries if isinstance(entries, list) else ():
        yield {**outer, "time": entry.get("ts"), "message": entry.get("line")} if isinstance(entry, dict) else entry


def _is_fluentd(elements: list[Any]) -> bool:
    """Returns True for an event or a batch of Fluentd's forward protocol: tag, time, record."""
    if len(elements) == 2 and isinstance(elements[0], int | float) and isinstance(elements[1], dict):
        return True  # Fluent Bit's: time, record
    if len(elements) < 2 or not isinstance(elements[0], str):
        return False
    if len(elements) >= 3 and isinstance(elements[1], int | float) and isinstance(elements[2], dict):
        return True
    entries = elements[1]
    return (
        isinstance(entries, list)
        and bool(entries)
        and all(isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict) for entry in entries[:8])
    )


def _fluentd_events(elements: list[Any]) -> list[Any]:
    if not isinstance(elements[0], str):
        elements = ["", *elements]
    entries = elements[1] if isinstance(elements[1], list) else [elements[1:3]]
    return [
        {"time": entry[0], **entry[1]}
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict)
        else entry
        for entry in entries
    ]


def _scalars(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of an envelope that may count for its events: names and objects, no lists."""
    return {
        key: value
        for key, value in list(document.items())[:64]
        if not isinstance(value, list) and key not in _NOT_SHARED
    }


_NOT_SHARED = frozenset(
    ("data", "status", "code", "result", "message", "took", "timed_out", "error", "errors", "level")
)
