"""Records that the source delivers or cannot deliver: which ones are opened, and where reading continues."""

from __future__ import annotations

import pytest

from logwarden.daemon.errors import BatchSkipped, BrokerUnavailable, FatalError, OffsetsGone, UnreadableBatch
from logwarden.daemon.pipeline.phase import Phase
from logwarden.daemon.readiness import reasons
from logwarden.daemon.records import Bounds, Fetched, Partition
from tests.fakes import LOGS, RETRY_S, World, capture, events, metric, virtually
from tests.oracles import LogRecord, records_of
from tests.sim.loop import now_s


def fetched(partition: Partition, first: int, count: int) -> dict[Partition, list[LogRecord]]:
    return {partition: records_of("a" * count, first)}


@virtually
async def test_records_are_in_their_ledger_before_anything_else() -> None:
    """A record that is not in a ledger could be committed over."""
    world = World()
    assignment = world.assign(committed=5)
    world.source.answers = [fetched(LOGS[0], 5, 3)]
    chunks = await world.intake.next_chunks()
    assert chunks == [(assignment, records_of("aaa", 5))]
    assert (assignment.ledger.outstanding, assignment.ledger.position()) == (3, 5)
    assert metric(world.telemetry, "records_total") == 3


@virtually
async def test_context_is_returned_and_not_opened() -> None:
    """Records below the committed offset only fill windows: the previous owner judged them."""
    world = World()
    assignment = world.assign(committed=5)
    world.source.answers = [fetched(LOGS[0], 3, 4)]
    chunks = await world.intake.next_chunks()
    assert chunks is not None
    assert [len(records) for _, records in chunks] == [4]
    assert assignment.ledger.outstanding == 2
    world.source.answers = [{}]
    assert await world.intake.next_chunks() == []


@virtually
async def test_a_fetch_of_nothing_but_context_opens_nothing() -> None:
    """A replay may be longer than a fetch."""
    world = World()
    assignment = world.assign(committed=5)
    world.source.answers = [fetched(LOGS[0], 0, 3)]
    chunks = await world.intake.next_chunks()
    assert chunks is not None
    assert [owner for owner, _ in chunks] == [assignment]
    assert assignment.ledger.outstanding == 0


@virtually
async def test_records_of_a_revoked_partition_are_left_to_the_next_owner() -> None:
    """Neither a partition being revoked nor one that was never assigned opens anything."""
    world = World()
    revoked = world.assign(LOGS[0])
    kept = world.assign(LOGS[1])
    world.partitions.revoke([LOGS[0]])
    world.source.answers = [fetched(LOGS[0], 0, 2) | fetched(LOGS[1], 0, 1) | fetched(LOGS[2], 0, 1)]
    chunks = await world.intake.next_chunks()
    assert chunks is not None
    assert [owner for owner, _ in chunks] == [kept]
    assert revoked.ledger.outstanding == 0
    assert metric(world.telemetry, "records_total") == 1
    assert world.health.since_received_s == 0


@virtually
async def test_a_partition_without_records_is_no_chunk() -> None:
    """An empty answer for a partition leaves its ledger and its place in a report of unreadable batches alone."""
    world = World()
    world.assign()
    world.health.unreadable[LOGS[0]] = "stands still"
    world.source.answers = [{LOGS[0]: []}]
    assert await world.intake.next_chunks() == []
    assert world.health.since_received_s is None
    assert world.health.unreadable == {LOGS[0]: "stands still"}


@virtually
async def test_records_of_a_newer_assignment_are_read_again() -> None:
    """A rebalance during a fetch: its records may be from a position before the assignment sought its own."""
    world = World()
    old = world.assign(LOGS[0])
    world.source.answers = [fetched(LOGS[0], 0, 1) | fetched(LOGS[1], 7, 2)]
    world.source.before_answer = lambda: None if world.partitions.active(LOGS[1]) else _assign(world)
    chunks = await world.intake.next_chunks()
    assert chunks is not None
    assert [owner for owner, _ in chunks] == [old]
    assert world.source.seeks == [(LOGS[1], 4)]
    new = world.partitions.active(LOGS[1])
    assert new is not None
    assert new.ledger.outstanding == 0


def _assign(world: World) -> None:
    world.assign(LOGS[1], committed=4)


@virtually
async def test_a_lost_offset_continues_at_the_oldest_one_kept() -> None:
    """Retention deleted lines unread: a metric and an error with both bounds report it, and no kept line is skipped."""
    world = World()
    assignment = world.assign(committed=5)
    world.source.held[LOGS[0]] = Bounds(40, 90)
    world.source.answers = [OffsetsGone([LOGS[0]])]
    with capture() as caught:
        assert await world.intake.next_chunks() == []
    assert world.source.seeks == [(LOGS[0], 40)]
    assert metric(world.telemetry, "out_of_range_offsets_total", topic="logs", partition="0") == 1
    assert events(caught, "offset_out_of_range") == [
        {"topic": "logs", "partition": 0, "earliest": 40, "end": 90, "log_level": "error"}
    ]
    assert world.partitions.active(LOGS[0]) is assignment
    assert world.dropped == []


@virtually
async def test_a_topic_made_again_is_a_new_assignment() -> None:
    """Its offsets are known and its lines are others: ledger and windows of the old topic must not meet them."""
    world = World()
    old = world.assign(committed=5)
    world.source.answers = [fetched(LOGS[0], 5, 3), OffsetsGone([LOGS[0]])]
    await world.intake.next_chunks()
    world.source.held[LOGS[0]] = Bounds(0, 2)
    assert await world.intake.next_chunks() == []
    new = world.partitions.active(LOGS[0])
    assert new is not None
    assert new is not old
    assert old.ended
    assert new.ledger.position() == 0
    assert world.source.seeks == [(LOGS[0], 0)]
    assert world.dropped == [old]
    assert metric(world.telemetry, "out_of_range_offsets_total", topic="logs", partition="0") == 1


@virtually
async def test_a_lost_offset_of_another_member_is_not_ours() -> None:
    """A partition that was revoked before, or while, the broker answered is left to the next owner."""
    world = World()
    assignment = world.assign()
    world.source.answers = [OffsetsGone([LOGS[0], LOGS[1]])]
    questions = iter(range(9))
    # The first call of the broker is the fetch, the second the question about the bounds.
    world.source.before_answer = lambda: world.partitions.close([assignment]) if next(questions) == 1 else None
    assert await world.intake.next_chunks() == []
    assert world.source.seeks == []
    assert metric(world.telemetry, "out_of_range_offsets_total", topic="logs", partition="0") == 0


@virtually
async def test_the_bounds_are_requested_until_they_are_answered() -> None:
    """A lost offset stays in place while no broker answers; a stop ends the questions."""
    world = World()
    world.assign()
    world.source.held[LOGS[0]] = Bounds(40, 90)
    world.source.answers = [OffsetsGone([LOGS[0]]), OffsetsGone([LOGS[0]])]
    world.source.refusals = [BrokerUnavailable("b:1", "x")] * 3
    await world.intake.next_chunks()
    assert now_s() == 3 * RETRY_S
    assert world.source.seeks == [(LOGS[0], 40)]
    world.source.refusals = [BrokerUnavailable("b:1", "x")]
    world.lifetime.advance(Phase.DRAINING)
    assert await world.intake.next_chunks() == []
    assert world.source.seeks == [(LOGS[0], 40)]


@virtually
async def test_an_unreadable_batch_is_reported_until_records_arrive() -> None:
    """Readiness, a metric and an error name topic, partition and offset; the next records end the report."""
    world = World()
    world.assign()
    error = UnreadableBatch(LOGS[0], 7, "a wrong checksum")
    world.source.answers = [error, error, fetched(LOGS[1], 0, 1), fetched(LOGS[0], 7, 1)]
    with capture() as caught:
        assert await world.intake.next_chunks() == []
        assert await world.intake.next_chunks() == []
    assert world.health.unreadable == {LOGS[0]: "logs/0 is stopped at offset 7: a wrong checksum"}
    assert "batch_unreadable" in [reason.code for reason in reasons(world.health)]
    assert world.health.live, "a restart would meet the same batch"
    assert metric(world.telemetry, "unreadable_batches_total", topic="logs", partition="0") == 2
    found = events(caught, "batch_unreadable")[0]
    assert (found["topic"], found["partition"], found["offset"], found["log_level"]) == ("logs", 0, 7, "error")
    assert found["reason"] == "a wrong checksum"
    assert "replicas" in found["hint"]
    world.assign(LOGS[1])
    await world.intake.next_chunks()
    assert list(world.health.unreadable) == [LOGS[0]], "another partition's records end nothing"
    await world.intake.next_chunks()
    assert world.health.unreadable == {}


@virtually
async def test_an_unreadable_batch_that_left_no_record_is_no_reason_any_more() -> None:
    """What stood there was deleted, or it was aborted: the position passes it, or is out of range, without a record."""
    for answer in (Fetched(positions={LOGS[0]: 8}), OffsetsGone([LOGS[0]])):
        world = World()
        world.assign()
        world.source.answers = [UnreadableBatch(LOGS[0], 7, "x"), Fetched(positions={LOGS[0]: 7}), answer]
        for _ in range(2):
            assert await world.intake.next_chunks() == []
        assert list(world.health.unreadable) == [LOGS[0]], "the position is still in front of it"
        assert await world.intake.next_chunks() == []
        assert world.health.unreadable == {}


@virtually
async def test_a_batch_that_was_left_out_is_reported_and_no_reason_any_more() -> None:
    """An error with the first and the last offset, a metric of how many, and readiness again."""
    world = World()
    world.assign()
    error = UnreadableBatch(LOGS[0], 7, "a wrong checksum")
    world.source.answers = [error, BatchSkipped(LOGS[0], 7, 66, "a wrong checksum")]
    with capture() as caught:
        assert await world.intake.next_chunks() == []
        assert await world.intake.next_chunks() == []
    [found] = events(caught, "batch_skipped")
    assert (found["topic"], found["partition"], found["first"], found["last"]) == ("logs", 0, 7, 66)
    assert found["log_level"] == "error"
    assert metric(world.telemetry, "skipped_offsets_total", topic="logs", partition="0") == 60
    assert world.health.unreadable == {}


@virtually
async def test_an_offset_out_of_range_in_another_topic_begins_again() -> None:
    """The wanted offset is below the oldest one of a topic that was created again: none of its lines is known."""
    world = World()
    world.assign(committed=40)
    world.source.held = {LOGS[0]: Bounds(50, 90, "cluster/new")}
    world.source.answers = [OffsetsGone([LOGS[0]])]
    before = world.partitions.newest_generation
    assert await world.intake.next_chunks() == []
    assert world.source.seeks == [(LOGS[0], 50)]
    assert world.partitions.newest_generation == before + 1
    assignment = world.partitions.active(LOGS[0])
    assert assignment is not None
    assert assignment.incarnation == "cluster/new"


@virtually
async def test_an_unreadable_batch_of_a_revoked_partition_is_no_reason() -> None:
    """This member would never be ready again: no record would remove the reason."""
    world = World()
    world.source.answers = [UnreadableBatch(LOGS[0], 7, "x")]
    assert await world.intake.next_chunks() == []
    assert world.health.unreadable == {}
    assert metric(world.telemetry, "unreadable_batches_total", topic="logs", partition="0") == 1


@virtually
async def test_a_drain_opens_no_more_records() -> None:
    """Records that arrive after the signal are left to the next owner, in no ledger."""
    world = World()
    assignment = world.assign()
    world.source.answers = [fetched(LOGS[0], 0, 2), BrokerUnavailable("b:1", "x")]
    world.source.before_answer = lambda: world.lifetime.advance(Phase.DRAINING)
    assert await world.intake.next_chunks() is None
    assert await world.intake.next_chunks() is None
    assert assignment.ledger.outstanding == 0


@virtually
async def test_a_fatal_error_ends_the_loop() -> None:
    """A failure of the source that no retry cures is not swallowed."""
    world = World()
    world.source.answers = [FatalError("the group removed this member")]
    with pytest.raises(FatalError, match="removed"):
        await world.intake.next_chunks()
