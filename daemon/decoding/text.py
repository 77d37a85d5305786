"""Turns text into events: tries the formats whose marks a line has, and leaves every other line as it is.

Owns the order of the formats. Knows nothing of records, charsets and JSON.
"""

from __future__ import annotations

import re
from datetime import UTC, tzinfo

from logwarden.daemon.decoding import access_log, containers, letters, logfmt, security_events, syslog, terminal
from logwarden.daemon.decoding.event import Frame, LogEvent, level_in, with_level
from logwarden.daemon.decoding.line_times import iso_head, leading_ms, moment_ms

MAX_FORMAT_BYTES = 65_536
"""A longer line is plain text: no format has such lines, and reading one would keep the others waiting."""
NO_TIME = -1
W3C_DIRECTIVES = (b"#Fields:", b"#Software:", b"#Version:", b"#Date:", b"#Start-Date:", b"#End-Date:", b"#Remark:")
"""Heads of the lines that describe a W3C extended log; they are no events."""
_LETTERS = frozenset(b"IWEFDVA")
_LEVEL_LETTERS = tuple(bytes([letter]) for letter in b"TVDIWEFCA")
_AFTER_LETTER = (b" ", b"\t", b"]", b")", b">", b"|", b":", b"/")
_LETTER_HEAD = re.compile(rb"[ \t\[(<|][TVDIWEFCA][ \t\])>|:/]|:[MSCX] ")
_LOGFMT = re.compile(rb"(?:[^|=]{0,64}\| ?)?[A-Za-z_@][\w.@/-]{0,63}=")


def read_text(text: str, *, near_ms: int = -1, zone: tzinfo = UTC) -> LogEvent:
    """Returns the event of one line of text, such as a message inside JSON.

    `near_ms` is the record's own time, from which a time without a year takes its year; `zone` that of naive times.
    """
    return read_line(terminal.plain(text.encode("utf-8", "replace")), near_ms, zone)


def read_line(line: bytes, near_ms: int = -1, zone: tzinfo = UTC) -> LogEvent:
    """Returns the event of one line of UTF-8 without control characters. A line of no format is its own text."""
    bare = line.strip()
    if not bare:
        return LogEvent(bare)
    if len(bare) > MAX_FORMAT_BYTES:
        return LogEvent(line, None, leading_ms(bare, near_ms, zone))
    at_ms = plain_ms(bare, near_ms, zone)
    if at_ms is None:
        return _formatted(bare, near_ms, zone)
    return LogEvent(line, None, None if at_ms == NO_TIME else at_ms)


def plain_ms(line: bytes, near_ms: int, zone: tzinfo) -> int | None:
    """Returns the time of a line that is of no format, NO_TIME without one. Returns None if it may be of a format.

    Quick, because most lines are plain. `line` is not empty and begins with no white space.
    """
    if (
        (b"/" in line and _has_request(line))
        or (b"=" in line and _has_pairs(line))
        or (b"|" in line and b"EF:" in line)
    ):
        return None
    first = line[0]
    if 0x30 <= first <= 0x39:
        if line[4:5] == b"-" and line[13:14] == b":":
            found = iso_head(line, zone)
            if found is not None:
                at_ms, end = found
                after = line[end : end + 4]
                if after == b" std" or (after[1:2] in _LEVEL_LETTERS and after[2:3] in _AFTER_LETTER):
                    return None
                return None if after[:2] == b" [" and _LETTER_HEAD.search(line, end, end + 80) else at_ms
        if _LETTER_HEAD.search(line, 1, 48) is not None:
            return None
    elif first == 0x5B:  # [
        if _LETTER_HEAD.search(line, 0, 64) is not None:
            return None
    elif (
        first == 0x3C
        or (first in _LETTERS and (line[1:2] == b"/" or line[1:5].isdigit()))
        or (first == 0x23 and line.startswith(W3C_DIRECTIVES))
    ):  # <
        return None
    at_ms_or_none = leading_ms(line, near_ms, zone)
    return NO_TIME if at_ms_or_none is None else at_ms_or_none


def _has_request(line: bytes) -> bool:
    return (
        b"HTTP/" in line
        or b'] "' in line
        or (
            (b" /" in line or b'"/' in line or b"://" in line or b"\t/" in line)
            and (
                b"GET" in line
                or b"POST" in line
                or b"PUT" in line
                or b"HEAD" in line
                or b"DELETE" in line
                or b"PATCH" in line
                or b"OPTIONS" in line
                or b"CONNECT" in line
            )
        )
    )


def _has_pairs(line: bytes) -> bool:
    return _LOGFMT.match(line) is not None or (
        (b"msg=" in line or b"message=" in line) and (b"level=" in line or b"lvl=" in line or b"severity=" in line)
    )


def _formatted(line: bytes, near_ms: int, zone: tzinfo) -> LogEvent:
    """Returns the event of a line that may have a format, inside at most two wrappings."""
    if line.startswith(W3C_DIRECTIVES):
        return LogEvent(b"")
    text = line.decode("utf-8", "replace")
    wrapping = Frame("")
    for unwrap in (containers.unwrapped, syslog.unwrapped):
        if frame := unwrap(text):
            wrapping, text = _both(wrapping, frame), frame.text
    inner = (
        security_events.read(text) or letters.read(text) or access_log.read(text) or logfmt.read(text) or Frame(text)
    )
    if inner.text is text and wrapping == Frame(""):
        return LogEvent(line, None, leading_ms(line, near_ms, zone))
    at_ms = None
    for written in (inner.at, wrapping.at, text):
        at_ms = moment_ms(written, near_ms, zone) if at_ms is None else at_ms
    level = inner.level
    if level is None and wrapping.level is not None and level_in(inner.text) is None:
        level = wrapping.level  # a shipper's level is often that of a whole stream: the line's own one counts first
    body = " ".join(part for part in (wrapping.tag, inner.text, wrapping.after) if part)
    return LogEvent(with_level(level, body).encode("utf-8", "replace"), wrapping.service, at_ms)


def _both(outer: Frame, inner: Frame) -> Frame:
    return inner if inner.at or not outer.at else inner._replace(at=outer.at)
