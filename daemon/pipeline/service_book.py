"""Describes the services in memory: how well each is known, what it logged, how fast it logs.

The ingest thread owns it, as it owns the slots and the history that it reads. Columns are copied, never rows: a look at
20,000 services must not delay the next fetch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from logwarden.daemon.pipeline.service_facts import ServiceFacts
from logwarden.daemon.pipeline.slots import ServiceSlots
from logwarden.daemon.standing import ServiceState, ServiceTable
from logwarden.model.novelty import is_common
from logwarden.model.stream import LogStream
from logwarden.model.windowing import WindowBatch

Ints = npt.NDArray[np.int64]

_BUCKETS, _BUCKET_S = 12, 5.0


class ServiceBook:
    """The services of one log stream."""

    def __init__(self, stream: LogStream, slots: ServiceSlots) -> None:
        self._history = stream.history
        self._rings = stream.rings
        self._slots = slots
        self.rates = MinuteRates(slots.max_services)

    def facts(self, learning_lines: int) -> ServiceFacts:
        """Returns figures about the services in memory; one is learning before `learning_lines` lines are counted."""
        slots = self._slots.in_use()
        states, ages = self._states(slots, learning_lines), self._history.age(slots)
        return ServiceFacts(
            services=len(slots),
            learning=int(np.count_nonzero(states == ServiceState.LEARNING)),
            without_pattern=int(np.count_nonzero(states == ServiceState.NOISY)),
            lines_per_service=float(ages.mean()) if len(ages) else 0.0,
        )

    def table(self, learning_lines: int, now: float, now_ms: int) -> ServiceTable:
        """Returns the figures of every service in memory. `now`: monotonic seconds, `now_ms`: wall clock."""
        places = self._slots.by_assignment()
        # Two partitions with 2 and 1 services:
        #   slots       [7, 3]  [5]
        #   partition   [0, 0,   1]
        slots = np.concatenate([own for _, own in places]) if places else np.zeros(0, np.int64)
        ages = self._history.age(slots)
        return ServiceTable(
            at_ms=now_ms,
            partitions=tuple(assignment.partition for assignment, _ in places),
            partition=np.repeat(np.arange(len(places)), [len(own) for _, own in places]),
            names=self._slots.service[slots],
            states=self._states(slots, learning_lines),
            progress=np.minimum(ages / max(1, learning_lines), 1.0).astype(np.float32),
            lines=ages,
            known_lines=self._history.distinct(slots),
            per_minute=self.rates.of(slots, now),
            seen_ms=self._rings.newest_timestamps(slots),
        )

    def _states(self, slots: Ints, learning_lines: int) -> npt.NDArray[np.int8]:
        ages = self._history.age(slots)
        states = np.full(len(slots), ServiceState.KNOWN, np.int8)
        states[is_common(self._history.distinct(slots), ages)] = ServiceState.NOISY
        states[ages < learning_lines] = ServiceState.LEARNING
        return states


class MinuteRates:
    """Counts the lines of each slot within the last minute, to five seconds. Times are monotonic seconds."""

    def __init__(self, max_slots: int) -> None:
        self._counts = np.zeros((_BUCKETS, max_slots), np.int64)
        self._newest = 0  # number of the newest bucket, whose row is that number modulo their count

    def count(self, windows: WindowBatch, now: float) -> None:
        """Counts the fresh lines of windows."""
        self._advance(now)
        np.add.at(self._counts[self._newest % _BUCKETS], windows.slots, windows.fresh)

    def of(self, slots: Ints, now: float) -> Ints:
        """Returns the lines of the last minute of each slot."""
        self._advance(now)
        return np.asarray(self._counts[:, slots].sum(axis=0))

    def clear(self, slots: Ints) -> None:
        """Empties slots."""
        self._counts[:, slots] = 0

    def _advance(self, now: float) -> None:
        # At second 62 the bucket is number 12, in row 0, which had the lines of seconds 0 to 5.
        newest = max(self._newest, int(now // _BUCKET_S))
        for number in range(max(self._newest, newest - _BUCKETS) + 1, newest + 1):
            self._counts[number % _BUCKETS] = 0
        self._newest = newest
