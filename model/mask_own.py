"""Compiles the masks that a user defines.

A mask is applied on the second level, where a number is already a star. ``\\d`` in a mask therefore also means a star.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

OwnRule = tuple[re.Pattern[str], str]
"""A mask of the user's: the pattern, and what stands in its place."""

_MAX_CHARS: Final = 500


def compile_masks(masks: Iterable[tuple[str, str]]) -> tuple[OwnRule, ...]:
    """Returns the compiled masks of (name, regular expression). Raises ValueError with the name of a wrong one.

    Refused are expressions that do not compile, that are long, or that match an empty text. How much time an expression
    takes is not examined.
    """
    return tuple((_compiled(name, expression), "*") for name, expression in masks)


def _compiled(name: str, expression: str) -> re.Pattern[str]:
    if len(expression) > _MAX_CHARS:
        raise ValueError(f"the mask {name!r} has more than {_MAX_CHARS} characters; write it shorter")
    try:
        re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"the mask {name!r} is no regular expression: {error}; correct it") from error
    try:
        pattern = re.compile(_with_stars(expression))
    except (re.error, RecursionError, OverflowError) as error:  # a star has another width than digits
        raise ValueError(
            f"the mask {name!r} looks behind at several digits, and a number is a single star by then; take the"
            " digits out of the look-behind, or match them in the mask"
        ) from error
    if pattern.search(""):
        raise ValueError(f"the mask {name!r} matches an empty text; let it match at least one character")
    return pattern


def _parts(expression: str) -> list[str]:
    """Returns the expression in parts: escapes, classes, braces, and single characters."""
    return re.findall(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", expression, re.DOTALL)


def _with_stars(expression: str) -> str:
    """Returns the expression in which a digit is a digit or the star that stands for a number."""
    out: list[str] = []
    parts = _parts(expression)
    place = 0
    while place < len(parts):
        part = parts[place]
        place += 1
        if part in (r"\d", "[0-9]"):
            times = parts[place] if place < len(parts) and re.match(r"[+*?]|\{\d", parts[place]) else ""
            place += bool(times)
            out.append(rf"(?:\d{times}|\*)")
        elif part == r"\w":
            out.append(r"[\w*]")
        elif part.startswith("[") and not part.startswith("[^") and re.search(r"\\[dw]|0-9", part):
            head = "[]" if part.startswith("[]") else "["  # a star before the bracket would end a range: `.-*`
            out.append(f"{head}*{part[len(head) :]}")
        else:
            out.append(part)
    return "".join(out)
