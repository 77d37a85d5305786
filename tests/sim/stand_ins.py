"""Stand-ins for the ports beside Kafka: worker threads, the model and its line table, the clock.

No torch, no BERT, no threads: vectors come from a hash, scores from the text, and a "thread" is a task that takes its
virtual time. As with real threads, the functions of one worker run one after another, at any moment of the caller's
wait. A result may arrive long after its function ran.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from logwarden.model.lines import OVERFLOW
from logwarden.model.masking import canonical, mask_blob
from logwarden.model.verdicts import Scores
from logwarden.model.windowing import WindowBatch
from tests.sim.connection import Line
from tests.sim.evidence import Evidence, Place
from tests.sim.loop import now_s
from tests.sim.weather import latency_s

WIDTH = 8
MARKER = b"FAIL"
EPOCH_MS = 1_700_000_000_000


class VirtualClock:
    """See `logwarden.daemon.ports.Clock`. The pauses of a frozen process end when it continues."""

    def __init__(self, line: Line | None = None) -> None:
        self._line = line

    def monotonic(self) -> float:
        return now_s()

    def now_ms(self) -> int:
        return EPOCH_MS + int(now_s() * 1000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._line is not None:
            await self._line.thawed()


class SimWorker:
    """See `logwarden.daemon.ports.Worker`. Its own task stands for the thread.

    `more_s` returns the seconds that the function which just ran takes beyond its usual time.
    """

    def __init__(
        self, name: str, usual_s: float, line: Line, rng: random.Random, more_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._usual_s = usual_s
        self._line = line
        self._rng = rng
        self._more_s = more_s
        self._queue: deque[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._work(), name=name)
        self.stuck = False
        """True: the running function never ends, as on a device that hangs."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        self._queue.append((future, function, args))
        self._wake.set()
        return await future

    async def vanish(self) -> None:
        """Ends the thread; the pending calls never return."""
        self._task.cancel()
        for future, _, _ in self._queue:
            future.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            future, function, args = self._queue[0]
            if not future.cancelled():  # else no caller waits, and the function has not begun
                await self._do(future, function, args)
            self._queue.popleft()

    async def _do(self, future: asyncio.Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        takes_s, share = latency_s(self._rng, self._usual_s), self._rng.random()
        await asyncio.sleep(takes_s * share)
        while self.stuck:  # noqa: ASYNC110  # virtual time: polling costs nothing
            await asyncio.sleep(0.5)
        await self._line.thawed()
        try:
            result, error = function(*args), None
        except Exception as raised:  # as an executor's thread does: the caller gets it with the result
            result, error = None, raised
        await asyncio.sleep(takes_s * (1 - share) + self._more_s())
        await self._line.thawed()
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


@lru_cache(maxsize=100_000)
def _vector(text: str) -> bytes:
    digest = hashlib.blake2s(text.encode(), digest_size=2 * WIDTH).digest()
    vector = np.frombuffer(digest, np.uint16).astype(np.float32) + 1
    return (vector / np.linalg.norm(vector)).astype(np.float32).tobytes()


@lru_cache(maxsize=100_000)
def _expected(raw: bytes) -> bytes:
    return _vector(canonical(mask_blob(raw + b"\n")[0]))


def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Returns a vector of length 1 for each text, always the same one."""
    return np.frombuffer(b"".join(map(_vector, texts)), np.float32).reshape(len(texts), WIDTH)


class SimEncoder:
    """Embeds lines for one member, and counts them: each takes time on the ingest thread."""

    def __init__(self, new_line_s: float) -> None:
        self._new_line_s = new_line_s
        self._embedded = 0

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self._embedded += len(texts)
        return encode(texts)

    def seconds(self) -> float:
        """Returns the time that embedding took since the last call."""
        embedded, self._embedded = self._embedded, 0
        return embedded * self._new_line_s


class SimScorer:
    """See `logwarden.daemon.ports.Scorer`. A window is anomalous if one of its new lines contains the marker."""

    def __init__(
        self, name: str, rows: int, evidence: Evidence, check: Callable[[str, WindowBatch], None] | None = None
    ) -> None:
        self._check = check
        self._name = name
        self._evidence = evidence
        self._table = np.zeros((rows, WIDTH), np.float32)
        self.fails: Exception | None = None
        """Raised instead of the next score."""
        self.note_anomalous: Callable[[bytes, Place, int], None] = lambda *_: None
        """Takes text, place and time of each anomalous line."""

    def store(self, ids: npt.NDArray[np.int64], embeddings: npt.NDArray[np.float32], texts: Sequence[str]) -> None:
        """Stores embeddings in the table."""
        self._table[ids] = embeddings

    def score(self, batch: WindowBatch) -> Scores:
        if self.fails is not None:
            raise self.fails
        self._evidence.look(self._name)
        self._check_rows(batch)
        if self._check is not None:
            self._check(self._name, batch)
        places, window = batch.fresh_lines()
        anomalous = np.zeros(len(batch), bool)
        for place, number in zip(places.tolist(), window.tolist(), strict=True):
            text = batch.columns["text"][place]
            line = (int(batch.columns["offset"][place]), int(batch.columns["index"][place]))
            self._evidence.score(self._name, text, line)
            anomalous[number] |= MARKER in text
            if MARKER in text:
                self.note_anomalous(text, line, int(batch.columns["timestamp"][place]))
        probability = np.where(anomalous, 0.97, 0.02)
        return Scores(
            logits=np.stack([1 - probability, probability], axis=1).astype(np.float32),
            probability=probability,
            line_weights=np.full((len(batch), batch.size), 1 / batch.size, np.float32),
        )

    def _check_rows(self, batch: WindowBatch) -> None:
        """rows_right: when a window is scored, its rows of the line table still contain its own lines."""
        places = np.flatnonzero(batch.columns["id"] > OVERFLOW)
        if not len(places):
            return
        texts = batch.columns["text"][places]
        wanted = np.frombuffer(b"".join(map(_expected, texts)), np.float32).reshape(-1, WIDTH)
        wrong = (self._table[batch.columns["id"][places]] != wanted).any(axis=1)
        if wrong.any():
            self._evidence.breach("rows_right", f"{self._name}: {texts[wrong][0]!r} is scored as another line")
