"""Reads CEF and LEEF, the formats of firewalls and other security products, also behind a syslog header.

The text states level, product, name and outcome. Users, addresses and identifiers are left out: they make every line
new and none of them news.
"""

from __future__ import annotations

import re

from logwarden.daemon.decoding.event import Frame, quoted
from logwarden.model import severity

SERVICE = "CEF"
"""The service of the frames of this format, which name none: syslog's tag is then the format's name."""
_HEAD = re.compile(r"(?:^|[\s:])(CEF|LEEF):\s?(\d(?:\.\d)?)\|")
_CEF_FIELD = re.compile(r"(?:[^|\\]|\\.)*")
_EXTENSION = re.compile(r"(?:^|\s)([A-Za-z][\w.]{0,63})=")
_KEPT = ("outcome", "act", "action", "reason", "msg", "cat", "status", "result", "policy", "deviceaction")
_WORDS = {"unknown": None, "low": severity.INFO, "medium": severity.WARNING, "high": severity.ERROR}
_MAX_HEAD_CHARS = 512


def read(line: str, *, kind: str = "") -> Frame | None:
    """Returns the event of a line of CEF or LEEF, or of the one that `kind` names; None for any other line."""
    found = _HEAD.search(line[:_MAX_HEAD_CHARS]) if "EF:" in line else None
    if found is None or kind not in ("", found[1]):
        return None
    is_cef = found[1] == "CEF"
    fields, rest = _header(line[found.end() :], 6 if is_cef else 4)
    if fields is None:
        return None
    if is_cef:
        vendor, product, _, _, name, grade = fields
        pairs = _cef_pairs(rest)
    else:
        vendor, product, _, name = fields
        pairs = _leef_pairs(rest, found[2])
        grade = pairs.get("sev", "")
    kept = [f"{key}={quoted(pairs[key])}" for key in pairs if key.lower() in _KEPT and pairs[key]]
    words = " ".join(part for part in (vendor, product, name, *kept) if part)
    return Frame(text=words, level=_level(grade), service=SERVICE, at=pairs.get("rt") or pairs.get("devTime") or "")


def _header(text: str, count: int) -> tuple[list[str] | None, str]:
    """Returns the fields between bars, without their escapes, and the text behind them."""
    fields: list[str] = []
    place = 0
    for _ in range(count):
        field = _CEF_FIELD.match(text, place)
        assert field is not None, "the pattern matches the empty text"
        if field.end() == len(text) and len(fields) < count - 1:
            return None, ""
        fields.append(re.sub(r"\\(.)", r"\1", field[0]).strip())
        place = field.end() + 1
    return fields, text[place:]


def _cef_pairs(text: str) -> dict[str, str]:
    """Returns the extension's pairs; a value contains spaces and ends where the next key begins."""
    # "src=10.0.0.1 msg=no route act=deny": keys at 0, 13, 26, so that the second value is "no route"
    keys = list(_EXTENSION.finditer(text))
    ends = [*(key.start() for key in keys[1:]), len(text)][: len(keys)]  # an extension may have no pair at all
    return {key[1]: text[key.end() : end].replace("\\=", "=").strip() for key, end in zip(keys, ends, strict=True)}


def _leef_pairs(text: str, version: str) -> dict[str, str]:
    mark = "\t"
    if version.startswith("2"):
        written, bar, rest = text.partition("|")
        if bar and len(written) <= 6 and "=" not in written:
            mark, text = _mark(written), rest
    if mark not in text:
        return _cef_pairs(text)
    parts = (part.partition("=") for part in text.split(mark))
    return {key.strip(): value.strip() for key, equals, value in parts if equals}


def _mark(written: str) -> str:
    """Returns LEEF 2.0's delimiter: a character, or its number as `x09` or `0x09`."""
    number = re.fullmatch(r"(?:0?x)([0-9A-Fa-f]{2,4})", written)
    return chr(int(number[1], 16)) if number else written[:1] or "\t"


def _level(grade: str) -> int | None:
    if grade.isdecimal() and len(grade) < 3:
        number = int(grade)
        steps = ((9, severity.CRITICAL), (7, severity.ERROR), (4, severity.WARNING), (0, severity.INFO))
        return next(level for least, level in steps if number >= least)
    word = grade.strip().lower()
    return severity.CRITICAL if word == "very-high" else _WORDS.get(word, severity.of_word(word))
