"""Remembers the newest alert of each service, for people. Belongs to the event loop."""

from __future__ import annotations

from collections.abc import Collection

from logwarden.daemon.records import Partition
from logwarden.daemon.standing import LastAlert

MOST = 20_000
"""Services whose last alert is remembered."""


class LastAlerts:
    """At most `most` services; those whose last alert is the oldest are forgotten."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._alerts: dict[tuple[Partition, str], LastAlert] = {}

    def note(self, partition: Partition, service: str, alert: LastAlert) -> None:
        """Records an alert that is about to be published."""
        self._alerts.pop((partition, service), None)  # so that the order is that of the newest alerts
        self._alerts[partition, service] = alert
        if len(self._alerts) > self._most:
            del self._alerts[next(iter(self._alerts))]

    def of(self, partition: Partition, service: str) -> LastAlert | None:
        """Returns the newest alert of a service. Returns None if none is remembered."""
        return self._alerts.get((partition, service))

    def forget(self, partitions: Collection[Partition]) -> None:
        """Drops the alerts of partitions, which another member may have now."""
        for key in [key for key in self._alerts if key[0] in partitions]:
            del self._alerts[key]
