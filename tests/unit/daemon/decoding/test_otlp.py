"""OpenTelemetry's logs as its SDKs and collectors send them to Kafka: JSON and protobuf."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from logwarden.daemon.decoding import otlp
from logwarden.daemon.decoding.event import Reading
from logwarden.daemon.decoding.structured import StructuredReader
from tests.oracles import LogRecord, default_decoder, json_reader


def pairs(**values: object) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    return [{"key": key.replace("__", "."), "value": {kinds[type(value)]: value}} for key, value in values.items()]


def batch(*records: object, **resource: object) -> dict[str, Any]:
    scopes = [{"scope": {"name": "x"}, "logRecords": list(records)}]
    return {"resourceLogs": [{"resource": {"attributes": pairs(**resource)}, "scopeLogs": scopes}]}


FAILED = {
    "timeUnixNano": "1767323045678000000",
    "severityNumber": 17,
    "body": {"stringValue": "no route"},
    "attributes": pairs(exception__type="IOError", exception__message="net down", http__response__status_code=503),
}
BODIES: list[tuple[dict[str, Any], str]] = [
    ({"stringValue": "text"}, "text"),
    ({"boolValue": False}, "false"),
    ({"intValue": "7"}, "7"),
    ({"doubleValue": 0.5}, "0.5"),
    ({"bytesValue": "aGVsbG8="}, "hello"),
    ({"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}}, "a 1"),
    ({"kvlistValue": {"values": [{"key": "message", "value": {"stringValue": "inner"}}]}}, "inner"),
    ({"kvlistValue": {"values": [{"key": "zone", "value": {"stringValue": "b"}}]}}, "message.zone=b"),
]


def read(value: dict[str, Any], *, protobuf: bool) -> Reading:
    reader = StructuredReader(json_reader())
    packed = ParseDict(value, LogsData()).SerializeToString() if protobuf else json.dumps(value).encode()
    reading = reader.read_protobuf(packed) if protobuf else reader.read(packed)
    assert reading is not None
    return reading


@pytest.mark.parametrize("protobuf", [False, True])
def test_a_log_record_is_read_with_its_resource(protobuf: bool) -> None:
    """Severity, exception, status, time and the resource's service are found in both encodings."""
    [event] = read(batch(FAILED, service__name="cart"), protobuf=protobuf).events
    assert event.text == b"ERROR no route: IOError: net down status=503"
    assert (event.service, event.at_ms) == ("cart", 1_767_323_045_678)


@pytest.mark.parametrize("protobuf", [False, True])
@pytest.mark.parametrize(("body", "text"), BODIES)
def test_a_body_may_be_of_any_kind(body: dict[str, Any], text: str, protobuf: bool) -> None:
    """A body is a text, a number, bytes, a list or an object."""
    [event] = read(batch({"body": body}), protobuf=protobuf).events
    assert event.text.decode() == text


def test_a_broken_log_record_costs_itself_only() -> None:
    """Its neighbours are read, and the reason names its place."""
    reading = read(batch({"body": {"stringValue": "a"}}, 7, {}, {"body": {"stringValue": "b"}}), protobuf=False)
    assert [event.text for event in reading.events] == [b"a", b"b"]
    assert reading.broken == "2 of 4 log records cannot be read, log record 2: the log record is no object"


def test_a_log_record_may_come_alone() -> None:
    """Some exporters send one record without a batch around it."""
    [event] = read(FAILED, protobuf=False).events
    assert event.text == b"ERROR no route: IOError: net down status=503"


def test_the_decoder_knows_protobuf_by_its_content() -> None:
    """A topic may carry protobuf beside text, packed or not, and no setting names it."""
    value = ParseDict(batch(FAILED, service__name="cart"), LogsData()).SerializeToString()
    found = default_decoder().decode([LogRecord(value), LogRecord(gzip.compress(value)), LogRecord(b"text")])
    assert found.lines == [b"ERROR no route: IOError: net down status=503"] * 2 + [b"text"]
    assert (found.services, found.dead) == (["cart", "cart", "logs"], [])


def test_only_logs_are_taken_for_logs() -> None:
    """Text, broken batches and traces have another form in protobuf, or none."""
    whole = ParseDict(batch(FAILED), LogsData()).SerializeToString()
    assert otlp.from_protobuf(whole) is not None
    traces = TracesData()
    empty = ParseDict(batch(service__name="cart"), LogsData()).SerializeToString()
    span = traces.resource_spans.add().scope_spans.add().spans.add()
    span.name, span.trace_id, span.start_time_unix_nano = "x", b"1" * 16, 7
    others = [
        traces.SerializeToString(),
        empty,
        whole[:-2],
        whole + b"x",
        b"\n",
        b"\nwords\n",
        b"\n\x05hello",
        b"\n\x02\n\x00",
        b"",
    ]
    assert [otlp.from_protobuf(value) for value in others] == [None] * len(others)
