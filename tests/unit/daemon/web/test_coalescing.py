"""One answer for many callers: while it is made, for a moment after, and for each key apart."""

from __future__ import annotations

import asyncio

import pytest

from logwarden.daemon.web.coalescing import Coalesced


class Maker:
    """Makes answers once it may, and counts them."""

    def __init__(self) -> None:
        self.made = 0
        self.may = asyncio.Event()

    async def __call__(self) -> int:
        self.made += 1
        number = self.made
        await self.may.wait()
        return number

    async def failing(self) -> int:
        await self()
        raise ValueError("no answer")


async def test_all_who_wait_get_one_answer() -> None:
    """One caller of many makes the answer, and it goes on if that one leaves."""
    make, coalesced = Maker(), Coalesced[int](600, 4)
    first, *others = [asyncio.create_task(coalesced.get("key", make)) for _ in range(100)]
    await asyncio.sleep(0)
    first.cancel()
    make.may.set()
    assert await asyncio.gather(*others) == [1] * 99
    assert first.cancelled()
    assert (await coalesced.get("key", make), await coalesced.get("another", make)) == (1, 2)


async def test_an_answer_serves_for_its_time_only() -> None:
    """After it the next caller gets a new one."""
    make, coalesced = Maker(), Coalesced[int](0, 4)
    make.may.set()
    assert await coalesced.get("key", make) == 1
    await asyncio.sleep(0.01)
    assert await coalesced.get("key", make) == 2


async def test_a_failure_is_not_kept() -> None:
    """All who wait for it get it; the next caller tries again."""
    make, coalesced = Maker(), Coalesced[int](600, 4)
    make.may.set()
    failed = await asyncio.gather(*(coalesced.get("key", make.failing) for _ in range(3)), return_exceptions=True)
    assert [str(each) for each in failed] == ["no answer"] * 3
    with pytest.raises(ValueError, match="no answer"):
        await coalesced.get("key", make.failing)
    assert (make.made, await coalesced.get("key", make)) == (2, 3)


async def test_the_answers_that_are_kept_are_few() -> None:
    """Whatever people ask for, memory holds the newest answers only."""
    make, coalesced = Maker(), Coalesced[int](600, 4)
    make.may.set()
    assert [await coalesced.get(key, make) for key in range(10)] == list(range(1, 11))
    assert [await coalesced.get(key, make) for key in (9, 8, 7, 6)] == [10, 9, 8, 7]
    assert await coalesced.get(5, make) == 11
