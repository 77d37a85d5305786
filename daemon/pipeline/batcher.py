"""Decides when waiting windows become a batch. Knows nothing of asyncio, models or Kafka; time comes in as an argument.

Under load, work piles up while the scorer is busy, so batches grow by themselves. At low load a batch is due after
`max_delay_s` at most. A piece of work is never split; the scorer splits a batch that is too large for the device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sized
from typing import Generic, TypeVar

W = TypeVar("W", bound=Sized)


class Batcher(Generic[W]):
    """First in, first out, in groups of about `max_windows`."""

    def __init__(self, *, max_windows: int, max_delay_s: float) -> None:
        self._max_windows = max_windows
        self._max_delay_s = max_delay_s
        self._waiting: deque[tuple[float, W]] = deque()
        self._windows = 0

    def __len__(self) -> int:
        return self._windows

    def put(self, work: W, now: float) -> None:
        """Adds work that arrived at `now`."""
        self._waiting.append((now, work))
        self._windows += len(work)

    def wait_s(self, now: float) -> float | None:
        """Returns the seconds until a batch is due: 0 if one is due now, None without work."""
        if not self._waiting:
            return None
        if self._windows >= self._max_windows:
            return 0.0
        return max(0.0, self._waiting[0][0] + self._max_delay_s - now)

    def take(self, now: float, *, closing: bool = False) -> list[W]:
        """Returns the next batch, empty if none is due. `closing`: all remaining work is due."""
        if not self._waiting or (not closing and self.wait_s(now) != 0.0):
            return []
        batch = [self._waiting.popleft()[1]]
        size = len(batch[0])
        while self._waiting and size + len(self._waiting[0][1]) <= self._max_windows:
            batch.append(self._waiting.popleft()[1])
            size += len(batch[-1])
        self._windows -= size
        return batch
