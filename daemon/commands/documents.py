"""Joins the lines of a JSON document that a file spreads over several lines, as `jq` and cloud exports write it.

An array at the top is taken apart: each of its elements is a record with the number of the line on which it begins. So
an array needs no more memory than its longest element. Lines that begin like JSON and are none stay lines. Keeps the
lines of one open document; knows nothing of what is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from logwarden.daemon.commands.reading import NumberedLine

MAX_DOCUMENT_BYTES = 1 << 22
MAX_DOCUMENT_LINES = 20_000
"""Bounds of a document; one that is longer is read as lines."""

_BEGIN = re.compile(rb'\s*+(?:\{\s*+(?:\Z|")|\[\s*+(?:\Z|\{\s*+(?:\Z|"))|\[\s*+\{)')
_PIECE = re.compile(rb'(?:[\s\[\]{}:,0-9.+-]|[eE][0-9+-]|true|false|null|"(?:[^"\\]|\\.)*+")*+')
"""A line of JSON: no string of JSON contains a line break."""
_NEIGHBOURS = re.compile(rb"[}\]]\s*,\s*[{\[]")
_BRACKET = re.compile(rb"[\[\]{}]")
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"')


class DocumentFramer:
    """Frames the lines of one file."""

    def __init__(self) -> None:
        self._open: list[NumberedLine] = []
        """Lines of the open document or element, as they are in the file."""
        self._bytes = 0
        self._depth = 0
        """Brackets open behind the last line, without that of the array around."""
        self._in_array = False

    def framed(self, lines: Iterable[NumberedLine]) -> Iterator[NumberedLine]:
        """Yields records: lines, and documents joined to one record each. The last ones may stay open."""
        for line in lines:
            if self._open or self._in_array or _begins_document(line.text):
                yield from self._take(line)
            else:
                yield line

    def rest(self) -> list[NumberedLine]:
        """Returns the lines of a document that the end of the file leaves open."""
        self._in_array = False
        return self._released()

    def _take(self, line: NumberedLine) -> Iterator[NumberedLine]:
        """Takes a line that begins a document, or that stands in one."""
        if _PIECE.fullmatch(line.text) is None:
            yield from self.rest()
            yield line
            return
        text = line.text.strip()
        if not self._open and self._in_array:
            text = text.lstrip(b",").lstrip()
            if text in (b"]", b"],", b""):
                self._in_array = not text
                return
        depth = self._depth + _depth_behind(text)
        if not self._in_array and not self._open and text.startswith(b"[") and depth > 0:
            self._in_array = True
            depth -= 1
        self._open.append(line)
        self._bytes += len(text)
        self._depth = depth
        if depth <= 0 and text != b"[":
            yield self._document(ends_array=self._in_array and depth < 0)
        elif self._bytes > MAX_DOCUMENT_BYTES or len(self._open) > MAX_DOCUMENT_LINES:
            yield from self.rest()

    def _document(self, *, ends_array: bool) -> NumberedLine:
        lines = self._released()
        text = b"\n".join(line.text for line in lines).strip()
        # A bracket of the array that is not closed within these lines belongs to no element.
        if self._in_array:
            text = text.lstrip(b",").lstrip().removesuffix(b",").rstrip()
            if ends_array:
                text = text.removesuffix(b"]").rstrip()
            if _depth_behind(text) > 0:
                text = text.removeprefix(b"[").lstrip()
            if _has_neighbours(text):  # `}, {` on one line
                text = b"[" + text + b"]"
        self._in_array = self._in_array and not ends_array
        # `[` on a line of its own is the first line of the first element, whose place is the next line with text.
        place = next((line for line in lines if line.text.strip() not in (b"", b"[")), lines[0])
        return NumberedLine(place.number, text)

    def _released(self) -> list[NumberedLine]:
        lines, self._open, self._bytes, self._depth = self._open, [], 0, 0
        return lines


def _begins_document(text: bytes) -> bool:
    """Returns True for a line that begins like JSON and does not end it."""
    return text.lstrip()[:1] in (b"{", b"[") and _BEGIN.match(text) is not None and _depth_behind(text.strip()) > 0


def _depth_behind(text: bytes) -> int:
    """Returns the brackets that a line of JSON opens and does not close."""
    bare = _STRINGS.sub(b"", text)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _has_neighbours(text: bytes) -> bool:
    """Returns True if a part of an array contains more than one of its elements."""
    bare = _STRINGS.sub(b"", text)
    if _NEIGHBOURS.search(bare) is None:
        return False
    depth = 0
    for bracket in _BRACKET.finditer(bare):
        if depth == 0 and bracket.start() > 0:
            return True
        depth += 1 if bracket[0] in b"{[" else -1
    return False
