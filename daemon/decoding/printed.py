"""Finds an object in a line: one of JSON behind a head, or one as a language prints its objects and maps.

`cart_1 | {"level":"error",…}` · `LogEvent(level=error, message=disk full)` · `{level=error, message=disk full}` ·
`map[level:error msg:disk full]`. It is a logger's event if it names a text, and a level or a time. So is a point of the
line protocol with a text.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, NamedTuple

from logwarden.daemon.decoding import line_protocol

MAX_CHARS = 16_384
_MAX_HEAD = 160
_MAX_PAIRS = 64
_TEXTS = r"message|msg|log|text|event|short_message|@m"
_OTHERS = r"level|lvl|severity|loglevel|log_level|levelname|time|timestamp|@timestamp|ts|@t|@l|datetime|instant"
_HAS_TEXT = re.compile(rf'(?i)"(?:{_TEXTS})"\s{{0,4}}:\s{{0,4}}"')
_HAS_OTHER = re.compile(rf'(?i)"(?:{_OTHERS})"\s{{0,4}}:')
# A name of a container before a bar, as `docker compose logs` writes it, is a service; its number is a replica's.
_CONTAINER = re.compile(r"([A-Za-z][\w.-]{0,62}?)(?:[-_]\d{1,3})?\s{1,40}\|\s{1,4}$")
_TIMED = re.compile(r"^\s*[\[(]?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S{0,16}\s*")
_OPENED = re.compile(
    r"(?:(?P<map>map)\[|#<[\w.:]{1,80}\s|(?P<name>[A-Za-z][\w.$]{0,80}) ?[({\[]|\{)(?=\s?:?[A-Za-z_@])"
)
_CALL = re.compile(r"""[A-Za-z]\w{0,40}\((?=\[\(|['"])""")
_ARROW = re.compile(r"""((['"])[\w@.-]{1,64}\2)\s?=>""")
_KEY = r"[A-Za-z_@][\w@.]{0,63}"
_PAIR = re.compile(rf"(?:^|, ?|; ?|\s)(?P<key>{_KEY})(?:=|: ?)")
_MAP_PAIR = re.compile(rf"(?:^| )(?P<key>{_KEY}):")
_SYMBOL_PAIR = re.compile(rf"(?:^|,? )(?::(?P<key>{_KEY})) ")
_QUOTES = ("'", '"')
_KNOWN_TEXT = re.compile(rf"(?i)(?:{_TEXTS})$")
_KNOWN_OTHER = re.compile(rf"(?i)(?:{_OTHERS})$")


class FoundObject(NamedTuple):
    """An object, with what stands before it."""

    document: bytes
    """JSON."""
    before: str = ""
    service: str | None = None


def object_in(line: str) -> FoundObject | None:
    """Returns the event that a line shows as an object; None for any other line."""
    if line[-1:].isdecimal() and (point := line_protocol.document_of(line)):
        return FoundObject(json.dumps(point, ensure_ascii=False).encode("utf-8", "replace"))
    if line[-1:] not in "}])>" or len(line) > MAX_CHARS:
        return None
    place = line.find('{"', 1, _MAX_HEAD)
    if place > 0 and line[-1] == "}" and line[place - 1] in " \t\n":
        return _behind_head(line, place)
    found = _OPENED.match(line)
    if found is None and (called := _CALL.match(line)):
        pairs = _literal(line[called.end() : -1])
        return None if pairs is None else FoundObject(json.dumps(pairs, default=str).encode("utf-8", "replace"))
    pairs = None if found is None else _pairs(line[found.end() : -1].strip(), is_map=bool(found["map"]))
    return None if pairs is None else FoundObject(json.dumps(pairs, ensure_ascii=False).encode("utf-8", "replace"))


def _behind_head(line: str, place: int) -> FoundObject | None:
    document = line[place:]
    if not (_HAS_TEXT.search(document) and _HAS_OTHER.search(document)):
        return None
    head = line[:place]
    if found := _CONTAINER.match(head):
        return FoundObject(document.encode("utf-8", "replace"), service=found[1])
    return FoundObject(document.encode("utf-8", "replace"), _TIMED.sub("", head).strip())


def _literal(inside: str) -> dict[str, Any] | None:
    """Returns the pairs of `OrderedDict([('a', 'b')])`, and of PHP's `array('a' => 'b')`."""
    text = inside if inside[:1] == "[" else "{" + _ARROW.sub(r"\1:", inside) + "}"
    try:
        value = ast.literal_eval(text)
        pairs = value if isinstance(value, dict) else dict(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    return _event({str(key): inner for key, inner in pairs.items()})


def _event(pairs: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the pairs if they are an event of a logger, else None."""
    has_text = any(_KNOWN_TEXT.match(key) and value for key, value in pairs.items())
    return pairs if has_text and any(map(_KNOWN_OTHER.match, pairs)) else None


def _pairs(text: str, *, is_map: bool) -> dict[str, Any] | None:
    """Returns the pairs of a printed object; None if they are no event of a logger."""
    form = _MAP_PAIR if is_map else _SYMBOL_PAIR if text[:1] == ":" else _PAIR
    found: list[re.Match[str]] = []
    place = 0
    while len(found) < _MAX_PAIRS and (pair := form.match(text, place) if not found else form.search(text, place)):
        found.append(pair)
        place = _end_of_quoted(text, pair.end())
    if not found:
        return None
    ends = [*(pair.start() for pair in found[1:]), len(text)]
    pairs = {pair["key"]: _value(text[pair.end() : end]) for pair, end in zip(found, ends, strict=True)}
    return _event(pairs)


def _end_of_quoted(text: str, place: int) -> int:
    """Returns the place behind a quoted value, in which other pairs may stand; the same place for any other value."""
    quote = text[place : place + 1]
    end = text.find(quote, place + 1) if quote in _QUOTES and quote else -1
    return place if end < 0 else end + 1


def _value(text: str) -> str:
    value = text.strip().rstrip(",;").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES:
        return value[1:-1]
    return value.removeprefix(":") if value[:1] == ":" and value[1:2].isalpha() else value
