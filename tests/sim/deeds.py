"""Deeds: what happens to members, topics and brokers of a simulated world while lines are produced.

Each deed ends what it began. A world that waits for all deeds has no fault left.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from tests.sim.broker import FEEDBACK, STATE
from tests.sim.evidence import ALERTS, DEAD
from tests.sim.loop import now_s
from tests.sim.member import Member

if TYPE_CHECKING:
    from tests.sim.world import World


class Deeds:
    """The deeds of a scenario, at random times of its seed.

    Of members:

    - kill: a member gets SIGKILL, and another one starts later.
    - restart: a member drains, and another one starts.
    - join: one more member starts, and drains later.
    - cut: a member loses its connection for a while.
    - deafen: a member loses its heartbeats only, and continues as a zombie.
    - freeze: a member gets SIGSTOP, and later SIGCONT.
    - twin: a second member starts under the instance id of another one, which ends.

    Of topics and brokers:

    - truncate: retention deletes the oldest records of a partition.
    - compact: compaction removes some records of a partition.
    - recreate: the input topic is deleted and created again, perhaps while a member is frozen.
    - damage: a batch cannot be read for a while; afterwards it is repaired, or the operator lets members skip it.
    - stick: the leader of an output topic does not answer for a while.
    - lose: an output topic does not exist for a while.
    - stick_state: the leader of the state topic does not answer for a while.
    - stick_alerts, lose_alerts: the same of the alerts topic alone, for longer.
    - stick_feedback, lose_feedback: the same of the feedback topic.
    - compact_feedback: compaction removes the records of the feedback topic that others replace.
    - outage: every broker is down for a while.
    """

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng

    async def do_all(self) -> None:
        """Does the deeds of the scenario, each at its time; they may overlap."""
        scenario = self._world.scenario
        times = sorted(self._rng.uniform(0.5, scenario.over_s) for _ in range(scenario.deed_count))
        async with asyncio.TaskGroup() as group:
            for at_s in times:
                await asyncio.sleep(max(0.0, at_s - now_s()))
                name = self._rng.choice(scenario.deeds)
                deed: Callable[[], Coroutine[Any, Any, None]] = getattr(self, f"_{name}")
                group.create_task(deed(), name=name)

    def _any_member(self) -> Member | None:
        """Returns a running member, or None if only one runs."""
        members = self._world.members
        return self._rng.choice(members) if len(members) > 1 else None

    # ---------------------------------------------------------------- members

    async def _kill(self) -> None:
        member = self._any_member()
        if member:
            self._world.members.remove(member)
            await member.kill()
        await asyncio.sleep(self._rng.uniform(0, 10))
        await self._world.start_member()

    async def _restart(self) -> None:
        member = self._any_member()
        if member:
            self._world.members.remove(member)
            await member.drain(self._rng.choice((0.5, 10.0)))
            await self._world.start_member()

    async def _join(self) -> None:
        member = await self._world.start_member()
        await asyncio.sleep(self._rng.uniform(1, 15))
        if member in self._world.members and len(self._world.members) > 1:
            self._world.members.remove(member)
            await member.drain()

    async def _cut(self) -> None:
        member = self._rng.choice(self._world.members)
        self._world.evidence.note("cut", member.name)
        member.line.is_cut = True
        await asyncio.sleep(self._rng.uniform(0.5, 15))
        member.line.is_cut = False

    async def _deafen(self) -> None:
        member = self._rng.choice(self._world.members)
        self._world.evidence.note("deafen", member.name)
        member.line.deaf = True
        await asyncio.sleep(self._rng.uniform(5, 15))
        member.line.deaf = False

    async def _freeze(self) -> None:
        member = self._rng.choice(self._world.members)
        self._world.evidence.note("freeze", member.name)
        member.line.frozen = True
        await asyncio.sleep(self._rng.choice((1.0, 4.0, 20.0)) * self._rng.uniform(0.5, 1.0))
        member.line.frozen = False

    async def _twin(self) -> None:
        member = self._any_member()
        if member is None:
            return
        self._world.members.remove(member)
        member.expected_to_live = False
        self._world.evidence.note("twin", member.name)
        self._world.broker.group.evict(member.name)
        await self._world.start_member()
        assert member.running is not None
        done, _ = await asyncio.wait([member.running], timeout=60.0)
        if not done:
            self._world.evidence.breach("twins_end", f"{member.name} continues beside a member of the same instance id")
        await member.kill()

    # ---------------------------------------------------------------- topics and brokers

    async def _truncate(self) -> None:
        partition = self._rng.choice(self._world.partitions)
        log = self._world.broker.logs[partition]
        self._world.broker.truncate(partition, self._rng.randint(log.earliest, log.end))
        self._world.evidence.note(
            "truncate", "world", partition=partition.partition, earliest=log.earliest, end=log.end
        )

    async def _compact(self) -> None:
        partition = self._rng.choice(self._world.partitions)
        end = self._world.broker.logs[partition].end
        self._world.broker.compact(partition, [offset for offset in range(end) if self._rng.random() < 0.3])
        self._world.evidence.note("compact", "world", partition=partition.partition, end=end)

    async def _recreate(self) -> None:
        topic = self._rng.choice(self._world.partitions).topic
        member = self._rng.choice(self._world.members)
        member.line.frozen = self._rng.random() < 0.5
        self._world.evidence.note("recreate", "world", topic=topic, frozen=member.line.frozen and member.name)
        self._world.broker.recreate(topic, keeps_offsets=self._rng.random() < 0.5)
        await asyncio.sleep(self._rng.uniform(2, 5))
        member.line.frozen = False

    async def _damage(self) -> None:
        log = self._world.broker.logs[self._rng.choice(self._world.partitions)]
        if log.earliest == log.end:
            return  # no batch
        offset = self._rng.randint(log.earliest, log.end - 1)
        log.damaged.add(offset)
        self._world.evidence.note("damage", "world", partition=log.era.partition, offset=offset)
        await asyncio.sleep(self._rng.uniform(2, 20))
        log.damaged.discard(offset)
        if self._rng.random() < 0.3:
            log.skip(range(offset, min(log.end, offset + 3)))

    async def _stick(self) -> None:
        await self._spoil("stuck", self._rng.choice((ALERTS, DEAD)), self._rng.uniform(3, 25))

    async def _lose(self) -> None:
        await self._spoil("missing", self._rng.choice((ALERTS, DEAD)), self._rng.uniform(3, 25))

    async def _stick_state(self) -> None:
        await self._spoil("stuck", STATE, self._rng.uniform(3, 25))

    async def _stick_feedback(self) -> None:
        await self._spoil("stuck", FEEDBACK, self._rng.uniform(3, 15))

    async def _lose_feedback(self) -> None:
        await self._spoil("missing", FEEDBACK, self._rng.uniform(3, 15))

    async def _compact_feedback(self) -> None:
        self._world.broker.output(FEEDBACK).compact()

    async def _stick_alerts(self) -> None:
        await self._spoil("stuck", ALERTS, 40.0)

    async def _lose_alerts(self) -> None:
        await self._spoil("missing", ALERTS, 40.0)

    async def _spoil(self, fate: str, topic: str, seconds: float) -> None:
        output = self._world.broker.output(topic)
        self._world.evidence.note(fate, "world", topic=output.name)
        setattr(output, fate, True)
        await asyncio.sleep(seconds)
        setattr(output, fate, False)

    async def _outage(self) -> None:
        self._world.evidence.note("outage", "world")
        self._world.broker.go_down()
        await asyncio.sleep(self._rng.choice((2.0, 10.0, 60.0)) * self._rng.uniform(0.5, 1.0))
        self._world.broker.come_up()
