"""Finds when a group has recovered: the end of the last standstill of a partition that has lines behind.

Takes times and figures as arguments; refuses to know clocks and lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

STANDSTILL_S = 2.0
"""Time without a settled line after which a partition with lines behind stands still. Members take turns in less."""


class Recovery:
    """Partitions that have lines behind, looked at again and again."""

    def __init__(self) -> None:
        self._seen: dict[Any, tuple[int, float]] = {}
        """Track → lines behind, and when their number last fell."""
        self.falling_s = 0.0
        """Last moment at which a partition stood still: since then the lag of each one falls."""

    def look(self, now_s: float, behind: Mapping[Any, int]) -> None:
        """Takes the lines behind of every partition that has some. Each one stands still until its first progress."""
        for track, count in behind.items():
            last, fell_s = self._seen.get(track, (count, -math.inf))
            if count < last:
                fell_s = now_s
            self._seen[track] = (count, fell_s)
            if now_s - fell_s > STANDSTILL_S:
                self.falling_s = now_s
