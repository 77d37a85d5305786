"""An event loop with virtual time: it jumps to the next timer as soon as every task waits.

Owns time and nothing else. An hour of waiting costs nothing, and a second is exactly a second. A program in which every
task waits and no timer is set ends with Deadlock instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

MAX_TURNS_AT_ONE_MOMENT = 50_000
"""Turns of the loop at one moment after which a task counts as one that never waits: it would keep a core busy."""


class Deadlock(Exception):
    """Every task waits for another one; no timer is set."""


class Livelock(Exception):
    """A task continues without waiting, and time stands still."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and advances only when every task waits."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jumps(self))
        self._clock_resolution = 1e-9  # timers closer than this fire together: rounding may separate them

    def time(self) -> float:
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Advances the time."""
        self._now_s += seconds


class _Jumps(selectors.SelectSelector):
    """A selector that advances the time instead of sleeping."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock(f"at {self._loop.time():.3f} s every task waits and no timer is set")
        self._turns = 0 if timeout > 0 else self._turns + 1
        if self._turns > MAX_TURNS_AT_ONE_MOMENT:
            self._turns = 0  # the clean-up after the error needs turns as well
            raise Livelock(f"at {self._loop.time():.3f} s time stands still while tasks continue")
        self._loop.jump(timeout)
        return []


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now_s() -> float:
    """Returns the virtual seconds since the loop began."""
    return asyncio.get_running_loop().time()
