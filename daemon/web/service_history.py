"""Keeps what each service logged in each of the last minutes, and how odd it was, for pictures. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from logwarden.daemon.records import Partition
from logwarden.daemon.standing import LastAlert, ServiceTable

MINUTES = 30


class HistoryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The last half an hour of a service, a number a minute, oldest first. The first minutes are zeros."""

    lines: tuple[int, ...]
    scores: tuple[float, ...]
    """Of the newest alert of each minute; 0 in a minute without one."""


class ServiceHistory:
    """Figures of the services that the newest table has; those of a dropped service are dropped with it."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Partition, Any], int] = {}
        self._lines = np.zeros((0, MINUTES), np.int64)
        self._scores = np.zeros((0, MINUTES), np.float32)
        self._alerts: dict[tuple[Partition, Any], LastAlert] = {}

    def sample(self, table: ServiceTable, last_alert: Callable[[Partition, str], LastAlert | None]) -> None:
        """Takes the figures of a minute."""
        keys = [
            (table.partitions[number], name)
            for number, name in zip(table.partition.tolist(), table.names.tolist(), strict=True)
        ]
        alerts = {key: alert for key in keys if (alert := last_alert(*key)) is not None}
        # Rows of before, one minute further on. Services a b c, of which b and c were there before in rows 0 and 1:
        #   known  False True True     before  0 0 1, of which the first means nothing
        known = np.array([key in self._rows for key in keys], bool)
        before = np.array([self._rows.get(key, 0) for key in keys], np.int64)[known]
        lines, scores = np.zeros((len(keys), MINUTES), np.int64), np.zeros((len(keys), MINUTES), np.float32)
        lines[known, :-1], scores[known, :-1] = self._lines[before, 1:], self._scores[before, 1:]
        lines[:, -1] = table.per_minute
        self._rows = {key: row for row, key in enumerate(keys)}
        for key, alert in alerts.items():
            if self._alerts.get(key) is not alert:
                scores[self._rows[key], -1] = alert.score
        self._lines, self._scores, self._alerts = lines, scores, alerts

    def of(self, partition: Partition, name: str) -> HistoryFacts:
        """Returns the history of a service; zeros for one that no sample had."""
        row = self._rows.get((partition, name))
        if row is None:
            return HistoryFacts(lines=(0,) * MINUTES, scores=(0.0,) * MINUTES)
        return HistoryFacts(lines=tuple(_plain(self._lines[row])), scores=tuple(_plain(self._scores[row].round(3))))


def _plain(row: npt.NDArray[Any]) -> list[Any]:
    """Returns numbers as Python writes them: a float32 of .93 is no .9300000071525574."""
    return [round(number, 3) for number in row.tolist()]
