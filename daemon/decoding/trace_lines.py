"""Reads how one physical line stands to the lines before it: it continues their event, or it begins another one.

Pure, and independent of formats. The looks of a line alone are known to `trace_shapes.py`.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

from logwarden.daemon.decoding.trace_shapes import (
    BARE_ERROR,
    BOX,
    CLOCK,
    HEAD_CHARS,
    LOOKED_AT,
    TIMED,
    TIMED_METHOD,
    Shape,
    behind,
    shape_of,
    shipped,
    writer_of,
)

_LOOKED_AT_BYTES = 4 * LOOKED_AT
_MAX_LOOKS = 8_192
_TO_LOOK = bytes(ord("1") if 48 <= c < 58 else c for c in range(256))
_LEVEL_FIELDS = (b"lev", b"lvl", b"sev", b"prio")
"""Parts of the names of fields whose number is a level."""


class _Mode(Enum):
    """What an open event expects."""

    HEAD = "its first line only"
    TRACE = "frames and causes"
    PYTHON = "the exception line behind frames"
    DONE = "nothing but a cause or a chained traceback"
    GO = "functions, places, goroutines"
    MESSAGE = "the message, on the line behind a place"
    LEVEL = "level and message, on the line behind a time and a method"
    QUERY = "a statement behind the comments of a slow query"


_SAYS_LATER = re.compile(r"^Execution error |panicked at \S+:\d+:\d+:$|^Msg \d+, Level \d+|^Unhandled exception:$")
_IS_TIMED_METHOD = re.compile(TIMED_METHOD)
_BOX_TOP, _RULE = "\u2577", "\u2550"
_BOX_HEAD = re.compile(r"\u2577|\u2502 (?:Error|Warning): ")
_QUERY_TIME = "# Query_time: "
_POWERSHELL_PLACE = re.compile(r"At \S.*:\d+ char:\d+$")
_TCL_CALLS = ("while executing", "invoked from within")
"""Lines of Tcl before one with a command in quotes."""
_CHAIN = ("During handling of the above", "The above exception was")
_MARKS = re.compile(r"[~^ ]+$")
PYTHON_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?::.*)?$")
_PROCESS = re.compile(r"\[(\d+)(?:-\d+)?\]")


class Trace:
    """An open event: decides of each next line of its service whether it belongs to the event."""

    __slots__ = (
        "_after_place",
        "_asked",
        "_depth",
        "_first",
        "_is_indented",
        "_is_timed",
        "_lines",
        "_mode",
        "_prefix",
        "_process",
        "_shape",
    )

    def __init__(self, line: str, *, is_indented: bool) -> None:
        text = line.strip()[:LOOKED_AT]
        self._shape = shape_of(text)
        self._is_indented = is_indented
        self._first = text[:HEAD_CHARS]
        self._is_timed = CLOCK.search(text[:80]) is not None
        self._process = _process_of(text)
        self._depth = _depth_of(text) if text[-1:] in "{[(" else 0
        self._lines = 1
        self._after_place = False
        self._asked = text.startswith(_QUERY_TIME)
        self._prefix = ""
        self._mode = _Mode.HEAD
        self._mode = _first_mode(self._without_prefix(text)[0], self._shape)

    @property
    def expects_marks(self) -> bool:
        """True until the event has a second line, if that one has to be indented or of a shape that continues."""
        return self._lines == 1 and self._depth == 0 and self._mode is _Mode.HEAD

    def takes(self, line: str, *, is_indented: bool) -> bool:
        """Returns True if the line belongs to this event, which then expects the line after it."""
        whole = line.strip()[:LOOKED_AT]
        writer, is_blank = writer_of(whole)
        if writer and (first := writer_of(self._first)[0]):
            if writer != first:
                return False
            if is_blank:  # between goroutines
                return self._mode is not _Mode.HEAD
        text, is_deeper = self._without_prefix(whole)
        is_indented |= is_deeper
        shape = shape_of(text)
        if not self._belongs(text, shape, is_indented, whole[:100]):
            return False
        self._lines += 1
        self._asked |= text.startswith(_QUERY_TIME)
        is_source = self._after_place and shape not in (Shape.EXCEPTION, Shape.FRAME)
        self._after_place = text.startswith('File "')
        self._depth += _depth_of(text) if self._depth > 0 else 0
        if text.endswith(_TCL_CALLS):
            self._mode = _Mode.MESSAGE
        elif text.startswith(('File "', "| File")) or shape is Shape.TRACEBACK:
            self._mode = _Mode.PYTHON
        elif text.startswith("goroutine ") or _POWERSHELL_PLACE.match(text):
            self._mode = _Mode.GO
        elif (shape is Shape.EXCEPTION and self._mode is _Mode.PYTHON and not is_indented) or (
            self._first[:1] == _RULE == text[:1]
        ):
            self._mode = _Mode.DONE
        elif text.startswith(_CHAIN) or self._mode is _Mode.LEVEL:
            self._mode = _Mode.HEAD
        elif text.startswith("Process: "):
            pass  # of Android: the exception comes behind it
        elif self._mode is _Mode.MESSAGE or (self._mode is _Mode.HEAD and shape in (Shape.FRAME, Shape.EXCEPTION)):
            self._mode = _Mode.TRACE
        elif (
            self._mode is _Mode.PYTHON
            and not (is_indented or is_source or _MARKS.match(text))
            and shape is not Shape.FRAME
        ):
            self._mode = _Mode.DONE
        return True

    def _without_prefix(self, text: str) -> tuple[str, bool]:
        """Returns a line without what a shipper put before each of them, and True if it is indented behind that."""
        if found := shipped(text):
            self._prefix = found.rstrip()
            return text[len(found) :], False
        if (
            (self._mode is _Mode.PYTHON or self._shape is Shape.OPENER or self._depth > 0)
            and self._prefix
            and (rest := behind(self._prefix, text)) is not None
        ):
            return rest.strip(), rest[:1] in (" ", "\t")
        return text, False

    def _belongs(self, text: str, shape: Shape, is_indented: bool, begin: str) -> bool:
        is_timed = TIMED.match(text) is not None
        if self._asked and text.startswith(_QUERY_TIME):  # the next slow query
            return False
        if shape is Shape.FRAME:
            return True
        if self._first.startswith("# A fatal error"):  # of a virtual machine, which frames its report
            return text[:1] == "#"
        if self._first[:1] == _RULE:
            return not is_timed and self._mode is not _Mode.DONE
        if text[:1] in BOX:
            is_top = self._lines == 1 and self._first == _BOX_TOP != text[:1]
            return is_top or (self._first[:1] in BOX and not _BOX_HEAD.match(text))
        if text.startswith("InnoDB: "):
            return "[InnoDB]" in self._first or self._first.startswith("InnoDB: ")
        if self._mode is _Mode.LEVEL:
            return CLOCK.search(text[:40]) is None and shape is not Shape.OPENER
        if is_timed and shape is not Shape.DETAIL:
            return False
        if is_indented and not self._is_indented:
            return True
        if shape is Shape.DETAIL:
            return self._process == _process_of(text) if self._process else _process_of(text) == ""
        if shape is Shape.CLOSER or (self._depth > 0 and text[:1] in '"{['):
            return True
        if shape is Shape.OPENER:
            return self._mode is _Mode.QUERY and self._lines == 1 and text.startswith("# User@Host")
        if self._shape is Shape.OPENER and self._mode is _Mode.HEAD and BARE_ERROR.match(text):
            return True  # Node.js shows the line of the script first
        if self._mode is _Mode.MESSAGE:
            return True
        if shape is Shape.TRACEBACK:
            return self._mode in (_Mode.HEAD, _Mode.MESSAGE)
        if shape is Shape.CALL and (self._mode in (_Mode.GO, _Mode.PYTHON) or self._shape is Shape.OPENER):
            return True
        if self._mode is _Mode.PYTHON:
            # A shipper may have taken the indentation away from the line of source behind a place.
            return self._after_place or _MARKS.match(text) is not None or PYTHON_EXCEPTION.match(text) is not None
        if shape is Shape.EXCEPTION:
            return self._mode is _Mode.HEAD and self._shape in (Shape.HEAD, Shape.OPENER)
        if self._mode is _Mode.QUERY:
            return True
        # Behind a trace whose first line has a time, a line without one is the rest of a message.
        return self._mode not in (_Mode.HEAD, _Mode.GO) and self._is_timed and CLOCK.search(begin) is None


def _first_mode(text: str, shape: Shape) -> _Mode:
    if _IS_TIMED_METHOD.match(text):
        return _Mode.LEVEL
    if text.endswith(_TCL_CALLS) or _SAYS_LATER.search(text):
        return _Mode.MESSAGE
    if text.startswith(("# Time: ", "# User@Host: ", _QUERY_TIME)):
        return _Mode.QUERY
    if shape is Shape.TRACEBACK or text.startswith('File "'):
        return _Mode.PYTHON
    if text.startswith(("panic: ", "fatal error: ", "goroutine ")):
        return _Mode.GO
    return _Mode.HEAD


def _process_of(text: str) -> str:
    found = _PROCESS.search(text[:120])
    return found[1] if found else ""


def _depth_of(text: str) -> int:
    return sum(text.count(c) for c in "{[(") - sum(text.count(c) for c in "}])")


def look_of(key: bytes) -> bytes:
    """Returns what decides about a key: its head, with a 1 for each digit unless a number in it may be a level."""
    # Behind a word for codes the first level keeps numbers: an error of each order has a key of its own, and one look.
    head = key[:_LOOKED_AT_BYTES]
    small = head.lower()
    has_level = b"<" in head or b"ora-" in small or any(word in small for word in _LEVEL_FIELDS)
    return head if has_level else head.translate(_TO_LOOK)


@lru_cache(maxsize=_MAX_LOOKS)
def verdict(look: bytes) -> tuple[bool, bool]:
    """Returns True if a line may be continued, and True if its event is simple."""
    text = look.decode("utf-8", "replace")
    shape = shape_of(text)
    return shape is not Shape.PLAIN, shape is Shape.HEAD and Trace(text, is_indented=False).expects_marks
