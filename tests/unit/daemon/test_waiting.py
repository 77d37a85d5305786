"""Work that hangs, fails or cancels itself, and what its caller gets to know of it."""

from __future__ import annotations

import asyncio

import pytest

from logwarden.daemon.waiting import abandon, attempt, failure
from tests.fakes import virtually
from tests.sim.loop import now_s


@virtually
async def test_a_result_comes_out() -> None:
    """Work that ends in time is a task with a result and without a failure."""
    task = await attempt(asyncio.sleep(2, "done"), 5)
    assert (task.result(), failure(task), now_s()) == ("done", None, 2)


@pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError()])
@virtually
async def test_an_error_is_returned_and_not_raised(error: BaseException) -> None:
    """A cancellation that the work raises itself is its failure, and not a cancellation of the caller."""

    async def fail() -> None:
        raise error

    assert isinstance(failure(await attempt(fail(), 5)), type(error))


@virtually
async def test_work_that_hangs_is_abandoned() -> None:
    """The caller continues at the time limit, also where the work ignores its cancellation for a while."""
    ended: list[float] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
            ended.append(now_s())
            raise ValueError("dropped") from None

    task = await attempt(hang(), 5)
    assert now_s() == 5
    assert isinstance(failure(task), TimeoutError)
    await asyncio.sleep(10)
    assert ended == [8]


@virtually
async def test_an_abandoned_error_is_not_logged_as_lost() -> None:
    """asyncio reports a task whose error nothing reads; an abandoned one is read."""
    lost: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))

    async def fail() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            raise ValueError("dropped")

    task = asyncio.create_task(fail())
    await asyncio.sleep(1)
    abandon(task)
    await asyncio.sleep(1)
    assert task.done()
    del task
    await asyncio.sleep(1)
    assert lost == []
