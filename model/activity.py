"""Counts events over time in a bounded number of bins, whose width doubles as the time that they span grows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BINS = 48
FIRST_MS = 1_000
"""Width of the bins at first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Counts of consecutive bins."""

    begin_ms: int
    width_ms: int
    counts: tuple[int, ...]


class ActivityCounter:
    """The counts so far. The order of events changes nothing: bins begin at multiples of their width."""

    __slots__ = ("_bins", "_width_ms")

    def __init__(self) -> None:
        self._width_ms = FIRST_MS
        self._bins: dict[int, int] = {}

    def add(self, at_ms: int) -> None:
        """Counts an event."""
        number = at_ms // self._width_ms
        if number in self._bins:
            self._bins[number] += 1
            return
        self._bins[number] = 1
        # Bins 3 4 5 of width 1 with counts 1 2 4 are bins 1 2 of width 2 with counts 1 6.
        while max(self._bins) - min(self._bins) >= MAX_BINS:
            self._width_ms *= 2
            wider: dict[int, int] = {}
            for number, count in self._bins.items():
                wider[number // 2] = wider.get(number // 2, 0) + count
            self._bins = wider

    def counts(self) -> Activity:
        """Returns the counts from the first event to the last one. There is at least one event."""
        first, last = min(self._bins), max(self._bins)
        return Activity(
            begin_ms=first * self._width_ms,
            width_ms=self._width_ms,
            counts=tuple(self._bins.get(number, 0) for number in range(first, last + 1)),
        )
