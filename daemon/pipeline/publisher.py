"""Sends publications until the broker acknowledges them, in the order they were made.

Owns the queue in front of the sink, on the event loop. The meaning of an acknowledgement for offsets is a function that
the publisher is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import structlog

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.ports import Clock, Sink
from logwarden.daemon.records import Message
from logwarden.daemon.telemetry import Telemetry

log = structlog.get_logger(__name__)

_MOST = 256
"""Publications sent together: a backlog sent as one could outlast the time-out of a request at every attempt."""
Done = Callable[[Assignment, npt.NDArray[np.int64]], None]


class Publisher:
    """A queue, bounded by the lines in flight: each publication marks at least one of them."""

    def __init__(self, sink: Sink, clock: Clock, telemetry: Telemetry, *, retry_s: float, done: Done) -> None:
        self._sink = sink
        self._clock = clock
        self._telemetry = telemetry
        self._retry_s = retry_s
        self._done = done
        self._waiting: asyncio.Queue[Publication | None] = asyncio.Queue()

    def __len__(self) -> int:
        return self._waiting.qsize()

    def put(self, publication: Publication) -> None:
        """Queues a publication behind those before it."""
        self._waiting.put_nowait(publication)

    def end(self) -> None:
        """Lets `run` return after everything queued before."""
        self._waiting.put_nowait(None)

    def drop_ended(self) -> None:
        """Drops publications that the next owner of their partitions will make again."""
        for _ in range(len(self)):  # once round, so that the rest stays in order
            publication = self._waiting.get_nowait()
            if publication is None or not publication.is_gone:
                self._waiting.put_nowait(publication)

    async def run(self) -> None:
        """Sends until `end`."""
        while True:
            publication = await self._waiting.get()
            if publication is None:
                return
            batch = [publication]
            while len(batch) < _MOST and not self._waiting.empty():
                more = self._waiting.get_nowait()
                if more is None:
                    self._waiting.put_nowait(None)  # the end stays last
                    break
                batch.append(more)
            await self._publish(batch)

    async def _publish(self, batch: list[Publication]) -> None:
        """Sends until acknowledged. Leaves publications whose partitions were revoked to the next owner."""
        while batch := [publication for publication in batch if not publication.is_gone]:
            try:
                for topic, messages in _by_topic(batch).items():
                    await self._sink.send(topic, messages)
            except BrokerUnavailable as error:
                self._telemetry.publish_retried()
                log.warning("publish_failed", error=str(error), retry_in_s=self._retry_s)
                await self._clock.sleep(self._retry_s)
                continue
            for publication in batch:
                self._acknowledged(publication)
            return

    def _acknowledged(self, publication: Publication) -> None:
        for assignment, offsets in publication.marks:
            self._done(assignment, offsets)
        if publication.kind is PublicationKind.ALERTS:
            self._telemetry.alert_published(len(publication.messages))
        for stage in publication.stages:
            self._telemetry.dead_lettered(stage)
        for delay in publication.delays_ms:
            self._telemetry.detected(delay / 1000)


def _by_topic(batch: list[Publication]) -> dict[str, list[Message]]:
    topics: dict[str, list[Message]] = {}
    for publication in batch:
        for message in publication.messages:
            topics.setdefault(message.topic, []).append(message)
    return topics
