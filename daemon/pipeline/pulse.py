"""Wakes every waiter. Carries no state: each waiter checks its own condition again."""

from __future__ import annotations

import asyncio


class Pulse:
    """One beat wakes all who wait at that moment, and nothing that waits later."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        """Wakes every waiter."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float | None) -> None:
        """Returns at the next beat, or after `timeout_s` seconds; None: only at a beat."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            pass
