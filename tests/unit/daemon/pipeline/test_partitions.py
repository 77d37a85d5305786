"""Periods of ownership: where each begins, what is counted then, and what its end does."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.daemon.pipeline.ledger import decode_topic, encode_metadata
from logwarden.daemon.pipeline.partitions import keep_originals
from logwarden.daemon.records import Bounds, Committed
from tests.fakes import LOGS, World, capture, events, metric, virtually
from tests.oracles import LogRecord, assignment, default_decoder, profile_of

KEPT = Bounds(100, 1_000)


def committed(offset: int, context: int) -> Committed:
    return Committed(offset, encode_metadata(context))


@virtually
async def test_an_assignment_begins_at_its_context() -> None:
    """Reading begins before the committed offset, judging at it; the records in between are counted."""
    world = World()
    world.partitions.assign(LOGS[0], committed(500, 470), KEPT)
    assignment = world.partitions.active(LOGS[0])
    assert assignment is not None
    assert world.source.seeks == [(LOGS[0], 470)]
    assert (assignment.ledger.read_from, assignment.ledger.position()) == (470, 500)
    assert metric(world.telemetry, "context_records_total") == 30
    assert metric(world.telemetry, "short_contexts_total") == 0
    assert metric(world.telemetry, "out_of_range_offsets_total", topic="logs", partition="0") == 0


@virtually
async def test_budgets_of_alerts_begin_as_of_the_commit() -> None:
    """They are those of the same lines: of another topic none is taken over. A member that continues keeps its own."""
    world, entry = World(), [7, 1_000, 1, 20]
    before = Committed(500, encode_metadata(500, "cluster/one", budgets=[entry]))
    kept = world.partitions.assign(LOGS[0], before, KEPT)
    assert kept.budgets.at(500) == [entry]
    kept.ledger.passed(600)
    world.partitions.close([kept])
    assert world.partitions.resume(kept).budgets is kept.budgets
    other = world.partitions.assign(LOGS[1], before, Bounds(100, 1_000, "cluster/two"))
    assert other.budgets.at(500) == []


@virtually
async def test_a_context_that_is_not_kept_is_short() -> None:
    """The broker no longer has the whole context: the windows are rebuilt from what is left, and that is counted."""
    world = World()
    world.partitions.assign(LOGS[0], committed(120, 90), KEPT)
    assert world.source.seeks == [(LOGS[0], 100)]
    assert metric(world.telemetry, "context_records_total") == 20
    assert metric(world.telemetry, "short_contexts_total") == 1


@pytest.mark.parametrize("offset", [99, 1_001])
@virtually
async def test_a_committed_offset_that_is_not_kept_is_an_incident(offset: int) -> None:
    """Lines may be lost: a metric and an error with every offset report it, and reading begins at the oldest one."""
    world = World()
    with capture() as caught:
        world.partitions.assign(LOGS[2], committed(offset, offset - 9), KEPT)
    assert world.source.seeks == [(LOGS[2], 100)]
    assert metric(world.telemetry, "out_of_range_offsets_total", topic="logs", partition="2") == 1
    [found] = events(caught, "offset_out_of_range")
    assert (found["topic"], found["partition"], found["log_level"]) == ("logs", 2, "error")
    assert (found["committed"], found["earliest"], found["end"]) == (offset, 100, 1_000)
    assert found["going_on_from"] == 100


@pytest.mark.parametrize("offset", [99, 150, 1_001])
@virtually
async def test_the_offset_of_another_topic_is_an_incident_wherever_it_lies(offset: int) -> None:
    """The topic was deleted and created again: in range or not, no line of the new one was judged."""
    world = World()
    with capture() as caught:
        entry = Committed(offset, encode_metadata(offset, "cluster/old"))
        world.partitions.assign(LOGS[0], entry, Bounds(100, 1_000, "cluster/new"))
    assert world.source.seeks == [(LOGS[0], 100)]
    [found] = events(caught, "topic_recreated")
    assert (found["committed"], found["going_on_from"], found["log_level"]) == (offset, 100, "error")
    assert metric(world.telemetry, "out_of_range_offsets_total", topic="logs", partition="0") == 1
    assignment = world.partitions.active(LOGS[0])
    assert assignment is not None
    assert assignment.incarnation == "cluster/new"
    assert decode_topic(assignment.ledger.to_commit(10).metadata) == "cluster/new"


@pytest.mark.parametrize(
    ("bounds", "begin"), [(Bounds(100, 5_000, "cluster/one"), 4_000), (Bounds(4_700, 5_000, "cluster/one"), 4_700)]
)
@virtually
async def test_a_log_that_was_cut_is_read_from_near_its_end(bounds: Bounds, begin: int) -> None:
    """The same topic lost its last lines, which were judged: a thousand lines before its end are judged again."""
    world = World()
    with capture() as caught:
        world.partitions.assign(LOGS[0], Committed(5_010, encode_metadata(4_990, "cluster/one")), bounds)
    assert world.source.seeks == [(LOGS[0], begin)]
    [found] = events(caught, "offset_out_of_range")
    assert (found["committed"], found["end"], found["going_on_from"]) == (5_010, 5_000, begin)


@pytest.mark.parametrize(("written", "reported"), [("", "cluster/one"), ("cluster/one", ""), ("", "")])
@virtually
async def test_without_both_identities_offsets_decide(written: str, reported: str) -> None:
    """Commits of earlier releases, and brokers without ids: in range goes on, beyond the end begins again."""
    bounds = Bounds(100, 5_000, reported)
    for offset, begin in ((4_000, 4_000), (5_010, 100)):
        world = World()
        world.partitions.assign(LOGS[0], Committed(offset, encode_metadata(offset, written)), bounds)
        assert world.source.seeks == [(LOGS[0], begin)]


@pytest.mark.parametrize("offset", [100, 1_000])
@virtually
async def test_the_bounds_themselves_are_kept(offset: int) -> None:
    """A group that has read everything, and one at the oldest line, have lost nothing."""
    world = World()
    with capture() as caught:
        world.partitions.assign(LOGS[0], committed(offset, offset), KEPT)
    assert world.source.seeks == [(LOGS[0], offset)]
    assert events(caught, "offset_out_of_range") == []
    assert metric(world.telemetry, "out_of_range_offsets_total", topic="logs", partition="0") == 0


@virtually
async def test_a_new_group_begins_at_the_oldest_line() -> None:
    """No offset was committed, so no line was lost."""
    world = World()
    world.partitions.assign(LOGS[0], None, KEPT)
    assert world.source.seeks == [(LOGS[0], 100)]
    assert metric(world.telemetry, "out_of_range_offsets_total", topic="logs", partition="0") == 0
    assert metric(world.telemetry, "short_contexts_total") == 0


@virtually
async def test_generations_rise_over_all_assignments() -> None:
    """The number shows that a fetch began before an assignment; no number is used twice."""
    world = World()
    assert world.partitions.newest_generation == 0
    first = world.assign(LOGS[0])
    second = world.assign(LOGS[1])
    world.partitions.close([first])
    again = world.assign(LOGS[0])
    assert [a.generation for a in (first, second, again)] == [1, 2, 3]
    assert world.partitions.newest_generation == 3
    assert world.partitions.assignments() == [second, again]


@virtually
async def test_a_partition_that_is_being_revoked_gets_no_new_work() -> None:
    """Its lines in flight are still counted and committed, but the partition is no longer active."""
    world = World()
    kept, revoked = world.assign(LOGS[0]), world.assign(LOGS[1])
    revoked.ledger.open(np.arange(3))
    assert world.partitions.revoke([LOGS[1], LOGS[3]]) == [revoked], "the fourth was never assigned"
    assert world.partitions.active(LOGS[1]) is None
    assert world.partitions.active(LOGS[0]) is kept
    assert world.partitions.active(LOGS[3]) is None
    assert world.partitions.lines_in_flight == 3
    assert not revoked.ended


@virtually
async def test_a_closed_assignment_has_ended_and_its_lines_do_not_count() -> None:
    """Closing an older period of a partition leaves the newer one alone."""
    world = World()
    old = world.assign(LOGS[0])
    old.ledger.open(np.arange(3))
    world.partitions.close([old])
    assert old.ended
    assert world.partitions.lines_in_flight == 0
    new = world.assign(LOGS[0])
    world.partitions.close([old])
    assert world.partitions.active(LOGS[0]) is new
    assert not new.ended


@virtually
async def test_a_partition_is_not_assigned_twice() -> None:
    """Two ledgers for one partition would commit over each other."""
    world = World()
    world.assign(LOGS[0])
    with pytest.raises(AssertionError, match="revoked before"):
        world.partitions.assign(LOGS[0], None, KEPT)


def test_records_are_kept_for_their_alerts_until_their_lines_are_done() -> None:
    """Only what an alert could quote is kept, within the setting, and only while it is in flight."""
    event = b'{"level": "error", "message": "no stock"}'
    quoting = assignment(score_from=1, context=0, profile=profile_of(default_decoder(), max_original_chars=5))
    silent = assignment(2, profile=profile_of(default_decoder()))
    records = [LogRecord(value, offset=at) for at, value in enumerate((event, event, b"plain words", event))]
    for owner in (quoting, silent):
        keep_originals([(owner, record) for record in records], owner.profile.decoder.decode(records))
    assert quoting.originals == {1: event[:20], 3: event[:20]}, "offset 0 is context, offset 2 is plain"
    assert silent.originals == {}
    quoting.ledger.open(np.array([1, 2, 3]))
    quoting.done(np.array([1, 2]))
    assert list(quoting.originals) == [3]
    assert quoting.ledger.position() == 3
