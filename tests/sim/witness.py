"""The watchdog's own connection, simulated: it queries the broker past the member's clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from logwarden.daemon.records import Partition
from tests.sim.broker import SimBroker
from tests.sim.connection import Line


class SimWitness:
    """See `logwarden.daemon.watchdog.Witness`."""

    def __init__(self, broker: SimBroker, line: Line) -> None:
        self._broker = broker
        self._line = line

    async def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        await self._line.through(0.02)
        return {partition: self._broker.logs[partition].end for partition in partitions}

    async def group_answers(self) -> None:
        await self._line.through(0.02)
