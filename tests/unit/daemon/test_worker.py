"""The worker's thread: one function after another, errors to the caller, an end that waits for nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest

from logwarden.daemon.worker import ThreadWorker


async def test_functions_run_one_after_another_on_a_thread_of_their_own() -> None:
    """Ten functions at once neither overlap nor change their order, and none runs on the event loop's thread."""
    worker = ThreadWorker("ingest")
    trace: list[str] = []

    def function(number: int) -> str:
        trace.append(f"begin {number}")
        trace.append(f"end {number}")
        return threading.current_thread().name

    names = await asyncio.gather(*(worker.run(function, number) for number in range(10)))
    assert trace == [f"{word} {number}" for number in range(10) for word in ("begin", "end")]
    assert len(set(names)) == 1
    assert names[0].startswith("ingest")
    worker.close()


async def test_the_event_loop_keeps_answering_meanwhile() -> None:
    """A function that blocks its thread blocks neither the loop nor another worker."""
    slow, other = ThreadWorker("score"), ThreadWorker("ingest")
    release = threading.Event()
    waiting = asyncio.create_task(slow.run(release.wait, 10))
    assert await other.run(lambda: "answered") == "answered"
    assert not waiting.done()
    release.set()
    assert await waiting
    slow.close()
    other.close()


async def test_an_error_reaches_the_caller() -> None:
    """And the thread lives on for the next function."""
    worker = ThreadWorker("score")
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(max, 1, 2) == 2
    worker.close()


async def test_closing_waits_for_nothing() -> None:
    """A device that hangs must not delay the exit: what was queued behind it never runs."""
    worker = ThreadWorker("score")
    release, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    ran: list[int] = []

    def hang() -> str:
        loop.call_soon_threadsafe(begun.set)
        release.wait(10)
        return "ended"

    first = asyncio.create_task(worker.run(hang))
    second = asyncio.create_task(worker.run(ran.append, 2))
    await begun.wait()
    worker.close()
    assert not first.done()
    with pytest.raises(asyncio.CancelledError):
        await second
    release.set()
    assert await first == "ended"
    assert ran == []
    with pytest.raises(RuntimeError):
        await worker.run(ran.append, 3)
