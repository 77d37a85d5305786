"""Drain, a parser that groups log lines by a tree of fixed depth, for the baseline of rarity over its groups.

He et al., "Drain: an online log parsing approach with fixed depth tree", ICWS 2017, with the values of the package
drain3: one level of words below the length, a similarity of .4, a hundred children. Numbers are masked before, as its
users are advised to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

SIMILARITY = 0.4
LEVELS = 1
CHILDREN = 100
WILDCARD = "<*>"

_NUMBER = re.compile(r"(?<![A-Za-z])(?:0x[0-9a-f]+|\d+(?:[.:,/-]\d+)*)(?![A-Za-z])")
_DIGIT = re.compile(r"\d")


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    groups: list[tuple[int, list[str]]] = field(default_factory=list)
    """Number and template of each group, in a leaf."""


class Drain:
    """Gives lines the numbers of their groups, one after the other."""

    def __init__(self) -> None:
        self._lengths: dict[int, _Node] = {}
        self._known: dict[str, int] = {}
        self._count = 0

    def groups(self, lines: Iterable[str]) -> list[int]:
        """Returns the group of each line. A line that came before keeps its group."""
        found = []
        for line in lines:
            masked = _NUMBER.sub(WILDCARD, line)
            number = self._known.get(masked)
            if number is None:
                number = self._known[masked] = self._group(masked.split())
            found.append(number)
        return found

    def _group(self, words: list[str]) -> int:
        leaf = self._leaf(words)
        best, most = None, -1.0
        for number, template in leaf.groups:
            same = sum(a == b != WILDCARD for a, b in zip(words, template, strict=True)) / max(len(words), 1)
            if same > most:
                best, most = (number, template), same
        if best is not None and most >= SIMILARITY:
            best[1][:] = [a if a == b else WILDCARD for a, b in zip(best[1], words, strict=True)]
            return best[0]
        self._count += 1
        leaf.groups.append((self._count, list(words)))
        return self._count

    def _leaf(self, words: list[str]) -> _Node:
        node = self._lengths.setdefault(len(words), _Node())
        for word in words[:LEVELS]:
            # A word with a digit is taken for a variable, and so is every word that comes when a node is full.
            key = WILDCARD if _DIGIT.search(word) or word == WILDCARD else word
            if key not in node.children and len(node.children) >= CHILDREN:
                key = WILDCARD
            node = node.children.setdefault(key, _Node())
        return node
