"""Watches a running world once a virtual second: liveness while faults last, and what health says about them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from logwarden.daemon.records import Partition
from tests.sim.loop import now_s

if TYPE_CHECKING:
    from tests.sim.world import World

APART_WITHIN_S = 6.0
"""Bound on the commit of a record whose outputs take every message: a read, a batch, a request, a commit."""


class Watch:
    """Breaches that are not visible at the end: what should have happened while a fault lasted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._reported: set[Partition] = set()

    async def look_forever(self) -> None:
        """Looks once a second."""
        while True:
            await asyncio.sleep(1.0)
            self._look_at_calm_partitions()

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
