"""The producer of a simulated member: one outcome for each message, one fate for each output topic."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from logwarden.daemon.errors import BrokerUnavailable, TopicUnusable
from logwarden.daemon.records import Delivery, Message
from tests.sim.broker import SimBroker
from tests.sim.connection import REQUEST_TIMEOUT_S, Line
from tests.sim.evidence import Evidence
from tests.sim.loop import now_s
from tests.sim.topics import OutputTopic
from tests.sim.weather import Weather, latency_s

SLOW_S = 3.0


class SimSink:
    """A producer. See `logwarden.daemon.ports.Sink`."""

    def __init__(
        self, name: str, line: Line, broker: SimBroker, weather: Weather, evidence: Evidence, rng: random.Random
    ) -> None:
        self._name = name
        self._evidence = evidence
        self._line = line
        self._broker = broker
        self._weather = weather
        self._rng = rng
        self.sent_at: list[float] = []

    async def start(self) -> None:
        await self._line.through(latency_s(self._rng, 0.02))

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        slow = self._weather.strikes(self._rng, "send_slow")
        refused = self._weather.strikes(self._rng, "send_refused")
        partial = self._weather.strikes(self._rng, "send_partial")
        output = self._broker.output(topic)
        await self._line.through(latency_s(self._rng, 0.02) + SLOW_S * slow * self._rng.random())
        if output.stuck:
            await asyncio.sleep(REQUEST_TIMEOUT_S)
            raise BrokerUnavailable("sim", f"the leader of {topic} did not answer")
        if output.missing:
            raise TopicUnusable(topic, "it does not exist", hint="create it")
        if refused:
            raise BrokerUnavailable("sim", "send refused")
        outcomes: list[Delivery] = []
        for number, message in enumerate(messages):
            if partial and number >= len(messages) // 2:
                raise BrokerUnavailable("sim", "the connection broke half way")
            outcomes.append(self._deliver(output, message))
        return outcomes

    def _deliver(self, output: OutputTopic, message: Message) -> Delivery:
        failed = self._weather.strikes(self._rng, "message_failed")
        if output.refuses is not None and output.refuses(message):
            self._evidence.refused(message)
            return Delivery.REFUSED
        if output.max_bytes is not None and len(message.value or b"") > output.max_bytes:
            return Delivery.TOO_LARGE
        if failed and self._rng.random() < 0.5:  # it is lost; otherwise only its acknowledgement is
            return Delivery.FAILED
        output.write(message, int(now_s() * 1000))
        self.sent_at.append(now_s())
        return Delivery.FAILED if failed else Delivery.ACKNOWLEDGED

    async def stop(self) -> None:
        """Does nothing: this producer has no resources."""
