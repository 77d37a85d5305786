"""Runs clients repeatedly, in a number of lanes, and records failures. Knows neither systems nor faults.

The usual load is not constant: it swings, in fault-free time and in faults. With a flat load a few more lines than
usual would reveal a fault, as they do on no real host.
"""

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from logwarden.training.faultlab.scenario import Client

MAX_LANES = 5
USUAL = 1
"""A number of lanes that stands for the usual load of the moment."""
_DRAIN_S = 40.0
_SWING_S = (6.0, 18.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A client that was not served: it began at `began` and failed at `t`."""

    began: float
    t: float
    client: str


class Load:
    """Runs every client in one thread per lane; a lane beyond the current number waits.

    `swing`: the numbers of lanes among which the usual load changes, every 6 to 18 seconds.
    """

    def __init__(
        self, clients: Sequence[Client], seed: int, now: Callable[[], float], swing: Sequence[int] = (1,)
    ) -> None:
        assert all(1 <= lanes <= MAX_LANES for lanes in swing), "the usual load has at least one lane"
        self._clients = clients
        self._now = now
        self._gate = threading.Condition()
        self._lanes = USUAL
        self._usual = swing[0]
        self._drained: frozenset[str] = frozenset()
        self._running: Counter[tuple[str, int]] = Counter()
        self._stopping = threading.Event()
        self._failures: list[Failure] = []
        self.runs: Counter[str] = Counter()
        self.failure: Exception | None = None
        self._threads = [
            threading.Thread(
                target=self._loop,
                args=(client, lane, random.Random(f"{seed}/{client.name}/{lane}")),
                name=f"{client.name}-{lane}",
            )
            for client in clients
            for lane in range(MAX_LANES)
        ]
        if len(swing) > 1:
            self._threads.append(threading.Thread(target=self._change_usual, args=(swing, random.Random(seed))))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stops all lanes. Every client has its own deadline, so this ends."""
        self._stopping.set()
        with self._gate:
            self._gate.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    @contextlib.contextmanager
    def shaped(self, lanes: int, drained: frozenset[str]) -> Iterator[Callable[[int], None]]:
        """Changes the load for the length of the block; begins once no paused client runs any more.

        Yields a function that changes the number of lanes again.
        """

        def reshape(number: int) -> None:
            assert 0 <= number <= MAX_LANES, "a load has between no and all its lanes"
            with self._gate:
                self._lanes, self._drained = number, drained
                self._gate.notify_all()

        reshape(lanes)
        with self._gate:
            self._gate.wait_for(lambda: self._stopping.is_set() or self._settled(), _DRAIN_S)
        try:
            yield reshape
        finally:
            with self._gate:
                self._lanes, self._drained = USUAL, frozenset()
                self._gate.notify_all()

    def failures(self) -> tuple[Failure, ...]:
        return tuple(self._failures)

    def _open(self, client: Client, lane: int) -> bool:
        lanes = self._usual if self._lanes == USUAL else self._lanes
        return lane < lanes and not client.touches & self._drained

    def _settled(self) -> bool:
        return not any(
            self._running[client.name, lane] and not self._open(client, lane)
            for client in self._clients
            for lane in range(MAX_LANES)
        )

    def _change_usual(self, swing: Sequence[int], rng: random.Random) -> None:
        # Like cards from a deck, so that minutes of a run contain every number in its proportion.
        deck: list[int] = []
        while not self._stopping.wait(rng.uniform(*_SWING_S)):
            deck = deck or rng.sample(swing, len(swing))
            with self._gate:
                self._usual = deck.pop()
                self._gate.notify_all()

    def _loop(self, client: Client, lane: int, rng: random.Random) -> None:
        try:
            while not self._stopping.wait(client.every_s * rng.uniform(0.5, 1.5)):
                with self._gate:
                    self._gate.wait_for(lambda: self._stopping.is_set() or self._open(client, lane))
                    if self._stopping.is_set():
                        return
                    self._running[client.name, lane] = 1
                self._run_once(client, lane, rng)
        except Exception as error:  # a bug in a client must end the run, not only its thread
            self.failure = error

    def _run_once(self, client: Client, lane: int, rng: random.Random) -> None:
        began = self._now()
        served = False
        try:
            served = client.run(rng)
        finally:
            with self._gate:
                self._running[client.name, lane] = 0
                self.runs[client.name] += 1
                if not served:
                    self._failures.append(Failure(began=began, t=self._now(), client=client.name))
                self._gate.notify_all()
