"""The daemon's life: start → serve → drain. Builds everything that has an effect, in one place, and owns the signals.

Exit codes: 0 drained, 1 fatal or stopped at once by a second signal, 2 bad configuration.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import structlog

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.engine.loading import load_engine
from logwarden.daemon.engine.stream import open_stream
from logwarden.daemon.errors import (
    EXIT_DRAINED,
    EXIT_FATAL,
    BrokerUnavailable,
    FatalError,
    LogwardenError,
)
from logwarden.daemon.health import HealthState
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.kafka.producer import KafkaSink
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.pipeline import Pipeline, PipelineLimits
from logwarden.daemon.ports import Ports
from logwarden.daemon.profiles import profiles_of
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.web.metrics import CONTENT_TYPE, PrometheusTelemetry
from logwarden.daemon.web.probes import metrics_routes, probe_routes
from logwarden.daemon.web.server import HttpServer
from logwarden.daemon.worker import ThreadWorker

log = structlog.get_logger(__name__)

_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 15.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_service(settings: Settings) -> int:
    """Runs the daemon until a signal. Returns the exit code. Raises LogwardenError if the daemon cannot continue."""
    return asyncio.run(Service(settings).serve())


class Service:
    """One daemon. `serve` may be called once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._telemetry = PrometheusTelemetry()
        self._health = HealthState(SystemClock().monotonic)
        routes = [*probe_routes(self._health), *metrics_routes(self._telemetry.render, CONTENT_TYPE)]
        self._http = HttpServer(settings.http, routes)
        self._stop = asyncio.Event()
        self._workers = (ThreadWorker("ingest"), ThreadWorker("score"))

    @property
    def http_port(self) -> int | None:
        """The port of probes and metrics; None before `serve` opens it."""
        return self._http.port

    def stop(self) -> None:
        """Requests a drain. The second call ends the process at once, for an operator who does not want to wait."""
        if self._stop.is_set():
            log.error("stopped_at_once", reason="a second signal came while draining")
            os._exit(EXIT_FATAL)
        self._stop.set()

    async def serve(self) -> int:
        """Starts, serves until `stop` or a signal, drains."""
        source, sink = KafkaSource(self._settings.kafka), KafkaSink(self._settings.kafka)
        async with AsyncExitStack() as stack:  # every stop is tried, in the reverse order, also when one of them fails
            stack.enter_context(_signals(self.stop))
            stack.push_async_callback(self._http.stop)
            for worker in reversed(self._workers):
                stack.callback(worker.close)
            stack.push_async_callback(sink.stop)
            stack.push_async_callback(source.stop)
            await self._http.start()
            try:
                pipeline = await self._build(source, sink)
                if not await self._connect(sink.start) or not await self._connect(
                    lambda: source.start(pipeline.listener)
                ):
                    return EXIT_DRAINED  # a signal arrived before any broker answered: there is nothing to drain
                return await self._work(pipeline)
            except LogwardenError as error:
                self._health.failed(str(error))
                raise
        raise AssertionError("the block returns or raises")

    async def _build(self, source: KafkaSource, sink: KafkaSink) -> Pipeline:
        settings = self._settings
        ingest_worker, score_worker = self._workers
        # On the score worker: loading takes a second or two, and the event loop answers probes meanwhile.
        engine = await score_worker.run(load_engine, settings)
        self._health.warm = True
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
            ingest_worker=ingest_worker,
            score_worker=score_worker,
            clock=SystemClock(),
            telemetry=self._telemetry,
            health=self._health,
        )
        return Pipeline(
            ports,
            ingestor=Ingestor(open_stream(engine, settings, max_slots=max_services), max_services=max_services),
            engine=engine,
            profile_of=profiles_of(settings),
            limits=pipeline_limits(settings),
        )

    async def _connect(self, start: Callable[[], Awaitable[None]]) -> bool:
        """Retries until a broker answers. Returns False if a signal comes first. Raises FatalError at the limit."""
        clock = SystemClock()
        limit_s = self._settings.kafka.start_timeout_s
        deadline = None if limit_s is None else clock.monotonic() + limit_s
        retry_s = _FIRST_RETRY_S
        while not self._stop.is_set():
            try:
                await start()
                return True
            except BrokerUnavailable as error:
                if deadline is not None and clock.monotonic() + retry_s > deadline:
                    raise FatalError(f"{error}; retries ended after {limit_s:g} s", hint=error.hint) from error
                log.warning("broker_unavailable", error=str(error), hint=error.hint, retry_in_s=retry_s)
            try:
                async with asyncio.timeout(retry_s):
                    await self._stop.wait()
            except TimeoutError:
                retry_s = min(2 * retry_s, _LAST_RETRY_S)
        return False

    async def _work(self, pipeline: Pipeline) -> int:
        working = asyncio.create_task(pipeline.run(), name="pipeline")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        log.info("serving", http_port=self._http.port, topics=list(self._settings.kafka.input_topics))
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done():
            self._health.draining = True
            budget_s = self._settings.shutdown.drain_timeout_s
            log.info("draining", budget_s=budget_s)
            settled = await pipeline.drain(budget_s)
            log.info("drained", everything_done=settled)
        try:
            await working
        except* asyncio.CancelledError:
            pass  # the drain used up its budget; the next owner replays the lines in flight
        except* LogwardenError as group:
            raise _first(group) from group
        return EXIT_DRAINED


def pipeline_limits(settings: Settings) -> PipelineLimits:
    """Returns the pipeline's bounds as the settings give them."""
    return PipelineLimits(
        max_windows=settings.batch.max_windows,
        max_delay_s=settings.batch.max_delay_ms / 1000,
        max_wait_s=settings.window.max_wait_ms / 1000,
        max_in_flight_lines=settings.limits.max_in_flight_lines,
        max_context_records=settings.kafka.max_context_records,
        commit_interval_s=settings.kafka.commit_interval_ms / 1000,
        # Half of the time that the group waits: the commit and the round trip to the broker need the rest.
        revoke_budget_s=settings.kafka.rebalance_timeout_ms / 2000,
    )


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    try:
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop)
    except (RuntimeError, ValueError):  # not the main thread (tests): the caller stops the service
        yield
        return
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _first(group: BaseExceptionGroup[LogwardenError]) -> LogwardenError:
    """Returns the first plain error of a group, for one sentence on the terminal."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
