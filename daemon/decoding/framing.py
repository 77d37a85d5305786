"""Splits a value into the events that it contains: frames with an octet count, and lines that each have a head.

Lines that continue an event, such as the frames of a stack trace, stay with it.
"""

from __future__ import annotations

import re

from logwarden.daemon.decoding.containers import joined

MAX_EVENTS = 10_000
"""Events of one value; what is behind them stays with the last one."""
_COUNT = re.compile(rb"(\d{1,7}) (?=<\d{1,3}>)")
_SIZE = re.compile(rb"(\d{1,7})(?:(:)|[ \n](?=\{))")
_BINARY_HEADS = (b"\0", b"\1", b"\2")
_NEXT = re.compile(rb"\n(?=\d{1,7} <\d{1,3}>)")
# A head: a time, a PRI, a level and a colon, pairs with a level, an access log, CEF, a request line.
_HEAD = re.compile(
    rb"[\[(\"]?(?:\d{4}[-/.]\d\d[-/.]\d\d[T _]|\d\d[./-](?:\d\d|[A-Z][a-z]{2})[./-]\d{4}[ :T]"
    rb"|(?:[A-Z][a-z]{2},? )?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d|\d\d:\d\d:\d\d[ .,\]])"
    rb"|<\d{1,3}>[\dA-Z]"
    rb"|\[?(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|FATAL|CRITICAL|SEVERE)\b[\]:]? "
    rb"|[IWEF]\d{4} \d\d:\d\d:\d\d"
    rb"|(?:time|ts|level|lvl|at)=\S"
    rb"|\S{3,64} \S{1,64} \S{1,64} \[\d\d/[A-Z][a-z]{2}/\d{4}:"
    rb"|(?:CEF|LEEF):\d"
    rb"|\[[A-Z]{2,12}\] \d{4}[-/]"
)


def frames_of(value: bytes) -> list[bytes] | None:
    """Returns the frames of a value that consists of frames behind their sizes; None for any other value.

    The sizes have four bytes, as those of sockets and of a container's stream, or are decimal: `7:message,` as in a
    netstring, or a line of its own before a JSON text. All of the value has to be frames.
    """
    head = value[:1]
    if not head.isdigit() and head not in _BINARY_HEADS:
        return None
    frames: list[bytes] = []
    place, size = 0, len(value)
    while place < size and len(frames) < MAX_EVENTS:
        if head in _BINARY_HEADS:
            start = place + (8 if _is_stream_head(value[place : place + 8]) else 4)
            end = start + int.from_bytes(value[start - 4 : start], "big")
            behind = end
        elif found := _SIZE.match(value, place):
            start, end = found.end(), found.end() + int(found[1])
            if found[2] == b":" and value[end : end + 1] != b",":
                return None
            behind = _after_blanks(value, end + (found[2] == b":"))
        else:
            return None
        if not start < end <= size:
            return None
        frames.append(value[start:end])
        place = behind
    return frames if place >= size else None


def _is_stream_head(head: bytes) -> bool:
    """Returns True for the head of a part of a container's stream: its number, three zeros, the size."""
    return head[1:4] == b"\0\0\0" and (head[0] > 0 or any(head[4:8]))


def with_breaks(value: bytes) -> bytes:
    """Returns a value with line breaks for its zeros if a line of its own begins behind one of them."""
    parts = value.split(b"\0")
    return b"\n".join(parts) if any(_HEAD.match(part) for part in parts[1:MAX_EVENTS]) else value


def split(value: bytes) -> list[bytes]:
    """Returns the events of a value, in order, at least one."""
    frames = _counted(value) if value[:1].isdigit() else None
    if frames is not None:
        return [line for frame in frames for line in _by_heads(frame)]
    return _by_heads(value)


def _counted(value: bytes) -> list[bytes] | None:
    """Returns the frames of RFC 6587, each behind the count of its octets; None for any other value."""
    found = _COUNT.match(value)
    if found is None:
        return None
    frames: list[bytes] = []
    place = 0
    while found and len(frames) < MAX_EVENTS:
        end = found.end() + int(found[1])
        rest = _after_blanks(value, end)
        if rest < len(value) and not _COUNT.match(value, rest):  # a shipper counted characters, or counted wrong
            following = _NEXT.search(value, found.end())
            end = following.start() if following else len(value)
        frames.append(value[found.end() : end])
        place = _after_blanks(value, end)
        found = _COUNT.match(value, place)
    frames[-1] += value[place:]
    return frames


def _after_blanks(value: bytes, place: int) -> int:
    while place < len(value) and value[place] in b"\r\n\0 ":
        place += 1
    return min(place, len(value))


def _by_heads(value: bytes) -> list[bytes]:
    if b"\n" not in value:
        return [value]
    lines = joined(value.split(b"\n"))
    starts = [place for place, line in enumerate(lines) if _HEAD.match(line)]
    if len(starts) < 2:
        return [b"\n".join(lines)]
    starts = ([0, *starts] if starts[0] and any(line.strip() for line in lines[: starts[0]]) else starts)[:MAX_EVENTS]
    ends = [*starts[1:], len(lines)]
    return [b"\n".join(lines[start:end]) for start, end in zip(starts, ends, strict=True)]
