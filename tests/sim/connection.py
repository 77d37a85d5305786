"""A member's connection to the cluster and its process as a whole: alive, cut off, frozen or dead."""

from __future__ import annotations

import asyncio

from logwarden.daemon.errors import BrokerUnavailable
from tests.sim.broker import SimBroker

REQUEST_TIMEOUT_S = 4.0


class Line:
    """Every request, pause and thread of a member passes through its line.

    A dead member never acts again. One that is cut off neither sends nor receives. A `deaf` one loses only its
    heartbeats, and becomes a zombie. A frozen one stops where it is, and continues later with what it has.
    """

    def __init__(self, broker: SimBroker) -> None:
        self.dead = False
        self.deaf = False
        self.frozen = False
        self.is_cut = False
        self._broker = broker
        self._never: list[asyncio.Future[None]] = []  # kept, so that the tasks that await one are not collected

    @property
    def cut(self) -> bool:
        """True if no request arrives: this member is cut off, or every broker is down."""
        return self.is_cut or not self._broker.is_up

    async def clear(self) -> None:
        """Waits until the member can reach the coordinator."""
        while self.cut or self.deaf or self.frozen:  # noqa: ASYNC110  # virtual time: polling costs nothing
            await asyncio.sleep(0.2)

    async def thawed(self) -> None:
        """Waits until the member is not frozen. Never returns if it is dead."""
        while self.frozen:  # noqa: ASYNC110  # virtual time: polling costs nothing
            await asyncio.sleep(0.2)
        if self.dead:
            self._never.append(asyncio.get_running_loop().create_future())
            await self._never[-1]

    async def through(self, seconds: float) -> None:
        """Waits for the latency. Raises BrokerUnavailable if the member is cut off; never returns if it is dead."""
        await asyncio.sleep(seconds)
        await self.thawed()
        if self.cut:
            await asyncio.sleep(REQUEST_TIMEOUT_S)
            await self.thawed()
        if self.cut:
            raise BrokerUnavailable("sim", "cut off")
