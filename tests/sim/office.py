"""The feedback of a simulated member: the real desk, and the judge that works by it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

from logwarden.daemon.feedback.desk import FeedbackDesk
from logwarden.daemon.health import HealthState
from logwarden.daemon.pipeline.judge import ScoredBatch, WindowJudge
from logwarden.daemon.pipeline.work import Work
from logwarden.daemon.ports import Clock, Engine
from logwarden.daemon.web.metrics import PrometheusTelemetry
from logwarden.model.feedback import NO_FEEDBACK, FeedbackBook
from tests.sim.broker import FEEDBACK, SimBroker
from tests.sim.connection import Line
from tests.sim.contract import SYSTEM, TAILS, Contract, Judged, kind_name_of
from tests.sim.evidence import Evidence, Place, era_of
from tests.sim.followed import AskedBook, SimFollower
from tests.sim.loop import now_s
from tests.sim.weather import Weather

START_S = 10.0
"""Time for which a member waits for its feedback before it reads lines, as the daemon does."""


class SimJudge(WindowJudge):
    """Notes by which feedback the lines of a batch are judged, and what may become of them."""

    def __init__(self, clock: Clock, contract: Contract, evidence: Evidence) -> None:
        super().__init__(clock)
        self._contract = contract
        self._evidence = evidence
        self._asked: AskedBook | None = None

    def judge(self, engine: Engine, work: Sequence[Work], feedback: FeedbackBook = NO_FEEDBACK) -> ScoredBatch:
        assert isinstance(feedback, AskedBook), "the member's port returns it"
        self._asked = feedback
        return super().judge(engine, work, feedback)

    def note(self, text: bytes, place: Place, time_ms: int) -> None:
        """Takes an anomalous line of the batch that is judged now."""
        asked = self._asked
        assert asked is not None, "a batch is judged"
        line = (era_of(self._evidence.partitions, text), place)
        judged = judged_line(text, time_ms)
        allowed = self._contract.allowed(
            judged, known_s=asked.known_s, file_known_s=asked.file_known_s, asked_s=asked.asked_s
        )
        self._evidence.allowed.setdefault(line, set()).update(allowed)
        self._evidence.anomalous[line] = judged


def judged_line(text: bytes, time_ms: int) -> Judged:
    """Returns a line with its service, which its text names."""
    return Judged(service=text.split()[1].decode(), text=text.decode(), time_ms=time_ms)


class SimOffice:
    """The desk of one member. `book` is its pipeline's port."""

    def __init__(
        self,
        line: Line,
        broker: SimBroker,
        weather: Weather,
        contract: Contract,
        clock: Clock,
        health: HealthState,
        rng: random.Random,
    ) -> None:
        self.follower = SimFollower(line, broker, weather, rng)
        self.desk = FeedbackDesk(
            self.follower,
            clock,
            PrometheusTelemetry(),
            health,
            kind_of=kind_name_of,
            name=FEEDBACK,
            file=Path("feedback.toml"),
            load=lambda _: contract.file,
            system=SYSTEM,
            tails=TAILS,
        )
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Starts the desk, and waits until it has read the topic, or for as long as the daemon does."""
        if self._task is None:
            began = now_s()
            self._task = asyncio.create_task(self.desk.run(), name="feedback")
            await self.desk.read_once(START_S)
            self.follower.begun(began)

    def book(self) -> FeedbackBook:
        """Returns the feedback in force, with the moment of the question."""
        self.follower.look()
        return AskedBook(self.desk.book, self.follower)

    def entries(self) -> dict[str, bytes]:
        """Returns the bytes of what was read of the topic, by keys."""
        return {key: record.encode() for key, record in self.desk.entries().items()}

    async def end(self) -> None:
        """Ends the desk with its member."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
