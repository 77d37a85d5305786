"""An event loop whose time is virtual: it jumps to the next timer as soon as nothing is left to do.

Owns time and nothing else. An hour of waiting costs nothing, a second is exactly a second, and a program in which
nothing can ever happen again is told so instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

MAX_TURNS_AT_ONE_MOMENT = 50_000
"""More turns than this without time moving is a loop that never waits: a real program would burn a core."""


class Deadlock(Exception):
    """Every task waits for another one; no timer is set."""


class Livelock(Exception):
    """Tasks go on for ever without waiting."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and moves only when everything waits."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jumps(self))
        self._clock_resolution = 1e-9  # timers closer than this fire together, as rounding may part them

    def time(self) -> float:
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Moves time on."""
        self._now_s += seconds


class _Jumps(selectors.SelectSelector):
    """Where a selector would sleep, time jumps."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock(f"at {self._loop.time():.3f} s every task waits and no timer is set")
        self._turns = 0 if timeout > 0 else self._turns + 1
        if self._turns > MAX_TURNS_AT_ONE_MOMENT:
            self._turns = 0  # whoever cleans up has turns of his own
            raise Livelock(f"at {self._loop.time():.3f} s time stands still while tasks go on")
        self._loop.jump(timeout)
        return []


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now_s() -> float:
    """Virtual seconds since the loop began."""
    return asyncio.get_running_loop().time()
