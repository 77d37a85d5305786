"""Remembers which services have announced that they stop or restart, for the lines that their peers log about it.

While a member is restarted as planned, its peers log that connections break. The member has logged the reason before,
in a harmless line such as "shutting down". A member that crashes announces nothing, so what its peers log about that
counts in full. A line that a service logs all the time announces nothing either, whatever its words.

An announcement is known in the slots of the same system, which is what the caller of the history makes one. Times are
those of the lines. Measures depend on the states of the slots alone, and can be made again from these.

Legend: n lines of a batch · g slots
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from logwarden.model.arrays import Bools, Floats, Ints

REACH_MS = 60_000
"""How long an announcement matters. Also the bound for wrong clocks: one dated later than a line is none for it."""
RARE = 64
"""A line announces something where the service has logged it less than once in this many lines."""


class _Newest(NamedTuple):
    """The newest announcements of a system."""

    slot: int
    at: int
    """Milliseconds of the newest one of all; -1 for none."""
    other: int
    """Milliseconds of the newest one of all slots but `slot`; -1 for none."""

    def with_another(self, slot: int, at: int) -> _Newest:
        """Returns the newest announcements after one more."""
        # slot A at 10, another at 8; then B announces at 12: slot B at 12, another at 10
        if slot == self.slot:
            return _Newest(slot, max(at, self.at), self.other)
        if at > self.at:
            return _Newest(slot, at, self.at)
        return self._replace(other=max(at, self.other))


_NONE = _Newest(-1, -1, -1)


class Announcements:
    """The time of the newest announcement of each slot of one history, and measures of lines against them."""

    def __init__(self, systems: Ints) -> None:
        self._systems = systems  # of each slot; the history's own array
        self._at = np.full(len(systems), -1)
        self._newest: dict[int, _Newest] = {}

    def observe(self, slots: Ints, at_ms: Ints, announces: Bools) -> Floats:
        """Measures n lines in order, then counts those that announce something.

        Returns (n,) what is left of the reach of the newest announcement of another slot of the system: 1 at once, ½
        after half a minute, 0 without any.
        """
        places = np.flatnonzero(announces & (at_ms >= 0)).tolist()
        if not places and not self._newest:
            return np.zeros(len(slots), np.float32)
        # One system; its slot 7 announced at 5. The batch is slots 7 8 8 7, and the third line announces:
        #   parts      [0, 3) [3, 4)
        #   latest     -1 5 5 | 12     of another slot, before the line
        names, system = np.unique(self._systems[slots], return_inverse=True)
        newest = [self._newest.get(name, _NONE) for name in names.tolist()]
        latest, begin = np.empty(len(slots), np.int64), 0
        for end in [*(place + 1 for place in places), len(slots)]:
            known = np.array(newest, np.int64)[system[begin:end]]
            latest[begin:end] = np.where(known[:, 0] == slots[begin:end], known[:, 2], known[:, 1])
            if begin < end and places and end <= places[-1] + 1:
                slot, at, number = int(slots[end - 1]), int(at_ms[end - 1]), int(system[end - 1])
                newest[number] = newest[number].with_another(slot, at)
                self._at[slot] = max(at, int(self._at[slot]))
            begin = end
        self._newest |= {name: one for name, one in zip(names.tolist(), newest, strict=True) if one is not _NONE}
        left = REACH_MS - (at_ms - latest)
        is_known = (at_ms >= 0) & (latest >= 0) & (latest <= at_ms) & (left > 0)
        return np.where(is_known, left / REACH_MS, 0.0).astype(np.float32)

    def of_slots(self, slots: Ints) -> Ints:
        """Returns (g,) when each slot announced something last, in milliseconds; -1 for never."""
        return np.asarray(self._at[slots])

    def set_slots(self, slots: Ints, at: Ints) -> None:
        """Sets the state of slots, as `of_slots` returns it."""
        outdated = set()
        for number in np.flatnonzero(self._at[slots] != at).tolist():
            slot, new = int(slots[number]), int(at[number])
            system = int(self._systems[slot])
            if new > self._at[slot]:
                self._newest[system] = self._newest.get(system, _NONE).with_another(slot, new)
            else:
                outdated.add(system)
            self._at[slot] = new
        for system in outdated:
            self._newest[system] = newest = self._newest_of(system)
            if newest is _NONE:
                del self._newest[system]

    def clear(self, slots: Ints) -> None:
        """Drops what slots have announced."""
        self.set_slots(slots, np.full(len(slots), -1))

    def _newest_of(self, system: int) -> _Newest:
        newest = _NONE
        members = np.flatnonzero((self._systems == system) & (self._at >= 0))
        for slot in members[np.argsort(self._at[members])][-2:].tolist():  # of the others the newest is enough
            newest = newest.with_another(slot, int(self._at[slot]))
        return newest
