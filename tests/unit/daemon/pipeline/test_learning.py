"""The first start of a group: where it begins with each partition, and what it learns of the lines before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.pipeline.learning import TOGETHER_MS, FirstStarts, Learning
from logwarden.daemon.pipeline.ledger import FirstStart, PartitionLedger, decode_first, decode_metadata, encode_metadata
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.phase import Phase
from logwarden.daemon.records import Bounds, Committed, Partition
from tests.fakes import LOGS, RETRY_S, World, capture, events, metric, virtually
from tests.oracles import PROFILE
from tests.sim.loop import now_s

KEPT = Bounds(100, 1_000, "cluster/one")
BOUNDS = dict.fromkeys(LOGS, KEPT)
LEARN_S = 60.0


def committed_first(world: World, partition: Partition, offset: int, at_ms: int) -> None:
    """Lets the group have a commit of this partition, by a member that began then."""
    metadata = encode_metadata(offset, first=FirstStart(offset, at_ms))
    world.source.offsets[partition] = Committed(offset, metadata)


@virtually
async def test_a_new_group_begins_at_the_end_of_each_partition() -> None:
    """A group that has committed nothing judges what comes from now on."""
    world = World()
    found = await FirstStarts(world.ports, world.retries, at_end=True).choose(LOGS[:2], BOUNDS)
    assert found == {partition: FirstStart(1_000, world.clock.now_ms()) for partition in LOGS[:2]}


@virtually
async def test_a_group_that_wants_everything_begins_at_the_oldest_record() -> None:
    """Under `earliest` no starting point is chosen."""
    world = World()
    assert await FirstStarts(world.ports, world.retries, at_end=False).choose(LOGS, BOUNDS) == {}


@virtually
async def test_members_that_start_together_begin_together() -> None:
    """One member of a new group has committed its partitions before another one looks: that one is new as well."""
    world = World()
    began_ms = world.clock.now_ms() - TOGETHER_MS + 1
    committed_first(world, LOGS[0], 900, began_ms)
    found = await FirstStarts(world.ports, world.retries, at_end=True).choose(LOGS[1:2], BOUNDS)
    assert found == {LOGS[1]: FirstStart(1_000, began_ms)}


@pytest.mark.parametrize(
    "metadata", ["", encode_metadata(5), encode_metadata(5, first=FirstStart(5, -10 * TOGETHER_MS))]
)
@virtually
async def test_a_partition_that_was_added_begins_at_its_oldest_record(metadata: str) -> None:
    """A group that began long ago, or as an older release, judges all lines of a new partition."""
    world = World()
    world.source.offsets[LOGS[0]] = Committed(900, metadata)
    assert await FirstStarts(world.ports, world.retries, at_end=True).choose(LOGS[1:2], BOUNDS) == {}


@virtually
async def test_partitions_of_a_member_that_failed_at_the_first_start_begin_at_the_end() -> None:
    """It failed before its first commit, and another member of the new group gets its partitions."""
    world = World()
    starts = FirstStarts(world.ports, world.retries, at_end=True)
    first = await starts.choose(LOGS[:1], BOUNDS)
    assert first is not None
    await world.clock.sleep(TOGETHER_MS / 1_000 - 1)
    assert await starts.choose(LOGS[:2], BOUNDS) == first | {LOGS[1]: first[LOGS[0]]}
    await world.clock.sleep(2)
    assert await starts.choose(LOGS[:3], BOUNDS) == first | {LOGS[1]: first[LOGS[0]]}


@virtually
async def test_a_topic_that_appears_later_begins_at_its_oldest_record() -> None:
    """A member that runs already judges all lines of what it is assigned for the first time."""
    world = World()
    starts = FirstStarts(world.ports, world.retries, at_end=True)
    assert await starts.choose([], {}) == {}
    assert await starts.choose(LOGS, BOUNDS) == {}


@virtually
async def test_a_starting_point_outlives_an_assignment_without_a_commit() -> None:
    """Lines that came since then are judged, unless the topic is another one."""
    world = World()
    starts = FirstStarts(world.ports, world.retries, at_end=True)
    first = await starts.choose(LOGS[:2], BOUNDS)
    assert first is not None
    later = {LOGS[0]: Bounds(100, 2_000, "cluster/one"), LOGS[1]: Bounds(0, 2_000, "cluster/two")}
    assert await starts.choose(LOGS[:2], later) == {LOGS[0]: first[LOGS[0]]}
    gone = {LOGS[0]: Bounds(1_500, 2_000, "cluster/one")}
    assert await starts.choose(LOGS[:1], gone) == {LOGS[0]: first[LOGS[0]]._replace(offset=1_500)}


@virtually
async def test_the_listener_learns_before_the_starting_point() -> None:
    """The first commit names the starting point and the begin of what is learned, for whichever member comes next."""
    world = begun(records=300)
    owner = world.partitions.active(LOGS[0])
    assert owner is not None
    assert world.source.seeks == [(LOGS[0], 700)]
    assert (owner.ledger.position(), owner.ledger.learn_to) == (1_000, 1_000)
    assert metric(world.telemetry, "context_records_total") == 0
    committed = owner.ledger.to_commit(10_000)
    assert (committed.offset, decode_metadata(committed.metadata)) == (1_000, 700)
    assert decode_first(committed.metadata) == FirstStart(1_000, 5)
    world.partitions.close([owner])
    after = world.partitions.assign(LOGS[0], committed, Bounds(100, 1_200, "cluster/one"))
    assert (after.ledger.read_from, after.ledger.score_from, after.ledger.learn_to) == (700, 1_000, 1_000)


def begun(*, records: int) -> World:
    """Returns a world with one partition that begins at its end."""
    world = World()
    world.partitions = Partitions(
        world.source, world.telemetry, lambda topic: PROFILE, max_context_records=10_000, learn_records=records
    )
    world.partitions.assign(LOGS[0], None, KEPT, first=FirstStart(1_000, 5))
    return world


def learning(world: World, *, waiting_bytes: int = 0) -> tuple[Learning, list[tuple[Assignment, int]]]:
    """Returns what bounds the learning of a world, and the places to which it skips."""
    skips: list[tuple[Assignment, int]] = []
    ingestor = SimpleNamespace(
        skip=lambda assignment, offset: skips.append((assignment, offset)),
        backlog=SimpleNamespace(bytes_of=lambda assignment: waiting_bytes),
    )
    return Learning(world.ports, world.partitions, cast(Any, ingestor), seconds=LEARN_S), skips


def read_to(world: World, offset: int) -> PartitionLedger:
    """Lets everything below an offset be read."""
    [owner] = world.partitions.assignments()
    owner.ledger.passed(offset)
    return owner.ledger


@virtually
async def test_progress_is_shown() -> None:
    """Metrics and readiness have the records that are left, and nothing once they are read."""
    world = begun(records=800)
    found, skips = learning(world)
    await found.look()
    assert (world.health.learning_partitions, world.health.learning_records_left) == (1, 800)
    read_to(world, 700)
    await found.look()
    assert world.health.learning_records_left == 300
    assert metric(world.telemetry, "learned_records_total") == 500
    read_to(world, 1_000)
    with capture() as caught:
        await found.look()
        await found.look()
    assert (world.health.learning_partitions, world.health.learning_records_left) == (0, 0)
    assert len(events(caught, "learned")) == 1
    assert not skips


@virtually
async def test_the_newest_records_are_learned_where_the_time_is_short() -> None:
    """After half of the time, the rest begins where the other half is long enough for it."""
    world = begun(records=800)
    found, skips = learning(world)
    await found.look()
    await world.clock.sleep(LEARN_S / 2)
    ledger = read_to(world, 300)  # of 200 to 1,000
    world.source.seeks.clear()
    await found.look()
    assert world.source.seeks == [(LOGS[0], 900)]
    assert [offset for _, offset in skips] == [900]
    assert metric(world.telemetry, "unlearned_records_total") == 600
    assert ledger.reached == 900
    await found.look()
    assert len(skips) == 1


@virtually
async def test_learning_ends_when_its_time_has_passed() -> None:
    """New lines wait no longer: reading goes on at the starting point, and what still waits is dropped."""
    world = begun(records=800)
    found, skips = learning(world)
    await found.look()
    read_to(world, 650)
    await world.clock.sleep(LEARN_S)
    world.source.seeks.clear()
    with capture() as caught:
        await found.look()
    assert world.source.seeks == [(LOGS[0], 1_000)]
    assert [offset for _, offset in skips] == [1_000]
    [report] = events(caught, "learning_cut_short")
    assert report["records"] == 350
    assert metric(world.telemetry, "learned_records_total") + metric(world.telemetry, "unlearned_records_total") == 800


@virtually
async def test_lines_that_wait_for_an_embedding_are_not_learned_yet() -> None:
    """Learning continues while lines wait, up to its bound in time."""
    world = begun(records=800)
    found, skips = learning(world, waiting_bytes=1)
    read_to(world, 1_000)
    await found.look()
    assert world.health.learning_partitions == 1
    await world.clock.sleep(LEARN_S)
    await found.look()
    assert world.health.learning_partitions == 0
    assert len(skips) == 1


@virtually
async def test_a_member_that_stops_chooses_nothing() -> None:
    """A drain ends the questions to a broker that does not answer."""
    world = World()
    world.source.refusals = [BrokerUnavailable("fake", "no answer")] * 3
    world.source.before_answer = lambda: world.lifetime.advance(Phase.DRAINING) if now_s() >= RETRY_S else None
    assert await FirstStarts(world.ports, world.retries, at_end=True).choose(LOGS, BOUNDS) is None


@pytest.mark.parametrize("value", ["7", "[1]", '["a", 2]', "[1, 2, 3]", "null", "{}"])
def test_a_damaged_starting_point_is_none(value: str) -> None:
    """Metadata of another program, or damaged ones, never stop a member."""
    assert decode_first(f'{{"v":1,"context":3,"first":{value}}}') is None
