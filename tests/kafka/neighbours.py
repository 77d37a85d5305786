"""Measures how late a calm service's lines are judged beside a burst of all-different lines of a noisy one.

    python -m tests.kafka.neighbours --noisy 20000 --seconds 60                another partition of the same member
    python -m tests.kafka.neighbours --noisy 20000 --seconds 60 --together     the same partition

The shipped model embeds each different line; each calm line raises an alert, whose time of arrival is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.kafka.broker import Broker
from tests.kafka.evidence import AlertLog, Place
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, until
from tests.kafka.topics import Topics, fresh_topics

CALM_EVERY_S = 0.1
LAST_WAIT_S = 10.0
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Seconds from the acknowledgement of calm lines to their alerts."""

    seconds: tuple[float, ...]
    not_judged: int
    noisy_judged: int

    def at(self, share: float) -> float:
        """Returns a percentile; infinite where that many lines were not judged."""
        ranked = [*sorted(self.seconds), *[float("inf")] * self.not_judged]
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


async def measure(topics: Topics, *, noisy: int, seconds: float, together: bool) -> Delays:
    """Sends a burst of `noisy` different lines, and a calm line every tenth of a second. Returns the calm delays."""
    sent: dict[Place, float] = {}
    arrived: dict[Place, float] = {}
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap, acks="all")
    await producer.start()
    try:
        async with AlertLog.reading(topics.bootstrap, topics.alerts) as alerts:

            async def calm_line(number: int) -> None:
                value = b"heartbeat %d sent to the leader" % number
                answer = await producer.send_and_wait(topics.logs, value, key=b"calm", partition=1)
                sent[Place(topics.logs, 1, "calm", answer.offset)] = time.monotonic()

            await calm_line(0)
            async with asyncio.timeout(READY_S):
                while not arrived:
                    await _look(alerts, sent, arrived)
            for value in different_lines(noisy):
                await producer.send(topics.logs, value, key=b"noisy", partition=1 if together else 0)
            end = time.monotonic() + seconds
            for number in itertools.count(1):
                if time.monotonic() > end:
                    break
                await calm_line(number)
                await _look(alerts, sent, arrived)
                await asyncio.sleep(CALM_EVERY_S / 2)  # the look takes the other half
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WAIT_S):
                    while sent.keys() - arrived.keys():
                        await _look(alerts, sent, arrived)
            return Delays(
                seconds=tuple(arrived[place] - sent[place] for place in arrived),
                not_judged=len(sent) - len(arrived),
                noisy_judged=sum(place.service == "noisy" for place in alerts.places),
            )
    finally:
        await producer.stop()


def different_lines(count: int) -> Iterator[bytes]:
    """Yields lines of one service that differ by a word that no masking knows."""
    for letters in itertools.islice(itertools.permutations(LETTERS, 5), count):
        yield b"no route from %s to host" % "".join(letters).encode()


async def _look(alerts: AlertLog, sent: dict[Place, float], arrived: dict[Place, float]) -> None:
    await alerts.read()
    now = time.monotonic()
    for place in sent.keys() - arrived.keys():
        if place in alerts.places:
            arrived[place] = now


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noisy", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--together", action="store_true", help="both services in one partition")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Broker.create(folder) as broker:
        topics = asyncio.run(fresh_topics(broker.bootstrap))
        with Fleet(topics, Path(folder), "none", quiet=True) as fleet:
            member = fleet.start(MODEL__TABLE_ROWS=32_768, WINDOW__SIZE=32)
            until(member.ready, READY_S, "the member is ready")
            delays = asyncio.run(
                measure(topics, noisy=options.noisy, seconds=options.seconds, together=options.together)
            )
            print(
                f"{len(delays.seconds)} calm lines judged, {delays.not_judged} not; delay p50 {delays.at(0.5):.2f} s, "
                f"p99 {delays.at(0.99):.2f} s, max {max(delays.seconds):.2f} s; {delays.noisy_judged} of "
                f"{options.noisy} noisy lines judged meanwhile; {member.cpu_seconds():.0f} s of CPU"
            )


if __name__ == "__main__":
    _main()
