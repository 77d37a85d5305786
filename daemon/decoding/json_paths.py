"""Finds values in decoded JSON by dotted paths: one path at a time, or all paths of a table in one walk.

A key may itself contain dots. In a table, keys match in any case, with or without `_`, `-` and blanks between words:
`stack_trace`, `stackTrace` and `StackTrace` are one path.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

Path = tuple[str, ...]
"""A dotted path, split at its dots."""

_MAX_SHAPES = 512
"""Sets of keys remembered for each object; producers have few."""
_MAX_SHAPE_KEYS = 64
_MAX_SHAPE_CHARS = 2048


Hit = tuple[int, str, Any]
"""A value at one of the paths of a role: its rank, the last key as the record spells it, the value. A plain tuple,
because several are made for every record."""
Found = list[list[Hit] | None]
"""The hits of each role; None for a role without one."""
by_rank = itemgetter(0)
"""Sorts hits, the best first."""


class PathTable:
    """Finds the values of many roles in one walk over an object.

    `roles`: for each role its paths, the best first. `wrappers`: keys of objects in which each path counts again, after
    every path outside. `of_objects`: roles that take an object as their value. What was found for a set of keys is
    remembered, because a producer's records look alike.
    """

    def __init__(
        self, roles: Sequence[Sequence[str]], wrappers: Iterable[str] = (), of_objects: Collection[int] = ()
    ) -> None:
        self._root = Node()
        self._count = len(roles)
        inside = [(), *((plain(wrapper),) for wrapper in wrappers)]
        split = [[tuple(map(plain, path.split("."))) for path in paths] for paths in roles]
        for depth, outer in enumerate(inside):
            for role, paths in enumerate(split):
                for rank, path in enumerate(paths):
                    self._root.insert((*outer, *path), role, depth * 1000 + rank, role in of_objects)

    def find(self, event: Mapping[str, Any]) -> Found:
        """Returns the hits of each role, in no order."""
        found: Found = [None] * self._count
        self._walk(event, self._root, found)
        return found

    def inner(self, event: Mapping[str, Any]) -> Iterator[tuple[str, Node]]:
        """Yields the keys of an object below which paths go on, with the place there."""
        return self._root.inner(event)

    def _walk(self, event: Mapping[str, Any], node: Node, found: Found) -> None:
        plan = node.plans.get(tuple(event))
        if plan is None:
            plan = node.plan(event)
        for key, leaves, of_objects, child in plan:
            value = event[key]
            if type(value) is dict:
                if child is not None:
                    self._walk(value, child, found)
                if not of_objects:
                    continue
                reached = of_objects
            elif value is None:
                continue
            else:
                reached = leaves
            for role, rank in reached:
                hits = found[role]
                if hits is None:
                    found[role] = [(rank, key, value)]
                else:
                    hits.append((rank, key, value))


Leaves = tuple[tuple[int, int], ...]
Plan = tuple[tuple[str, Leaves, Leaves, "Node | None"], ...]


class Node:
    """A place in the tree of all paths."""

    __slots__ = ("children", "leaves", "of_objects", "plans")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.leaves: dict[int, int] = {}
        """Best rank of each role whose path ends here."""
        self.of_objects: dict[int, int] = {}
        """Those of the roles that take an object."""
        self.plans: dict[tuple[str, ...], Plan] = {}

    def insert(self, path: Path, role: int, rank: int, of_objects: bool) -> None:
        node = self
        for part in path:
            below = node.children.get(part)
            if below is None:
                below = node.children[part] = Node()
            node = below
        node.leaves[role] = min(rank, node.leaves.get(role, rank))
        if of_objects:
            node.of_objects[role] = node.leaves[role]

    def inner(self, event: Mapping[str, Any]) -> Iterator[tuple[str, Node]]:
        """Yields the keys of an object below which paths go on, with the place there."""
        yield from ((key, below) for key, _, _, below in self._plan(tuple(event)) if below is not None)

    def plan(self, event: Mapping[str, Any]) -> Plan:
        """Returns the keys of an object that lead to a path, each with the roles that end there and the node below."""
        keys = tuple(event)
        found = self._plan(keys)
        if len(keys) <= _MAX_SHAPE_KEYS and sum(map(len, keys)) <= _MAX_SHAPE_CHARS:
            if len(self.plans) >= _MAX_SHAPES:
                self.plans.clear()
            self.plans[keys] = found
        return found

    def _plan(self, keys: tuple[str, ...]) -> Plan:
        entries = []
        for key in keys:
            if len(key) > 200:
                continue
            node = self._descend(key)
            if node is not None:
                leaves = (tuple(node.leaves.items()), tuple(node.of_objects.items()))
                entries.append((key, *leaves, node if node.children else None))
        # The longest key that fits comes first: it is the most exact one.
        return tuple(sorted(entries, key=lambda entry: -entry[0].count(".")))

    def _descend(self, key: str) -> Node | None:
        node: Node | None = self.children.get(plain(key))
        if node is not None or "." not in key:
            return node
        node = self
        for part in key.split("."):
            node = node.children.get(plain(part))
            if node is None:
                return None
        return node


def plain(key: str) -> str:
    """Returns a key in lower case without the signs between its words."""
    name = key.casefold().replace("_", "").replace("-", "").replace(" ", "") or key
    return name[1:] if name[0:1] == "@" and len(name) > 2 else name  # `@message`, but `@m` is no `m`


def ranked(hits: list[Hit] | None) -> Sequence[Hit]:
    """Returns hits, the best first."""
    if not hits:
        return ()
    if len(hits) > 1:
        hits.sort(key=by_rank)
    return hits
