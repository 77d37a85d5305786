"""Describes the services in memory: how well each is known, its lines and their rate.

The ingest thread owns it, as it owns the slots and the history that it reads. Columns are copied, never rows: a look at
20,000 services must not delay the next fetch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from logwarden.daemon.pipeline.service_facts import ServiceFacts
from logwarden.daemon.pipeline.slots import ServiceSlots
from logwarden.daemon.standing import STATES, ServiceState, ServiceTable
from logwarden.model.arrays import Doubles, Ints
from logwarden.model.learning import LearningRules, learned_share
from logwarden.model.novelty import BRAKED_LINES, is_common
from logwarden.model.stream import LogStream
from logwarden.model.windowing import WindowBatch

MANY, MANY_S = 1_000, 0.25
"""Services from which the figures are taken at intervals: at 20,000 they cost half a millisecond."""
_BUCKETS, _BUCKET_S = 12, 5.0


class ServiceBook:
    """The services of one log stream."""

    def __init__(self, stream: LogStream, slots: ServiceSlots) -> None:
        self._history = stream.history
        self._rings = stream.rings
        self._slots = slots
        self._rules: LearningRules | None = None
        # What each service needs to learn, by slot: patterns are matched once for a service.
        self._wanted, self._days = np.zeros((2, slots.max_services))
        self._facts = ServiceFacts(0, 0, 0, 0.0)
        self._counted_at = -np.inf
        self.rates = MinuteRates(slots.max_services)

    def facts(self, rules: LearningRules, now: float, now_ms: int) -> ServiceFacts:
        """Returns figures about the services in memory, those of a moment ago where they are many.

        `now`: monotonic seconds, `now_ms`: wall clock.
        """
        if len(self._slots) <= MANY or now - self._counted_at >= MANY_S:
            self._facts, self._counted_at = self._count(rules, now_ms), now
        return self._facts

    def _count(self, rules: LearningRules, now_ms: int) -> ServiceFacts:
        slots = self._slots.in_use()
        ages = self._history.age(slots)
        counts = np.bincount(self._states(slots, self._progress(slots, rules, now_ms)), minlength=len(STATES))
        return ServiceFacts(
            services=len(slots),
            learning=int(counts[ServiceState.LEARNING]),
            noisy=int(counts[ServiceState.NOISY]),
            lines_per_service=float(ages.mean()) if len(ages) else 0.0,
        )

    def table(self, rules: LearningRules, now: float, now_ms: int) -> ServiceTable:
        """Returns the figures of every service in memory. `now`: monotonic seconds, `now_ms`: wall clock."""
        places = self._slots.by_assignment()
        # Two partitions with 2 and 1 services:
        #   slots       [7, 3]  [5]
        #   partition   [0, 0,   1]
        slots = np.concatenate([own for _, own in places]) if places else np.zeros(0, np.int64)
        progress = self._progress(slots, rules, now_ms)
        return ServiceTable(
            at_ms=now_ms,
            partitions=tuple(assignment.partition for assignment, _ in places),
            partition=np.repeat(np.arange(len(places)), [len(own) for _, own in places]),
            names=self._slots.service[slots],
            states=self._states(slots, progress),
            progress=progress.astype(np.float32),
            lines=self._history.age(slots),
            known_lines=self._history.distinct(slots),
            per_minute=self.rates.of(slots, now),
            seen_ms=self._rings.newest_timestamps(slots),
        )

    def _progress(self, slots: Ints, rules: LearningRules, now_ms: int) -> Doubles:
        """Returns (g,) the share of the learning that is done."""
        if rules is not self._rules:
            self._rules = rules
            self._slots.is_new[slots] = True
        new = slots[self._slots.is_new[slots]]
        self._wanted[new], self._days[new] = rules.needs(self._slots.service[new].tolist())
        self._slots.is_new[new] = False
        first, seen = self._history.first_ms(slots), self._rings.newest_timestamps(slots)
        seen[seen < 0] = now_ms  # a service that came back and has logged nothing since
        elapsed = np.where(first >= 0, seen - first, -1)
        return learned_share(self._wanted[slots], self._days[slots], self._history.age(slots), elapsed)

    def _states(self, slots: Ints, progress: Doubles) -> npt.NDArray[np.int8]:
        states, ages = np.full(len(slots), ServiceState.KNOWN, np.int8), self._history.age(slots)
        states[(ages >= BRAKED_LINES) & is_common(self._history.distinct(slots), ages)] = ServiceState.NOISY
        states[progress < 1.0] = ServiceState.LEARNING
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
