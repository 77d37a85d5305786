"""Builds what people see of a daemon over HTTP, and what takes their feedback."""

from __future__ import annotations

import os
import platform
from collections.abc import Awaitable, Coroutine
from typing import Any
from uuid import uuid4

from logwarden.daemon.feedback.baseline import BaselineWatcher
from logwarden.daemon.feedback.desk import FeedbackDesk
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.health import HealthState
from logwarden.daemon.incidents.reading import keep_filled
from logwarden.daemon.incidents.shelf import IncidentShelf
from logwarden.daemon.kafka.compacted import CompactedTopic
from logwarden.daemon.kafka.followed import FollowedTopic
from logwarden.daemon.kafka.group import KafkaGroup
from logwarden.daemon.kafka.output_topic import FEEDBACK
from logwarden.daemon.kafka.pieces import KafkaPieces
from logwarden.daemon.kafka.transaction import TopicTransactions
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.pipeline import Pipeline
from logwarden.daemon.ports import Clock, GroupReader, PieceReader, Sink, Worker
from logwarden.daemon.profiles import kind_of, profiles_of, system_of, tails_of
from logwarden.daemon.roster import MemberCard, derived_address
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.standing import ServiceTable
from logwarden.daemon.telemetry import Telemetry
from logwarden.daemon.web.api import Endpoint, MemberFacts, PartitionFacts
from logwarden.daemon.web.api_feedback import FeedbackEndpoints
from logwarden.daemon.web.api_incident import IncidentEndpoint
from logwarden.daemon.web.api_incidents import IncidentsEndpoint
from logwarden.daemon.web.api_schema import api_routes
from logwarden.daemon.web.api_services import OwnServices, ServiceSource
from logwarden.daemon.web.api_window import WindowEndpoint
from logwarden.daemon.web.events import EventStreams
from logwarden.daemon.web.group_services import ServicesEndpoint
from logwarden.daemon.web.member_proof import is_proof
from logwarden.daemon.web.members import GroupMembers
from logwarden.daemon.web.page import page_routes
from logwarden.daemon.web.peer_client import PeerClient
from logwarden.daemon.web.server import Routes
from logwarden.model.version import __version__


class View:
    """The API of one member. Until `attach` is called it knows no service."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        worker: Worker,
        pieces: PieceReader | None = None,
        group: GroupReader | None = None,
    ) -> None:
        """`worker`: where tables are searched, so that the event loop stays free. `pieces`, `group` None: Kafka's."""
        self._settings = settings
        self._clock = clock
        self._card = MemberCard(id=uuid4().hex, name=f"{platform.node()}/{os.getpid()}", address=None)
        self._pipeline: Pipeline | None = None
        self._shelf = IncidentShelf() if settings.kafka.incidents_topic else None
        self._services = OwnServices(self.member, clock, worker)
        self._members = GroupMembers(group or KafkaGroup(settings.kafka), lambda: self._card, clock)
        client = PeerClient(settings.http, clock, worker)
        self._group_services = ServicesEndpoint(self._services, self._members, client, worker)
        self._incidents = IncidentsEndpoint(self.member, clock, self._shelf)
        self._incident = IncidentEndpoint(self._shelf)
        profile_of = profiles_of(settings)  # decoders of its own: the pipeline's are in use on another thread
        self._window = WindowEndpoint(
            self._shelf,
            pieces or KafkaPieces(settings.kafka),
            worker,
            alerts_topic=settings.kafka.alerts_topic,
            limits=settings.alerts,
            decoder_for=lambda topic: profile_of(topic).decoder,
        )
        self._feedback = FeedbackEndpoints(clock)
        self._streams = EventStreams(self._shelf, settings.http, clock)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint of the API."""
        own = (self._group_services, self._incidents, self._incident, self._window)
        return (*(each.endpoint for each in own), *self._feedback.endpoints)

    def routes(self) -> Routes:
        """Returns the routes of the API, and of the page."""
        settings = self._settings.http
        routes = api_routes(self.endpoints, settings, self._is_proof)
        return [*routes, *self._streams.routes(), *page_routes()] if settings.page else routes

    def stop(self) -> None:
        """Ends what clients follow, and what is on its way for them."""
        self._streams.stop()
        self._members.stop()

    def card(self, port: int | None, local_host: str | None) -> bytes:
        """Returns how this member introduces itself to the group, which it joins now.

        `port`: of its HTTP server. `local_host`: the address from which it reaches its brokers. An address stays for
        the life of the process: a card that changes at a join that is sent again would cost the group a rebalance.
        """
        http = self._settings.http
        if port is not None and self._card.address is None:
            address = http.advertised_address or derived_address(http.host, port, local_host)
            self._card = MemberCard(id=self._card.id, name=self._card.name, address=address)
        return self._card.encode()

    def attach(self, pipeline: Pipeline, ingestor: Ingestor, ingest_worker: Worker) -> None:
        """Lets the API answer about a pipeline.

        `ingest_worker`: the bare thread. A look of people is no progress of the stage, which the watchdog watches.
        """
        clock = self._clock
        self._pipeline = pipeline

        def table() -> Awaitable[ServiceTable]:
            return ingest_worker.run(
                ingestor.book.table, pipeline.engine.policy.rules, clock.monotonic(), clock.now_ms()
            )

        self._services.source = ServiceSource(table=table, last_alert=pipeline.last_alerts.of)

    def take_feedback(self, desk: FeedbackDesk, sink: Sink) -> None:
        """Lets clients read the feedback that is in force, and give more."""
        kafka = self._settings.kafka
        self._feedback.entries, self._feedback.note = desk.entries, desk.note
        if kafka.feedback_topic is not None:
            self._feedback.office = FeedbackOffice(
                kafka.feedback_topic,
                CompactedTopic(kafka, kafka.feedback_topic).read_all,
                None if kafka.incidents_topic is None else CompactedTopic(kafka, kafka.incidents_topic).read_all,
                sink,
                TopicTransactions(kafka, kafka.feedback_topic),
                self._clock,
                by="HTTP API",
            )

    def _is_proof(self, header: str, token: str, path: str) -> bool:
        address = self._card.address
        return address is not None and is_proof(header, token, address, path, self._clock.now_ms() // 1000)

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Returns what runs beside the pipeline for people: readers of what the API shows. Empty without HTTP."""
        settings, topic = self._settings, self._settings.kafka.incidents_topic
        if settings.http.port is None:
            return []
        tasks = [self._services.keep_history()] if settings.http.page else []
        if self._shelf is not None and topic is not None:
            tasks.append(keep_filled(self._shelf, FollowedTopic(settings.kafka, topic), self._clock))
        return tasks

    def member(self) -> MemberFacts:
        """Returns what the answers state about this member."""
        assignments = [] if self._pipeline is None else self._pipeline.partitions.assignments()
        partitions = sorted(assignment.partition for assignment in assignments)
        return MemberFacts(
            id=self._card.id,
            name=self._card.name,
            group=self._settings.kafka.group_id,
            version=__version__,
            partitions=tuple(PartitionFacts(topic=each.topic, partition=each.partition) for each in partitions),
        )


def baseline_of(settings: Settings, desk: FeedbackDesk, sink: Sink, clock: Clock) -> BaselineWatcher | None:
    """Returns what makes old incidents baseline. Returns None if nothing does."""
    topic, days = settings.kafka.feedback_topic, settings.feedback.baseline_days
    if topic is None or days is None:
        return None
    return BaselineWatcher(topic, desk.complete_entries, sink, clock, after_days=days)


def feedback_desk(settings: Settings, clock: Clock, telemetry: Telemetry, health: HealthState) -> FeedbackDesk:
    """Returns the task that keeps the feedback of people."""
    topic = settings.kafka.feedback_topic
    return FeedbackDesk(
        None if topic is None else FollowedTopic(settings.kafka, topic, creation=FEEDBACK),
        clock,
        telemetry,
        health,
        kind_of=kind_of(settings),
        name=topic or "",
        file=settings.feedback.file,
        system=system_of(settings),
        tails=tails_of(settings),
    )
