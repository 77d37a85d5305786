"""Turns text into events: tries the formats whose marks a line has, and leaves every other line as it is.

Owns the order of the formats. Knows nothing of records, charsets and JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from functools import partial
from typing import TypeVar

from logwarden.daemon.decoding import (
    access_log,
    containers,
    framing,
    letters,
    logfmt,
    printed,
    security_events,
    syslog,
    terminal,
    w3c,
)
from logwarden.daemon.decoding.event import Frame, LogEvent, level_in, with_level
from logwarden.daemon.decoding.line_shapes import NO_TIME, is_counted
from logwarden.daemon.decoding.line_times import UNTIMED, leading_ms, moment_ms
from logwarden.daemon.decoding.plain_lines import plain_ms

E = TypeVar("E")
_NO_FRAME = Frame("")
ReadJson = Callable[[bytes], LogEvent | None]
"""Reads an object inside a frame; None for a text that is none."""

MAX_FORMAT_BYTES = 65_536
"""A longer line is plain text: no format has such lines, and reading one would keep the others waiting."""


def read_text(text: str, *, near_ms: int = -1, zone: tzinfo = UTC) -> LogEvent:
    """Returns the event of one line of text, such as a message inside JSON.

    `near_ms` is the record's own time, from which a time without a year takes its year; `zone` that of naive times.
    """
    return read_line(terminal.plain(text.encode("utf-8", "replace")), near_ms, zone)


def read_message(text: str, *, zone: tzinfo = UTC) -> LogEvent | None:
    """Returns the event of a message inside JSON; None for a line of no format and no time, as most are."""
    line = text.encode("utf-8", "replace")
    is_plain = terminal.is_plain_line(line) if line.isascii() else text.isprintable() and "[" not in text
    if not is_plain or not 0 < len(line) <= MAX_FORMAT_BYTES or text[0] == " ":
        return read_line(terminal.plain(line), -1, zone)
    at_ms = plain_ms(line, -1, zone)
    if at_ms is None:
        return read_formatted(line, -1, zone)
    return None if at_ms == NO_TIME else LogEvent(line, None, at_ms)


def read_value(value: bytes, near_ms: int, zone: tzinfo, read_json: ReadJson) -> list[LogEvent]:
    """Returns the events of a value of UTF-8 text without control characters, of one line or many."""
    if w3c.names_columns(value) and len(value) <= MAX_FORMAT_BYTES:
        return columns_of(value, near_ms, zone, lambda line: read_line(line, near_ms, zone))
    return [read_line(part, near_ms, zone, read_json) for part in framing.split(value)]


def columns_of(value: bytes, near_ms: int, zone: tzinfo, read_other: Callable[[bytes], E]) -> list[LogEvent | E]:
    """Returns the events of a value that names its columns. `read_other` reads the lines that do not fit them."""
    return [
        read_other(terminal.plain(part.encode("utf-8", "replace")))
        if isinstance(part, str)
        else LogEvent(part.text.encode("utf-8", "replace"), None, moment_ms(part.at, near_ms, zone))
        for part in w3c.lines(value.decode("utf-8", "replace"))
    ]


def read_line(line: bytes, near_ms: int = -1, zone: tzinfo = UTC, read_json: ReadJson | None = None) -> LogEvent:
    """Returns the event of one line of UTF-8 without control characters. A line of no format is its own text.

    `read_json` reads what a frame contains if that begins like an object.
    """
    bare = line.strip()
    if not bare:
        return LogEvent(bare)
    if len(bare) > MAX_FORMAT_BYTES:
        return LogEvent(line, None, leading_ms(bare, near_ms, zone))
    at_ms = plain_ms(bare, near_ms, zone)
    if at_ms is None:
        return read_formatted(bare, near_ms, zone, read_json)
    return LogEvent(line, None, None if at_ms == NO_TIME else at_ms)


def read_single(line: bytes, near_ms: int, zone: tzinfo, read_json: ReadJson) -> LogEvent | None:
    """Returns the event of a line for which `plain_ms` returns None. Returns None if it may be more than one line."""
    return None if line.startswith(b"#") or is_counted(line) else read_formatted(line, near_ms, zone, read_json)


def read_promised(line: bytes, format: str, near_ms: int, zone: tzinfo, read_json: ReadJson) -> LogEvent | None:
    """Returns the event of a line of this format. Returns None for a line of any other.

    `line` is not blank. A format of contents may be inside the frames of a transport.
    """
    if line.startswith(w3c.DIRECTIVES):
        return LogEvent(b"") if format == "w3c" else None
    text, frames = line.decode("utf-8", "replace"), []
    for name, unwrap in _FRAMES.items():
        if frame := unwrap(text):
            text = frame.text
            frames.append(name)
    if format in _FRAMES:
        return read_formatted(line, near_ms, zone, read_json) if format in frames else None
    inner = _CONTENTS[format](text)
    return None if inner is None else read_formatted(line, near_ms, zone, None, lambda text: inner)


def read_formatted(
    line: bytes,
    near_ms: int,
    zone: tzinfo,
    read_json: ReadJson | None = None,
    read_content: Callable[[str], Frame] | None = None,
) -> LogEvent:
    """Returns the event of a line that may have a format, inside at most two wrappings."""
    if line.startswith(w3c.DIRECTIVES):
        return LogEvent(b"")
    text = line.decode("utf-8", "replace")
    wrapping, first = _NO_FRAME, text[0]
    if first.isdecimal() and (frame := containers.unwrapped(text)):
        wrapping, text = frame, frame.text
    if text[:1] == "<" and (frame := syslog.unwrapped(text)):
        wrapping, text = _both(wrapping, frame), frame.text
    begin = text.removeprefix("@cee:").lstrip() if text[:1] in ("{", "@", " ") else ""
    if begin[:1] == "{" and read_json and (event := read_json(begin.encode("utf-8", "replace"))):
        body, level = event.text.decode("utf-8", "replace"), wrapping.level
        written = body if level is None or level_in(body) is not None else with_level(level, body)
        at_ms = moment_ms(wrapping.at, near_ms, zone) if event.at_ms is None else event.at_ms
        return event._replace(
            text=written.encode("utf-8", "replace"), service=event.service or wrapping.service, at_ms=at_ms
        )
    if read_json and read_content is None and (found := printed.object_in(text)):
        event = read_json(found.document)
        if event is not None:
            body = " ".join(filter(None, (wrapping.tag, found.before, event.text.decode("utf-8", "replace"))))
            at_ms = event.at_ms
            if at_ms is None and near_ms != UNTIMED:
                at_ms = leading_ms(line, near_ms, zone)
            return event._replace(
                text=with_level(wrapping.level, body).encode("utf-8", "replace"),
                service=event.service or wrapping.service or found.service,
                at_ms=at_ms,
            )
    inner = (read_content or _of_format)(text)
    if inner.text is text and wrapping is _NO_FRAME:
        return LogEvent(line, None, leading_ms(line, near_ms, zone))
    at_ms = None if near_ms == UNTIMED else _time_of(inner, wrapping, text, near_ms, zone)
    if wrapping is _NO_FRAME:
        return LogEvent(with_level(inner.level, inner.text).encode("utf-8", "replace"), None, at_ms)
    if inner.service == security_events.SERVICE:  # the tag of syslog is the format's name
        wrapping = wrapping._replace(tag="", service=None)
    level = inner.level
    if level is None and wrapping.level is not None and level_in(inner.text) is None:
        level = wrapping.level  # a shipper's level is often that of a whole stream: the line's own one counts first
    body = " ".join(part for part in (wrapping.tag, inner.text, wrapping.after) if part)
    return LogEvent(with_level(level, body).encode("utf-8", "replace"), wrapping.service, at_ms)


def _time_of(inner: Frame, wrapping: Frame, text: str, near_ms: int, zone: tzinfo) -> int | None:
    for written in (inner.at, wrapping.at):
        if written and (at_ms := moment_ms(written, near_ms, zone)) is not None:
            return at_ms
    return leading_ms(text.encode("utf-8", "replace"), near_ms, zone)


def _of_format(text: str) -> Frame:
    """Returns what the first format that matches reads in a text; the text itself if none does."""
    if frame := security_events.read(text):
        return frame
    return _lettered(text) or w3c.read(text) or access_log.read(text) or logfmt.read(text) or Frame(text)


def _lettered(text: str) -> Frame | None:
    frame = letters.read(text)
    if frame is None:
        return None
    inner = access_log.read(frame.text) or logfmt.read(frame.text)  # behind such a head a framework writes its requests
    return frame._replace(text=inner.text, level=frame.level) if inner else frame


def _request(text: str) -> Frame | None:
    """Returns the event of a line with a request and its status; None for any other line."""
    frame = access_log.read(text)
    return frame if frame and "status=" in frame.text else None


_FRAMES: dict[str, Callable[[str], Frame | None]] = {"cri": containers.unwrapped, "syslog": syslog.unwrapped}
"""What takes a line out of its transport, the outer one first."""
_CONTENTS: dict[str, Callable[[str], Frame | None]] = {
    "logfmt": partial(logfmt.read, promised=True),
    "access": _request,
    "w3c": w3c.read,
    "cef": partial(security_events.read, kind="CEF"),
    "leef": partial(security_events.read, kind="LEEF"),
    "glog": _lettered,
}
"""What reads a line of a format that was promised."""


def _both(outer: Frame, inner: Frame) -> Frame:
    return inner if inner.at or not outer.at else inner._replace(at=outer.at)
