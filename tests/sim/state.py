"""The state topic of a simulated member, as its reader sees it."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.records import Entries
from tests.sim.broker import SimBroker
from tests.sim.connection import Line
from tests.sim.weather import Weather, latency_s


class SimStateReader:
    """See `logwarden.daemon.ports.StateReader`."""

    def __init__(self, line: Line, broker: SimBroker, weather: Weather, rng: random.Random) -> None:
        self._line = line
        self._broker = broker
        self._weather = weather
        self._rng = rng

    async def read(self, partitions: Collection[int], take: Callable[[Entries], None]) -> None:
        await self._line.through(latency_s(self._rng, 0.05))
        if self._weather.strikes(self._rng, "lookup_refused"):
            raise BrokerUnavailable("sim", "no answer")
        take(self._broker.state())
