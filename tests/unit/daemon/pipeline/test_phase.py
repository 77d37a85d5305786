"""The phase of a pipeline only advances, and wakes those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.pipeline.pulse import Pulse
from tests.sim.loop import now_s, run_virtual


def test_a_phase_never_returns() -> None:
    """A drain that begins after the loops ended changes nothing."""

    async def story() -> None:
        lifetime = Lifetime(Pulse())
        for phase, then in [
            (Phase.DRAINING, Phase.DRAINING),
            (Phase.WORKING, Phase.DRAINING),
            (Phase.ENDED, Phase.ENDED),
            (Phase.DRAINED, Phase.ENDED),
        ]:
            lifetime.advance(phase)
            assert lifetime.phase is then

    run_virtual(story())


def test_every_change_wakes_the_waiters() -> None:
    """A waiter checks its condition again after each phase, and after a change within a phase."""

    async def story() -> None:
        pulse = Pulse()
        lifetime = Lifetime(pulse)
        changes: list[Callable[[], None]] = [lambda: lifetime.advance(Phase.DRAINING), lifetime.changed]
        for change in changes:
            waiting = asyncio.create_task(pulse.wait(None))
            await asyncio.sleep(1)
            assert not waiting.done()
            change()
            await asyncio.wait_for(waiting, 1)

    run_virtual(story())


def test_the_loops_may_end_once_the_pipeline_is_drained() -> None:
    """The commit loop waits for its interval and is woken by the end: neither draining nor a beat ends it."""

    async def story() -> None:
        lifetime = Lifetime(Pulse())
        lifetime.advance(Phase.DRAINING)
        assert not await lifetime.drained(3.0)
        assert now_s() == 3.0
        asyncio.get_running_loop().call_later(1.0, lifetime.advance, Phase.DRAINED)
        assert await lifetime.drained(100.0)
        assert now_s() == 4.0
        assert await lifetime.drained(0.1), "and it stays so"

    run_virtual(story())
