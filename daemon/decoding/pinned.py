"""Reads text of a format that the operator pinned to a topic, and of no other: what is not of it is named as broken.

A line is read as it is where the format is recognized. Without the doubt, one pair of logfmt is an event.
"""

from __future__ import annotations

from datetime import tzinfo

from logwarden.daemon.decoding import framing, w3c
from logwarden.daemon.decoding.event import LogEvent, Reading
from logwarden.daemon.decoding.text import MAX_FORMAT_BYTES, ReadJson, columns_of, read_promised
from logwarden.daemon.errors import UndecodableRecord

STAGE = "format"
"""Stage of the dead letter of a record that is not of the format pinned to its topic."""
_WORDS = {
    "otlp": "a batch of OpenTelemetry's logs",
    "xml": "an event in XML",
    "avro": "in the frame of a schema registry, as Avro of this topic is",
    "protobuf": "in the frame of a schema registry, as Protobuf of this topic is",
    "syslog": "syslog with a priority at its begin",
    "cri": "a line in the frame of a container runtime",
    "logfmt": "logfmt",
    "access": "an access log with a request and its status",
    "w3c": "of the W3C's extended log format",
    "cef": "CEF",
    "leef": "LEEF",
    "glog": "a line with a letter for its level",
}
FORMATS = frozenset(_WORDS)


def refusal(format: str) -> UndecodableRecord:
    """Returns the error of a value that is not of its topic's format."""
    return UndecodableRecord(STAGE, f"the value is not {_WORDS[format]}, and this format is pinned to its topic")


def read_lines(value: bytes, format: str, near_ms: int, zone: tzinfo, read_json: ReadJson) -> Reading:
    """Returns the events of a value of UTF-8 text without control characters.

    Raises UndecodableRecord if no line of it is of the format.
    """
    if format == "w3c" and w3c.names_columns(value) and len(value) <= MAX_FORMAT_BYTES:
        found = columns_of(value, near_ms, zone, lambda line: _event(line, format, near_ms, zone, read_json))
    else:
        found = [_event(part, format, near_ms, zone, read_json) for part in framing.split(value)]
    events = [event for event in found if event is not None]
    bad = len(found) - len(events)
    if not bad:
        return Reading(events)
    if bad == len(found) or not any(event.text for event in events):
        raise refusal(format)
    return Reading(events, f"{bad} of {len(found)} lines are not {_WORDS[format]}, the first is line {_first(found)}")


def _event(line: bytes, format: str, near_ms: int, zone: tzinfo, read_json: ReadJson) -> LogEvent | None:
    bare = line.strip()
    if not bare:
        return LogEvent(bare)
    return None if len(bare) > MAX_FORMAT_BYTES else read_promised(bare, format, near_ms, zone, read_json)


def _first(found: list[LogEvent | None]) -> int:
    return 1 + found.index(None)
