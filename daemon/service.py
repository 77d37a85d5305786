"""The daemon's life: start → serve → drain. Builds everything that has an effect, in one place, and owns the signals.

Exit codes: 0 drained, 1 fatal or stopped at once by a second signal, 2 bad configuration.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.decoding.decoder import Decoder
from logwarden.daemon.engine import loading as scoring
from logwarden.daemon.errors import (
    EXIT_DRAINED,
    EXIT_FATAL,
    BrokerUnavailable,
    FatalError,
    LogwardenError,
)
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.kafka.producer import KafkaSink
from logwarden.daemon.pipeline.ingest import Aggregator
from logwarden.daemon.pipeline.pipeline import Pipeline, PipelineLimits
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.web.metrics import Telemetry
from logwarden.daemon.web.server import HealthState, HttpServer
from logwarden.daemon.worker import ThreadWorker

log = structlog.get_logger(__name__)

_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 15.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_service(settings: Settings) -> int:
    """Runs the daemon until it is told to stop. Returns the exit code; raises LogwardenError if it cannot go on."""
    return asyncio.run(Service(settings).serve())


class Service:
    """One daemon. `serve` may be called once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._telemetry = Telemetry()
        self._health = HealthState()
        self._http = HttpServer(settings.http, self._health, self._telemetry.render)
        self._stop = asyncio.Event()
        self._workers = (ThreadWorker("ingest"), ThreadWorker("score"))

    @property
    def http_port(self) -> int | None:
        """The port of probes and metrics, once serving."""
        return self._http.port

    def stop(self) -> None:
        """Asks for a drain. The second time, ends the process at once: whoever asks twice means it."""
        if self._stop.is_set():
            log.error("stopped_at_once", reason="a second signal came while draining")
            os._exit(EXIT_FATAL)
        self._stop.set()

    async def serve(self) -> int:
        """Starts, serves until `stop` or a signal, drains."""
        source, sink = KafkaSource(self._settings.kafka), KafkaSink(self._settings.kafka)
        with _signals(self.stop):
            await self._http.start()
            try:
                pipeline = await self._build(source, sink)
                if not await self._connect(sink.start) or not await self._connect(lambda: source.start(pipeline)):
                    return EXIT_DRAINED  # told to stop while no broker answered: nothing was begun
                return await self._work(pipeline)
            except LogwardenError as error:
                self._health.failed(str(error))
                raise
            finally:
                await source.stop()
                await sink.stop()
                for worker in self._workers:
                    worker.close()
                await self._http.stop()

    async def _build(self, source: KafkaSource, sink: KafkaSink) -> Pipeline:
        settings = self._settings
        # On the score worker: loading takes a second or two, and the probes should answer meanwhile.
        scorer, stream, judgement = await self._workers[1].run(scoring.load, settings)
        self._health.warm = True
        decoder = Decoder(
            format=settings.input.format,
            text_paths=settings.input.text_paths,
            service_paths=settings.input.service_paths,
            time_paths=settings.input.time_paths,
            max_line_bytes=settings.limits.max_line_chars,
        )
        return Pipeline(
            source=source,
            sink=sink,
            aggregator=Aggregator(decoder, stream, max_services=settings.limits.max_services),
            scorer=scorer,
            judgement=judgement,
            ingest_worker=self._workers[0],
            score_worker=self._workers[1],
            clock=SystemClock(),
            telemetry=self._telemetry,
            health=self._health,
            limits=pipeline_limits(settings),
        )

    async def _connect(self, start: Callable[[], Awaitable[None]]) -> bool:
        """Retries while no broker answers, as long as the settings allow. False if told to stop meanwhile."""
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
                    raise FatalError(f"{error}; gave up after {limit_s:g} s", hint=error.hint) from error
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
            pass  # the drain budget was spent; what was in flight will be replayed
        except* LogwardenError as group:
            raise _first(group) from group
        return EXIT_DRAINED


def pipeline_limits(settings: Settings) -> PipelineLimits:
    """The settings as the pipeline's bounds."""
    return PipelineLimits(
        alerts_topic=settings.kafka.alerts_topic,
        dead_letter_topic=settings.kafka.dead_letter_topic,
        max_windows=settings.batch.max_windows,
        max_delay_s=settings.batch.max_delay_ms / 1000,
        max_wait_s=settings.window.max_wait_ms / 1000,
        max_in_flight_lines=settings.limits.max_in_flight_lines,
        max_context_records=settings.kafka.max_context_records,
        commit_interval_s=settings.kafka.commit_interval_ms / 1000,
        # Half of what the group waits for: the commit and the way there and back need the rest.
        revoke_budget_s=settings.kafka.rebalance_timeout_ms / 2000,
        max_alert_line_chars=settings.alerts.max_line_chars,
    )


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    try:
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop)
    except (RuntimeError, ValueError):  # not the main thread (the demo, tests): whoever started us will stop us
        yield
        return
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _first(group: BaseExceptionGroup[LogwardenError]) -> LogwardenError:
    """The first plain error of a group, for one sentence on the terminal."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
