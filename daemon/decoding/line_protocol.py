"""Reads a log event in the line protocol of time series: `syslog,appname=cart,severity=err message="disk full" 1795…`.

A point without a text is a metric, and stays a line.
"""

from __future__ import annotations

import re

MAX_CHARS = 16_384
_TAG = r"[^\s,=\"]{1,64}=(?:\\.|[^\s,=\\]){1,256}"
_POINT = re.compile(rf"[A-Za-z_][^\s,=\"]{{0,63}}((?:,{_TAG}){{1,32}}) ")
_TAGS = re.compile(r"([^,=]{1,64})=((?:\\.|[^,=\\]){1,256})")
_FIELD = re.compile(r'([^\s,="]{1,64})=("(?:[^"\\]|\\.)*+"|[^\s,"]{1,64})')
_TIME = re.compile(r" (\d{10,19})$")
_ESCAPED = re.compile(r"\\(.)")
_TEXTS = frozenset(("message", "msg", "text", "log", "line", "value"))


def may_be(first: bytes, line: bytes) -> bool:
    """Returns False for a line that is no point. `first` is what stands before its first equals sign."""
    return b"," in first and b" " not in first and line[-10:].isdigit()


def document_of(line: str) -> dict[str, str] | None:
    """Returns tags, fields and time of a point with a text; None for any other line."""
    head, at = _POINT.match(line), _TIME.search(line[-20:])
    if head is None or at is None or len(line) > MAX_CHARS:
        return None
    place, end = head.end(), len(line) - len(at[0])
    pairs = {name: _ESCAPED.sub(r"\1", value) for name, value in _TAGS.findall(head[1])}
    has_text = False
    while place < end:
        field = _FIELD.match(line, place, end)
        if field is None:
            return None
        name, value = field.groups()
        has_text |= name.lower() in _TEXTS and value[0] == '"'
        pairs[name] = _ESCAPED.sub(r"\1", value[1:-1]) if value[0] == '"' else value
        place = field.end()
        if place < end and line[place] != ",":
            return None
        place += 1
    return {**pairs, "timestamp": at[1]} if has_text else None
