"""A real server with a real view, whose topics and pipeline are the test's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import numpy as np

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.feedback.newest import readable
from logwarden.daemon.health import HealthState
from logwarden.daemon.incidents.shelf import IncidentShelf
from logwarden.daemon.records import KeyedRecord, Partition, Record
from logwarden.daemon.standing import LastAlert, ServiceState, ServiceTable
from logwarden.daemon.view import View
from logwarden.daemon.web.api_services import ServiceSource
from logwarden.daemon.web.probes import probe_routes
from logwarden.daemon.web.server import HttpServer
from logwarden.daemon.web.service_history import MINUTES
from tests.fakes import InlineWorker
from tests.feedback_stand_ins import FeedbackTopic
from tests.oracles import LogRecord
from tests.page import recorded
from tests.unit.daemon.web.serving import Group, settings_of

TOKEN = "open sesame"


class Topics:
    """The alerts topic and the input topic of the recording. `gone`: names of topics that have lost their records."""

    def __init__(self, alerts_topic: str) -> None:
        self._alerts_topic = alerts_topic
        self.gone: set[str] = set()

    async def read(self, partition: Partition, offset: int, most: int) -> Sequence[Record]:
        if partition.topic in self.gone:
            return []
        values = recorded.alerts() if partition.topic == self._alerts_topic else recorded.records()
        chosen = range(offset, min(offset + most, len(values)))
        return [LogRecord(values[each], offset=each, topic=partition.topic) for each in chosen]


class World:
    """What the page shows in one test."""

    def __init__(self, view: View, server: HttpServer, topics: Topics, group: Group) -> None:
        assert view._shelf is not None
        self.view = view
        self.topics = topics
        self.group = group
        self.server = server
        self.shelf: IncidentShelf = view._shelf
        self.names: list[str] = []
        self.states: list[ServiceState] = []
        self.view._services.source = ServiceSource(table=self._table, last_alert=self._last_alert)

    @classmethod
    @asynccontextmanager
    async def serving(cls, **settings: str) -> AsyncIterator[Self]:
        """Serves an empty view."""
        chosen = settings_of(**{"HTTP__TOKEN": TOKEN, **settings})
        topics = Topics(chosen.kafka.alerts_topic)
        group = Group()
        view = View(chosen, SystemClock(), InlineWorker(), topics, group)
        server = HttpServer(chosen.http, [*probe_routes(HealthState()), *view.routes()], on_stop=view.stop)
        await server.start()
        world = cls(view, server, topics, group)
        world.shelf.note = ""
        try:
            yield world
        finally:
            await server.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/"

    def play(self) -> None:
        """Publishes the incidents of the recording."""
        for record, at in recorded.incidents():
            self.shelf.put(record.id.encode(), record.encode(), at)
        self.know(*dict.fromkeys(line.service for line in recorded.recording().lines))

    def publish(self, id: str, **changes: Any) -> None:
        """Publishes an incident of the recording under another id, with other facts."""
        record, _ = recorded.incidents()[-1]
        value = json.loads(record.encode())
        value["id"] = id
        value["message"] = changes.pop("message", value["message"])
        value["service"]["name"] = changes.pop("service", value["service"]["name"])
        value["logwarden"] |= {"status": "open"} | changes
        self.shelf.put(id.encode(), json.dumps(value).encode(), SystemClock().now_ms())

    def know(self, *names: str, state: ServiceState = ServiceState.KNOWN) -> None:
        """Adds services."""
        self.names += names
        self.states += [state] * len(names)

    def remember(self) -> None:
        """Gives every service a past of half an hour."""
        history = self.view._services._history
        for minute in range(MINUTES):
            table = self._figures(minute)
            history.sample(table, self._last_alert if minute in (11, 12, 20) else lambda *_: None)

    def take_feedback(self) -> FeedbackTopic:
        """Puts a feedback topic behind the view, which knows the incidents of the recording."""
        newest = {record.id: record for record, _ in recorded.incidents()}
        topic = FeedbackTopic(*newest.values())
        topic.clock.at = SystemClock().now_ms()
        self.view._feedback.office = topic.office
        self.view._feedback.entries = lambda: readable(
            KeyedRecord(message.key or b"", message.value) for batch in topic.sink.sent for message in batch
        )
        return topic

    async def _table(self) -> ServiceTable:
        return self._figures(MINUTES)

    def _figures(self, minute: int) -> ServiceTable:
        count = len(self.names)
        places = np.arange(count)
        return ServiceTable(
            at_ms=SystemClock().now_ms(),
            partitions=(Partition("logs", 0),),
            partition=np.zeros(count, np.int64),
            names=np.array(self.names, object),
            states=np.array(self.states, np.int8),
            progress=np.where(np.array(self.states) == ServiceState.LEARNING, 0.37, 1.0).astype(np.float32),
            lines=1_000 + 17 * places,
            known_lines=40 + places % 50,
            per_minute=(40 + 37 * places % 700 + 30 * np.sin(minute / 3 + places)).astype(np.int64),
            seen_ms=np.full(count, SystemClock().now_ms() - 3_000),
        )

    @staticmethod
    def _last_alert(_: Partition, service: str) -> LastAlert | None:
        return LastAlert(at_ms=SystemClock().now_ms() - 60_000, score=0.93) if service.startswith("postgres") else None
