"""Reads OpenTelemetry's logs: batches of OTLP as JSON or protobuf become plain objects, one per log record.

Knows OTLP's structure only: what the fields of such an object mean is known to the reader of JSON logs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

BATCH_KEYS = frozenset(("resourceLogs", "resource_logs", "scopeLogs", "logRecords"))
"""An object with one of these keys is a batch."""
_MAX_DEPTH = 8
_ANY = frozenset(
    ("stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "bytesValue", "string_value")
)
_FIRST = b"\x0a"
"""Tag of the field `resource_logs` in protobuf."""
_INSIDE = frozenset(b"\x0a\x12\x1a")
"""Tags of the fields of ResourceLogs: resource, scope_logs, schema_url."""


def records_of(batch: dict[str, Any]) -> Iterator[tuple[dict[str, Any] | str, dict[str, Any]]]:
    """Yields each log record as an object, with the object of its resource; a string is why a record is broken."""
    for resource_logs in _list(batch, "resourceLogs", "resource_logs") or [batch]:
        if not isinstance(resource_logs, dict):
            yield "a ResourceLogs is no object", {}
            continue
        resource = resource_logs.get("resource")
        around: dict[str, Any] = {}
        if isinstance(resource, dict):
            around = {"resource": {"attributes": _attributes(resource.get("attributes"))}}
        scopes = _list(resource_logs, "scopeLogs", "scope_logs", "instrumentationLibraryLogs") or [resource_logs]
        for scope_logs in scopes:
            if not isinstance(scope_logs, dict):
                yield "a ScopeLogs is no object", {}
                continue
            for record in _list(scope_logs, "logRecords", "log_records", "logs"):
                yield record_of(record), around


def record_of(record: Any) -> dict[str, Any] | str:
    """Returns a log record as an object with plain values; a string is why the record is broken."""
    if not isinstance(record, dict):
        return "the log record is no object"
    event = {key: value for key, value in record.items() if key not in ("body", "attributes")}
    body = record.get("body")
    if body is not None:
        event["message"] = _plain(body)
    event["attributes"] = _attributes(record.get("attributes"))
    time = event.get("timeUnixNano", event.get("time_unix_nano"))
    if time in (0, "0", None):
        event.pop("timeUnixNano", None)
    return event if body is not None or event["attributes"] else "the log record has neither a body nor attributes"


def is_record(document: dict[str, Any]) -> bool:
    """Returns True for a log record without a batch around it."""
    body, attributes = document.get("body"), document.get("attributes")
    is_any = isinstance(body, dict) and len(body) == 1 and not _ANY.isdisjoint(body)
    are_pairs = isinstance(attributes, list) and bool(attributes) and _is_pair(attributes[0])
    return (is_any and (attributes is None or isinstance(attributes, list))) or (are_pairs and "body" in document)


def from_protobuf(value: bytes) -> dict[str, Any] | None:
    """Returns the batch in a value of protobuf, as its JSON form. Returns None if the value is anything else."""
    if not may_be_protobuf(value):
        return None
    # Imported when the first such value comes: most installations never see one.
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    try:
        logs = LogsData.FromString(value)
    except DecodeError:
        return None
    records = [record for part in logs.resource_logs for scope in part.scope_logs for record in scope.log_records]
    # Spans and metrics have the same outer structure; their fields are unknown to a log record.
    if not records or len(UnknownFieldSet(logs)) or any(len(UnknownFieldSet(record)) for record in records[:8]):
        return None
    try:
        return dict(MessageToDict(logs, use_integers_for_enums=True))
    except (ValueError, RecursionError):
        return None


def may_be_protobuf(value: bytes) -> bool:
    """Returns False for nearly everything that is no batch in protobuf: the first length has to fit."""
    if len(value) < 6 or value[:1] != _FIRST:
        return False
    length = shift = 0
    for place in range(1, 6):
        length |= (value[place] & 0x7F) << shift
        shift += 7
        if value[place] < 0x80:
            end = place + 1 + length
            is_last = end == len(value) or (end < len(value) and value[end : end + 1] == _FIRST)
            return length >= 2 and is_last and value[place + 1] in _INSIDE
    return False


def _list(message: dict[str, Any], *names: str) -> list[Any]:
    return next((value for name in names if isinstance(value := message.get(name), list)), [])


def _attributes(pairs: Any) -> dict[str, Any]:
    if isinstance(pairs, dict):
        return pairs
    if not isinstance(pairs, list):
        return {}
    return {str(pair["key"]): _plain(pair.get("value")) for pair in pairs if _is_pair(pair)}


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, dict) and isinstance(pair.get("key"), str)


def _plain(value: Any, depth: int = 0) -> Any:
    """Returns the value of an AnyValue; other values stay as they are."""
    if not isinstance(value, dict) or len(value) != 1 or depth > _MAX_DEPTH:
        return value
    [(kind, inner)] = value.items()
    match kind:
        case "stringValue" | "string_value" | "boolValue" | "bool_value" | "doubleValue" | "double_value":
            return inner
        case "intValue" | "int_value":
            return int(inner) if isinstance(inner, str) and inner.lstrip("-").isdecimal() and len(inner) < 20 else inner
        case "arrayValue" | "array_value":
            values = inner.get("values") if isinstance(inner, dict) else None
            return [_plain(part, depth + 1) for part in values] if isinstance(values, list) else []
        case "kvlistValue" | "kvlist_value":
            pairs = inner.get("values") if isinstance(inner, dict) else None
            found = [pair for pair in pairs if _is_pair(pair)] if isinstance(pairs, list) else []
            return {pair["key"]: _plain(pair.get("value"), depth + 1) for pair in found}
        case "bytesValue" | "bytes_value":
            return _bytes(inner)
    return value


def _bytes(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True).decode("utf-8", "replace") if isinstance(value, str) else value
    except (binascii.Error, ValueError):
        return value
