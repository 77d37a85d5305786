"""Waits for work that may hang or fail, in a task of its own. Neither a time-out nor a cancellation leaks from it.

A client's `stop` may raise a CancelledError of its own making (aiokafka issue 647). Awaited directly, it would look
like a cancellation of the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def attempt(work: Coroutine[Any, Any, T], timeout_s: float | None) -> asyncio.Task[T]:
    """Returns the task of `work` when it has ended, or when it was abandoned after `timeout_s`."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task], timeout=timeout_s)
    finally:
        if not task.done():
            abandon(task)
    return task


def abandon(task: asyncio.Task[Any]) -> None:
    """Cancels a task without waiting for its end; its outcome is dropped."""
    task.cancel()
    task.add_done_callback(failure)  # an outcome that nothing reads would be logged as an error


def failure(task: asyncio.Task[Any]) -> BaseException | None:
    """Returns the reason why a task has no result: its error, a cancellation, or a time-out. None: it has one."""
    if not task.done():
        return TimeoutError()
    return asyncio.CancelledError() if task.cancelled() else task.exception()
