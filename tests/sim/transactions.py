"""Transactions of a simulated person on the feedback topic: void unless committed, and when their writer dies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.ports import TRANSACTION_TIMEOUT_S
from logwarden.daemon.records import KeyedRecord, Message
from tests.sim.broker import FEEDBACK, SimBroker
from tests.sim.connection import REQUEST_TIMEOUT_S, Line
from tests.sim.loop import now_s
from tests.sim.topics import OutputTopic
from tests.sim.weather import Weather, latency_s

CLEANUP_S = 10.0
"""Time between two rounds in which brokers end the transactions of the dead."""


class SimTransactions:
    """See `logwarden.daemon.ports.Transactions`."""

    def __init__(self, line: Line, broker: SimBroker, weather: Weather, rng: random.Random) -> None:
        self._line = line
        self._broker = broker
        self._weather = weather
        self._rng = rng

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SimTransaction]:
        output = self._broker.output(FEEDBACK)
        transaction = SimTransaction(output, self._line, self._weather, self._rng)
        await transaction.request()
        output.end_transaction(commits=False)
        output.writer = transaction
        after_s = TRANSACTION_TIMEOUT_S + CLEANUP_S * self._rng.random()
        asyncio.get_running_loop().call_later(after_s, transaction.end)
        try:
            yield transaction
        finally:
            if not self._line.dead and not self._line.cut:
                transaction.end()


class SimTransaction:
    """See `logwarden.daemon.ports.Transaction`."""

    def __init__(self, output: OutputTopic, line: Line, weather: Weather, rng: random.Random) -> None:
        self._output = output
        self._line = line
        self._weather = weather
        self._rng = rng

    async def send(self, messages: Sequence[Message]) -> None:
        await self.request()
        self._check()
        for message in messages:
            self._output.write(message, int(now_s() * 1000), in_transaction=True)
        await self._line.through(latency_s(self._rng, 0.02))

    async def read(self) -> Sequence[KeyedRecord]:
        await self._line.through(latency_s(self._rng, 0.05))
        output = self._output
        there = [one for one in output.records if one.offset not in output.compacted]
        return [KeyedRecord(one.key or b"", one.value, one.timestamp) for one in there]

    async def commit(self) -> None:
        await self.request()
        self._check()
        self._output.end_transaction(commits=True)
        await self._line.through(latency_s(self._rng, 0.02))

    def end(self) -> None:
        """Takes the messages back unless they were committed."""
        if self._output.writer is self:
            self._output.end_transaction(commits=False)

    async def request(self) -> None:
        """Reaches the coordinator. Raises BrokerUnavailable if it does not answer."""
        await self._line.through(latency_s(self._rng, 0.05))
        if self._output.stuck:
            await asyncio.sleep(REQUEST_TIMEOUT_S)
            raise BrokerUnavailable("sim", "the leader did not answer")
        if self._output.missing or self._weather.strikes(self._rng, "send_refused"):
            raise BrokerUnavailable("sim", "the request was refused")

    def _check(self) -> None:
        if self._output.writer is not self:
            raise BrokerUnavailable("sim", "another transaction has ended this one")
