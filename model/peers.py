"""Sums what the services of one system log in calm time: a new replica inherits what its siblings have logged.

A system is what its caller makes one: a partition, a folder of files. A sum is that over the rows that the history
keeps, whatever their order, so that it can be made again from the services' own states.

Legend: n lines of a batch
"""

from __future__ import annotations

import numpy as np

from logwarden.model.arrays import Doubles, Ints, sums_before


class PeerSums:
    """A sum for each pair of a system and a line. Rows are those of a history; several of them share a sum."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}  # key of a system and a line → its place
        self._keys: list[int] = []
        self._free: list[int] = []
        self._sum = np.zeros(0)
        self._users = np.zeros(0, np.int64)
        self._place = np.zeros(0, np.int64)  # of each row

    def grow(self, more: int) -> None:
        """Adds rows."""
        self._place = np.concatenate([self._place, np.zeros(more, np.int64)])

    def begin(self, rows: list[int], keys: Ints) -> None:
        """Gives rows to lines. `keys`: one per row, the same for the same line of the same system."""
        names = keys.tolist()
        for name in names:
            if name not in self._places:
                self._places[name] = self._new_place(name)
        self._place[rows] = list(map(self._places.__getitem__, names))
        np.add.at(self._users, self._place[rows], 1)

    def end(self, rows: Ints, counts: Doubles) -> None:
        """Takes rows and their counts out of the sums."""
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            place = int(self._place[row])
            self._sum[place] -= count
            self._users[place] -= 1
            if not self._users[place]:
                del self._places[self._keys[place]]
                self._free.append(place)

    def before(self, rows: Ints, counts: Doubles) -> Doubles:
        """Returns (n,) the sums before each line of a batch, whose lines add `counts` (n,) in order."""
        places = self._place[rows]
        return np.asarray(self._sum[places] + sums_before(places, counts))

    def add(self, rows: Ints, counts: Doubles) -> None:
        """Adds counts, one for each row; a row may be named repeatedly."""
        np.add.at(self._sum, self._place[rows], counts)

    def of_keys(self, keys: Ints) -> Doubles:
        """Returns (n,) the sums by key; 0 where nothing was logged."""
        places = np.array([self._places.get(key, -1) for key in keys.tolist()], np.int64)
        sums = np.zeros(len(places))
        sums[places >= 0] = self._sum[places[places >= 0]]
        return sums

    def _new_place(self, key: int) -> int:
        if not self._free:
            size, more = len(self._keys), max(len(self._keys), 1024)
            self._free.extend(range(size + more - 1, size - 1, -1))
            self._keys.extend([0] * more)
            self._sum = np.concatenate([self._sum, np.zeros(more)])
            self._users = np.concatenate([self._users, np.zeros(more, np.int64)])
        place = self._free.pop()
        self._keys[place] = key
        self._sum[place] = 0.0
        return place
