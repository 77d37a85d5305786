"""Repeats a question to the broker until it is answered or the pipeline stops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.ports import Clock

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Retries:
    """Repeats a question every `retry_s` seconds."""

    def __init__(self, clock: Clock, lifetime: Lifetime, *, retry_s: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._retry_s = retry_s

    async def answer(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Returns what the broker answers. Returns None if the pipeline drains before that.

        There is no limit of time: without the answer there is nothing to read, and readiness shows it.
        """
        while self._lifetime.phase < Phase.ENDED:
            try:
                return await ask()
            except BrokerUnavailable as error:
                if self._lifetime.phase >= Phase.DRAINING:
                    break
                log.warning("broker_unavailable", error=str(error), retry_in_s=self._retry_s)
                await self._clock.sleep(self._retry_s)
        return None
