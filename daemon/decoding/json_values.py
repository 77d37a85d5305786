"""Parses a record's value as JSON, one document or many, and what producers write almost as JSON.

Almost JSON: halves of surrogate pairs, NaN, control characters inside strings, Python's own literals, bytes that are
not UTF-8, and a document that was truncated. Each is read in time proportional to its length.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, NamedTuple

import msgspec

from logwarden.daemon.decoding.json_mended import mended
from logwarden.daemon.decoding.spelled import unquoted

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MEANT = re.compile(rb'\s*(?:\{\s*["}]|\[\s*(?:\{\s*"|\]))')
"""Begin of a value that its producer meant as JSON. Other text may begin with a brace, too."""
_PYTHON = re.compile(r"\s*\[?\s*\{\s*(?:'|u'|b')")
_MAX_LITERAL_CHARS = 65_536
_MAX_DOCUMENTS = 100_000
_SEPARATORS = " \t\r\n,\x1e\0\ufeff"
_fast = msgspec.json.Decoder()
_slow = json.JSONDecoder(strict=False)


class JsonDocuments(NamedTuple):
    """What a value contains."""

    found: list[Any]
    """JSON values; a line of text among JSON lines is a string."""
    broken: str = ""
    """Why a part of the value was not read; empty if all of it was."""


def documents(value: bytes, *, strict: bool = False) -> JsonDocuments | None:
    """Returns the JSON documents in a value. Returns None if the value is a text that only looks like JSON.

    `strict`: the operator has promised JSON, so a value without JSON is broken.
    """
    try:
        return JsonDocuments([_fast.decode(value)])
    except RecursionError:
        return JsonDocuments([], "the value is not JSON: its brackets are nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = f"the value is not JSON: {error}"
    try:
        return _almost(value, reason, strict)
    except RecursionError:
        return JsonDocuments([], "the value is not JSON: its brackets are nested too deeply")


def _almost(value: bytes, reason: str, strict: bool) -> JsonDocuments | None:
    text = value.decode("utf-8", "replace").strip(_SEPARATORS)
    first, end = _document(text, 0)
    if end:
        rest = text[end:].lstrip(" \t\r,")
        if not rest or (isinstance(first, dict) and not rest.strip("}];, \t\r\n")):
            return JsonDocuments([first])
        if _may_be_event(first) and rest[0] in "{[\n\x1e\0":
            return _many(text)
    elif "\n" in text and (found := _lines_among(text)):
        return found
    if _PYTHON.match(text) and (literal := _literal(text)) is not None:
        return JsonDocuments([literal])
    if end:
        return JsonDocuments([], reason) if strict else None
    if text.startswith('{\\"') and (inner := unquoted(f'"{text}"'.encode())):  # a shipper escaped it once too often
        return documents(inner, strict=strict)
    if (written := mended(text)) and isinstance((document := _whole(written)), dict | list):
        return JsonDocuments([document])
    meant = _MEANT.match(value) is not None
    if meant and (completed := _completed(text)) is not None:
        return JsonDocuments([completed])
    return JsonDocuments([], reason) if meant or strict else None


def _may_be_event(document: Any) -> bool:
    """Returns False for numbers in brackets, with which many a line of text begins: `[10] [20] started`."""
    if isinstance(document, list):
        return any(part is not None and not isinstance(part, int | float) for part in document)
    return isinstance(document, dict) and bool(document)


def _document(text: str, start: int) -> tuple[Any, int]:
    """Returns the JSON document that begins here and its end; an end of 0 if none begins here."""
    try:
        found, end = _slow.raw_decode(text, start)
        return _clean(found), end
    except (ValueError, RecursionError):
        return None, 0


def _whole(text: str) -> Any:
    """Returns the document that a whole text is; None if it is none."""
    found, end = _document(text, 0)
    return found if end == len(text) else None


def _clean(value: Any) -> Any:
    """Returns a value whose texts can be written as UTF-8: half of a surrogate pair becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False)
    if _SURROGATE.search(text):
        return json.loads(text.encode("utf-8", "replace"))
    return value


def _many(text: str) -> JsonDocuments:
    """Returns the documents of a value that contains several: one per line, or one right after another."""
    found: list[Any] = []
    broken, first_broken, place, stop = 0, "", 0, -1
    while place < len(text) and len(found) < _MAX_DOCUMENTS:
        if text[place] in _SEPARATORS:
            place += 1
            continue
        is_first = stop < place
        if is_first:  # once per line, or many documents in a line would cost its square
            stop = text.find("\n", place)
            stop = len(text) if stop < 0 else stop
        document, end = _next(text, place, stop, is_first=is_first)
        if end:
            found.append(document)
            place = end
            continue
        # The rest of the line is lost to JSON; the next line has its own chance.
        line = text[place:stop].strip(_SEPARATORS)
        if _MEANT.match(line[:64].encode("utf-8", "replace")):
            if stop == len(text) and (mended := _completed(line)) is not None:
                found.append(mended)
            else:
                broken += 1
                first_broken = first_broken or f"document {len(found) + broken}"
        elif line:
            found.append(line)
        place = stop
    if place < len(text):
        return JsonDocuments(
            found, f"the record contains more than {_MAX_DOCUMENTS:,} documents; the rest was left out"
        )
    return JsonDocuments(
        found,
        f"{broken} of {len(found) + broken} documents are not JSON, the first is {first_broken}" if broken else "",
    )


def _next(text: str, place: int, stop: int, *, is_first: bool) -> tuple[Any, int]:
    """Returns the document that begins here and its end: the whole line, if it is the line's first, or a part."""
    if text[place] not in "{[":
        return None, 0
    if is_first:
        try:
            return _fast.decode(text[place:stop]), stop
        except (ValueError, RecursionError):
            pass
    return _document(text, place)


def _lines_among(text: str) -> JsonDocuments | None:
    """Returns the lines of a value whose first line is broken, if another line is an object."""
    for line in text.split("\n", 64)[1:64]:
        if line[:1] == "{" and isinstance(_document(line.strip(), 0)[0], dict):
            return _many(text)
    return None


def _literal(text: str) -> Any:
    """Returns the value of a Python literal, as `str(dict)` writes it; None if the text is none."""
    if len(text) > _MAX_LITERAL_CHARS:
        return None
    try:
        value = ast.literal_eval(text)
        return _clean(value) if isinstance(value, dict | list) else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _has_content(document: Any) -> bool:
    values = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return any(value not in (None, "", {}, []) for value in values)


def _completed(text: str) -> Any:
    """Returns the object that a truncated text began, without its last, incomplete member; None if it is broken."""
    closers: list[str] = []
    in_string = escaped = False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "{[":
            closers.append("}" if char == "{" else "]")
        elif char in "}]" and (not closers or closers.pop() != char):
            return None
    if not closers or len(closers) > 100:
        return None
    end = "".join(reversed(closers))
    if in_string:
        cut = re.sub(r"\\(?:u[0-9a-fA-F]{0,3})?\Z", "", text) if escaped or "\\u" in text[-6:] else text
        tries = [cut + '"' + end, cut + '":null' + end]
    else:
        bare = text.rstrip(" \t\r\n,")
        tries = [bare + end, bare + "null" + end, bare + ":null" + end, re.sub(r"[\w.+-]+\Z", "null", bare[-64:]) + end]
        tries[3] = bare[:-64] + tries[3]
    for attempt in tries:
        document, stop = _document(attempt, 0)
        if stop == len(attempt):
            return document if _has_content(document) else None
    return None
