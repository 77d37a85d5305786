"""Decides how long a service learns: until it has logged enough lines, or for long enough, whichever is first.

Time is that of the lines, so that a replay decides the same. A service that logs little is known after some days, as it
would otherwise learn for weeks; yet not before it has logged a share of the lines, below which nothing is known of it.

Pure. Legend: w windows or services
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from logwarden.model.arrays import Doubles, Ints

DAY_MS = 86_400_000
LEAST_SHARE = 0.2
"""Share of the lines that a service needs however long it is known. At 200 lines of 1,000 the fault lab's services have
no more false alarms per line than at 1,000; at 50 they have two thirds more (BENCHMARKS.md, young services)."""
_REMEMBERED = 65_536


@dataclass(frozen=True, slots=True)
class LearningNeed:
    """When a service has learned."""

    lines: int
    """Lines after which it has."""
    days: float = math.inf
    """Days after its first line after which it has, with `LEAST_SHARE` of the lines."""


class LearningRules:
    """The need of each service: by its name or the first pattern that it matches, else the common one."""

    def __init__(
        self, common: LearningNeed, special: Sequence[tuple[Callable[[str], bool], LearningNeed]] = ()
    ) -> None:
        """`special`: tests of names with their needs, in order."""
        self.common = common
        self._special = tuple(special)
        self._need_of = lru_cache(_REMEMBERED)(self._found)

    def of(self, service: str) -> LearningNeed:
        """Returns the need of a service."""
        return self._need_of(service) if self._special else self.common

    def _found(self, service: str) -> LearningNeed:
        return next((need for matches, need in self._special if matches(service)), self.common)

    def needs(self, services: Sequence[str]) -> tuple[Doubles, Doubles]:
        """Returns (w,) lines and (w,) days of the needs of these services."""
        if not self._special:
            return np.full(len(services), float(self.common.lines)), np.full(len(services), self.common.days)
        needs = [self.of(service) for service in services]
        return np.array([need.lines for need in needs], np.float64), np.array([need.days for need in needs])


def learned_share(wanted: Doubles, days: Doubles, lines: Ints, elapsed_ms: Ints) -> Doubles:
    """Returns (w,) the share of the learning that is done, 0…1; 1 means that a service has learned.

    `wanted`, `days` (w,): see `LearningNeed`. `lines` (w,): lines before the one that is judged. `elapsed_ms` (w,):
    time since the service's first line; negative where it is not known.
    """
    # 1,000 lines or 3 days, and a service of 150 lines after a day, later of 250 lines after 6 days:
    #   by lines   .15   .25
    #   by time    .33   2.0     of its days
    #   least      .75   1.25    of 200 lines, which it needs beside its days
    #   share      .33   1.0     the better one of lines, and of the worse one of time and least
    by_lines = np.where(wanted > 0, lines / np.maximum(wanted, 1.0), 1.0)
    by_time = np.maximum(elapsed_ms, 0) / (DAY_MS * days)
    least = lines / np.maximum(wanted * LEAST_SHARE, 1.0)
    return np.asarray(np.maximum(by_lines, np.minimum(by_time, least)).clip(0.0, 1.0))
