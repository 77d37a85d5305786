"""Values inside other things become events: frames, base64 and hexadecimal digits, packed bytes, XML."""

from __future__ import annotations

import base64
import gzip
import json

import cramjam
import pytest

from logwarden.daemon.decoding.decoder import FAULT
from tests.oracles import LogRecord, default_decoder


def events(value: bytes) -> list[tuple[str, str]]:
    """Returns (text, service) of each line of a value."""
    found = default_decoder().decode([LogRecord(value)])
    return [(line.decode(), service) for line, service in zip(found.lines, found.services, strict=True)]


JSON = b'{"level":"error","message":"disk full"}'


@pytest.mark.parametrize(
    "value",
    [
        b"%d:%s,%d:%s," % (len(JSON), JSON, len(JSON), JSON),
        b"%d\n%s\n%d\n%s\n" % (len(JSON), JSON, len(JSON), JSON),
        (len(JSON).to_bytes(4, "big") + JSON) * 2,
        (b"\2\0\0\0" + len(JSON).to_bytes(4, "big") + JSON) * 2,
        JSON + b"\0" + JSON + b"\0",
        b"<27>1 - - db - - - disk full\0<27>1 - - db - - - disk full\0",
        b"2026-11-23 10:00:00 ERROR disk full\x002026-11-23 10:00:01 ERROR disk full\0",
    ],
    ids=["netstring", "a line before each", "four bytes", "container's stream", "zeros", "syslog", "text"],
)
def test_frames_are_taken_off(value: bytes) -> None:
    """A socket puts a size before each message, or a zero behind it."""
    found = events(value)
    assert len(found) == 2
    assert all("ERROR" in text and "disk full" in text and "{" not in text for text, _ in found)


@pytest.mark.parametrize(
    "value", [b"7:30 the night job failed,", b"12:a b,", b"404 {page} not found", b"\1\0\0\0\0\0\0\x05abc"]
)
def test_numbers_that_are_no_sizes_frame_nothing(value: bytes) -> None:
    """A text may begin with a number and end with a comma; only frames that fill the value are frames."""
    found = default_decoder().decode([LogRecord(value)])
    assert found.lines == [value] or len(found.dead) == 1


@pytest.mark.parametrize(
    "value",
    [
        base64.b64encode(b"ERROR disk full"),
        base64.b64encode(JSON),
        base64.urlsafe_b64encode(JSON).rstrip(b"="),
        base64.b64encode(gzip.compress(JSON)),
        b"ERROR disk full".hex().encode(),
        json.dumps({"message": base64.b64encode(b"ERROR disk full").decode()}).encode(),
        json.dumps({"message": base64.b64encode(JSON).decode()}).encode(),
        json.dumps(list(b"ERROR disk full")).encode(),
        gzip.compress(gzip.compress(JSON)),
        bytes(cramjam.snappy.compress(JSON)),
    ],
)
def test_a_text_in_disguise_is_read(value: bytes) -> None:
    """A bridge between systems carries text as base64, as hexadecimal digits, as numbers, or packed."""
    assert events(value) == [("ERROR disk full", "logs")]


@pytest.mark.parametrize(
    "value", [b"9f86d081884c7d659a2feaa0c55ad015", b"dGhlLXRva2VuLW9mLWEtdXNlcg==", b"2020202020202020", b"a" * 64]
)
def test_an_id_stays_what_it_is(value: bytes) -> None:
    """Hashes and tokens stand for no text with words."""
    assert events(value) == [(value.decode(), "logs")]


XML = {
    "Windows": (
        "<Event xmlns='http://schemas.example/event'><System><Provider Name='Disk'/><EventID Qualifiers='7'>51"
        "</EventID><Level>2</Level><TimeCreated SystemTime='2026-11-23T10:00:00.250Z'/></System>"
        "<EventData><Data>no space</Data></EventData></Event>",
        "ERROR Disk no space event_id=51",
    ),
    "log4j": (
        '<log4j:event logger="a.B" timestamp="1795428000250" level="ERROR" thread="main">'
        "<log4j:message><![CDATA[no space]]></log4j:message></log4j:event>",
        "ERROR no space",
    ),
    "Java": (
        "<record><date>2026-11-23T10:00:00.250Z</date><level>SEVERE</level><message>no space</message></record>",
        "ERROR no space",
    ),
}


@pytest.mark.parametrize("name", XML)
def test_an_event_in_xml_is_read(name: str) -> None:
    """Level, text and time of the event come out of its elements."""
    value, text = XML[name]
    found = default_decoder().decode([LogRecord(value.encode())])
    assert (found.lines, found.timestamps) == ([text.encode()], [1_795_428_000_250])


@pytest.mark.parametrize("value", [b"<b>not XML</i>", b"<!DOCTYPE x><record><message>y</message></record>", b"<Event>"])
def test_other_xml_is_text(value: bytes) -> None:
    """Markup, torn events and documents that define entities are lines."""
    assert events(value) == [(value.decode(), "logs")]


@pytest.mark.parametrize(
    "value",
    [
        b'<Event><System><Level a="1"><b/></Level><EventID>7</EventID></System></Event>',
        b'<Event><System><Channel><c/></Channel><Computer a="1"/></System><RenderingInfo><Message><m/></Message>'
        b"</RenderingInfo></Event>",
        b"<Event><System><Provider><Name><n/></Name></Provider></System></Event>",
        b'<?xml version="1.0" encoding="none-such"?><Event><a>b</a></Event>',
        b"<Event>" * 18_000 + b"x" + b"</Event>" * 18_000,
    ],
)
def test_xml_of_another_shape_is_no_error(value: bytes) -> None:
    """A member where a text is usual, an unknown charset or deep nesting never ends the daemon."""
    found = default_decoder().decode([LogRecord(value), LogRecord(b"after")])
    assert found.lines[-1] == b"after"
    assert {*found.places, *found.blank, *(place for place, _ in found.dead)} == {0, 1}
    assert FAULT not in {letter.stage for _, letter in found.dead}


ALIKE = """<Event xmlns='http://schemas.example/event'><System><Provider Name='Logon'/><Level>2</Level></System>
<EventData>
<Data Name='user'>anna</Data><Data Name='reason'>account locked</Data><Data>first</Data><Data>second</Data>
</EventData></Event>"""


def test_elements_of_one_name_are_all_read() -> None:
    """The data of a Windows event are elements of one name, and the message of some loggers has several parts."""
    parts = b"<event><level>error</level><message>disk full</message><message>on sda</message></event>"
    found = default_decoder().decode([LogRecord(ALIKE.encode()), LogRecord(parts)])
    assert found.lines == [b'ERROR Logon user=anna reason="account locked" first second', b"ERROR disk full on sda"]


def test_an_event_of_very_many_alike_elements_is_bounded() -> None:
    """A hostile event with thousands of elements of one name becomes a line of a bounded length."""
    value = b"<event><message>x</message>" + b"<message>y</message>" * 5_000 + b"</event>"
    found = default_decoder().decode([LogRecord(value)])
    assert [len(line) < 200 for line in found.lines] == [True]


@pytest.mark.parametrize("line", [b"[10] [20] started", b"[10][20] started", b"[0.5] [2] x y", b"[1]\n[2]\nx y"])
def test_numbers_in_brackets_are_text(line: bytes) -> None:
    """Threads and processes in brackets before a message are no documents of JSON."""
    found = default_decoder().decode([LogRecord(line)])
    assert (found.lines, found.dead) == ([b" ".join(line.split())], [])
