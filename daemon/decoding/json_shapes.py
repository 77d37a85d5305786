"""Remembers where the values of all roles are in objects of one shape: the same keys, and objects at the same places.

A producer's records have few shapes. A walk over the paths answers for a new one; for a known one, what is left is to
take the values out. The answers are those of the walk, because the walk over an object of places gives them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from logwarden.daemon.decoding.json_paths import PathTable, ranked

Place = tuple[int, str]
"""A value: the number of an object in the order of the visit, and the key in it."""
Objects = list[Mapping[str, Any]]
Roles = Sequence[tuple[Place, ...]]
"""The places of each role, the best first. What is there may be null, or an object where the role takes none."""
Shape = TypeVar("Shape")
_MAX_STEPS = 4_096
"""Steps of all remembered visits."""
_MAX_CREDIT, _VISIT_COSTS = 2_048, 8
"""A visit takes longer than a walk: of objects that are all of different shapes, most are not visited."""
_MAX_KEYS = 64
_MAX_CHARS = 2048
_MAX_OBJECTS = 24


class _Step(Generic[Shape]):
    """A step of a visit: the next value to look at, and the steps behind it; at the end, the shape."""

    __slots__ = ("at", "key", "objects", "other", "shape")

    def __init__(self) -> None:
        self.at = 0
        self.key = ""
        self.objects: dict[tuple[str, ...], _Step[Shape]] = {}
        """Steps behind an object here, by its keys."""
        self.other: _Step[Shape] | None = None
        """The step behind any other value."""
        self.shape: Shape | None = None


class Shapes(Generic[Shape]):
    """The known shapes of objects in which `table` finds values. `make` turns their places into what is kept."""

    def __init__(self, table: PathTable, make: Callable[[Roles], Shape]) -> None:
        self._table = table
        self._make = make
        self._first: dict[tuple[str, ...], _Step[Shape]] = {}
        self._count = 0
        self._credit = _MAX_CREDIT

    def __len__(self) -> int:
        return self._count

    def of(self, event: Mapping[str, Any]) -> tuple[Shape, Objects] | None:
        """Returns the shape of an object, and the objects that its places name. Returns None if it is not known."""
        objects: Objects = [event]
        step = self._first.get(tuple(event))
        while step is not None:
            if step.shape is not None:
                return step.shape, objects
            value = objects[step.at][step.key]
            if type(value) is dict:
                objects.append(value)
                step = step.objects.get(tuple(value))
            else:
                step = step.other
        return self._visit(event)

    def _visit(self, event: Mapping[str, Any]) -> tuple[Shape, Objects] | None:
        """Visits an object of a new shape, and remembers its steps."""
        self._credit = min(_MAX_CREDIT, self._credit + 1)
        if self._credit < _VISIT_COSTS or _is_large(event):
            return None
        self._credit -= _VISIT_COSTS
        if self._count >= _MAX_STEPS:
            self._first.clear()
            self._count = 0
        objects: Objects = [event]
        places: list[dict[str, Any]] = [{key: (0, key) for key in event}]
        waiting = deque((0, key, below) for key, below in self._table.inner(event))
        owners: dict[int, Place] = {}
        step = self._next(self._first, tuple(event))
        while waiting:
            at, key, node = waiting.popleft()
            step.at, step.key = at, key
            value = objects[at][key]
            if type(value) is not dict:
                if step.other is None:
                    step.other = _Step()
                    self._count += 1
                step = step.other
                continue
            if len(objects) >= _MAX_OBJECTS or _is_large(value):
                return None
            number = len(objects)
            objects.append(value)
            places.append({inner: (number, inner) for inner in value})
            places[at][key] = places[number]
            owners[id(places[number])] = (at, key)
            waiting.extend((number, inner, below) for inner, below in node.inner(value))
            step = self._next(step.objects, tuple(value))
        found = self._table.find(places[0])
        # The value at a place is the place itself; an object at one is the object of the places in it.
        shape = step.shape = self._make([tuple(_place(at, owners) for _, _, at in ranked(hits)) for hits in found])
        return shape, objects

    def _next(self, steps: dict[tuple[str, ...], _Step[Shape]], keys: tuple[str, ...]) -> _Step[Shape]:
        if keys not in steps:
            steps[keys] = _Step()
            self._count += 1
        return steps[keys]


def _place(found: Any, owners: Mapping[int, Place]) -> Place:
    owner: Place | None = owners.get(id(found))
    return owner or (found[0], found[1])


def _is_large(event: Mapping[str, Any]) -> bool:
    return len(event) > _MAX_KEYS or sum(map(len, event)) > _MAX_CHARS
