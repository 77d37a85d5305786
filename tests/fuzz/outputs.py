"""Fuzzes the publisher: random outcomes for each message, each output topic and each moment.

A fake sink draws outcomes as Kafka gives them. A topic can be stuck, missing or slow. A message can fail, be too large,
or be refused for good; after a failure, later messages of its key in the request fail too. Oracle: a list per topic.

- nothing is lost: each publication ends acknowledged, buried in the other topic, counted as lost, or its owner is gone;
- its lines are done exactly once, and not before that end;
- the messages of a key that were neither cut nor refused arrive in order;
- a topic that takes messages gets its own within bounded time, whatever the others do;
- waiting bytes are those of the publications that wait, and none are left at the end.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import structlog

from logwarden.daemon.errors import BrokerUnavailable, TopicUnusable
from logwarden.daemon.health import HealthState
from logwarden.daemon.incidents.alert import alert_message, build_alert
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.pipeline.publisher import Publisher
from logwarden.daemon.records import Delivery, Message
from logwarden.daemon.web.metrics import PrometheusTelemetry
from logwarden.model.schema import AlertKind, LogLine, LogWindow, Verdict
from tests.oracles import assignment, default_decoder, profile_of
from tests.sim.loop import now_s, run_virtual
from tests.sim.stand_ins import VirtualClock

PROMPT_S = 5.0
"""Bound on the delivery to a topic that takes every message at once: a retry, and requests before it."""
SEND_S = 0.05


class FuzzSink:
    """Topics with a fate each. Draws the outcome of every message."""

    def __init__(self, rng: random.Random, topics: Sequence[str]) -> None:
        self._rng = rng
        self.stuck_until = dict.fromkeys(topics, 0.0)
        self.chances = {topic: rng.choice((0.0, 0.0, 0.2, 0.6)) for topic in topics}
        self.limits = {topic: rng.choice((10**9, 10**9, 10**9, 1500)) for topic in topics}
        self.refused_keys = {topic: rng.choice((b"", b"", b"k1")) for topic in topics}
        self.arrived: dict[str, list[tuple[float, Message]]] = {topic: [] for topic in topics}
        self.sending: Counter[str] = Counter()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def is_prompt(self, topic: str) -> bool:
        """Returns True for a topic that takes every message at once."""
        return not self.chances[topic] and self.limits[topic] > 10**6 and not self.stuck_until[topic]

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        self.sending[topic] += 1
        assert self.sending[topic] == 1, f"two requests at once to {topic} would mix their order"
        try:
            await asyncio.sleep(self._rng.uniform(0, 2 * SEND_S))
            if now_s() < self.stuck_until[topic]:
                if self._rng.random() < 0.5:
                    raise TopicUnusable(topic, "it does not exist", hint="create it")
                await asyncio.sleep(self._rng.uniform(0, 40))
                raise BrokerUnavailable("fuzz", "no answer")
            if self._rng.random() < self.chances[topic] / 2:
                raise BrokerUnavailable("fuzz", "the connection broke")
            return self._outcomes(topic, messages)
        finally:
            self.sending[topic] -= 1

    def _outcomes(self, topic: str, messages: Sequence[Message]) -> list[Delivery]:
        failed: set[bytes | None] = set()
        outcomes = []
        for message in messages:
            if len(message.value or b"") > self.limits[topic]:
                outcomes.append(Delivery.TOO_LARGE)
            elif message.key == self.refused_keys[topic]:
                outcomes.append(Delivery.REFUSED)
            elif message.key in failed or self._rng.random() < self.chances[topic]:
                failed.add(message.key)
                outcomes.append(Delivery.FAILED)
            else:
                self.arrived[topic].append((now_s(), message))
                outcomes.append(Delivery.ACKNOWLEDGED)
        return outcomes


class Run:
    """One publisher, its owners, and what was put."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.topics = ["alerts-a", "alerts-b", "dead"]
        self.sink = FuzzSink(rng, self.topics)
        profiles = [
            profile_of(default_decoder(), alerts_topic=topic, dead_letter_topic="dead") for topic in self.topics[:2]
        ]
        self.owners = [assignment(number + 1, profile=profiles[number % 2]) for number in range(4)]
        self.done: Counter[tuple[int, int]] = Counter()
        self.put_at: dict[tuple[int, int], tuple[float, str, Publication]] = {}
        clock = VirtualClock()
        self.publisher = Publisher(
            self.sink,
            clock,
            PrometheusTelemetry(),
            HealthState(clock.monotonic),
            retry_s=1.0,
            done=self._done,
            max_waiting_bytes=50_000,
        )

    def _done(self, owner: Assignment, offsets: np.ndarray) -> None:
        if owner.ended:
            return
        for offset in offsets.tolist():
            self.done[owner.generation, offset] += 1

    def put(self, number: int) -> None:
        """Puts one alert or dead letter about line `number` of a random owner."""
        owner = self.rng.choice(self.owners)
        if owner.ended:
            return
        kind = self.rng.choice((PublicationKind.ALERT, PublicationKind.ALERT, PublicationKind.DEAD_LETTER))
        is_alert = kind is PublicationKind.ALERT
        topic = owner.profile.alerts_topic if is_alert else owner.profile.dead_letter_topic
        key = b"k%d" % self.rng.randrange(4)
        if is_alert:
            message = replace(_alert(number, self.rng.choice((1, 8)), self.rng.choice((20, 900))), topic=topic, key=key)
        else:
            value = b"%d " % number + b"d" * self.rng.choice((10, 10, 3000))
            message = Message(topic=topic, key=key, value=value, headers=(("x-original-topic", b"logs"),))
        publication = Publication(
            kind=kind, content=message, owner=owner, offsets=np.array([number]), stage=None if is_alert else "text"
        )
        self.put_at[owner.generation, number] = (now_s(), topic, publication)
        self.publisher.put(publication)

    async def live(self) -> None:
        """Puts publications over a while, with revokes and stuck topics, then waits for the end."""
        running = asyncio.create_task(self.publisher.run())
        number = 0
        for topic in self.topics:
            if self.rng.random() < 0.3:
                self.sink.stuck_until[topic] = self.rng.uniform(5, 120)
        for _ in range(self.rng.randint(1, 30)):
            for _ in range(self.rng.choice((0, 1, 5, 40))):
                number += 1
                self.put(number)
            self._check_bytes()
            if self.rng.random() < 0.05:
                self.rng.choice(self.owners).ended = True
                self.publisher.drop_ended()
            await asyncio.sleep(self.rng.uniform(0, 2))
        self.publisher.end()
        async with asyncio.timeout(100_000):
            await running
        self._check_bytes()
        self.check()

    def _check_bytes(self) -> None:
        lanes = self.publisher._lanes.values()
        waiting = sum(p.waiting_bytes for lane in lanes for p in (*lane._queue, *lane._sending))
        assert self.publisher.waiting_bytes == waiting, f"{self.publisher.waiting_bytes} bytes wait, not {waiting}"

    def check(self) -> None:
        """Compares what arrived with what was put."""
        assert len(self.publisher) == 0, "nothing waits at the end"
        for (generation, line), (at_s, topic, publication) in self.put_at.items():
            times = self.done[generation, line]
            gone = publication.owner.ended
            assert times == 1 or (gone and times == 0), f"line {line} to {topic} was done {times} times"
            if self.sink.is_prompt(topic) and publication.message.key != self.sink.refused_keys[topic] and not gone:
                arrived = [at for at, m in self.sink.arrived[topic] if m == publication.message]
                assert arrived, f"line {line} did not arrive in {topic}"
                assert arrived[0] - at_s <= PROMPT_S, f"line {line} was {arrived[0] - at_s:.1f} s late in {topic}"
        for topic in self.topics:
            self._check_order(topic)

    def _check_order(self, topic: str) -> None:
        """Whole messages of a key arrive in the order in which they were put."""
        whole = [p.message for _, to, p in self.put_at.values() if to == topic]
        arrived = [message for _, message in self.sink.arrived[topic] if message in whole]
        for key in {message.key for message in arrived}:
            places = [whole.index(message) for message in arrived if message.key == key]
            assert places == sorted(places), f"messages of {key!r} arrive in {topic} as {places}"


def _alert(number: int, lines: int, chars: int) -> Message:
    """Returns a real alert about line `number`."""
    shown = tuple(LogLine(text="x" * chars, offset=number - lines + 1 + place) for place in range(lines))
    verdict = Verdict(
        window=LogWindow(service="web", lines=shown, topic="logs"),
        probabilities=(0.1, 0.9),
        logits=(0.0, 1.0),
        threshold=0.5,
        learning=False,
        history_lines=number,
        model_revision="fuzz",
        kind=AlertKind.NEW_LINE,
    )
    return alert_message(build_alert(verdict, now_ms=None), "")


def fuzz(seed: int) -> None:
    """Lives through one random run in virtual time."""

    async def story() -> None:
        await Run(random.Random(f"outputs {seed}")).live()

    with structlog.testing.capture_logs():
        run_virtual(story())
