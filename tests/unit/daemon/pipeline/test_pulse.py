"""A beat that carries no state, and the phase that only advances."""

from __future__ import annotations

import asyncio

from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.pipeline.pulse import Pulse
from tests.fakes import virtually
from tests.sim.loop import now_s


@virtually
async def test_one_beat_wakes_all_who_wait() -> None:
    """Each waiter checks its own condition; none is left asleep."""
    pulse, woken = Pulse(), []

    async def wait(name: str) -> None:
        await pulse.wait(60)
        woken.append((name, now_s()))

    waiters = [asyncio.create_task(wait(name)) for name in "abc"]
    await asyncio.sleep(2)
    pulse.beat()
    await asyncio.gather(*waiters)
    assert woken == [("a", 2), ("b", 2), ("c", 2)]


@virtually
async def test_a_beat_wakes_nothing_that_waits_later() -> None:
    """A beat that stayed would make a loop spin."""
    pulse = Pulse()
    pulse.beat()
    await pulse.wait(3)
    assert now_s() == 3


@virtually
async def test_a_wait_without_a_limit_needs_a_beat() -> None:
    """None waits without a limit, and does not return at once."""
    pulse = Pulse()
    asyncio.get_running_loop().call_later(86_400, pulse.beat)
    await pulse.wait(None)
    assert now_s() == 86_400


@virtually
async def test_a_phase_only_advances_and_wakes() -> None:
    """A drain that comes after the end does not bring the loops back."""
    pulse = Pulse()
    lifetime = Lifetime(pulse)
    for entered, phase in (
        (Phase.DRAINING, Phase.DRAINING),
        (Phase.WORKING, Phase.DRAINING),
        (Phase.ENDED, Phase.ENDED),
        (Phase.DRAINED, Phase.ENDED),
    ):
        waiting = asyncio.create_task(pulse.wait(60))
        await asyncio.sleep(0)
        lifetime.advance(entered)
        await waiting
        assert lifetime.phase is phase
    assert now_s() == 0


@virtually
async def test_the_loops_may_end_from_the_last_commit_on() -> None:
    """A drain that still waits for lines does not let the commit loop go."""
    lifetime = Lifetime(Pulse())
    lifetime.advance(Phase.DRAINING)
    assert not await lifetime.drained(1.0)
    asyncio.get_running_loop().call_later(2, lifetime.advance, Phase.DRAINED)
    assert await lifetime.drained(60.0)
    assert now_s() == 3
