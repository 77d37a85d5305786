"""Rewrites what people and templates write almost as JSON: trailing commas, bare words, other quotes, wrong escapes.

Knows the signs of JSON only. The result still has to be parsed; a text that stays broken is none.
"""

from __future__ import annotations

import json
import re

MAX_CHARS = 65_536
_HEAD = re.compile(r"\s*\[?\s*\{\s*(?:[\"'}]|/[/*]|:?[A-Za-z_$@][\w$@.-]{0,63}\s{0,8}(?::|=>))")
_CLOSES = r"(?!\s{0,8}(?:[,:}\]]|=>|$))"
"""Behind a quote that closes nothing: it belongs to the text around it."""
_TOKEN = re.compile(
    rf"""\s+|/\*(?:[^*]|\*(?!/)){{0,2000}}\*/|//[^\n]{{0,2000}}|"(?P<double>(?:[^"\\]|\\.|"{_CLOSES})*)"|'(?P<single>(?:[^'\\]|\\.|'{_CLOSES})*)'"""
    r"""|(?P<arrow>=>)|:(?P<symbol>[A-Za-z_]\w*(?=\s*=>))|(?P<sign>[{}\[\]:,])"""
    r"""|(?P<hex>0[xX][0-9A-Fa-f]{1,16}(?!\w))|(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"""
    r"""|(?P<word>[A-Za-z_$@][\w$.@-]*(?:\s[A-Z]\w*)?(?:\([^()]{0,500}\))?)""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|[\"\\/bfnrt]|(.)|\Z)|\"", re.DOTALL)
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
_WORDS = {
    **{word: word for word in ("true", "false", "null")},
    "True": "true",
    "False": "false",
    **dict.fromkeys(("None", "nil", "undefined", "NaN", "Infinity"), "null"),
}


def mended(text: str) -> str | None:
    """Returns JSON for a text that is almost JSON; None for a text with other signs in it."""
    if len(text) > MAX_CHARS or not _HEAD.match(text):
        return None
    out: list[str] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            return None
        place = found.end()
        kind = found.lastgroup
        if kind is None:
            continue
        written = found[kind]
        if kind == "sign" and written in "}]" and out and out[-1] == ",":
            out.pop()
        if kind in ("double", "single"):
            out.append(f'"{_ESCAPE.sub(_escaped, written)}"')
        elif kind == "number":
            out.append(_number(written))
        elif kind == "hex":
            out.append(str(int(written, 16)))
        elif kind in ("symbol", "word"):
            out.append(_WORDS.get(written) or json.dumps(written, ensure_ascii=False))
        else:
            out.append(":" if kind == "arrow" else written)
    return "".join(out)


def _number(written: str) -> str:
    """Returns a number as JSON has it: with a digit before and behind the point, and without a plus."""
    sign, digits = ("-" if written[0] == "-" else ""), written.lstrip("+-")
    digits = f"0{digits}" if digits[0] == "." else _LEADING_ZEROS.sub("", digits)
    return sign + re.sub(r"\.(?!\d)", "", digits)


def _escaped(found: re.Match[str]) -> str:
    """Returns an escape that JSON knows for one that it does not know, and for a quote inside a text."""
    if found[0] == '"':
        return '\\"'
    if found[1] == "'":
        return "'"
    return found[0] if found[1] is None and found[0] != "\\" else f"\\{found[0]}"
