"""What one push of lines changed in a history, for another process that follows it.

Legend: k pairs · g slots
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from logwarden.model.arrays import Doubles, Floats, Ints


class Pairs(NamedTuple):
    """k pairs of a slot and a line."""

    slots: Ints
    """(k,)"""
    hashes: Ints
    """(k,) stable hash of the line."""


@dataclass(frozen=True, slots=True, eq=False)
class HistoryDelta:
    """Final values, not differences, of all that one push changed in a history.

    Deltas of one history, applied in order to an empty one or to an older snapshot, rebuild it. Applying a delta twice
    changes nothing. Its arrays are read-only. A delta is valid in another process of the same masking version; where a
    service has another slot there, the reader translates `slots`, `aged_slots` and `evicted.slots`.
    """

    slots: Ints
    """(k,) slot of every counted pair, in the order of first occurrence; as are the next four columns."""
    hashes: Ints
    counts: Ints
    """(k,) times seen."""
    seen_at: Ints
    """(k,) age of the slot when the line was last seen."""
    distances: Floats
    """(k,) distance to the nearest line that the slot knew at first sight, 0…1."""
    calm: Doubles
    """(k,) times seen in calm time, see `logwarden.model.calm`."""
    minutes: Ints
    """(k,) minute in which the line was last seen."""
    aged_slots: Ints
    """(g,) every slot in which a line was counted."""
    ages: Ints
    """(g,) lines counted so far in each of them."""
    slot_states: Ints
    """(g, 2 + levels) what `CalmCounts.of_slots` returns of each of them."""
    evicted: Pairs
    """Pairs that the push evicted; it may have counted them itself."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            for array in self.evicted if name == "evicted" else (getattr(self, name),):
                array.flags.writeable = False


NO_PAIRS = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
