"""Wakes everybody who waits for something to change. Knows nothing of what that is: who wakes looks for himself."""

from __future__ import annotations

import asyncio


class Pulse:
    """One beat wakes all who wait at that moment; nobody who comes later."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        """Something changed."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float | None) -> None:
        """Until the next beat, or for so many seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            pass
