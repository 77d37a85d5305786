"""The feedback topic as a member follows it, and how long ago the member must have had all of it."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import AsyncIterator

from logwarden.daemon.errors import BrokerUnavailable, TopicMissing
from logwarden.daemon.records import FollowedEntries
from logwarden.model.feedback import FeedbackBook, FeedbackKind
from logwarden.model.incidents import Plan
from tests.sim.broker import FEEDBACK, SimBroker
from tests.sim.connection import REQUEST_TIMEOUT_S, Line
from tests.sim.contract import AFTER_TROUBLE_S, IN_FORCE_S, NEVER_S
from tests.sim.loop import now_s
from tests.sim.topics import OutputTopic, SimRecord
from tests.sim.weather import Weather, latency_s

POLL_S = 1.0
HELD_UP_S = 2.0
"""Age of a transaction from which it counts as a trouble of its readers: its writer has died."""
PARTITIONS = 3


class SimFollower:
    """See `logwarden.daemon.ports.TopicFollower`. As aiokafka's consumer it is silent in an outage, once it follows."""

    def __init__(self, line: Line, broker: SimBroker, weather: Weather, rng: random.Random) -> None:
        self._line = line
        self._broker = broker
        self._weather = weather
        self._rng = rng
        self.known_s = NEVER_S
        """What was written until then is known here: the promise of the feedback's contract."""
        self.file_known_s = NEVER_S
        """The same of the file."""
        self._troubled_s = self._frozen_s = now_s()

    async def follow(self, since_ms: int) -> AsyncIterator[FollowedEntries]:
        output = self._broker.output(FEEDBACK)
        await self._begin(output)
        ends = [len(records) for records in _partitions(output)]
        positions = [0] * PARTITIONS
        while True:
            await self._line.thawed()
            taken: list[SimRecord] = []
            if not self.is_troubled:
                await asyncio.sleep(latency_s(self._rng, 0.02))
                parts = _partitions(output)
                unread = [number for number in range(PARTITIONS) if positions[number] < len(parts[number])]
                for number in self._rng.sample(unread, self._rng.randint(min(1, len(unread)), len(unread))):
                    begin = positions[number]
                    positions[number] = min(len(parts[number]), begin + self._rng.randint(1, 20))
                    taken += [one for one in parts[number][begin : positions[number]] if output.has(one)]
            elif self._rng.random() < 0.1:
                self._fail("the position is not known")
            yield FollowedEntries(
                entries=[(one.key or b"", one.value, one.timestamp) for one in taken],
                is_caught_up=all(position >= end for position, end in zip(positions, ends, strict=True)),
            )
            if not taken:
                await asyncio.sleep(POLL_S * self._rng.random())

    async def _begin(self, output: OutputTopic) -> None:
        """Connects. Raises BrokerUnavailable or TopicMissing."""
        await self._line.through(latency_s(self._rng, 0.05))
        if output.stuck:
            await asyncio.sleep(REQUEST_TIMEOUT_S)
            self._fail("the leader of the feedback topic did not answer")
        if output.missing:
            raise TopicMissing(FEEDBACK, "it does not exist", hint="create it", use="read")
        if self._weather.strikes(self._rng, "lookup_refused"):
            self._fail("no answer")

    def _fail(self, sentence: str) -> None:
        self._troubled_s = now_s()
        raise BrokerUnavailable("sim", sentence)

    @property
    def is_troubled(self) -> bool:
        output = self._broker.output(FEEDBACK)
        if output.undecided and now_s() - output.records[output.end].timestamp / 1000 > HELD_UP_S:
            return True
        return self._line.cut or self._line.frozen or self._line.dead or output.stuck or output.missing

    def look(self) -> None:
        """Moves what is known. Called again and again, so that no trouble begins and ends unseen."""
        now = now_s()
        if self.is_troubled:
            self._troubled_s = now
        if self._line.frozen:
            self._frozen_s = now
        if now - self._troubled_s > AFTER_TROUBLE_S:
            self.known_s = max(self.known_s, now - IN_FORCE_S)
        if now - self._frozen_s > AFTER_TROUBLE_S:
            self.file_known_s = max(self.file_known_s, now - IN_FORCE_S)

    def begun(self, at_s: float) -> None:
        """Takes note that the member, which started `at_s`, has waited for its feedback and reads lines from now on."""
        self.look()
        if self._troubled_s <= at_s:
            self.known_s = max(self.known_s, at_s)
        self.file_known_s = max(self.file_known_s, at_s)


class AskedBook(FeedbackBook):
    """The feedback that a batch of windows is judged by, with the moment at which the pipeline asked for it."""

    def __init__(self, book: FeedbackBook, follower: SimFollower) -> None:
        self._book = book
        self.known_s = follower.known_s
        self.file_known_s = follower.file_known_s
        self.asked_s = now_s()

    def __len__(self) -> int:
        return len(self._book)

    def judgement(self, service: str, kind: str, text: str, time_ms: int) -> FeedbackKind | None:
        return self._book.judgement(service, kind, text, time_ms)

    def plan(self, service: str, time_ms: int, *, is_failure: bool = True) -> Plan | None:
        return self._book.plan(service, time_ms, is_failure=is_failure)


def _partitions(output: OutputTopic) -> list[list[SimRecord]]:
    """Returns the records of each partition: a key has one."""
    parts: list[list[SimRecord]] = [[] for _ in range(PARTITIONS)]
    for record in output.records[: output.end]:
        parts[zlib.crc32(record.key or b"") % PARTITIONS].append(record)
    return parts
