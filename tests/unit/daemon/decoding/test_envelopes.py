"""Batches as clouds, shippers and brokers send them: each event of a batch is a line, and a broken one costs itself."""

from __future__ import annotations

import base64
import json

import pytest

from logwarden.daemon.decoding.decoder import Decoded
from tests.oracles import LogRecord, default_decoder

A, B = {"message": "all fine"}, {"level": "error", "message": "disk full"}
LINES = ["all fine", "ERROR disk full"]


def packed(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


BATCHES: dict[str, object] = {
    "array": [A, B],
    "NDJSON": f"{json.dumps(A)}\n{json.dumps(B)}\n",
    "NDJSON with blank lines": f"\n{json.dumps(A)}\r\n\r\n{json.dumps(B)}",
    "one after another": json.dumps(A) + json.dumps(B),
    "JSON text sequence": f"\x1e{json.dumps(A)}\n\x1e{json.dumps(B)}\n",
    "pretty-printed, one after another": json.dumps(A, indent=1) + "\n" + json.dumps(B, indent=1),
    "records": {"records": [A, B]},
    "records of texts": {"records": ["all fine", json.dumps(B)]},
    "CloudWatch": {"messageType": "DATA_MESSAGE", "logGroup": "/aws/x", "logEvents": [A, {"id": "1", **B}]},
    "events": {"events": [A, B], "source": "x"},
    "logs": {"logs": [A, B]},
    "Loki": {
        "streams": [
            {"stream": {}, "values": [["1", "all fine"]]},
            {"stream": {"level": "error"}, "values": [["2", "disk full"]]},
        ]
    },
    "Kafka Connect": {"schema": {"type": "struct"}, "payload": [A, B]},
    "CloudEvents": {"specversion": "1.0", "id": "7", "type": "t", "source": "/x", "data": [A, B]},
    "CloudEvents, packed": {"specversion": "1.0", "id": "7", "source": "/x", "data_base64": packed([A, B])},
    "Kinesis": {"Records": [{"kinesis": {"data": packed(A)}}, {"kinesis": {"data": packed(B)}}]},
    "Firehose": {"records": [{"recordId": "1", "data": packed(A)}, {"recordId": "2", "data": packed(B)}]},
    "SNS": {"Records": [{"Sns": {"Message": json.dumps(A)}}, {"Sns": {"Message": json.dumps(B)}}]},
    "search hits": {"took": 1, "hits": {"hits": [{"_index": "i", "_source": A}, {"_index": "i", "_source": B}]}},
    "bulk request": f'{{"index":{{"_index":"i"}}}}\n{json.dumps(A)}\n{{"create":{{}}}}\n{json.dumps(B)}\n',
    "HEC": f'{{"event":"all fine","sourcetype":"x"}}{json.dumps({"event": B})}',
    "events that wrap their data": {"events": [{"data": A}, {"data": B}]},
    "Fluent Bit": f"[1700000000.5,{json.dumps(A)}]\n[1700000001.5,{json.dumps(B)}]",
    "Fluentd": ["app.tag", [[1_700_000_000, A], [1_700_000_001, B]]],
    "batch in a batch": {"records": [{"records": [A]}, {"records": [B]}]},
}


def decoded(value: object) -> Decoded:
    text = value if isinstance(value, str) else json.dumps(value)
    return default_decoder().decode([LogRecord(b"before"), LogRecord(text.encode()), LogRecord(b"after")])


@pytest.mark.parametrize("name", BATCHES)
def test_each_event_of_a_batch_is_a_line(name: str) -> None:
    """No configuration names the batch."""
    found = decoded(BATCHES[name])
    assert [line.decode() for line in found.lines] == ["before", *LINES, "after"]
    assert (found.index, found.dead) == ([0, 0, 1, 0], [])


BROKEN: dict[str, tuple[object, list[str], str]] = {
    "array": ([A, 7, B], LINES, "element 2: the element is a JSON int, not an object"),
    "empty object": ([A, {}, B], LINES, "element 2: the JSON object contains no text and no fields to show"),
    "NDJSON": (
        f'{json.dumps(A)}\n{{"a" b}}\n{json.dumps(B)}',
        LINES,
        "1 of 3 documents are not JSON, the first is document 2",
    ),
    "NDJSON, first": (
        f'{{"a" b}}\n{json.dumps(A)}\n{json.dumps(B)}',
        LINES,
        "1 of 3 documents are not JSON, the first is document 1",
    ),
    "records": (
        {"records": [A, {"labels": {}}, {"x": []}, B]},
        LINES,
        "2 of 4 elements cannot be read, records element 2: ",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_event_costs_itself_only(name: str) -> None:
    """Its neighbours are read; the record gets one dead letter, whose reason counts and names what is broken."""
    value, lines, reason = BROKEN[name]
    found = decoded(value)
    assert [line.decode() for line in found.lines] == ["before", *lines, "after"]
    [(place, letter)] = found.dead
    assert (place, letter.stage, found.blank) == (1, "element", [])
    assert letter.reason.startswith(reason)


def test_text_between_json_lines_is_a_line() -> None:
    """A process prints a warning between its JSON lines."""
    found = decoded(f"{json.dumps(A)}\nwarning: low on memory\n{json.dumps(B)}")
    assert [line.decode() for line in found.lines[1:-1]] == [LINES[0], "warning: low on memory", LINES[1]]


def test_fields_of_a_batch_count_for_its_events() -> None:
    """Service and time of a batch are those of its events, unless an event has its own."""
    found = decoded({"service": "shop", "time": 1_600_000_000, "logs": [A, {**B, "service": "cart"}]})
    assert found.services[1:3] == ["shop", "cart"]
    assert found.timestamps[1:3] == [1_600_000_000_000] * 2
    group = decoded({"messageType": "DATA_MESSAGE", "logGroup": "/aws/lambda/cart", "logEvents": [{"message": "x"}]})
    assert group.services[1] == "cart"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"message": "order placed", "items": [{"sku": 1, "status": "new"}]}, "order placed"),
        ({"order": 7, "items": [{"sku": 1}]}, "order=7"),
        ({"message": "x", "events": [{"message": "y"}]}, "x"),
        ({"message": "x", "data": "aGVsbG8gd29ybGQ="}, "x"),
        ({"data": "password"}, "password"),
    ],
)
def test_a_list_inside_an_event_makes_no_batch(event: dict[str, object], line: str) -> None:
    """An event with a message of its own, or with a list of other things, is one event."""
    assert [text.decode() for text in decoded(event).lines[1:-1]] == [line]


def test_many_small_documents_take_time_in_proportion() -> None:
    """A megabyte of documents in one line is read once, not once per document."""
    found = decoded('{"a":1}' * 60_000)
    assert len(found.lines) == 60_002
