"""Keeps a service within a budget of alerts, by what the service has raised within a day.

A threshold that fits one service floods the readers of another. The first episodes of a service's day may alert at the
model's threshold. Once the budget is used up, an alert needs `STRICT`, which every failure that was never stated before
reaches. An *episode* is all that follows each other by less than a minute.

Time is that of the lines, so that a replay decides as the first reading did. Knows no model and no thread.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, ItemsView, Sequence
from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Bools

STRICT = 0.73
"""Least probability of an alert beyond the budget. The floor of a failure never stated before lies just above it."""
DAY_MS = 86_400_000
EPISODE_MS = 60_000
MOST_SERVICES = 20_000
"""Services whose episodes are kept. The one without an alert for the longest time is evicted first."""


@dataclass(slots=True)
class Episodes:
    """The episodes of one service."""

    begins: deque[int]
    """Times of the last episodes, as many as the budget."""
    last_ms: int
    over: bool
    """The budget was used up when the last episode began."""


class AlertBudget:
    """Counts the episodes of every service, and knows which service has used up its budget."""

    def __init__(self, most_services: int = MOST_SERVICES) -> None:
        self._most = most_services
        self._services: OrderedDict[Hashable, Episodes] = OrderedDict()

    def used_up(self, services: Sequence[Hashable], times_ms: Sequence[int], per_day: int) -> Bools:
        """Counts windows that reached the model's threshold, and returns (w,) True where the budget is used up.

        `times_ms`: of their newest lines, in stream order; below 0 where unknown. `per_day` ≥ 1. A window without a
        time is not counted and finds room.
        """
        found = np.zeros(len(services), bool)
        for place, (service, time_ms) in enumerate(zip(services, times_ms, strict=True)):
            if time_ms >= 0:
                found[place] = self._counted(service, time_ms, per_day)
        return found

    def put(self, service: Hashable, episodes: Episodes) -> None:
        """Continues with what another budget had of a service."""
        self._services[service] = episodes

    def items(self) -> ItemsView[Hashable, Episodes]:
        """Returns the services with their episodes."""
        return self._services.items()

    def _counted(self, service: Hashable, time_ms: int, per_day: int) -> bool:
        episodes = self._services.get(service)
        if episodes is None:
            if len(self._services) >= self._most:
                self._services.popitem(last=False)
            self._services[service] = Episodes(deque([time_ms], per_day), time_ms, over=False)
            return False
        if episodes.begins.maxlen != per_day:
            episodes.begins = deque(episodes.begins, per_day)
        if abs(time_ms - episodes.last_ms) >= EPISODE_MS:
            self._services.move_to_end(service)
            begins = episodes.begins
            episodes.over = len(begins) >= per_day and begins[-per_day] > time_ms - DAY_MS
            begins.append(time_ms)
        episodes.last_ms = max(time_ms, episodes.last_ms)
        return episodes.over
