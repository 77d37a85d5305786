"""The people of a simulated world: they mute, judge, announce maintenance, and take back, through the daemon's office.

Each act has a connection of its own and is tried again until it is acknowledged or refused. Some acts meet.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

from logwarden.daemon.errors import BrokerUnavailable, ConfigurationError
from logwarden.daemon.feedback.giving import Given, maintained, muted, outdated
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.incidents.incident import build_incident
from logwarden.daemon.records import Delivery, KeyedRecord, Message
from logwarden.model.feedback import FeedbackKind
from logwarden.model.incident_fold import IncidentFold
from tests.sim.broker import FEEDBACK, SimBroker
from tests.sim.connection import Line
from tests.sim.contract import KEPT_MS, Contract
from tests.sim.evidence import ALERTS, Evidence
from tests.sim.loop import now_s
from tests.sim.scenarios import Scenario
from tests.sim.sink import SimSink
from tests.sim.stand_ins import EPOCH_MS, VirtualClock
from tests.sim.transactions import SimTransactions
from tests.sim.weather import Weather, latency_s

TRIES = 30
SOON_MS = 1_000
PATTERNS = ("user * logged in", "took * ms", "cache miss", "disk * at * percent*FAIL", "tick", "ms*FAIL")
SERVICES: tuple[tuple[str, ...], ...] = ((), (), ("svc-0",), ("svc-1", "svc-2"), ("*-1",), ("svc-*",), ("other",))
SYSTEMS: tuple[tuple[str, ...], ...] = ((), ("0",), ("*1",), ("svc-2",))
NAMES = ("deploy-1", "deploy-2", "nightly")


class People:
    """All people of a world, drawing from a source of chance of their own."""

    def __init__(
        self,
        scenario: Scenario,
        broker: SimBroker,
        weather: Weather,
        evidence: Evidence,
        contract: Contract,
        rng: random.Random,
    ) -> None:
        self._scenario = scenario
        self._broker = broker
        self._weather = weather
        self._evidence = evidence
        self._contract = contract
        self._rng = rng
        self._sinks = 0
        self._dead: list[asyncio.Task[None]] = []  # kept, so that they are not collected
        self._clock = VirtualClock()

    def begin(self) -> None:
        """Writes what file and topic have when the world begins."""
        self._broker.output(FEEDBACK).missing = self._scenario.feedback_from_s > 0
        self._edit()
        for key, record in [*self._old()] * self._scenario.feedback_history:
            value = record.encode()
            self._contract.meant.add((key, value))
            self._broker.output(FEEDBACK).write(Message(topic=FEEDBACK, key=key.encode(), value=value), 0)

    def _old(self) -> Iterator[Given]:
        """Yields feedback that ended long ago: at some moment giving removes it, while others give it again."""
        for services in dict.fromkeys(SERVICES):
            for text in PATTERNS:
                yield muted(text, services=services, now_ms=self._ended_ms("mute"), for_ms=1)
        for name in NAMES:
            yield maintained(name, now_ms=self._ended_ms("maintenance"), for_ms=1)

    def _ended_ms(self, kind: str) -> int:
        return EPOCH_MS - KEPT_MS[kind] + round(1000 * self._rng.uniform(-10, self._scenario.over_s))

    async def act_all(self) -> None:
        """Does the acts of the scenario, each at its time; they may overlap."""
        scenario, rng = self._scenario, self._rng
        times = sorted(rng.uniform(0.5, scenario.over_s) for _ in range(scenario.feedback))
        acts: list[Callable[[FeedbackOffice], Awaitable[Any]]] = [
            *(self._mute, self._mute, self._judge, self._judge, self._maintain, self._maintain),
            *(self._stop, self._undo, self._undo, self._withdraw, self._write_file, self._write_file),
        ]
        if scenario.crashing:
            acts += [self._give_again] * 6
        async with asyncio.TaskGroup() as group:
            group.create_task(self._create_topic(), name="create")
            for at_s in times:
                await asyncio.sleep(max(0.0, at_s - now_s()))
                for _ in range(rng.choice((1, 1, 2))):
                    act = rng.choice(acts)
                    group.create_task(self._do(act), name=act.__name__)

    async def _create_topic(self) -> None:
        await asyncio.sleep(self._scenario.feedback_from_s)
        self._broker.output(FEEDBACK).missing = False

    async def _do(self, act: Callable[[FeedbackOffice], Awaitable[Any]]) -> None:
        """Does one act until it is acknowledged or refused, or its process dies."""
        self._sinks += 1
        name = f"person-{self._sinks}"
        rng = random.Random(self._rng.random())
        crashing = self._scenario.crashing
        line = MortalLine(self._broker, rng.randint(2, 9) if crashing and rng.random() < crashing else None)
        sink = SimSink(name, line, self._broker, self._weather, self._evidence, rng)
        noting = NotingSink(sink, self._contract)
        office = FeedbackOffice(
            FEEDBACK,
            partial(self._read, line),
            partial(self._incidents, line),
            noting,
            SimTransactions(line, self._broker, self._weather, rng),
            self._clock,
            by=name,
        )
        self._evidence.note(act.__name__.strip("_"), name)
        acting = asyncio.create_task(self._act(act, office, noting, rng, name))
        dying = asyncio.create_task(line.died.wait())
        await asyncio.wait([acting, dying], return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if acting.done():
            acting.result()
        else:
            self._evidence.note("died", name)
            self._dead.append(acting)

    async def _act(
        self,
        act: Callable[[FeedbackOffice], Awaitable[Any]],
        office: FeedbackOffice,
        noting: NotingSink,
        rng: random.Random,
        name: str,
    ) -> None:
        for _ in range(TRIES):
            noting.meant = None
            try:
                await act(office)
            except BrokerUnavailable:
                await asyncio.sleep(rng.uniform(0.2, 2.0))
                continue
            except ConfigurationError as refusal:
                self._evidence.note("refused", name, reason=refusal)
                return
            if noting.meant is not None:
                key, value = noting.meant
                self._evidence.given[key] = self._evidence.given.get(key, 0) + 1
                self._contract.acknowledged(key, value)
            return

    # ---------------------------------------------------------------- topics

    async def _read(self, line: Line) -> Sequence[KeyedRecord]:
        await line.through(latency_s(self._rng, 0.05))
        output = self._broker.output(FEEDBACK)
        if output.stuck or self._weather.strikes(self._rng, "lookup_refused"):
            raise BrokerUnavailable("sim", "no answer")
        there = [] if output.missing else output.records[: output.end]
        return [KeyedRecord(one.key or b"", one.value, one.timestamp) for one in there if output.has(one)]

    async def _incidents(self, line: Line) -> Sequence[KeyedRecord]:
        """Returns the incidents that the alerts so far amount to."""
        await line.through(latency_s(self._rng, 0.05))
        fold, reader, rows = IncidentFold(), FindingReader(), dict[str, bytes]()
        for record in self._broker.output(ALERTS).records:
            fold.add(reader.read(record.value or b"", published_ms=EPOCH_MS + record.timestamp))
        for incident in fold.advance(self._clock.now_ms()):
            rows[incident.id] = build_incident(incident).encode()
        return [KeyedRecord(key.encode(), value) for key, value in rows.items()]

    # ---------------------------------------------------------------- acts

    async def _mute(self, office: FeedbackOffice) -> None:
        rng = self._rng
        for_ms = rng.choice((None, 3_000, 8_000))
        await office.mute(rng.choice(PATTERNS), services=rng.choice(SERVICES), for_ms=for_ms, reason="")

    async def _judge(self, office: FeedbackOffice) -> None:
        rng = self._rng
        incidents = sorted(await office.incidents())
        if incidents:
            kind = rng.choice((FeedbackKind.EXPECTED, FeedbackKind.EXPECTED, FeedbackKind.REAL))
            services = rng.choice(SERVICES[:5])
            for_ms = rng.choice((None, None, 5_000))
            await office.judge(rng.choice(incidents), kind, services=services, for_ms=for_ms, reason="")

    async def _maintain(self, office: FeedbackOffice) -> None:
        rng = self._rng
        services, systems = rng.choice(SERVICES), rng.choice(SYSTEMS)
        for_ms = rng.choice((2_000, 6_000, 15_000))
        await office.start(rng.choice(NAMES), services=services, systems=systems, for_ms=for_ms, reason="a release")

    async def _give_again(self, office: FeedbackOffice) -> None:
        """Gives what ended so long ago that others remove it about now, as a nightly job does."""
        rng = self._rng
        entries = await office.entries()
        if not (old := outdated(entries, self._clock.now_ms() + SOON_MS)):
            return
        key = rng.choice(sorted(old))
        record = entries[key]
        if record.kind is FeedbackKind.MUTE:
            await office.mute(record.pattern, services=record.services, for_ms=8_000, reason="")
        elif record.kind is FeedbackKind.MAINTENANCE:
            name = key.partition("/")[2]
            await office.start(name, services=record.services, systems=record.systems, for_ms=8_000, reason="a release")

    async def _stop(self, office: FeedbackOffice) -> None:
        await office.stop(self._rng.choice(("", *NAMES)))

    async def _undo(self, office: FeedbackOffice) -> None:
        if keys := sorted(await office.entries()):
            await office.undo(self._rng.choice(keys))

    async def _withdraw(self, office: FeedbackOffice) -> None:
        """Writes a record without a value, as a deploy job may."""
        if keys := sorted(await office.entries()):
            await office._send([(self._rng.choice(keys), None)])

    async def _write_file(self, office: FeedbackOffice) -> None:
        if self._rng.random() < 0.25:
            self._contract.write_file(b"[[mute", None)
        else:
            self._edit()

    def _edit(self) -> None:
        """Replaces the file by one with another mute."""
        rng = self._rng
        text, services = rng.choice(PATTERNS), rng.choice(SERVICES)
        entry = {"kind": "mute", "given": "1970-01-01T00:00:00Z", "pattern": text, "services": services}
        names = ", ".join(f'"{name}"' for name in services)
        content = f'[[mute]]\npattern = "{text}"\nservices = [{names}]\n'.encode()
        self._contract.write_file(content, [entry])


class MortalLine(Line):
    """The line of a person, whose process dies at a request: its number, or None for a long life."""

    def __init__(self, broker: SimBroker, last: int | None) -> None:
        super().__init__(broker)
        self.died = asyncio.Event()
        self._left = last

    async def through(self, seconds: float) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.dead = True
                self.died.set()
        await super().through(seconds)


class NotingSink:
    """A producer that notes what its person means to write."""

    def __init__(self, sink: SimSink, contract: Contract) -> None:
        self._sink = sink
        self._contract = contract
        self.meant: tuple[str, bytes | None] | None = None

    async def start(self) -> None: ...

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        first = messages[0]
        assert first.key is not None, "feedback has a key"
        if self.meant is None:
            self.meant = first.key.decode(), first.value
            self._contract.meant.add(self.meant)
        return await self._sink.send(topic, messages)

    async def stop(self) -> None: ...
