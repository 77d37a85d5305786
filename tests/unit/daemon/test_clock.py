"""The only clock: its units, and that waiting lets others run."""

from __future__ import annotations

import asyncio
import time

import pytest

from logwarden.daemon.clock import SystemClock
from tests.fakes import virtually
from tests.sim.loop import now_s


def test_the_units_are_seconds_and_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs count seconds from anywhere; records and alerts carry whole milliseconds since the epoch."""
    monkeypatch.setattr(time, "monotonic", lambda: 12.5)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.9876)
    clock = SystemClock()
    assert clock.monotonic() == 12.5
    assert clock.now_ms() == 1_700_000_000_987
    assert isinstance(clock.now_ms(), int)


@virtually
async def test_a_sleep_lets_others_run() -> None:
    """The event loop continues, and the sleep takes exactly its seconds."""
    ran: list[float] = []
    asyncio.get_running_loop().call_later(1, lambda: ran.append(now_s()))
    await SystemClock().sleep(2)
    assert (ran, now_s()) == ([1], 2)
