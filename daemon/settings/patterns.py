"""Refuses regular expressions of the operator that do not compile, or that some line would keep busy for long.

Python's expressions backtrack: `(a+)+$` needs hours for forty letters and no end. The shape of an expression is checked
first, and then its time is measured on texts that grow step by step, so that the check itself stays short.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Annotated, Any

from pydantic import AfterValidator

_SLOW_S = 0.02
# Steps so small that an expression whose time doubles with each character or two is found before it takes a second.
_LENGTHS = (4, 8, 12, *range(16, 33, 2), *range(36, 65, 4), 80, 96, 112, 128, 160, 192, 256, 384, 512)
_MANY = 16
"""Repetitions from which a repetition, or a choice, within a repetition is refused."""


def checked_pattern(pattern: str) -> str:
    """Returns a regular expression that any line is searched for in little time. Raises ValueError otherwise."""
    try:
        compiled = re.compile(pattern)
        tree = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    if _repeats_repetitions(tree, inside=False):
        raise ValueError(
            f"{pattern!r} repeats a repetition or alternatives, which could take for ever on some lines;"
            " repeat one of them"
        )
    refuse_slow(compiled)
    return pattern


def refuse_slow(compiled: re.Pattern[str]) -> None:
    """Raises ValueError for a regular expression that takes long to search some text."""
    if _is_slow(compiled, parser.parse(compiled.pattern)):
        raise ValueError(f"{compiled.pattern!r} takes too long on some lines; use fewer repetitions of what overlaps")


Pattern = Annotated[str, AfterValidator(checked_pattern)]
"""A regular expression of Python, checked when the settings are read."""


def _repeats_repetitions(tree: Iterable[Any], *, inside: bool) -> bool:
    for code, value in tree:
        is_many = code in (codes.MAX_REPEAT, codes.MIN_REPEAT) and value[1] >= _MANY
        if inside and (is_many or code is codes.BRANCH):
            return True
        if any(_repeats_repetitions(part, inside=inside or is_many) for part in _parts(value)):
            return True
    return False


def _parts(value: Any) -> Iterator[Iterable[Any]]:
    """Yields the expressions within the argument of a node."""
    if isinstance(value, parser.SubPattern):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)


def _is_slow(compiled: re.Pattern[str], tree: Iterable[Any]) -> bool:
    bricks = {*"a0 -:.(", "a ", "0 ", "0.", "a.", *_characters(tree)}
    for length in _LENGTHS:  # a text that is slow when short is slower when long, and is found before
        for brick in sorted(bricks):
            text = (brick * length)[:length] + "\0"
            started = time.perf_counter()
            compiled.search(text)
            if time.perf_counter() - started > _SLOW_S and _takes_long_again(compiled, text):
                return True
    return False


def _takes_long_again(compiled: re.Pattern[str], text: str) -> bool:
    """Returns True if the text takes long as a rule: another process may have had the processor the first time."""
    started = time.thread_time()
    compiled.search(text)
    return time.thread_time() - started > _SLOW_S


def _characters(tree: Iterable[Any]) -> Iterator[str]:
    """Yields characters that an expression names or leaves out, one at a time and as the whole that it spells."""
    found = []
    for code, value in tree:
        inner = [text for part in ([value] if code is codes.IN else _parts(value)) for text in _characters(part)]
        yield from inner
        if code is codes.LITERAL:
            found.append(chr(value))
        elif code is codes.RANGE:  # and the one behind it, for a class of all others
            found += [chr(value[0]), chr(min(value[1] + 1, sys.maxunicode))]
        else:
            found += inner[:1]
    yield from found
    if found:
        yield "".join(found)
