"""What is kept of the last minutes of each service."""

from __future__ import annotations

import dataclasses

import numpy as np

from logwarden.daemon.records import Partition
from logwarden.daemon.standing import LastAlert
from logwarden.daemon.web.service_history import MINUTES, ServiceHistory
from tests.unit.daemon.web.serving import AUDIT, LOGS, TABLE


def test_a_minute_is_a_number_and_a_service_that_is_gone_takes_its_numbers_along() -> None:
    """Services keep their figures when others come and go, an alert counts in one minute, and time is bounded."""
    history = ServiceHistory()
    alerts: dict[tuple[Partition, str], LastAlert] = {}

    def last_alert(partition: Partition, name: str) -> LastAlert | None:
        return alerts.get((partition, name))

    history.sample(TABLE, last_alert)
    alerts[LOGS, "web-1"] = LastAlert(at_ms=None, score=0.93)
    history.sample(dataclasses.replace(TABLE, per_minute=np.array([61, 1, 6, 2])), last_alert)
    kept = [3, 1]
    columns = ("partition", "names", "states", "progress", "lines", "known_lines", "per_minute", "seen_ms")
    fewer = dataclasses.replace(TABLE, **{name: getattr(TABLE, name)[kept] for name in columns})
    history.sample(fewer, last_alert)
    assert history.of(LOGS, "web-1").lines[-3:] == (0, 1, 0)
    assert history.of(LOGS, "web-1").scores[-3:] == (0.0, 0.93, 0.0)
    assert history.of(AUDIT, "web-1").lines[-3:] == (1, 2, 1)
    assert set(history.of(LOGS, "web-2").lines) == {0}
    for _ in range(2 * MINUTES):
        history.sample(TABLE, last_alert)
    assert history.of(LOGS, "web-2").lines == (60,) * MINUTES
    assert set(history.of(LOGS, "web-1").scores) == {0.0}
