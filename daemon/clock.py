"""Time, as a thing that can be replaced. The only file that reads a clock."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds that never go back, for time-outs."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, for people and records."""
        return int(time.time() * 1000)

    async def sleep(self, seconds: float) -> None:
        """Lets other tasks run for `seconds`."""
        await asyncio.sleep(seconds)
