"""Batches that the client cannot read: the records before, the way back, and the batches that are left out."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable

import pytest
from aiokafka.errors import (
    CorruptRecordException,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
)

from logwarden.daemon.errors import BatchSkipped, BrokerRefused, BrokerUnavailable, OffsetsGone, UnreadableBatch
from logwarden.daemon.kafka.quarantine import RETRY_S
from logwarden.daemon.records import Partition
from tests.fake_kafka import FakeConsumer, Reading, partitions_of, source_of
from tests.fakes import virtually
from tests.sim.loop import now_s

A, B = partitions_of(2)
ALL = [Partition(*A), Partition(*B)]
NAMED_A, NAMED_B = Partition(*A), Partition(*B)
WHOLE = list(range(20))


def damaged(**changes: object) -> FakeConsumer:
    """Two partitions of twenty records; the second has an unreadable batch after seven."""
    consumer = FakeConsumer({A: 20, B: 20}, {B: 7})
    for name, value in changes.items():
        setattr(consumer, name, value)
    return consumer


@pytest.mark.parametrize("max_poll", [1, 3, 7, 8, 100])
@pytest.mark.parametrize(
    "broken",
    [
        lambda: CorruptRecordException("a wrong checksum"),
        lambda: UnsupportedCodecError("no such codec"),
        lambda: zlib.error("incorrect header check"),
    ],
    ids=["checksum", "codec", "library"],
)
@virtually
async def test_one_partition_stops_and_nothing_else_is_lost(max_poll: int, broken: Callable[[], Exception]) -> None:
    """The client took records of both partitions when it failed: each still arrives once, up to the batch."""
    consumer = damaged(max_poll=max_poll, broken=broken)
    reading = await Reading().read(source_of(consumer), until_s=9.0)
    assert reading.offsets == {NAMED_A: WHOLE, NAMED_B: WHOLE[:7]}
    assert [(partition, offset) for _, partition, offset in reading.unreadable] == [(NAMED_B, 7)]


@virtually
async def test_the_report_has_the_clients_reason() -> None:
    """Topic, partition, offset and the reason, for the log and the probe."""
    source = source_of(damaged())
    found: list[UnreadableBatch] = []
    for _ in range(4):
        try:
            await source.fetch()
        except UnreadableBatch as error:
            found.append(error)
    [report] = found
    assert (report.topic, report.partition, report.offset) == ("logs", 1, 7)
    assert "a wrong checksum" in report.reason


@virtually
async def test_the_batch_is_tried_again_and_reported_each_time() -> None:
    """Every ten seconds, while the other partition goes on; no record comes twice because of it."""
    consumer = damaged()
    source = source_of(consumer)
    reading = await Reading().read(source, until_s=25.0)
    consumer.lengths[A] = 30
    await reading.read(source, until_s=35.5)
    assert reading.offsets == {NAMED_A: list(range(30)), NAMED_B: WHOLE[:7]}
    times = [at for at, _, _ in reading.unreadable]
    assert [round(after - before) for before, after in itertools.pairwise(times)] == [RETRY_S] * 3


@virtually
async def test_a_batch_that_is_whole_again_continues_where_it_stopped() -> None:
    """Another replica leads: the rest arrives at the next try, once and in order, and later fetches are usual ones."""
    consumer = damaged()
    source = source_of(consumer)
    reading = await Reading().read(source, until_s=5.0)
    consumer.unreadable.clear()
    await reading.read(source, until_s=9.9)
    assert reading.offsets[NAMED_B] == WHOLE[:7], "not before the next try"
    await reading.read(source, until_s=12.0)
    assert reading.offsets == {NAMED_A: WHOLE, NAMED_B: WHOLE}
    assert len(reading.unreadable) == 1
    assert not source._unreadable.one_by_one, "later polls are usual ones"


@virtually
async def test_two_damaged_partitions_are_both_found() -> None:
    """The first one found does not hide the second."""
    consumer = damaged(unreadable={A: 0, B: 7})
    reading = await Reading().read(source_of(consumer), until_s=9.0)
    assert reading.offsets == {NAMED_B: WHOLE[:7]}
    assert sorted((partition, offset) for _, partition, offset in reading.unreadable) == [(NAMED_A, 0), (NAMED_B, 7)]


@virtually
async def test_a_moment_of_damage_stops_nothing() -> None:
    """A batch that is whole when the partitions are read one by one was the network's fault."""
    consumer = FakeConsumer({A: 20, B: 20}, errors=[CorruptRecordException("once")])
    reading = await Reading().read(source_of(consumer), until_s=9.0)
    assert reading.offsets == {NAMED_A: WHOLE, NAMED_B: WHOLE}
    assert reading.unreadable == []


@virtually
async def test_a_resume_leaves_the_stopped_partition_stopped() -> None:
    """A pause for too many lines ends for all but the unreadable one, whose batch would end every fetch."""
    consumer = damaged()
    source = source_of(consumer)
    await Reading().read(source, until_s=1.0)
    source.pause(ALL)
    assert consumer.paused() == {A, B}
    source.resume(ALL)
    assert consumer.paused() == {B}


@virtually
async def test_a_retry_that_falls_into_a_pause_waits_for_its_end() -> None:
    """The bound on lines in flight counts more than the retry; the resume then reads the partition again."""
    consumer = damaged()
    source = source_of(consumer)
    reading = await Reading().read(source, until_s=1.0)
    source.pause(ALL)
    consumer.unreadable.clear()
    await reading.read(source, until_s=15.0)
    assert reading.offsets[NAMED_B] == WHOLE[:7]
    source.resume(ALL)
    await reading.read(source, until_s=16.0)
    assert reading.offsets[NAMED_B] == WHOLE


@virtually
async def test_a_revoke_forgets_all_of_it() -> None:
    """The next assignment begins with a usual fetch, no pause, and no report of a batch that is another member's."""
    consumer = damaged()
    source = source_of(consumer)
    while not source._pending:
        await source.fetch()
    source._forget()
    consumer.revoke_all()
    assert NAMED_B not in source._unreadable.quarantine
    consumer.assign_all()
    consumer.unreadable.clear()
    for partition in (NAMED_A, NAMED_B):
        source.seek(partition, 5)
    source.resume(ALL)
    reading = await Reading().read(source, until_s=now_s() + 1)
    assert reading.offsets == {NAMED_A: WHOLE[5:], NAMED_B: WHOLE[5:]}
    assert reading.unreadable == []


@virtually
async def test_errors_of_two_kinds_in_one_poll_are_both_reported() -> None:
    """A lost offset, beside a batch that cannot be read: one error hides no other, and no record."""
    consumer = FakeConsumer({A: 3, B: 3}, {B: 1})
    source = source_of(consumer)
    consumer.errors = [OffsetOutOfRangeError({A: 0})]
    assert list((await source.fetch()).records) == [NAMED_B], "the record before the batch"
    with pytest.raises(OffsetsGone) as gone:
        await source.fetch()
    assert gone.value.partitions == [NAMED_A]
    reading = await Reading().read(source, until_s=1.0)
    assert reading.offsets == {NAMED_A: [0, 1, 2]}
    assert len(reading.unreadable) == 1


@virtually
async def test_a_broker_that_leaves_loses_nothing() -> None:
    """The records of the partition before it left were returned; those of the others are read later."""
    consumer = FakeConsumer({A: 20, B: 20})
    source = source_of(consumer)
    consumer.errors = [KafkaConnectionError("away")]
    [(first, records)] = (await source.fetch()).records.items()
    with pytest.raises(BrokerUnavailable, match="away"):
        await source.fetch()
    reading = Reading({first: [record.offset for record in records]})
    await reading.read(source, until_s=2.0)
    assert reading.offsets == {NAMED_A: WHOLE, NAMED_B: WHOLE}


@virtually
async def test_the_others_do_not_wait_for_the_record_by_record_reading() -> None:
    """While one partition is read record by record, each poll returns the other's share, too."""
    consumer = FakeConsumer({A: 4_000, B: 400}, {B: 345})
    source = source_of(consumer, max_poll_records=200)
    taken = []
    while not source._pending:
        careful = bool(source._unreadable.one_by_one)
        found = (await source.fetch()).records
        taken.append((careful, len(found.get(NAMED_A, ())), len(found.get(NAMED_B, ()))))
    assert [(a, b) for careful, a, b in taken if careful] == [(100, 45)], "the records before the batch"
    assert {a for _, a, _ in taken} == {100}


@virtually
async def test_a_revoke_between_the_errors_stops_nothing() -> None:
    """The partition is another member's before the batch was found: no report, no pause, no error."""
    consumer = damaged()
    source = source_of(consumer)

    def revoke() -> None:
        if source._unreadable.one_by_one and consumer.assignment():
            consumer.revoke_all()
            source._forget()

    consumer.during_fetch = revoke
    reading = await Reading().read(source, until_s=30.0)
    assert consumer.assignment() == set()
    assert reading.unreadable == []


@virtually
async def test_a_refusal_is_no_unreadable_batch() -> None:
    """The client raises an error of the group once, from whatever poll comes next."""
    consumer = damaged(errors=[GroupAuthorizationFailedError("logwarden")])
    with pytest.raises(BrokerRefused):
        await Reading().read(source_of(consumer), until_s=9.0)


# ---------------------------------------------------------------- batches that are left out


@virtually
async def test_a_batch_is_left_out_where_that_is_set() -> None:
    """The header names the end of the batch: exactly its offsets are skipped and reported, and reading continues."""
    consumer = damaged()
    source = source_of(consumer, unreadable_batches="skip")
    consumer._client.batch_ends = {B: 11}
    reading = await Reading().read(source, until_s=1.0)
    assert reading.offsets == {NAMED_A: WHOLE, NAMED_B: WHOLE[:7] + WHOLE[11:]}
    [skipped] = reading.skipped
    assert ((skipped.topic, skipped.partition), skipped.first, skipped.last) == (NAMED_B, 7, 10)
    assert "a wrong checksum" in str(skipped)
    assert reading.unreadable == []


@virtually
async def test_a_batch_at_the_end_that_is_left_out_is_passed() -> None:
    """No record follows it: the position is reported nevertheless, or the lag would stay."""
    consumer = FakeConsumer({A: 10}, {A: 7})
    source = source_of(consumer, unreadable_batches="skip")
    consumer._client.batch_ends = {A: 10}
    while not source._pending:
        await source.fetch()
    with pytest.raises(BatchSkipped):
        await source.fetch()
    assert (await source.fetch()).positions == {NAMED_A: 10}
    assert consumer.paused() == set()


@virtually
async def test_a_batch_whose_header_does_not_come_stops_the_partition() -> None:
    """Without its end nothing can be skipped; the next attempt comes after ten seconds."""
    consumer = damaged()
    source = source_of(consumer, unreadable_batches="skip")
    reading = await Reading().read(source, until_s=5.0)
    assert [(partition, offset) for _, partition, offset in reading.unreadable] == [(NAMED_B, 7)]
    consumer._client.batch_ends = {B: 8}
    await reading.read(source, until_s=5.0 + RETRY_S)
    assert reading.offsets[NAMED_B] == WHOLE[:7] + WHOLE[8:]


@virtually
async def test_a_revoke_while_the_header_is_read_skips_nothing() -> None:
    """The partition comes back with a position of the next period of ownership, which stays as it is."""
    consumer = damaged()
    source = source_of(consumer, unreadable_batches="skip")

    async def end_of_batch(partition: object, offset: int) -> int:
        source._forget()
        source.seek(NAMED_B, 2)
        consumer.unreadable.clear()
        return 11

    consumer._client.end_of_batch = end_of_batch
    reading = await Reading().read(source, until_s=1.0)
    assert reading.offsets[NAMED_B] == WHOLE[:7] + WHOLE[2:]
    assert reading.skipped == []
