"""`logwarden bridge`: sends incidents to the destinations of the settings until a signal, or a test message to each.

Builds everything that has an effect: a consumer, a courier and a group for each destination, one producer of dead
letters, one HTTP port. A courier whose broker fails begins again; a broker that refuses ends the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

import structlog
from rich.console import Console

from logwarden.daemon.bridges.building import choice_of, courier_limits, destinations_of
from logwarden.daemon.bridges.courier import Courier
from logwarden.daemon.bridges.dead_letters import Graveyard
from logwarden.daemon.bridges.destination import Destination
from logwarden.daemon.bridges.facts import BridgeFacts, DestinationFacts
from logwarden.daemon.bridges.notice import Action, Notice
from logwarden.daemon.bridges.sample import ended, sample_incident
from logwarden.daemon.clock import SystemClock
from logwarden.daemon.commands.rendering import printable
from logwarden.daemon.errors import (
    EXIT_DRAINED,
    BrokerRefused,
    ConfigurationError,
    DestinationUnavailable,
    FatalError,
    LogwardenError,
    NoticeRefused,
)
from logwarden.daemon.health import sentence_of
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.kafka.producer import KafkaSink
from logwarden.daemon.process import StopSignals
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.kafka import KafkaSettings
from logwarden.daemon.waiting import abandon, attempt
from logwarden.daemon.web.bridge_metrics import BridgeCounts, bridge_probe_routes
from logwarden.daemon.web.metrics import CONTENT_TYPE
from logwarden.daemon.web.probes import metrics_routes
from logwarden.daemon.web.server import HttpServer

log = structlog.get_logger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 10.0
_POLL_RECORDS = 256
"""Records of a poll: decoding them takes some milliseconds on the event loop."""
_STOPS_S = 1.0
"""Seconds that the clients have to stop after the budget."""


async def run_bridge(settings: Settings, signals: StopSignals) -> int:
    """Runs the bridge until a signal. Returns the exit code. Raises LogwardenError if it cannot continue."""
    bridge = Bridge(settings)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals.hand_over(lambda: loop.call_soon_threadsafe(stop.set), settings.shutdown.drain_timeout_s)
    return await bridge.serve(stop)


class Bridge:
    """One process with all destinations. `serve` may be called once."""

    def __init__(self, settings: Settings) -> None:
        if settings.kafka.incidents_topic is None:
            raise ConfigurationError(
                "there is no incidents topic", hint="set LOGWARDEN_KAFKA__INCIDENTS_TOPIC to the topic of the daemon"
            )
        self._settings = settings
        self._clock = SystemClock()
        self._destinations = destinations_of(settings, self._clock)
        names = tuple(one.name for one in self._destinations)
        self._telemetry = BridgeCounts(names)
        self._facts = BridgeFacts(
            [DestinationFacts(name, self._clock.monotonic) for name in names],
            unready_after_s=settings.health.unready_after_s,
        )
        self._sink = KafkaSink(settings.kafka)
        self._couriers: dict[str, Courier] = {}
        routes = [*bridge_probe_routes(self._facts), *metrics_routes(self._telemetry.render, CONTENT_TYPE)]
        http = settings.http.model_copy(update={"port": settings.bridge.http_port})
        self._http = HttpServer(http, routes, port_variable="LOGWARDEN_BRIDGE__HTTP_PORT")

    @property
    def http_port(self) -> int | None:
        """The port of probes and metrics; None before `serve` opens it."""
        return self._http.port

    async def serve(self, stop: asyncio.Event) -> int:
        """Delivers until `stop` is set, finishes what is on its way, and commits."""
        pairs = zip(self._destinations, self._facts.destinations, strict=True)
        tasks: list[asyncio.Task[None]] = []
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await self._http.start()
            tasks = [asyncio.create_task(self._keep_delivering(*pair), name=pair[0].name) for pair in pairs]
            log.info("bridging", destinations=[one.name for one in self._destinations], http_port=self._http.port)
            await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # raises what keeps the process from continuing
            await self._drain()
            return EXIT_DRAINED
        finally:
            stopping.cancel()
            await self._close(tasks)

    async def _drain(self) -> None:
        self._facts.draining = True
        budget_s = self._settings.shutdown.drain_timeout_s
        log.info("draining", budget_s=budget_s)
        await asyncio.gather(*(attempt(courier.close(), budget_s) for courier in self._couriers.values()))

    async def _close(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOPS_S)
        for task in tasks:
            abandon(task)
        stops = [self._sink.stop(), *(one.close() for one in self._destinations), self._http.stop()]
        await asyncio.gather(*(attempt(stop, _STOPS_S) for stop in stops))

    async def _keep_delivering(self, destination: Destination, facts: DestinationFacts) -> None:
        """Delivers to one destination, and begins again after a failure of the broker. Raises if that is no use."""
        retry_s = FIRST_RETRY_S
        while True:
            source = KafkaSource(group_settings(self._settings, destination.name))
            courier = self._courier(destination, source, facts)
            began = self._clock.monotonic()
            try:
                await source.start(courier)
                facts.works("broker_unavailable")
                await courier.serve()
            except (BrokerRefused, ConfigurationError):
                raise
            except LogwardenError as error:
                log.warning("delivery_interrupted", destination=destination.name, error=str(error), hint=error.hint)
                facts.trouble("broker_unavailable", str(error), error.hint)
            finally:
                self._couriers.pop(destination.name, None)
                await attempt(source.stop(), _STOPS_S)
                facts.assigned(False)
            if self._clock.monotonic() - began > LAST_RETRY_S:
                retry_s = FIRST_RETRY_S
            await self._clock.sleep(retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)

    def _courier(self, destination: Destination, source: KafkaSource, facts: DestinationFacts) -> Courier:
        bridge = self._settings.bridge
        courier = self._couriers[destination.name] = Courier(
            destination,
            source,
            Graveyard(bridge.dead_letter_topic, self._sink, self._clock),
            self._clock,
            self._telemetry,
            facts,
            choice=choice_of(bridge, destination.name),
            limits=courier_limits(self._settings),
            random=Random(),
        )
        return courier


def group_settings(settings: Settings, destination: str) -> KafkaSettings:
    """Returns the settings with which a destination's group reads the incidents topic."""
    return settings.kafka.model_copy(
        update={
            "group_id": f"{settings.bridge.group_id}-{destination}",
            "input_topics": (settings.kafka.incidents_topic,),
            "max_poll_records": min(settings.kafka.max_poll_records, _POLL_RECORDS),
        }
    )


async def check_destinations(settings: Settings, console: Console) -> None:
    """Sends a test incident and its end to each destination, and prints a sentence about each.

    Raises FatalError if one of them does not take it.
    """
    clock = SystemClock()
    destinations = destinations_of(settings, clock)
    record = sample_incident(clock.now_ms())
    failed = 0
    for destination in destinations:
        sentence, hint = await _checked(destination, Notice(record=record, action=Action.TRIGGER))
        if not sentence:
            end = Notice(record=ended(record), action=Action.RESOLVE, announced=record)
            sentence, hint = await _checked(destination, end)
        failed += bool(sentence)
        words = f"{sentence_of(sentence)} {sentence_of(hint) if hint else ''}".strip()
        console.print(
            f"{destination.name}: {printable(words) or 'It took a test incident and its end.'}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        await destination.close()
    if failed:
        raise FatalError(f"{failed} of {len(destinations)} destinations did not take the test incident")


async def _checked(destination: Destination, notice: Notice) -> tuple[str, str]:
    """Returns why a destination did not take a notice, and what to do; two empty texts if it took it."""
    try:
        await destination.deliver(notice)
    except (DestinationUnavailable, NoticeRefused) as error:
        return str(error), error.hint
    return "", ""
