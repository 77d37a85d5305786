"""Gives each output topic its lane, and decides what becomes of a message that a topic will never take.

Owns the lanes, on the event loop. The meaning of an acknowledgement for offsets is a function that the publisher is
given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import structlog

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.health import HealthState
from logwarden.daemon.incidents.shortening import shorter_alert
from logwarden.daemon.pipeline.dead_letters import burial_of_alert, shorter_letter
from logwarden.daemon.pipeline.lane import Lane
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.ports import Clock, Sink
from logwarden.daemon.records import Delivery
from logwarden.daemon.telemetry import Telemetry

log = structlog.get_logger(__name__)

MAX_WAITING_BYTES = 32 * 1024 * 1024
"""Default of LOGWARDEN_LIMITS__MAX_WAITING_BYTES."""

Done = Callable[[Assignment, npt.NDArray[np.int64]], None]


class Publisher:
    """The lanes of all output topics. A publication waits in memory until the broker has it, or is lost."""

    def __init__(
        self,
        sink: Sink,
        clock: Clock,
        telemetry: Telemetry,
        health: HealthState,
        *,
        retry_s: float,
        done: Done,
        moved: Callable[[], None] = lambda: None,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._telemetry = telemetry
        self._health = health
        self._retry_s = retry_s
        self._done = done
        self._moved = moved
        self._max_waiting_bytes = max_waiting_bytes
        self._lanes: dict[str, Lane] = {}
        self._is_ending = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    @property
    def waiting_bytes(self) -> int:
        """Memory of the publications that the broker has not acknowledged."""
        return sum(lane.waiting_bytes for lane in self._lanes.values())

    def is_full(self, topic: str | None = None) -> bool:
        """Returns True if so much waits for a topic, or for any, that no more should be made for it.

        The publisher calls `moved` when that may have changed.
        """
        lanes = self._lanes.values() if topic is None else filter(None, [self._lanes.get(topic)])
        return any(lane.waiting_bytes >= self._max_waiting_bytes for lane in lanes)

    def put(self, publication: Publication) -> None:
        """Queues a publication behind those before it for the same topic."""
        topic = publication.topic
        lane = self._lanes.get(topic)
        if lane is None:
            lane = self._lanes[topic] = Lane(topic, self._sink, self._clock, self, retry_s=self._retry_s)
            self._changed.set()
        lane.put(publication)
        self._health.waiting("publish", True)

    def end(self) -> None:
        """Lets `run` return once nothing waits."""
        self._is_ending = True
        self._changed.set()

    def drop_ended(self) -> None:
        """Drops publications that the next owner of their partitions will make again."""
        for lane in self._lanes.values():
            lane.drop_ended()
        self.moved()

    async def run(self) -> None:
        """Runs the lanes until `end`. Raises the error that ended one of them, in a group."""
        async with asyncio.TaskGroup() as group:
            running: dict[str, asyncio.Task[None]] = {}
            while len(self) or not self._is_ending:
                for topic, lane in self._lanes.items():
                    if topic not in running:
                        running[topic] = group.create_task(lane.run(), name=f"publish to {topic}")
                self._changed.clear()
                await self._changed.wait()
            for task in running.values():
                task.cancel()

    # ---------------------------------------------------------------- the fate of publications

    def acknowledged(self, topic: str, publications: Sequence[Publication]) -> None:
        """Marks the lines of these publications done, in one step per assignment, and counts what was delivered."""
        lines: dict[Assignment, list[npt.NDArray[np.int64]]] = {}
        for publication in publications:
            lines.setdefault(publication.owner, []).append(publication.offsets)
        for owner, offsets in lines.items():
            self._done(owner, np.concatenate(offsets))
        alerts = [p for p in publications if p.kind is PublicationKind.ALERT]
        if alerts:
            self._telemetry.alert_published(len(alerts))
        for publication in publications:
            if publication.delay_ms is not None:
                self._telemetry.detected(publication.delay_ms / 1000)
            if publication.stage is not None:
                self._telemetry.dead_lettered(publication.stage)
        self._health.unblocked(topic)
        self._health.progressed("publish")

    def instead(self, publication: Publication, outcome: Delivery) -> Publication | None:
        """Returns a shorter publication if that may help. Otherwise buries the alert, or counts what is lost."""
        shorter = self._shorter(publication) if outcome is Delivery.TOO_LARGE else None
        if shorter is not None:
            return shorter
        if publication.kind is PublicationKind.ALERT:
            self._log_lost("alert_refused", publication, outcome, goes_to=publication.owner.profile.dead_letter_topic)
            self.put(burial_of_alert(publication, outcome))
        else:
            self._log_lost("dead_letter_lost", publication, outcome)
            self._telemetry.lost(publication.topic)
            self._done(publication.owner, publication.offsets)
        return None

    def failed(self, topic: str, error: BrokerUnavailable | None) -> None:
        """Counts a retry, and reports the topic: it takes nothing, whatever other topics take."""
        self._telemetry.publish_retried()
        self._health.attempt_failed("publish", "" if error is None else str(error))
        sentence = f"the topic {topic!r} took none of the messages" if error is None else str(error)
        self._health.blocked(topic, sentence, "" if error is None else error.hint)

    def moved(self) -> None:
        """Wakes the waiters for room and for the end; nothing is known against a topic for which nothing waits."""
        for topic, lane in self._lanes.items():
            if not len(lane):
                self._health.unblocked(topic)
        self._health.waiting("publish", len(self) > 0)
        self._telemetry.waiting_bytes(self.waiting_bytes)
        self._changed.set()
        self._moved()

    def _shorter(self, publication: Publication) -> Publication | None:
        message = publication.message
        if publication.kind is PublicationKind.DEAD_LETTER:
            letter = shorter_letter(message)
            return None if letter is None else replace(publication, content=letter)
        value = shorter_alert(message.value or b"")
        if value is None:
            return None
        return replace(publication, content=replace(message, value=value), whole=publication.whole or message)

    def _log_lost(self, event: str, publication: Publication, outcome: Delivery, **facts: str) -> None:
        log.error(
            event,
            **publication.owner.partition._asdict() | {"output_topic": publication.topic} | facts,
            offset=int(publication.offsets[-1]),
            outcome=outcome.value,
            hint="raise the topic's max.message.bytes" if outcome is Delivery.TOO_LARGE else "see the broker's log",
        )
