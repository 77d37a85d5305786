"""Sends the publications of one output topic until the broker acknowledges them, in the order they were made.

Owns the queue in front of one topic, on the event loop. A topic that takes nothing stops its own lane only. A message
that the topic will never take is left to `Fate`, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from logwarden.daemon.errors import BrokerUnavailable, TopicUnusable
from logwarden.daemon.pipeline.publication import Publication
from logwarden.daemon.ports import Clock, Sink
from logwarden.daemon.records import Delivery

log = structlog.get_logger(__name__)

MOST = 256
"""Publications sent together: a backlog sent as one could outlast the time-out of a request at every attempt."""
MOST_BYTES = 1024 * 1024
"""Bytes sent together, for the same reason. A larger publication is sent alone."""
REFUSALS = 3
"""Refusals that decide: the broker's error for a message that it will never take may also be a passing one."""
_LONGEST_WAIT = 4
"""Longest pause between attempts at a topic that an operator must repair, in multiples of the first pause."""


class Fate(Protocol):
    """What becomes of the publications of a lane."""

    def acknowledged(self, topic: str, publications: Sequence[Publication]) -> None:
        """Takes publications that the broker has."""

    def instead(self, publication: Publication, outcome: Delivery) -> Publication | None:
        """Returns what the topic gets in place of a publication that it will never take. Returns None for nothing."""

    def failed(self, topic: str, error: BrokerUnavailable | None) -> None:
        """Takes the reason why a topic takes nothing now; None if the broker gave none."""

    def moved(self) -> None:
        """Is called after each attempt."""


class Lane:
    """A queue in front of one topic, and the loop that empties it."""

    def __init__(self, topic: str, sink: Sink, clock: Clock, fate: Fate, *, retry_s: float) -> None:
        self.topic = topic
        self._sink = sink
        self._clock = clock
        self._fate = fate
        self._retry_s = retry_s
        self._queue: deque[Publication] = deque()
        self._queued_bytes = 0
        self._sending: list[Publication] = []  # taken from the queue, and not decided
        self._sending_bytes = 0
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue) + len(self._sending)

    @property
    def waiting_bytes(self) -> int:
        """Memory of the publications that wait here, those in a request included."""
        return self._queued_bytes + self._sending_bytes

    def put(self, publication: Publication) -> None:
        """Queues a publication behind those before it."""
        self._queue.append(publication)
        self._queued_bytes += publication.waiting_bytes
        self._wake.set()

    def drop_ended(self) -> None:
        """Drops publications that the next owner of their partitions will make again."""
        self._queue = deque(publication for publication in self._queue if not publication.is_gone)
        self._queued_bytes = sum(publication.waiting_bytes for publication in self._queue)
        self._keep(self._sending)

    async def run(self) -> None:
        """Sends for as long as the daemon runs."""
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            self._keep(self._take())
            await self._publish()
            self._fate.moved()  # also where nothing was sent: its partition was revoked before it came here

    def _take(self) -> list[Publication]:
        """Returns the next publications, at least one."""
        taken = [self._queue.popleft()]
        size = taken[0].size
        while self._queue and len(taken) < MOST and (size := size + self._queue[0].size) <= MOST_BYTES:
            taken.append(self._queue.popleft())
        self._queued_bytes -= sum(publication.waiting_bytes for publication in taken)
        return taken

    async def _publish(self) -> None:
        """Sends until each publication is decided. Leaves those whose partitions were revoked to the next owner."""
        failures = 0
        self._keep(self._sending)
        while batch := self._sending:
            error: BrokerUnavailable | None = None
            try:
                outcomes = await self._sink.send(self.topic, [publication.message for publication in batch])
            except BrokerUnavailable as unavailable:
                error, outcomes = unavailable, [Delivery.FAILED] * len(batch)
            self._keep(self._decide(batch, outcomes))
            self._fate.moved()
            if not self._sending:
                return
            if {Delivery.ACKNOWLEDGED, Delivery.TOO_LARGE} & set(outcomes):
                failures = 0  # the topic takes messages, or takes shorter ones: go on at once
                continue
            is_for_the_operator = isinstance(error, TopicUnusable)  # a broker may be back at any moment
            wait_s = self._retry_s * (min(2**failures, _LONGEST_WAIT) if is_for_the_operator else 1)
            failures += 1
            self._fate.failed(self.topic, error)
            self._log_failure(error, wait_s)
            await self._clock.sleep(wait_s)
            self._keep(self._sending)

    def _keep(self, publications: Sequence[Publication]) -> None:
        """Makes these the publications to send next, except for those that the next owner will publish."""
        self._sending = [publication for publication in publications if not publication.is_gone]
        self._sending_bytes = sum(publication.waiting_bytes for publication in self._sending)

    def _decide(self, batch: Sequence[Publication], outcomes: Sequence[Delivery]) -> list[Publication]:
        """Returns the publications to send next, in order: those that failed, and shorter ones for those too large."""
        pairs = list(zip(batch, outcomes, strict=True))
        taken = [publication for publication, outcome in pairs if outcome is Delivery.ACKNOWLEDGED]
        if taken:
            self._fate.acknowledged(self.topic, taken)
        left: list[Publication] = []
        for publication, outcome in pairs:
            if outcome is Delivery.ACKNOWLEDGED:
                continue
            if outcome is Delivery.FAILED:
                left.append(publication)
            elif outcome is Delivery.REFUSED and publication.refusals + 1 < REFUSALS:
                left.append(replace(publication, refusals=publication.refusals + 1))
            elif (instead := self._fate.instead(publication, outcome)) is not None:
                left.append(instead)
        return left

    def _log_failure(self, error: BrokerUnavailable | None, wait_s: float) -> None:
        facts: dict[str, object] = {"topic": self.topic, "waiting": len(self), "retry_in_s": wait_s}
        if isinstance(error, TopicUnusable):
            facts["hint"] = error.hint
        reason = "the broker took none of the messages" if error is None else str(error)
        log.warning("publish_failed", error=reason, **facts)
