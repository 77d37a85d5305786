"""A format pinned to a topic reads what recognition reads of it, and dead-letters what is not of it."""

from __future__ import annotations

import gzip
import json
from typing import get_args

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from logwarden.daemon.decoding import pinned
from logwarden.daemon.decoding.decoder import Decoded
from logwarden.daemon.records import InputFormat
from tests.oracles import LogRecord, default_decoder

BATCH = {
    "resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": 17, "body": {"stringValue": "no stock"}}]}]}]
}
_PROTOBUF = LogsData()
_PROTOBUF.resource_logs.add().scope_logs.add().log_records.add(severity_number=17).body.string_value = "no stock"

SAMPLES: dict[InputFormat, tuple[bytes, bytes]] = {
    "json": (b'{"level": "error", "message": "no stock"}', b"ERROR no stock"),
    "otlp": (json.dumps(BATCH).encode(), b"ERROR no stock"),
    "xml": (b"<log><level>ERROR</level><message>no stock</message></log>", b"ERROR no stock"),
    "syslog": (b"<27>1 2026-11-23T10:00:01Z web till 71 - - no stock", b"ERROR till: no stock"),
    "cri": (b"2026-11-23T10:00:01.123456789Z stderr F no stock", b"no stock"),
    "logfmt": (b'level=error msg="no stock" order=17', b"ERROR no stock order=17"),
    "access": (
        b'192.0.2.7 - - [23/Nov/2026:10:00:00 +0000] "GET /cart?a=1 HTTP/1.1" 502 157 "-" "curl/8"',
        b"GET /cart status=502 client=192.0.2.7",
    ),
    "w3c": (
        b"2026-11-23 10:00:01 10.0.0.1 GET /cart - 443 - 192.0.2.7 curl - 500 0 64 12",
        b"GET /cart status=500 win32_status=64",
    ),
    "cef": (b"CEF:0|V|Wall|4|7|Worm found|9|act=blocked", b"CRITICAL V Wall Worm found act=blocked"),
    "leef": (b"LEEF:2.0|V|Wall|4|LoginFailed|^|sev=8^cat=auth", b"ERROR V Wall LoginFailed cat=auth"),
    "glog": (b"E1123 10:00:00.500000       1 sync.go:14] no stock", b"ERROR sync.go:14] no stock"),
}
"""Of each format a value, and the text of its event."""
BOTH = {("otlp", "json"), ("w3c", "access")}
"""Pairs (format of a value, pinned format) of which the value is both."""


def decoded(form: InputFormat, *values: bytes) -> Decoded:
    return default_decoder(form=form).decode([LogRecord(value) for value in values])


def test_every_format_has_a_sample() -> None:
    """A new format without a sample would go untested."""
    with_schema = {"avro", "protobuf"}  # their samples are in test_schemas.py
    assert SAMPLES.keys() == set(get_args(InputFormat)) - {"auto", "raw"} - with_schema
    assert SAMPLES.keys() - {"json"} == pinned.FORMATS - with_schema


@pytest.mark.parametrize("form", SAMPLES)
def test_a_pinned_format_reads_what_recognition_reads(form: InputFormat) -> None:
    """Text, service and time do not depend on whether a format was pinned or recognized."""
    value, text = SAMPLES[form]
    found, recognized = decoded(form, value), decoded("auto", value)
    assert (found.lines, found.dead) == ([text], [])
    assert found.services == recognized.services
    assert (found.lines, found.timestamps) == (recognized.lines, recognized.timestamps)


@pytest.mark.parametrize("form", SAMPLES)
def test_a_value_of_another_format_is_a_dead_letter(form: InputFormat) -> None:
    """A pinned format reads nothing else, plain text neither, and its neighbours are not harmed."""
    own, text = SAMPLES[form]
    others = [value for name, (value, _) in SAMPLES.items() if name != form and (name, form) not in BOTH]
    values = [own, b"plain words", *others, own]
    found = decoded(form, *values)
    assert [place for place, _ in found.dead] == list(range(1, len(values) - 1))
    assert found.lines == [text, text]
    assert {letter.stage for _, letter in found.dead} <= {"format", "json"}
    assert not any("\n" in letter.reason for _, letter in found.dead)


def test_the_reason_names_the_format() -> None:
    """The operator reads in the dead letter which promise was broken."""
    [(_, letter)] = decoded("cef", b"plain words").dead
    assert letter.reason == "the value is not CEF, and this format is pinned to its topic"


@pytest.mark.parametrize("form", ["syslog", "logfmt", "otlp", "xml", "w3c"])
def test_a_blank_value_stays_blank(form: InputFormat) -> None:
    """An empty record is no broken promise."""
    assert decoded(form, b"", b" \n", b"\0").blank == [0, 1, 2]


def test_protobuf_is_otlp_and_not_json() -> None:
    """OTLP has two spellings, of which a topic of JSON has only one."""
    value = _PROTOBUF.SerializeToString()
    assert decoded("otlp", value).lines == [b"ERROR no stock"]
    assert len(decoded("json", value).dead) == 1


def test_a_packed_value_is_read_in_its_format() -> None:
    """A producer that packs its values still writes the format of the topic."""
    found = decoded("logfmt", gzip.compress(SAMPLES["logfmt"][0]), gzip.compress(b"plain words"))
    assert (found.lines, len(found.dead)) == ([SAMPLES["logfmt"][1]], 1)


@pytest.mark.parametrize("form", ["access", "logfmt", "cef", "glog"])
def test_contents_may_be_in_the_frame_of_a_transport(form: InputFormat) -> None:
    """A container's log in logfmt is logfmt, and a firewall sends CEF by syslog."""
    value, text = SAMPLES[form]
    found = decoded(form, b"2026-11-23T10:00:01.1Z stdout F " + value, b"<13>" + value)
    assert [line.removeprefix(b"NOTICE ") for line in found.lines] == [text, text]


def test_the_frame_of_a_transport_may_contain_anything() -> None:
    """Containers of one topic write what they like, and syslog carries JSON."""
    frame = b"2026-11-23T10:00:01.1Z stdout F "
    found = decoded("cri", *(frame + SAMPLES[name][0] for name in ("json", "logfmt", "access")))
    assert found.lines == [SAMPLES[name][1] for name in ("json", "logfmt", "access")]


def test_a_promised_pair_is_logfmt() -> None:
    """One pair could be part of any sentence; in a topic of logfmt it is the event."""
    assert decoded("auto", b"ready=yes").lines == [b"ready=yes"]
    assert decoded("logfmt", b"event=ready", b"ready=yes").lines == [b"ready", b"ready=yes"]
    assert len(decoded("logfmt", b"it is ready=yes").dead) == 1


def test_a_request_without_a_status_is_no_access_log() -> None:
    """A line that only names a path says nothing of an answer."""
    found = decoded("access", b"GET /cart?a=1 begins")
    assert (found.lines, len(found.dead)) == ([], 1)


def test_a_broken_line_does_not_take_its_neighbours_along() -> None:
    """Of a value of several events the good ones are read, and the record is named."""
    values = SAMPLES["access"][0] + b"\n2026-11-23 10:00:01 started\n" + SAMPLES["access"][0]
    found = decoded("access", values)
    assert found.lines == [SAMPLES["access"][1]] * 2
    [(_, letter)] = found.dead
    assert letter.reason == "1 of 3 lines are not an access log with a request and its status, the first is line 2"


def test_named_columns_are_read_and_other_lines_named() -> None:
    """A file of an extended log states its columns; a line that has none of them is broken."""
    head = b"#Version: 1.0\n#Fields: date time cs-method cs-uri-stem sc-status\n"
    found = decoded("w3c", head + b"2026-11-23 10:00:01 GET /cart 500\nwhat is this", b"#Software: x")
    assert found.lines == [b"GET /cart status=500"]
    assert [place for place, _ in found.dead] == [0]
    assert found.blank == [1]


def test_documents_that_are_no_logs_are_named() -> None:
    """A file of OTLP has a batch a line; another document between them is broken."""
    batch = json.dumps(BATCH).encode()
    found = decoded("otlp", batch + b"\n" + b'{"message": "x"}\n' + batch)
    assert found.lines == [b"ERROR no stock"] * 2
    assert [letter.reason for _, letter in found.dead] == ["1 of 3 documents are no logs of OpenTelemetry"]


def test_a_line_of_text_among_promised_json_is_named() -> None:
    """Recognition reads a line between objects as text; a promise of JSON does not."""
    value = b'{"message": "a"}\nplain words\n{"message": "b"}'
    assert decoded("auto", value).lines == [b"a", b"plain words", b"b"]
    found = decoded("json", value)
    assert found.lines == [b"a", b"b"]
    assert [letter.reason for _, letter in found.dead] == ["document 2: it is a line of text, not JSON"]


def test_a_line_longer_than_any_format_is_refused() -> None:
    """No reader of a format takes a line of any length."""
    assert len(decoded("logfmt", b"a=" + b"x" * 70_000).dead) == 1
