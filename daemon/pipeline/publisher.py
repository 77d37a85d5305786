"""Sends alerts and dead letters until they are acknowledged, in the order they were made.

Owns the queue in front of the sink. What an acknowledgement means for offsets is a function that it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import structlog

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.pipeline.ingest import Ingested
from logwarden.daemon.pipeline.judge import Publication
from logwarden.daemon.pipeline.ledger import Assignment
from logwarden.daemon.ports import Clock, Sink
from logwarden.daemon.records import dead_letter_message
from logwarden.daemon.web.metrics import Telemetry

log = structlog.get_logger(__name__)

_MOST = 256
"""Publications sent together: a backlog sent as one could outlast the time-out of a request, every time it is tried."""
Done = Callable[[Assignment, npt.NDArray[np.int64]], None]


class Publisher:
    """A queue, bounded by the lines in flight: each publication holds at least one of them."""

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
        """Has it sent after those before it."""
        self._waiting.put_nowait(publication)

    def end(self) -> None:
        """Lets `run` return after what was put before."""
        self._waiting.put_nowait(None)

    def forget_the_gone(self) -> None:
        """Drops what its partitions' next owner will publish."""
        for _ in range(len(self)):  # once round, so that the rest stays in order
            publication = self._waiting.get_nowait()
            if publication is None or not publication.gone:
                self._waiting.put_nowait(publication)

    async def run(self) -> None:
        """Until `end`."""
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
        """Sends until acknowledged. An alert whose partition is gone is left to the next owner."""
        while batch := [publication for publication in batch if not publication.gone]:
            try:
                await self._sink.send([message for publication in batch for message in publication.messages])
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
        for stage in publication.dead_stages:
            self._telemetry.dead_lettered(stage)
        if not publication.dead_stages:
            self._telemetry.alert_published(len(publication.messages))
        for delay in publication.delays_ms:
            self._telemetry.detected(delay / 1000)


def burial(ingested: Ingested, topic: str) -> Publication:
    """The dead letters of a fetch."""
    for assignment, letter in ingested.dead:
        log.warning(
            "record_dead_lettered", **assignment.partition._asdict(), offset=letter.record.offset, stage=letter.stage
        )
    return Publication(
        messages=[dead_letter_message(letter, topic) for _, letter in ingested.dead],
        marks=[(assignment, np.array([letter.record.offset])) for assignment, letter in ingested.dead],
        dead_stages=[letter.stage for _, letter in ingested.dead],
    )
