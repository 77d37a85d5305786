"""Keeps the phase of the pipeline, which only advances, and wakes the waiters for a phase."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import IntEnum

from logwarden.daemon.errors import TaskEnded
from logwarden.daemon.pipeline.pulse import Pulse


class Phase(IntEnum):
    """The life of a pipeline, in order."""

    WORKING = 0
    DRAINING = 1
    """Nothing more is read; what is in flight is finished."""
    DRAINED = 2
    """The last commit is made: the loops may end."""
    ENDED = 3
    """The loops have ended: nothing in flight will ever be done."""


class Lifetime:
    """The phase, and the failure of a listener that the Kafka client would swallow."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._drained = asyncio.Event()
        self.phase = Phase.WORKING
        self.failure: BaseException | None = None

    def advance(self, phase: Phase) -> None:
        """Enters a phase, unless a later one was entered already; wakes every waiter."""
        self.phase = max(self.phase, phase)
        if self.phase >= Phase.DRAINED:
            self._drained.set()
        self._pulse.beat()

    def changed(self) -> None:
        """Wakes every waiter without entering another phase."""
        self._pulse.beat()

    async def drained(self, timeout_s: float) -> bool:
        """Waits until the loops may end, for `timeout_s` at most. Returns False if they may not."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._drained.wait()
        except TimeoutError:
            return False
        return True


async def watched(name: str, loop: Callable[[], Coroutine[None, None, None]], lifetime: Lifetime) -> None:
    """Runs a loop of the pipeline. Raises TaskEnded if it ends before the pipeline drains."""
    try:
        await loop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # No part of the daemon cancelled this task: the client let one of its own cancellations escape (aiokafka
        # issue 647), and a task group takes it for an ordinary end.
        raise TaskEnded(name) from None
    if lifetime.phase < Phase.DRAINING:
        raise TaskEnded(name)
