"""A thread that runs functions one after another, so that the event loop keeps answering brokers and probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadWorker:
    """One named thread. A function's exception is raised where `run` is awaited."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Runs `function(*args)` after the calls before it."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    def close(self) -> None:
        """Ends the thread after the function it is running."""
        self._executor.shutdown(wait=False, cancel_futures=True)
