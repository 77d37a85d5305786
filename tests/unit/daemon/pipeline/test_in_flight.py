"""The bound on lines between fetch and done: when reading pauses and resumes, and when a wait for them ends."""

from __future__ import annotations

import asyncio

import numpy as np

from logwarden.daemon.pipeline.in_flight import MAX_BACKLOG_BYTES, InFlight
from logwarden.daemon.pipeline.phase import Phase
from tests.fakes import LOGS, MAX_LINES, World, metric, virtually
from tests.sim.loop import now_s


def offsets(first: int, end: int) -> np.ndarray:
    return np.arange(first, end, dtype=np.int64)


@virtually
async def test_reading_pauses_at_the_bound() -> None:
    """One line below the bound the source reads; at the bound it pauses, once."""
    world = World()
    ledger = world.assign().ledger
    ledger.open(offsets(0, MAX_LINES - 1))
    world.in_flight.set_pressure(0)
    assert (world.source.calls, world.in_flight.is_paused) == ([], False)
    ledger.open(offsets(MAX_LINES - 1, MAX_LINES))
    world.in_flight.set_pressure(0)
    world.in_flight.set_pressure(0)
    assert (world.source.calls, world.in_flight.is_paused) == (["pause"], True)
    assert world.health.paused, "nothing is fetched, so no silence of the broker is a fault"
    assert metric(world.telemetry, "paused") == 1
    assert metric(world.telemetry, "in_flight_lines") == MAX_LINES


@virtually
async def test_reading_resumes_at_half_of_the_bound_and_not_before() -> None:
    """A source that resumed just below the bound would pause again at the next fetch."""
    world = World()
    ledger = world.assign().ledger
    ledger.open(offsets(0, MAX_LINES))
    world.in_flight.set_pressure(0)
    for done in range(MAX_LINES // 2 - 1):
        ledger.done(offsets(done, done + 1))
        world.in_flight.set_pressure(0)
    assert ledger.outstanding == MAX_LINES // 2 + 1
    assert world.source.calls == ["pause"]
    ledger.done(offsets(4, 5))
    world.in_flight.set_pressure(0)
    assert world.source.calls == ["pause", "resume"]
    assert not world.in_flight.is_paused
    assert metric(world.telemetry, "paused") == 0
    world.in_flight.set_pressure(0)
    assert world.source.calls == ["pause", "resume"], "it resumes once"


@virtually
async def test_windows_that_no_ledger_counts_also_press() -> None:
    """A revoke that ran out of time leaves windows in the batcher; memory is bounded with them too."""
    world = World()
    world.assign()
    world.in_flight.set_pressure(MAX_LINES)
    assert world.source.calls == ["pause"]
    world.in_flight.set_pressure(MAX_LINES // 2 + 1)
    assert world.source.calls == ["pause"]
    world.in_flight.set_pressure(MAX_LINES // 2)
    assert world.source.calls == ["pause", "resume"]


@virtually
async def test_lines_and_windows_are_not_added_up() -> None:
    """Most lines in flight are in a window of the batcher: their sum would count them twice."""
    world = World()
    world.assign().ledger.open(offsets(0, 6))
    world.in_flight.set_pressure(6)
    assert not world.in_flight.is_paused


@virtually
async def test_lines_of_all_partitions_count_together() -> None:
    """The bound is the daemon's, however many partitions share it."""
    world = World()
    for partition in LOGS[:2]:
        world.assign(partition).ledger.open(offsets(0, 5))
    world.in_flight.set_pressure(0)
    assert world.in_flight.is_paused


@virtually
async def test_a_noisy_partition_leaves_room_for_the_others() -> None:
    """One of two partitions may have three quarters of the lines in flight; the other is read meanwhile."""
    world = World()
    noisy, calm = world.assign(LOGS[0]), world.assign(LOGS[1])
    noisy.ledger.open(offsets(0, 7))
    world.in_flight.set_pressure(0)
    assert world.source.paused == set()
    noisy.ledger.open(offsets(7, 8))
    calm.ledger.open(offsets(0, 1))
    world.in_flight.set_pressure(0)
    assert world.source.paused == {LOGS[0]}
    assert not world.in_flight.is_paused
    noisy.ledger.done(offsets(0, 4))
    world.in_flight.set_pressure(0)
    assert world.source.paused == {LOGS[0]}, "it resumes at half, not before"
    noisy.ledger.done(offsets(4, 5))
    world.in_flight.set_pressure(0)
    assert world.source.paused == set()


@virtually
async def test_reading_pauses_while_an_output_is_full() -> None:
    """The next record may be one more for the topic that takes nothing; few lines in flight change nothing in that."""
    world = World()
    world.assign()
    world.in_flight.set_pressure(0, outputs_are_full=True)
    assert world.source.paused == {LOGS[0]}
    world.in_flight.set_pressure(0)
    assert world.source.paused == set()


@virtually
async def test_waiting_lines_are_bounded_in_bytes() -> None:
    """A few thousand long lines that wait for an embedding pause their partition, before any count of lines does."""
    world = World()
    noisy, _ = world.assign(LOGS[0]), world.assign(LOGS[1])
    waiting = {noisy: MAX_BACKLOG_BYTES}
    in_flight = InFlight(
        world.ports,
        world.partitions,
        world.lifetime,
        world.pulse,
        max_lines=MAX_LINES,
        backlog_bytes=lambda assignment: waiting.get(assignment, 0),
    )
    in_flight.set_pressure(0)
    assert world.source.paused == {LOGS[0]}
    waiting[noisy] = MAX_BACKLOG_BYTES // 2 - 1
    in_flight.set_pressure(0)
    assert world.source.paused == set()


@virtually
async def test_new_partitions_are_read_at_once() -> None:
    """A pause belongs to the partitions before: it is lifted even when nothing was paused here."""
    world = World()
    world.assign()
    world.in_flight.set_pressure(MAX_LINES)
    world.in_flight.resume()
    world.in_flight.resume()
    assert world.source.calls == ["pause", "resume", "resume"]
    assert not world.in_flight.is_paused
    assert metric(world.telemetry, "paused") == 0
    assert not world.health.paused


@virtually
async def test_nothing_in_flight_is_settled_at_once() -> None:
    """The wait ignores its deadline if no line is in flight."""
    world = World()
    assert await world.in_flight.settle([world.assign()], deadline=-1.0)
    assert now_s() == 0


@virtually
async def test_a_wait_ends_when_the_last_line_is_done() -> None:
    """Each done line beats the pulse; the wait goes on until none is left, of any of the assignments."""
    world = World()
    one, two = world.assign(LOGS[0]), world.assign(LOGS[1])
    one.ledger.open(offsets(0, 2))
    two.ledger.open(offsets(0, 1))

    async def work() -> None:
        for assignment, offset in ((one, 0), (two, 0), (one, 1)):
            await asyncio.sleep(1)
            assignment.ledger.done(offsets(offset, offset + 1))
            world.pulse.beat()

    working = asyncio.create_task(work())
    assert await world.in_flight.settle([one, two], deadline=60.0)
    assert now_s() == 3
    await working


@virtually
async def test_a_wait_ends_at_its_deadline() -> None:
    """A line that is never done delays a rebalance by the budget and no longer; beats do not prolong it."""
    world = World()
    assignment = world.assign()
    assignment.ledger.open(offsets(0, 1))
    loop = asyncio.get_running_loop()
    for second in range(1, 9):
        loop.call_later(second, world.pulse.beat)
    assert not await world.in_flight.settle([assignment], deadline=5.0)
    assert now_s() == 5


@virtually
async def test_a_wait_ends_with_the_loops() -> None:
    """No line in flight will be done once the loops have ended, so the wait does not last to its deadline."""
    world = World()
    assignment = world.assign()
    assignment.ledger.open(offsets(0, 1))
    asyncio.get_running_loop().call_later(2, world.lifetime.advance, Phase.ENDED)
    assert not await world.in_flight.settle([assignment], deadline=60.0)
    assert now_s() == 2


@virtually
async def test_an_ended_assignment_is_not_waited_for() -> None:
    """The next owner repeats its lines; they will not be done here."""
    world = World()
    assignment = world.assign()
    assignment.ledger.open(offsets(0, 1))
    world.partitions.close([assignment])
    assert await world.in_flight.settle([assignment], deadline=60.0)
    assert now_s() == 0
