"""Makes one answer for all who want the same one at a time, and keeps it for a moment.

A hundred people who look at one list then cost as much as one who looks once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from logwarden.daemon.waiting import failure

T = TypeVar("T")


class Coalesced(Generic[T]):
    """Answers by key. Belongs to the event loop."""

    def __init__(self, fresh_s: float, most: int) -> None:
        """`fresh_s`: seconds for which an answer serves. `most`: answers that are kept, the newest."""
        self._fresh_s = fresh_s
        self._most = most
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    async def get(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Returns the answer of `make`, or the one that another caller with this key has got or waits for.

        Raises what `make` raises, to all who wait; the next caller tries again.
        """
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(make(), name="answer")
            task.add_done_callback(lambda done: self._made(key, done))
        return await asyncio.shield(task)  # others may wait for it as well

    def _made(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if failure(task) is not None:
            self._drop(key, task)
            return
        asyncio.get_running_loop().call_later(self._fresh_s, self._drop, key, task)
        made = [(key, task) for key, task in self._tasks.items() if task.done()]
        for oldest in made[: max(0, len(made) - self._most)]:
            self._drop(*oldest)

    def _drop(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
