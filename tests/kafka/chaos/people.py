"""The people of a campaign: they give and withdraw feedback at random, and note when each member has it.

A person's connections go to the broker directly: the faults of the network are for the daemons. What was acknowledged
must be in the topic at the end, and on every member. No line contains a text that they mute: every line has an alert.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.errors import BrokerUnavailable, ConfigurationError
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.feedback.records import feedback_message
from logwarden.daemon.kafka.compacted import CompactedTopic
from logwarden.daemon.kafka.producer import KafkaSink
from logwarden.daemon.kafka.transaction import TopicTransactions
from logwarden.daemon.records import Delivery, Message
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.kafka.member import Member

PAUSE_S = (0.2, 2.0)
GIVE_UP_S = 90.0
LOOK_S = 0.25
CALM_S = 15.0
"""Time after a fault in which a request of a member may still wait for its time-out, and be tried again."""
NAMES = ("deploy-1", "deploy-2", "nightly")
SERVICES = (["service-*"], ["service-0-*"], ["*-1"], ["other"])


@dataclass(slots=True)
class _Version:
    """What a key had to become by one act."""

    value: Any
    """The record as JSON; None: it is taken back."""
    acknowledged_at: float | None = None


@dataclass(slots=True)
class Findings:
    """Figures of an episode."""

    given: int = 0
    """Acts that were acknowledged, withdrawals among them."""
    withdrawn: int = 0
    refused: int = 0
    given_up: int = 0
    lost: int = 0
    """Keys that the topic does not have as they were acknowledged."""
    missing: int = 0
    """Keys that a member does not have so at the end."""
    calm_s: list[float] = field(default_factory=list)
    """Seconds until a member had a record, where no fault hit it shortly before."""
    troubled_s: list[float] = field(default_factory=list)
    """The same from the end of the fault or of the member's start, whichever is later."""
    examples: list[dict[str, Any]] = field(default_factory=list)


class People:
    """Gives feedback from `begin` to `end`. `calm_since` returns when the last fault that hit a member ended."""

    def __init__(
        self, bootstrap: str, topic: str, members: Sequence[Member], calm_since: Callable[[int], float], seed: int
    ) -> None:
        settings = KafkaSettings(bootstrap_servers=bootstrap, feedback_topic=topic, request_timeout_ms=5_000)
        self.found = Findings()
        self._topic = topic
        self._members = members
        self._calm_since = calm_since
        self._random = random.Random(seed)
        self._sink = _Noting(KafkaSink(settings))
        self._read = CompactedTopic(settings, topic).read_all
        transactions = TopicTransactions(settings, topic)
        self._office = FeedbackOffice(topic, self._read, None, self._sink, transactions, SystemClock(), by="chaos")
        self._versions: dict[str, list[_Version]] = {}
        self._unseen: dict[tuple[int, str], float] = {}
        """Member and key → since when the member must have what was acknowledged last."""
        self._up: dict[int, tuple[int, float]] = {}
        """Member → its process, and when it first answered."""
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False

    def begin(self) -> None:
        """Starts to give feedback, and to look at what members have."""
        self._tasks = [asyncio.create_task(self._give_forever()), asyncio.create_task(self._look_forever())]

    async def end(self, limit_s: float) -> None:
        """Lets the last act end, waits until every member has everything, or for a limit, and counts what is lost."""
        self._ending = True
        await self._tasks[0]
        deadline = time.monotonic() + limit_s
        while self._unseen and time.monotonic() < deadline:  # noqa: ASYNC110 - processes have no event to await
            await asyncio.sleep(LOOK_S)
        self._tasks[1].cancel()
        await asyncio.gather(self._tasks[1], return_exceptions=True)
        self.found.missing = len(self._unseen)
        self.found.examples = [{"member": index, "key": key} for index, key in list(self._unseen)[:5]]
        await self._count_lost()
        await self._sink.stop()

    def cancel(self) -> None:
        """Ends at once, as an episode does that breaks off."""
        for task in self._tasks:
            task.cancel()

    # ---------------------------------------------------------------- giving

    async def _give_forever(self) -> None:
        acts = [self._mute, self._mute, self._start, self._start, self._stop, self._undo, self._undo, self._withdraw]
        while not self._ending:
            act = self._random.choice(acts)
            deadline = time.monotonic() + GIVE_UP_S
            while time.monotonic() < deadline:
                self._sink.sent = None
                try:
                    await act()
                except BrokerUnavailable:
                    self._note(None)
                    await asyncio.sleep(PAUSE_S[0])
                except ConfigurationError:
                    self.found.refused += 1
                    break
                else:
                    self._note(time.monotonic())
                    self.found.withdrawn += act in (self._stop, self._undo, self._withdraw)
                    break
            else:
                self.found.given_up += 1
            await asyncio.sleep(self._random.uniform(*PAUSE_S))

    def _note(self, acknowledged_at: float | None) -> None:
        """Takes note of what the last act has sent, if it sent something."""
        if self._sink.sent is None:
            return
        key, value = self._sink.sent
        record = None if value is None else json.loads(value)
        self._versions.setdefault(key, []).append(_Version(record, acknowledged_at))
        if acknowledged_at is not None:
            self.found.given += 1
            self._unseen |= {(index, key): acknowledged_at for index in range(len(self._members))}

    async def _mute(self) -> None:
        number = self._random.randrange(40)
        for_ms = self._random.choice((None, 5_000, 60_000))
        await self._office.mute(f"text {number} of nobody", services=[], for_ms=for_ms, reason="")

    async def _start(self) -> None:
        name, services = self._random.choice(NAMES), self._random.choice(SERVICES)
        await self._office.start(name, services=services, systems=[], for_ms=10_000, reason="a test")

    async def _stop(self) -> None:
        await self._office.stop(self._random.choice(NAMES))

    async def _undo(self) -> None:
        if keys := sorted(await self._office.entries()):
            await self._office.undo(self._random.choice(keys))

    async def _withdraw(self) -> None:
        """Writes a record without a value, as a deploy job may."""
        if keys := sorted(await self._office.entries()):
            [outcome] = await self._sink.send(
                self._topic, [feedback_message(self._random.choice(keys), None, self._topic)]
            )
            if outcome is not Delivery.ACKNOWLEDGED:
                raise BrokerUnavailable(self._topic, "the withdrawal was not taken")

    # ---------------------------------------------------------------- looking

    async def _look_forever(self) -> None:
        while True:
            await asyncio.gather(*(self._look(index) for index in range(len(self._members))))
            await asyncio.sleep(LOOK_S)

    async def _look(self, index: int) -> None:
        """Looks at what a member has, and notes how long it took."""
        member = self._members[index]
        status, body = await asyncio.to_thread(member.answer, "/api/v1/feedback")
        now = time.monotonic()
        if status != 200 or member is not self._members[index]:
            return
        if self._up.get(index, (0, 0.0))[0] != member.pid:  # another process has to read everything
            self._up[index] = member.pid, now
            self._unseen |= {(index, key): 0.0 for key in self._versions if self._acknowledged(key) is not None}
        found = {row["key"]: row["feedback"] for row in json.loads(body)["feedback"]}
        for key in [key for of, key in self._unseen if of == index]:
            if found.get(key) in self._wanted(key):
                self._seen(index, self._unseen.pop((index, key)), now)

    def _seen(self, index: int, acknowledged_at: float, now: float) -> None:
        since = max(self._calm_since(index), self._up[index][1])
        waited_s = round(max(0.0, now - max(acknowledged_at, since)), 2)
        is_calm = acknowledged_at - since > CALM_S
        (self.found.calm_s if is_calm else self.found.troubled_s).append(waited_s)

    def _acknowledged(self, key: str) -> int | None:
        """Returns the place of the version that was acknowledged last."""
        versions = self._versions[key]
        places = [place for place, version in enumerate(versions) if version.acknowledged_at is not None]
        return places[-1] if places else None

    def _wanted(self, key: str) -> list[Any]:
        """Returns what a key may be: as it was acknowledged last, or as a later act tried, whose answer was lost."""
        return [version.value for version in self._versions[key][self._acknowledged(key) or 0 :]]

    async def _count_lost(self) -> None:
        there = {key: json.loads(record.encode()) for key, record in (await self._office.entries()).items()}
        for key in self._versions:
            if self._acknowledged(key) is not None and there.get(key) not in self._wanted(key):
                self.found.lost += 1
                self.found.examples.append({"lost": key, "has": there.get(key), "wanted": self._wanted(key)})


class _Noting:
    """A producer that keeps what it was given first since `sent` was cleared: what the person meant."""

    def __init__(self, sink: KafkaSink) -> None:
        self._sink = sink
        self.sent: tuple[str, bytes | None] | None = None

    async def start(self) -> None:
        await self._sink.start()

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        first = messages[0]
        assert first.key is not None, "feedback has a key"
        self.sent = self.sent or (first.key.decode(), first.value)
        return await self._sink.send(topic, messages)

    async def stop(self) -> None:
        await self._sink.stop()
