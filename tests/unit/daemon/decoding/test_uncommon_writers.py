"""Values as uncommon writers make them: points of time series, levels among tags, errors alone, statuses in pairs."""

from __future__ import annotations

import json

import pytest

from logwarden.daemon.decoding import line_protocol
from logwarden.daemon.decoding.line_times import leading_ms
from logwarden.daemon.decoding.times import time_ms
from tests.oracles import LogRecord, default_decoder
from tests.unit.daemon.decoding.test_rare_writers import lines_of

AT = 1_795_430_000_500
"""2026-11-23T10:33:20.500Z."""
FIRING = {
    "status": "firing",
    "labels": {"severity": "critical"},
    "annotations": {"summary": "no plums left"},
    "startsAt": "2026-11-23T10:33:20.500Z",
}
POINT = (
    'shed,appname=orchard,severity=err,room=no\\ 7 message="no \\"red\\" plums",row="7",count=3i 1795430000500000000'
)


def test_a_point_with_a_text_is_an_event() -> None:
    """Telegraf writes syslog into a topic as points: tags, fields, nanoseconds."""
    decoded = default_decoder().decode([LogRecord(POINT.encode())])
    assert decoded.lines == [b'ERROR no "red" plums']
    assert (decoded.services, decoded.timestamps) == (["orchard"], [AT])


@pytest.mark.parametrize(
    "line",
    [
        "shed,room=7 plums=3i,pears=4i 1795430000500000000",
        'shed,room=7 message="no plums" and more 1795430000500000000',
        "rows a,b=c went 1795430000500000000",
        'shed message="no plums" 1795430000500000000',
    ],
)
def test_a_point_of_numbers_and_other_text_stay_lines(line: str) -> None:
    """A metric has no text, and words between the fields are no point."""
    assert line_protocol.document_of(line) is None
    assert lines_of(line) == [line]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"tags": ["error", "shed", "row"], "message": "no plums"}, "ERROR no plums"),
        ({"tags": ["shed", "error"], "message": "no plums"}, "no plums"),
        ({"error": {"class": "FrostError", "message": "no plums"}, "server": {"pid": 7}}, "ERROR FrostError: no plums"),
        ({"body": {"type": "text", "text": {"text": "no plums"}}, "service": "shed"}, "no plums"),
        ({"log": '\ufeff{"level":"error","message":"no plums"}'}, "ERROR no plums"),
        (
            {"kind": "shed.done", "record": {"row": 7, "status": "frozen"}},
            "record.row=7 record.status=frozen kind=shed.done",
        ),
        ('<?xml version="1.0"?><log level="error">no plums</log>', "ERROR no plums"),
        ('<log level="warn" time="2026-11-23T10:33:20Z">no plums</log>', "WARNING no plums"),
    ],
)
def test_what_is_stated_in_another_place_is_read(value: object, line: str) -> None:
    """The level is the first tag, the error is the whole record, the text stands between tags or behind a mark."""
    assert [" ".join(sorted(text.split())) for text in lines_of(value)] == [" ".join(sorted(line.split()))]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("2026-11-23 10:33:20.500 [7] main/101/shed.lua E> no plums", "ERROR main/101/shed.lua: no plums"),
        ("2026-11-23 10:33:20.500 [7] main/101/shed.lua > no plums", None),
        ("rid=7 GET /plums?row=7 rt=0.200 up=502 300b", "rid=7 GET /plums rt=0.200 status=502 300b"),
        ("rid=7 GET /plums rows=404 size=200", None),
        (
            '192.0.2.7 - - [23/Nov/2026:10:33:20 +0000] "POST /shed HTTP/1.1" 200 3 Send client-error-not-possible',
            "POST /shed status=200 client=192.0.2.7 client-error-not-possible",
        ),
        (
            '192.0.2.7 - - [23/Nov/2026:10:33:20 +0000] "POST /shed HTTP/1.1" 200 350 Send-Row successful-ok',
            "POST /shed status=200 client=192.0.2.7",
        ),
    ],
)
def test_a_letter_a_short_key_and_a_word_behind_the_size_are_read(line: str, text: str | None) -> None:
    """A letter before a bracket is the level, a short key its status, a word of failure the outcome."""
    assert lines_of(line) == [text or line]


@pytest.mark.parametrize(
    "line",
    [
        "[2026.11.23-10.33.20:500][123]Shed: open",
        "20261123 103320.500 INFO shed open",
        "t=1795430000.5 INFO shed open",
        "ts=1795430000.500 shed open",
    ],
)
def test_a_time_at_the_head_is_read_without_colons(line: str) -> None:
    """Points part hours and minutes, nothing parts them, or the head is a pair."""
    assert leading_ms(line.encode()) == AT
    assert default_decoder().decode([LogRecord(line.encode())]).timestamps == [AT]


@pytest.mark.parametrize(
    "written",
    [
        "Mon Nov 23 10:33:20 2026 UTC",
        "Mon Nov 23 11:33:20 CET 2026",
        "23 novembre 2026 10:33:20",
        "2026-11-23:10:33:20",
        "2026-11-23  10:33:20",
        "2026.11.23 10.33.20",
        "Mon Nov 23 10:33:20 +0000 2026",
        "11/23/2026 10:33:20AM",
    ],
)
def test_a_field_is_read_in_the_forms_of_lines(written: str) -> None:
    """What people write at the head of a line they write into a field as well."""
    assert time_ms(written) == AT - 500
    assert time_ms(f"{written} and more") is None


def test_a_field_named_after_the_time_counts_where_the_known_ones_have_none() -> None:
    """An epoch of 0 is no time, and the day in another field is."""
    event = b'{"message":"open","epoch":0,"calendarTime":"Mon Nov 23 10:33:20 2026 UTC"}'
    assert default_decoder().decode([LogRecord(event)]).timestamps == [AT - 500]
    assert default_decoder().decode([LogRecord(event)] * 3).timestamps == [AT - 500] * 3


@pytest.mark.parametrize(
    ("line", "near", "at"),
    [
        ("20261123:10:33:20 shed open", -1, AT - 500),
        ("2026/11/23-10:33:20.500 shed open", -1, AT),
        ("[shed:error,2026-11-23T10:33:20.500Z,row:7]open", -1, AT),
        ("11/23/26 10:33:20 shed open", -1, AT - 500),
        ("11/12/26 10:33:20 shed open", 1_794_480_000_000, 1_794_479_600_000),
        ("26/11/12 10:33:20 shed open", 1_794_480_000_000, 1_794_479_600_000),
        ("Feb 12 10:33:20 shed open", 1_794_480_000_000, 1_770_892_400_000),  # nine months ago, not in three
        ("Nov 13 10:33:20 shed open", 1_794_480_000_000, 1_794_566_000_000),  # a clock or zone ahead of the record's
    ],
)
def test_days_and_years_are_found_in_every_order(line: str, near: int, at: int) -> None:
    """Of a year of two digits the record's own time tells the place."""
    assert leading_ms(line.encode(), near) == at
    assert default_decoder().decode([LogRecord(line.encode(), timestamp=near)]).timestamps == [at]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"error": "invalid_grant", "error_description": "no plums here"}, "ERROR invalid_grant: no plums here"),
        ({"error": "States.Failed", "cause": "no plums", "type": "Failed"}, "ERROR States.Failed: no plums"),
        ({"error": "no plums", "cause": "frost"}, "ERROR no plums"),
        ({"detail": {"severity": 8, "title": "no plums", "description": "as in any winter"}}, "no plums"),
        ({"detail": {"severity": 3, "title": "no plums"}}, "ERROR no plums"),
    ],
)
def test_a_name_and_a_text_of_an_error_are_one(value: object, line: str) -> None:
    """Identity providers and workflows name the error in one field and describe it in another."""
    assert lines_of(value) == [line]


def test_batches_and_services_are_found_under_other_names() -> None:
    """A log service lists entries, a syslog reader nests the program, an agent puts the time among headers."""
    entries = {"shed": "a", "logEntries": [{"timestamp": AT, "severity": 5, "text": "no plums"}, {"text": "ripe"}]}
    assert [line.rpartition("NOTICE ")[2] for line in lines_of(entries)] == ["no plums", "ripe"]
    record = LogRecord(b'{"headers":{"timestamp":"1795430000500"},"body":"no plums","syslog":{"appname":"orchard"}}')
    decoded = default_decoder().decode([record])
    assert (decoded.lines, decoded.services, decoded.timestamps) == ([b"no plums"], ["orchard"], [AT])


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"grpc": {"status": "UNAVAILABLE"}, "msg": "row asked"}, "row asked status=UNAVAILABLE"),
        ({"status": "firing", "alerts": [FIRING], "version": "4"}, "CRITICAL no plums left status=firing"),
        ({"error": {"id": "a", "exception": [{"type": "Frost", "message": "no plums"}]}}, "ERROR Frost: no plums"),
        (
            {"error": {"exception": [{"message": "no plums"}], "log": {"level": "error", "message": "row failed"}}},
            "ERROR row failed: no plums",
        ),
        (
            {"detail-type": "Row State", "detail": {"status": "FAILED", "statusReason": "no plums"}},
            "Row State: no plums status=FAILED",
        ),
        ({"action": "completed", "workflow_run": {"conclusion": "failure"}}, "completed conclusion=failure"),
        ({"action": "completed", "workflow_run": {"conclusion": "success"}}, "completed"),
        ("[2026-11-23 10:33:20,500 E 12 7] row.cc:158: no plums", "ERROR row.cc:158: no plums"),
        ("[2026-11-23 10:33:20,500 x 12 7] row.cc:158: no plums", None),
    ],
)
def test_outcomes_of_alarms_runs_and_jobs_are_read(value: object, line: str | None) -> None:
    """Alert managers, workflows, batches and agents of traces state the cause in places of their own."""
    assert lines_of(value) == [line or value]


def test_a_service_of_compose_counts_before_a_tag() -> None:
    """Docker adds both as attributes; the tag is free text."""
    record = LogRecord(b'{"message":"ripe","attrs":{"tag":"x","com.docker.compose.service":"orchard"}}')
    assert default_decoder().decode([record]).services == ["orchard"]


@pytest.mark.parametrize(
    "event",
    [{"clock": AT // 1000, "ns": 7}, {"time": {"seconds": AT // 1000, "nanoseconds": 500_000_000}}],
)
def test_a_clock_and_nanoseconds_are_a_time(event: dict[str, object]) -> None:
    """A monitor names it after the clock, and a library spells its parts out."""
    decoded = default_decoder().decode([LogRecord(json.dumps({"message": "ripe", **event}).encode())])
    assert decoded.timestamps[0] // 1000 == AT // 1000
    assert ("time" in event) == (decoded.timestamps == [AT])


def test_microseconds_at_the_head_are_a_time() -> None:
    """Sixteen digits are microseconds; nineteen may be an id, and are none."""
    assert leading_ms(b"1795430000500000 INFO shed open") == AT
    assert leading_ms(b"1783456789012345678 INFO shed open") is None


def test_marks_are_taken_off_however_many_there_are() -> None:
    """A file with a mark was written into one that had its own."""
    assert lines_of(b"\xef\xbb\xbf" * 3 + b'{"level":"error","message":"no plums"}') == ["ERROR no plums"]
