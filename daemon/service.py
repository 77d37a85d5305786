"""The daemon's life: start → serve → drain. Builds everything that has an effect, in one place.

A stop ends the start at once, and the work within the drain's budget and a second. Exit codes: 0 drained, also where
the budget was too short; 1 fatal, or cut off; 2 bad configuration; 3 stuck.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.engine.choice import why_onnx
from logwarden.daemon.engine.loading import load_engine
from logwarden.daemon.engine.stream import open_stream
from logwarden.daemon.errors import (
    EXIT_DRAINED,
    BrokerUnavailable,
    FatalError,
    LogwardenError,
)
from logwarden.daemon.health import HealthState
from logwarden.daemon.incidents.desk import IncidentDesk
from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.kafka.alert_reader import KafkaAlertReader
from logwarden.daemon.kafka.compacted import CompactedTopic
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.kafka.producer import KafkaSink
from logwarden.daemon.kafka.witness import KafkaWitness
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.limits import PipelineLimits
from logwarden.daemon.pipeline.pipeline import Pipeline
from logwarden.daemon.pipeline.schemas import SchemaShelf
from logwarden.daemon.ports import Ports
from logwarden.daemon.process import StopSignals
from logwarden.daemon.profiles import cut_limits_of, fold_rules, join_limits_of, profiles_of, system_of
from logwarden.daemon.registry.client import RegistryClient
from logwarden.daemon.settings.agreement import advice
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.secret_files import secret_of
from logwarden.daemon.view import View, baseline_of, feedback_desk
from logwarden.daemon.waiting import abandon, attempt, failure
from logwarden.daemon.watchdog import Held, Watchdog, WatchedWorker
from logwarden.daemon.web.metrics import CONTENT_TYPE, PrometheusTelemetry
from logwarden.daemon.web.probes import metrics_routes, probe_routes
from logwarden.daemon.web.server import HttpServer
from logwarden.daemon.worker import ThreadWorker
from logwarden.model.schema import AlertKind

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 5.0
# The ends below add up to less than `process.GRACE_S`, after which the process is cut off.
_LAST_COMMIT_S = 0.3
"""Seconds after the drain's budget that its last commit may take."""
_STOPS_S = 0.7
"""Seconds after the drain's budget that the clients have to stop: leaving the group spares it a session time-out."""
_CANCELLED_S = 0.2
"""Seconds that cancelled work may take to end. A port that closes has them too."""
_STOPS_AFTER_FAILURE_S = 10.0
_FEEDBACK_S = 10.0
"""Seconds that the start waits for the feedback topic, so that no alert goes out that a person does not want."""


async def run_service(settings: Settings, signals: StopSignals) -> int:
    """Runs the daemon until a signal. Returns the exit code. Raises LogwardenError if the daemon cannot continue."""
    service = Service(settings)
    loop, clock = asyncio.get_running_loop(), SystemClock()
    signals.hand_over(
        lambda: loop.call_soon_threadsafe(service.stop, clock.monotonic()), settings.shutdown.drain_timeout_s
    )
    return await service.serve()


class Service:
    """One daemon. `serve` may be called once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._health = HealthState(SystemClock().monotonic, unready_after_s=settings.health.unready_after_s)
        for topic in (settings.kafka.alerts_topic, settings.kafka.dead_letter_topic):
            self._health.unblocked(topic)  # nothing is known against it, and its metric exists from the start
        self._telemetry = PrometheusTelemetry(self._health, settings.http.service_classes)
        self._workers = (ThreadWorker("ingest"), ThreadWorker("score"), ThreadWorker("api"))
        self._view = View(settings, self._clock, self._workers[2])
        probes = [*probe_routes(self._health), *metrics_routes(self._telemetry.render, CONTENT_TYPE)]
        self._http = HttpServer(settings.http, [*probes, *self._view.routes()], on_stop=self._view.stop)
        self._stop = asyncio.Event()
        self._stopped_at = 0.0
        self._drain_until: float | None = None
        self._feedback = feedback_desk(settings, self._clock, self._telemetry, self._health)
        self._following: asyncio.Task[None] | None = None

    @property
    def http_port(self) -> int | None:
        """The port of probes and metrics; None before `serve` opens it."""
        return self._http.port

    def stop(self, at: float | None = None) -> None:
        """Requests a drain, whose budget began `at` (None: now). Does nothing the second time."""
        if not self._stop.is_set():
            self._stopped_at = self._clock.monotonic() if at is None else at
            self._stop.set()

    async def serve(self) -> int:
        """Starts, serves until `stop`, drains."""
        source = KafkaSource(self._settings.kafka, lambda host: self._view.card(self._http.port, host))
        sink = KafkaSink(self._settings.kafka)
        try:
            await self._http.start()
            pipeline = await self._unless_stopped(self._started(source, sink))
            if pipeline is not None:
                await self._work(pipeline, self._watchdog(source), sink)
            return EXIT_DRAINED  # without a pipeline: a stop came first, so there is nothing to drain
        except LogwardenError as error:
            self._health.failed(str(error))
            raise
        finally:
            await self._close(source, sink)

    async def _started(self, source: KafkaSource, sink: KafkaSink) -> Pipeline:
        for sentence in advice(self._settings):
            log.warning("settings_work_badly", advice=sentence)
        self._following = asyncio.create_task(self._feedback.run(), name="feedback")
        pipeline = await self._build(source, sink)
        await self._connect(sink.start)
        await self._feedback.read_once(_FEEDBACK_S)
        await self._connect(lambda: source.start(pipeline.listener))
        return pipeline

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Returns the result of `work`, or None at once if a stop comes first."""
        task = asyncio.create_task(work, name="start")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            return task.result()
        abandon(task)
        await asyncio.wait({task}, timeout=_CANCELLED_S)
        return None

    async def _close(self, source: KafkaSource, sink: KafkaSink) -> None:
        """Tries every stop, whatever becomes of the others, in the time that is left."""
        if self._following is not None:
            abandon(self._following)
        left_s = self._left_s() if self._stop.is_set() else _STOPS_AFTER_FAILURE_S
        clients = {"source": attempt(source.stop(), left_s), "sink": attempt(sink.stop(), left_s)}
        for client, task in zip(clients, await asyncio.gather(*clients.values()), strict=True):
            if (error := failure(task)) is not None:
                log.warning("client_stop_failed", client=client, error=str(error) or type(error).__name__)
        for worker in self._workers:
            worker.close()
        await attempt(self._http.stop(), _CANCELLED_S)  # last: the probes answer during the other stops

    def _left_s(self) -> float:
        until = self._stopped_at if self._drain_until is None else self._drain_until
        return max(0.0, until - self._clock.monotonic()) + _STOPS_S

    async def _build(self, source: KafkaSource, sink: KafkaSink) -> Pipeline:
        settings = self._settings
        ingest_worker, score_worker, _ = self._workers
        # On the score worker: loading takes a second or two, and the event loop answers probes meanwhile.
        engine = await score_worker.run(load_engine, settings)
        self._health.warm = True
        if (sentence := why_onnx()) is not None:
            log.info("model_on_onnx_runtime", reason=sentence)
        policy = engine.policy
        log.info(
            "model_loaded",
            device=engine.device,
            revision=policy.model_revision,
            threshold=policy.threshold,
            pid=os.getpid(),
        )
        max_services = settings.limits.max_services
        ports = Ports(
            source=source,
            sink=sink,
            ingest_worker=WatchedWorker(ingest_worker, self._health, "ingest"),
            score_worker=WatchedWorker(score_worker, self._health, "score"),
            clock=SystemClock(),
            telemetry=self._telemetry,
            health=self._health,
            state=CompactedTopic(settings.kafka, settings.kafka.state_topic) if settings.kafka.state_topic else None,
            feedback=lambda: self._feedback.book,
        )
        shelf = self._shelf(ports)
        ingestor = Ingestor(
            open_stream(engine, settings, max_slots=max_services),
            max_services=max_services,
            join=join_limits_of(settings),
            cuts=cut_limits_of(settings),
            now_ms=self._clock.now_ms if AlertKind.SILENCE in settings.alerts.kinds else None,
        )
        pipeline = Pipeline(
            ports,
            ingestor=ingestor,
            engine=engine,
            profile_of=profiles_of(settings, None if shelf is None else shelf.lookup),
            limits=pipeline_limits(settings),
            schemas=shelf,
        )
        self._view.attach(pipeline, ingestor, ingest_worker)
        self._view.take_feedback(self._feedback, sink)
        return pipeline

    def _shelf(self, ports: Ports) -> SchemaShelf | None:
        """Returns what fetches schemas. Returns None without a registry."""
        given = self._settings.input
        if given.schema_registry_url is None:
            return None
        registry = RegistryClient(
            given.schema_registry_url,
            self._clock.monotonic,
            username=given.schema_registry_username,
            password=lambda: secret_of(given.schema_registry_password, given.schema_registry_password_file),
            cafile=given.schema_registry_cafile,
        )
        return SchemaShelf(registry, ports.ingest_worker, ports.clock, ports.health, ports.telemetry)

    def _watchdog(self, source: KafkaSource) -> Watchdog:
        return Watchdog(
            self._health,
            self._clock,
            source,
            KafkaWitness(self._settings.kafka),
            timeout_s=self._settings.health.stuck_timeout_s,
        )

    async def _connect(self, start: Callable[[], Awaitable[None]]) -> None:
        """Retries until a broker answers. Raises FatalError at the limit."""
        clock = self._clock
        limit_s = self._settings.kafka.start_timeout_s
        deadline = None if limit_s is None else clock.monotonic() + limit_s
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                return await start()
            except BrokerUnavailable as error:
                if deadline is not None and clock.monotonic() + retry_s > deadline:
                    raise FatalError(f"{error}; retries ended after {limit_s:g} s", hint=error.hint) from error
                log.warning("broker_unavailable", error=str(error), hint=error.hint, retry_in_s=retry_s)
            await clock.sleep(retry_s)
            retry_s = min(2 * retry_s, _LAST_RETRY_S)

    async def _work(self, pipeline: Pipeline, watchdog: Watchdog, sink: KafkaSink) -> None:
        watched = watchdog.over(pipeline.run(), lambda: held_by(pipeline))
        working = asyncio.create_task(watched, name="pipeline")
        folding = self._folding(sink)
        beside = [*self._view.tasks(), *([] if folding is None else [folding])]
        tasks = [asyncio.create_task(work, name="incidents") for work in beside]
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        log.info("serving", http_port=self._http.port, topics=list(self._settings.kafka.input_topics))
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in tasks:
            abandon(task)  # it leaves its group meanwhile; the next member folds what this one has not
        if not working.done():
            await self._drain(pipeline)
            await asyncio.wait({working}, timeout=_CANCELLED_S)
        if not working.done():
            return abandon(working)
        try:
            working.result()
        except* asyncio.CancelledError:
            pass  # the drain used up its budget; the next owner replays the lines in flight
        except* LogwardenError as group:
            raise _first(group) from group

    def _folding(self, sink: KafkaSink) -> Coroutine[Any, Any, None] | None:
        """Returns the task that folds alerts into incidents. Returns None without an incidents topic."""
        settings = self._settings
        if settings.kafka.incidents_topic is None:
            return None
        desk = IncidentDesk(
            KafkaAlertReader(settings.kafka, self._clock),
            sink,
            self._clock,
            self._telemetry,
            self._health,
            topic=settings.kafka.incidents_topic,
            rules=fold_rules(settings),
            findings=FindingReader(system_of(settings)),
            watcher=baseline_of(settings, self._feedback, sink, self._clock),
            feedback=lambda: self._feedback.book,
        )
        return desk.run()

    async def _drain(self, pipeline: Pipeline) -> None:
        self._health.draining = True
        budget_s = self._settings.shutdown.drain_timeout_s
        self._drain_until = self._stopped_at + budget_s
        log.info("draining", budget_s=budget_s)
        left_s = max(0.0, self._drain_until - self._clock.monotonic())
        drained = await attempt(pipeline.drain(left_s), left_s + _LAST_COMMIT_S)
        # A client may cancel its own commit (aiokafka issue 647): then nobody knows whether the lines are committed.
        settled = drained.done() and not drained.cancelled() and drained.result()
        log.info("drained", everything_done=settled)


def held_by(pipeline: Pipeline) -> list[Held]:
    """Returns where a pipeline stands in each of its partitions."""
    assignments = pipeline.partitions.assignments()
    return [
        Held(partition=a.partition, position=a.ledger.position(), outstanding=a.ledger.outstanding) for a in assignments
    ]


def pipeline_limits(settings: Settings) -> PipelineLimits:
    """Returns the pipeline's bounds as the settings give them."""
    return PipelineLimits(
        max_windows=settings.batch.max_windows,
        max_delay_s=settings.batch.max_delay_ms / 1000,
        max_wait_s=settings.window.max_wait_ms / 1000,
        max_in_flight_lines=settings.limits.max_in_flight_lines,
        max_waiting_bytes=settings.limits.max_waiting_bytes,
        max_context_records=settings.kafka.max_context_records,
        starts_at_end=settings.kafka.first_start == "latest",
        learn_records=settings.kafka.learn_records,
        learn_s=settings.kafka.learn_seconds,
        group=settings.kafka.group_id,
        state_topic=settings.kafka.state_topic or "",
        commit_interval_s=settings.kafka.commit_interval_ms / 1000,
        # Half of the time that the group waits: the commit and the round trip to the broker need the rest.
        revoke_budget_s=settings.kafka.rebalance_timeout_ms / 2000,
    )


def _first(group: BaseExceptionGroup[LogwardenError]) -> LogwardenError:
    """Returns the first plain error of a group, for one sentence on the terminal."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
