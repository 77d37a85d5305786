"""Reads the journal's export format: a field a line, longer ones behind their length, a blank line between entries."""

from __future__ import annotations

import re

_MAX_ENTRIES = 10_000
_MAX_FIELDS = 1_024
SIZE_BYTES = 8
"""Bytes of the length before a field of several lines."""
_BEGIN = re.compile(rb"__[A-Z][A-Z0-9_]{1,62}=")
"""An entry begins with the fields of its address, whose names have two underscores before them."""
_NAME = re.compile(rb"[A-Z_][A-Z0-9_]{0,63}")


def is_begin(line: bytes) -> bool:
    """Returns True for the first line of an entry."""
    return _BEGIN.match(line) is not None


def entries_of(value: bytes) -> list[dict[str, str]] | None:
    """Returns the fields of each entry; None for a value of any other format. A torn last field is left out."""
    if not value.startswith(b"__") or not is_begin(value) or b"\n" not in value:
        return None
    entries: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    place, size = 0, len(value)
    while place < size and len(entries) < _MAX_ENTRIES:
        end = value.find(b"\n", place)
        end = size if end < 0 else end
        line = value[place:end]
        place = end + 1
        if not line:
            if fields:
                entries.append(fields)
                fields = {}
            continue
        name = _NAME.match(line)
        if name is None:
            return None
        content = line[name.end() + 1 :]
        if name.end() == len(line):  # the field has several lines: eight bytes of its length, then its content
            start = place + SIZE_BYTES
            end = start + int.from_bytes(value[place:start], "little")
            if start > size or end > size:
                break
            content, place = value[start:end], end + 1
        elif line[name.end() : name.end() + 1] != b"=":
            return None
        if len(fields) < _MAX_FIELDS:
            fields.setdefault(name[0].decode(), content.decode("utf-8", "replace"))
    return [*entries, fields] if fields else entries or None
