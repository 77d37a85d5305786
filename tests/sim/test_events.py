"""Events of several lines in a member that is slow: what is joined does not depend on the member's pace."""

from __future__ import annotations

from tests.sim.evidence import PLAIN
from tests.sim.test_drain import tell
from tests.sim.world import World


def test_a_slow_step_splits_no_event() -> None:
    """Lines that arrive while the ingest thread is busy for seconds continue the event that it began."""

    async def story(world: World) -> None:
        member = await world.start_member()
        for _ in range(50):
            world.produce(world.partitions[0], "svc", PLAIN)
        await world.settle()
        await member.drain()
        produced = world.evidence.produced[world.broker.logs[world.partitions[0]].era]
        rest = {record.offset for record in produced if record.first is not None}
        assert len(rest) == 150
        assert not [place for _, place in world.evidence.scored if place[0] in rest]

    tell(story, ingest_s=1.0, lines_of_an_event=(4, 4))
