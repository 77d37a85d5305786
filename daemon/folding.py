"""Folds repeated events: the first of a kind passes, then one line stands for all that follow in an interval.

The interval begins at ten seconds, and doubles up to ten minutes while the kind continues. A kind that was quiet for a
minute begins again: its last count comes out, and its next event passes at once. Every event is a line, or is counted
by the next line of its kind. Pure: the caller gives the time, and calls `due` at `wake`. Refuses to know what an event
is.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

Event = TypeVar("Event")

FIRST_S, LONGEST_S = 10.0, 600.0
QUIET_S = 60.0
MAX_KINDS = 256
MAX_MEMBERS = 16
"""Kinds at a time; and kinds of one family, such as an event on many partitions. Further ones are counted together."""
_TEMPLATE_CHARS = 200
# Numbers, addresses of objects, ids in hexadecimal digits: what differs between messages of one kind.
_VARIABLE = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}(?:-[0-9a-f]{4,})*|\d+(?:[.:]\d+)*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry(Generic[Event]):
    """An event to log, and the number of earlier events of its kind that it stands for beside itself."""

    event: Event
    folded: int = 0


@dataclass(slots=True)
class _Kind(Generic[Event]):
    due: float
    last: float
    interval_s: float = FIRST_S
    held: int = 0
    newest: Event | None = None

    @property
    def wake(self) -> float:
        return min(self.due, self.last + QUIET_S)


class Folding(Generic[Event]):
    """The kinds that were seen lately. Belongs to the thread with the log's lock."""

    def __init__(self, *, max_kinds: int = MAX_KINDS, max_members: int = MAX_MEMBERS) -> None:
        self._max_kinds = max_kinds
        self._max_members = max_members
        self._kinds: dict[tuple[Hashable, Hashable], _Kind[Event]] = {}
        self._members: Counter[Hashable] = Counter()
        self.wake = math.inf
        """The time at which the caller calls `due`, if no event comes before; perhaps in vain."""

    def take(self, family: Hashable, member: Hashable, event: Event, now: float) -> list[Entry[Event]]:
        """Returns the lines to log now: the event if it is the first of its kind, and whatever is due."""
        lines = self.due(now)
        name = self._name(family, member)
        known = self._kinds.get(name)
        if known is None:
            self._kinds[name] = known = _Kind(due=now + FIRST_S, last=now)
            self._members[name[0]] += 1
            self.wake = min(self.wake, known.wake)
            return [*lines, Entry(event)]
        known.held += 1
        known.newest, known.last = event, now
        return lines

    def _name(self, family: Hashable, member: Hashable) -> tuple[Hashable, Hashable]:
        name = (family, member)
        if name not in self._kinds and self._members[family] >= self._max_members:
            name = (family, None)
        if name not in self._kinds and len(self._kinds) >= self._max_kinds:
            name = (None, None)
        return name

    def due(self, now: float) -> list[Entry[Event]]:
        """Returns a line for each kind whose interval has ended, and forgets the kinds that are quiet."""
        lines: list[Entry[Event]] = []
        if now < self.wake:
            return lines
        for name, kind in [(name, kind) for name, kind in self._kinds.items() if kind.wake <= now]:
            if kind.held:
                lines.append(_line(kind))
            if kind.last + QUIET_S <= now:
                del self._kinds[name]
                self._members[name[0]] -= 1
            else:
                kind.interval_s = min(2 * kind.interval_s, LONGEST_S)
                kind.due = now + kind.interval_s
        self.wake = min((kind.wake for kind in self._kinds.values()), default=math.inf)
        return lines

    def flush(self) -> list[Entry[Event]]:
        """Returns a line for each kind with events that wait, and forgets all kinds."""
        lines = [_line(kind) for kind in self._kinds.values() if kind.held]
        self._kinds.clear()
        self._members.clear()
        self.wake = math.inf
        return lines


def _line(kind: _Kind[Event]) -> Entry[Event]:
    assert kind.newest is not None, "a kind with events that wait has a newest one"
    line = Entry(kind.newest, kind.held - 1)
    kind.held, kind.newest = 0, None
    return line


def template_of(text: str) -> str:
    """Returns a message without its numbers, addresses and ids, and not longer than a kind's name may be."""
    return _template(text[:_TEMPLATE_CHARS])


@lru_cache(maxsize=1024)
def _template(text: str) -> str:
    return _VARIABLE.sub("#", text)
