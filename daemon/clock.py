"""The machine's clocks behind an interface that tests replace. The only file that reads a clock."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Returns seconds that never decrease, for time-outs."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Returns milliseconds since the epoch, for people and records."""
        return int(time.time() * 1000)

    async def sleep(self, seconds: float) -> None:
        """Suspends the calling task for this number of seconds."""
        await asyncio.sleep(seconds)
