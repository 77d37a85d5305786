"""Finds kinds of lines whose incidents have come back for weeks. Pure and bounded; the caller gives every time.

The incidents of a kind are a chain as long as no pause between them is longer than a third of the time that is wanted.
So a fault that comes every day for three weeks is found, and one of a month ago that breaks out today is not.
"""

from __future__ import annotations

from collections import OrderedDict

MOST_KINDS = 20_000
"""Kinds that are kept. The one without an incident for the longest time is evicted first."""


class Recurrences:
    """The chain of each kind of lines. `after_ms`: length from which a chain is old."""

    def __init__(self, after_ms: int, most_kinds: int = MOST_KINDS) -> None:
        self._after_ms = after_ms
        self._most = most_kinds
        self._chains: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """Begin and end of the newest chain of each kind."""

    def note(self, kind: str, first_ms: int, last_ms: int) -> bool:
        """Notes that an incident had lines of a kind between these times. Returns True if its chain is old."""
        begin, end = self._chains.pop(kind, (first_ms, last_ms))
        # Incidents of days 0, 5 and 11 with pauses of up to 7: one chain. The one of day 20 begins another.
        if first_ms > end + self._after_ms // 3:
            begin, end = first_ms, last_ms
        begin, end = min(begin, first_ms), max(end, last_ms)
        self._chains[kind] = begin, end
        if len(self._chains) > self._most:
            self._chains.popitem(last=False)
        return end - begin >= self._after_ms
