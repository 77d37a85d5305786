"""Virtual time, on which the simulation depends."""

from __future__ import annotations

import asyncio

import pytest

from tests.sim.loop import Deadlock, Livelock, now_s, run_virtual


def test_waiting_costs_nothing() -> None:
    """A day of sleep passes at once, and is exactly a day."""

    async def day() -> float:
        await asyncio.sleep(86_400)
        return now_s()

    assert run_virtual(day()) == 86_400


def test_timers_fire_in_order() -> None:
    """A shorter sleep ends first, and time-outs run in the same time as sleeps."""

    async def race() -> list[str]:
        woken = []

        async def sleeper(name: str, seconds: float) -> None:
            try:
                async with asyncio.timeout(2.0):
                    await asyncio.sleep(seconds)
                woken.append(name)
            except TimeoutError:
                woken.append(f"{name} timed out at {now_s()}")

        await asyncio.gather(sleeper("late", 3.0), sleeper("second", 1.5), sleeper("first", 1.0))
        return woken

    assert run_virtual(race()) == ["first", "second", "late timed out at 2.0"]


def test_a_deadlock_is_told() -> None:
    """A program in which every task waits and no timer is set ends with an error instead of hanging."""

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run_virtual(never())


def test_a_loop_that_never_waits_is_told() -> None:
    """A program with a task that never waits ends with an error."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110  # the loop under test
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        run_virtual(spin())
