"""The producers of a simulated world: bursts of records of every kind, in transactions or not.

A line's text begins with its partition's number and the incarnation of its topic, so that a score or an alert shows
where the line was produced, whatever the daemon believes.
"""

from __future__ import annotations

import asyncio
import random

from logwarden.daemon.records import Partition
from tests.sim.broker import SimBroker
from tests.sim.evidence import ANOMALOUS, BLANK, NOISY, PLAIN, POISON, REST, Evidence, Produced
from tests.sim.loop import now_s
from tests.sim.scenarios import Scenario
from tests.sim.stand_ins import EPOCH_MS
from tests.sim.stand_ins import MARKER as ANOMALY
from tests.sim.topics import ABORTED, MARKER

_TEMPLATES = ("request {} took {} ms", "user {} logged in", "cache miss for key-{}", "disk {} at {} percent", "tick")
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "lagoon")


class Producers:
    """All producers of a world, drawing from its one source of chance."""

    def __init__(self, scenario: Scenario, broker: SimBroker, evidence: Evidence, rng: random.Random) -> None:
        self._scenario = scenario
        self._broker = broker
        self._evidence = evidence
        self._partitions = list(broker.logs)
        self._rng = rng

    async def produce_all(self) -> None:
        """Produces the records of the scenario, in bursts."""
        scenario, rng = self._scenario, self._rng
        left = scenario.lines
        while left:
            burst = min(left, rng.choice((1, 1, 2, 5, 20)))
            left -= burst
            self.produce_some(burst)
            if scenario.transactions and rng.random() < scenario.transactions:
                self.end_transaction(rng.choice(self._partitions), rng.choice((0, 0, 1, 4)))
            await asyncio.sleep(rng.uniform(0, 2) * scenario.over_s * burst / scenario.lines)

    def produce_some(self, records: int) -> None:
        """Produces records of any kind."""
        scenario, rng = self._scenario, self._rng
        kinds = (PLAIN, ANOMALOUS, BLANK, POISON)
        chances = (0.94 - scenario.anomalous, scenario.anomalous, 0.03, 0.03)
        for _ in range(records):
            service = f"svc-{rng.randrange(scenario.services)}"
            number = rng.randrange(len(self._partitions) - scenario.noise_is_alone) + scenario.noise_is_alone
            kind = rng.choices(kinds, chances)[0]
            is_calm = number >= len(self._partitions) - scenario.calm_partitions
            self.produce(self._partitions[number], service, PLAIN if is_calm and kind == ANOMALOUS else kind)

    async def make_noise(self) -> None:
        """Produces the lines of a service that logs nothing twice, as fast as they fit into two seconds."""
        await asyncio.sleep(self._rng.uniform(0, self._scenario.over_s / 2))
        for number in range(self._scenario.noisy_lines):
            letters = "".join(self._rng.choices("abcdefghijklmnopqrstuvwxyz", k=12))
            kind = ANOMALOUS if number % 20 == 19 else PLAIN
            text = f"{letters} {ANOMALY.decode()}" if kind == ANOMALOUS else letters
            self._append(self._partitions[0], NOISY, kind, *self._as_text(self._partitions[0], NOISY, text))
            if number % 50 == 49:
                await asyncio.sleep(2.0 * 50 / self._scenario.noisy_lines)

    def produce(self, partition: Partition, service: str, kind: str) -> None:
        """Produces one record of a kind, and the lines of its event behind it."""
        counts = self._scenario.lines_of_an_event
        lines = self._rng.choice(counts) if len(counts) > 1 and kind in (PLAIN, ANOMALOUS) else 1
        if lines == 1:
            self._append(partition, service, kind, *self._record(partition, service, kind))
        else:
            self._produce_event(partition, service, kind, lines)

    def _produce_event(self, partition: Partition, service: str, kind: str, lines: int) -> None:
        """Produces the lines of one event as records, with lines of another service between them."""
        text = self._line(partition, service) + (b" " + ANOMALY if kind == ANOMALOUS else b"") + b":"
        first = self._append(partition, service, kind, (text,), text)
        for number in range(1, lines):
            text = f"{self._era(partition)} {service} rest {first} {number}.".encode()
            self._append(partition, service, REST, (text,), b"    " + text, first=first)
            if self._rng.random() < 0.2:
                self._append(partition, "other", PLAIN, *self._record(partition, "other", PLAIN))

    def end_transaction(self, partition: Partition, aborted: int) -> None:
        """Appends the aborted records of a transaction, and its marker."""
        for _ in range(aborted):
            self._append(partition, "svc-0", ABORTED, *self._record(partition, "svc-0", ANOMALOUS), hidden=ABORTED)
        self._append(partition, "svc-0", MARKER, (), None, hidden=MARKER)

    def _append(
        self,
        partition: Partition,
        service: str,
        kind: str,
        texts: tuple[bytes, ...],
        value: bytes | None,
        hidden: str | None = None,
        first: int | None = None,
    ) -> int:
        log = self._broker.logs[partition]
        offset = log.append(service.encode(), value, EPOCH_MS + int(now_s() * 1000), hidden)
        self._evidence.produced.setdefault(log.era, []).append(Produced(offset, service, kind, texts, now_s(), first))
        return offset

    def _record(self, partition: Partition, service: str, kind: str) -> tuple[tuple[bytes, ...], bytes | None]:
        """Returns the lines of a record and its value."""
        rng = self._rng
        if kind == BLANK:
            return (), rng.choice((b"", b" \n", None))
        if kind == POISON:
            return (), rng.choice((b'{"broken', b"{}", b'{"message": '))
        counts = self._scenario.lines_of_a_record
        texts = [self._line(partition, service) for _ in range(rng.choice(counts) if len(counts) > 1 else counts[0])]
        if kind == ANOMALOUS:
            for index in {0, len(texts) - 1}:
                texts[index] += b" " + ANOMALY
        if len(texts) == 1 and rng.random() < 0.2:
            return tuple(texts), b'{"message": "%s", "service": "%s"}' % (texts[0], service.encode())
        return tuple(texts), b"\n".join(texts)

    def _as_text(self, partition: Partition, service: str, text: str) -> tuple[tuple[bytes, ...], bytes]:
        value = f"{self._era(partition)} {service} {text}".encode()
        return (value,), value

    def _era(self, partition: Partition) -> str:
        return f"p{self._partitions.index(partition)}.{self._broker.logs[partition].era.incarnation}"

    def _line(self, partition: Partition, service: str) -> bytes:
        rng = self._rng
        known = _WORDS[: self._scenario.words]
        words = (rng.choice(known), rng.randrange(1000))
        return f"{self._era(partition)} {service} {rng.choice(_TEMPLATES).format(*words)} {rng.choice(known)}".encode()
