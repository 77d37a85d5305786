"""Makes an answer fit the bound of tokens: parts leave one by one, the least important first, and are counted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from logwarden.daemon.agents.tokens import tokens_in

BUDGET = 1_800
"""Tokens of an answer about one incident or service, as `tokens_in` counts: a tenth less than what is promised."""
LIST_BUDGET = 2 * BUDGET
"""Tokens of an answer about many."""

S = TypeVar("S", bound=msgspec.Struct)
Step = tuple[str, str, int]
"""Field whose last entry leaves, field that counts those, and how many entries stay in this step."""


def written(answer: msgspec.Struct) -> str:
    """Returns an answer as an agent reads it: JSON in the order of the fields, without blanks."""
    return msgspec.json.encode(answer).decode()


def fitted(answer: S, steps: Sequence[Step], budget: int = BUDGET) -> S:
    """Returns the answer, or one with fewer entries. Each step is used up before the next one begins."""
    for entries, counter, least in steps:
        cut = partial(_cut, answer, entries, counter)
        count = len(getattr(answer, entries))
        answer = cut(longest_prefix(min(least, count), count, partial(_is_short, cut, budget)))
        if fits(answer, budget):
            return answer
    raise AssertionError("texts are bounded, so that the least answer fits")


def fits(answer: msgspec.Struct, budget: int) -> bool:
    """Returns True for an answer within a budget of tokens."""
    return tokens_in(written(answer)) <= budget


def longest_prefix(least: int, count: int, is_short: Callable[[int], bool]) -> int:
    """Returns the most entries up to `count` for which `is_short` is true, and `least` where it is true for none."""
    low, high = least, count
    if is_short(count):
        return count
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if is_short(middle) else (low, middle - 1)
    return low


def _cut(answer: S, entries: str, counter: str, left: int) -> S:
    """Returns the answer with `left` entries of a field, and the others counted."""
    found = getattr(answer, entries)
    return msgspec.structs.replace(
        answer, **{entries: found[:left], counter: getattr(answer, counter) + len(found) - left}
    )


def _is_short(cut: Callable[[int], msgspec.Struct], budget: int, left: int) -> bool:
    return fits(cut(left), budget)
