"""Carries out the faults of a plan on a broker, its proxy, its topics and the members."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException

from tests.kafka.broker import Broker
from tests.kafka.chaos.crew import Crew
from tests.kafka.chaos.faults import Deed
from tests.kafka.chaos.people import People
from tests.kafka.chaos.taps import BrokerAway
from tests.kafka.chaos.traffic import Traffic
from tests.kafka.proxy import BLACK_HOLE, Proxy, Weather

ON_LINES = ("burst", "add-partition", "recreate-topic", "delete-records")
STOP_S = 45.0
"""Time limit of a SIGTERM: the drain budget and the time-outs of the clients."""


@dataclass(slots=True, kw_only=True)
class World:
    """Everything that a fault can hit."""

    broker: Broker
    proxy: Proxy
    traffic: Traffic
    crew: Crew
    broker_kills: int = 0
    people: People | None = None
    """The people who give feedback meanwhile."""
    _hits: Counter[int | None] = field(default_factory=Counter)
    """By victim: faults that hit it now. None: all members."""
    _hit_at: dict[int | None, float] = field(default_factory=dict)
    """By victim: when a fault last ended."""
    _broker_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the broker is down or frozen."""

    async def carry_out(self, deed: Deed, over: Callable[[], None]) -> dict[str, Any]:
        """Waits for a deed's moment and carries it out. Returns its record.

        Calls `over` when recovery can begin, which is before the end for a member that is replaced later.
        """
        await asyncio.sleep(deed.at_s)
        record: dict[str, Any] = {"kind": deed.kind, "at_s": deed.at_s, "for_s": deed.lasts_s, "victim": deed.victim}
        with self._noted(deed):
            try:
                record["result"] = await DEEDS_BY_KIND[deed.kind](self, deed, over)
            except (BrokerAway, KafkaException) as error:  # another fault of the round made this one impossible
                record["not_done"] = str(error)
        over()
        return record

    @contextmanager
    def _noted(self, deed: Deed) -> Iterator[None]:
        """Notes that a fault lasts, and its end, unless it hits topics of lines alone."""
        if deed.kind in ON_LINES:
            yield
            return
        self._hits[deed.victim] += 1
        try:
            yield
        finally:
            self._hits[deed.victim] -= 1
            self._hit_at[deed.victim] = time.monotonic()

    def calm_since(self, index: int) -> float:
        """Returns when the last fault that hit a member, or all, has ended. Returns now while one lasts."""
        if self._hits[index] or self._hits[None]:
            return time.monotonic()
        return max(self._hit_at.get(index, 0.0), self._hit_at.get(None, 0.0))

    def client(self, deed: Deed) -> str | None:
        """Returns the client that a deed hits, or None for all."""
        return None if deed.victim is None else self.crew.client_id(deed.victim)

    # ---------------------------------------------------------------- members

    async def kill_member(self, deed: Deed, over: Callable[[], None]) -> None:
        assert deed.victim is not None
        kill = asyncio.create_task(self.crew.kill(deed.victim, deed.lasts_s))
        await asyncio.sleep(0)  # the kill itself, which comes before the first wait of the task
        over()
        await kill

    async def stop_member(self, deed: Deed, over: Callable[[], None]) -> None:
        assert deed.victim is not None
        await self.crew.stop(deed.victim, deed.lasts_s, STOP_S)

    async def freeze_member(self, deed: Deed, over: Callable[[], None]) -> None:
        assert deed.victim is not None
        await self.crew.frozen(deed.victim, deed.lasts_s)

    # ---------------------------------------------------------------- the broker

    async def kill_broker(self, deed: Deed, over: Callable[[], None]) -> None:
        async with self._broker_lock:
            await asyncio.to_thread(self.broker.kill)
            self.broker_kills += 1
            await asyncio.sleep(deed.lasts_s)
            await asyncio.to_thread(self.broker.start)

    async def freeze_broker(self, deed: Deed, over: Callable[[], None]) -> None:
        async with self._broker_lock:
            self.broker.suspend()
            try:
                await asyncio.sleep(deed.lasts_s)
            finally:
                self.broker.resume()

    # ---------------------------------------------------------------- the network

    async def reset(self, deed: Deed, over: Callable[[], None]) -> int:
        return self.proxy.reset(self.client(deed))

    async def reset_inside(self, deed: Deed, over: Callable[[], None]) -> int:
        count = self.proxy.reset_after(1 + int(2_000 * deed.strength), self.client(deed))
        await asyncio.sleep(deed.lasts_s)
        return count

    async def half_close(self, deed: Deed, over: Callable[[], None]) -> int:
        return self.proxy.half_close(self.client(deed))

    async def refuse(self, deed: Deed, over: Callable[[], None]) -> None:
        with self.proxy.weather(Weather(refusing=True), self.client(deed)):
            self.proxy.reset(self.client(deed))
            await asyncio.sleep(deed.lasts_s)

    async def weather(self, deed: Deed, over: Callable[[], None]) -> None:
        with self.proxy.weather(_weather(deed), self.client(deed)):
            await asyncio.sleep(deed.lasts_s)

    # ---------------------------------------------------------------- topics

    async def burst(self, deed: Deed, over: Callable[[], None]) -> int:
        count = 1_000 + int(4_000 * deed.strength)
        self.traffic.burst("many" if deed.strength < 0.8 else "one-a", count)
        return count

    async def add_partition(self, deed: Deed, over: Callable[[], None]) -> bool:
        return await asyncio.to_thread(self.traffic.grow, "growing")

    async def recreate_topic(self, deed: Deed, over: Callable[[], None]) -> None:
        await asyncio.to_thread(self.traffic.recreate, "recreated", deed.lasts_s)
        self.traffic.burst("recreated", int(600 * deed.strength))

    async def delete_records(self, deed: Deed, over: Callable[[], None]) -> int:
        return await asyncio.to_thread(self.traffic.sweep, "swept", deed.strength, 300)


def _weather(deed: Deed) -> Weather:
    if deed.kind == "delay":
        return Weather(delay_s=0.05 + 0.45 * deed.strength)
    if deed.kind == "trickle":
        return Weather(bytes_per_s=20_000 + 180_000 * deed.strength)
    if deed.kind == "lost-responses" or (deed.kind == "time-out" and deed.strength < 0.5):
        return Weather(responses_held=True)
    return BLACK_HOLE


DEEDS_BY_KIND: Mapping[str, Callable[[World, Deed, Callable[[], None]], Awaitable[Any]]] = {
    "kill-member": World.kill_member,
    "stop-member": World.stop_member,
    "freeze-member": World.freeze_member,
    "stall-member": World.freeze_member,
    "kill-broker": World.kill_broker,
    "freeze-broker": World.freeze_broker,
    "reset": World.reset,
    "reset-inside": World.reset_inside,
    "half-close": World.half_close,
    "refuse": World.refuse,
    "delay": World.weather,
    "trickle": World.weather,
    "black-hole": World.weather,
    "lost-responses": World.weather,
    "time-out": World.weather,
    "burst": World.burst,
    "add-partition": World.add_partition,
    "recreate-topic": World.recreate_topic,
    "delete-records": World.delete_records,
}
