"""A thread that runs functions one after another, so that the event loop stays free for brokers and probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadWorker:
    """One named thread. The caller of `run` gets a function's result or its exception."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Runs `function(*args)` after every earlier call, and returns its result."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    def close(self) -> None:
        """Ends the thread after the running function, and drops the calls that wait."""
        self._executor.shutdown(wait=False, cancel_futures=True)
