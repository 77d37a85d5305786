"""Watches a running world once a virtual second: liveness while faults last, and what health says about them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from logwarden.daemon.readiness import reasons
from logwarden.daemon.records import Partition
from tests.sim.contract import AFTER_TROUBLE_S, IN_FORCE_S
from tests.sim.loop import now_s

if TYPE_CHECKING:
    from tests.sim.member import Member
    from tests.sim.world import World

NAMED_WITHIN_S = 20.0
"""Bound on the time until health names a fault: its own patience, a request's time-out and a retry."""
DAMAGE_NAMED_WITHIN_S = 10.0
READY_WITHIN_S = 30.0
LOOK_S = 0.25
APART_WITHIN_S = 6.0
"""Bound on the commit of a record whose outputs take every message: a read, a batch, a request, a commit."""


class Watch:
    """Breaches that are not visible at the end: what should have happened while a fault lasted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._reported: set[Partition] = set()
        self._since: dict[tuple[str, int, str], float] = {}
        """By member, generation and fault: since when the fault has kept the member from its work."""

    async def look_forever(self) -> None:
        """Looks at what members do once a second, and at their feedback more often."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_at_work(), name="work")
            group.create_task(self._look_at_feedback(), name="feedback")

    async def _look_at_work(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._look_at_calm_partitions()
            self._look_at_health()

    async def _look_at_feedback(self) -> None:
        """Compares what each member has of the feedback topic with the topic, four times a second."""
        contract = self._world.contract
        while contract is not None:
            await asyncio.sleep(LOOK_S)
            for member in self._world.ever:  # also one that still waits for its group
                assert member.office is not None, "a world with a contract has desks"
                member.office.follower.look()
                if member in self._world.members and not member.line.frozen:
                    known_s = member.office.follower.known_s
                    contract.check_member(member.name, member.office.entries(), known_s)

    async def until_feedback_is_everywhere(self) -> None:
        """Waits until every member must have all feedback."""
        if self._world.contract is not None:
            await asyncio.sleep(AFTER_TROUBLE_S + IN_FORCE_S)

    async def until_ready(self) -> None:
        """ready_again: once the faults have ended and the lag is 0, every member becomes ready in bounded time."""
        deadline = now_s() + READY_WITHIN_S
        while unready := {m.name: [r.code for r in found] for m in self._world.members if (found := reasons(m.health))}:
            if now_s() > deadline:
                self._world.evidence.breach("ready_again", f"still not ready: {unready}")
                return
            await asyncio.sleep(1.0)

    def _look_at_health(self) -> None:
        """health_names: a fault that keeps a member from its work is a reason of its readiness in bounded time."""
        now = now_s()
        seen: dict[tuple[str, int, str], float] = {}
        for member in self._world.members:
            for fault, (codes, bound_s) in self._faults_of(member).items():
                key = (member.name, member.source.generation, fault)  # another period: it begins to wait again
                since = seen[key] = self._since.get(key, now)
                named = {reason.code for reason in reasons(member.health)}
                if now - since > bound_s and not (codes & named if codes else named):
                    self._world.evidence.breach(
                        "health_names", f"{member.name}: {fault} for {now - since:.0f} s, and the reasons are {named}"
                    )
                    seen[key] = float("inf")  # once
        self._since = seen

    def _faults_of(self, member: Member) -> dict[str, tuple[set[str], float]]:
        """Returns what keeps a member from its work now, each with the codes that name it, and the bound.

        No codes: any reason names it.
        """
        if member.line.frozen or member.line.dead or member.line.deaf:
            return {}
        found: dict[str, tuple[set[str], float]] = {"no connection": (set(), NAMED_WITHIN_S)} if member.line.cut else {}
        for topic, lane in member.pipeline._publisher._lanes.items():
            output = self._world.broker.output(topic)
            if len(lane) and (output.missing or output.stuck):
                found[f"{topic} takes nothing"] = ({"publish_blocked", "publish_stalled"}, NAMED_WITHIN_S)
        for assignment in member.pipeline.partitions.assignments():
            log = self._world.broker.logs[assignment.partition]
            position = member.source.stands_at(assignment.partition)
            if position in log.damaged and not member.health.paused:
                found[f"{assignment.partition} is damaged at {position}"] = (
                    {"batch_unreadable"},
                    DAMAGE_NAMED_WITHIN_S,
                )
        return found

    def _look_at_calm_partitions(self) -> None:
        """others_go_on: a stuck output delays no record of a partition that has no message for it."""
        world = self._world
        calm = world.scenario.calm_partitions
        for partition in world.partitions[len(world.partitions) - calm :] if calm else ():
            log = world.broker.logs[partition]
            produced = world.evidence.produced.get(log.era, [])
            position = world.broker.position(partition)
            if position < len(produced) and partition not in self._reported:
                age_s = now_s() - produced[position].at_s
                if age_s > APART_WITHIN_S:
                    self._reported.add(partition)
                    world.evidence.breach(
                        "others_go_on", f"{partition} is not committed at {position}, {age_s:.1f} s after the record"
                    )
