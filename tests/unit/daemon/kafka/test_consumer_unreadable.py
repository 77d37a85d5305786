"""Batches that the client cannot read: the search for the partition, the records before, and the way back."""

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

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, OffsetsGone, UnreadableBatch
from logwarden.daemon.kafka.consumer import _Listener
from logwarden.daemon.kafka.quarantine import RETRY_S
from logwarden.daemon.records import Partition
from tests.fake_kafka import FakeConsumer, Reading, partitions_of, source_of
from tests.fakes import virtually
from tests.sim.loop import now_s

A, B = partitions_of(2)
ALL = [Partition(*A), Partition(*B)]
NAMED_A, NAMED_B = Partition(*A), Partition(*B)
WHOLE = list(range(20))


class Listener:
    """Takes every rebalance."""

    async def on_revoked(self, partitions: object) -> None: ...

    async def on_assigned(self, partitions: object) -> None: ...


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
    await reading.read(source, until_s=60.0)
    assert consumer.fetches[-1] == (), "the search ends by itself"


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
    listener = _Listener(Listener(), source._forget)
    await listener.on_partitions_revoked([A, B])
    consumer.revoke_all()
    assert NAMED_B not in source._quarantine
    consumer.assign_all()
    consumer.unreadable.clear()
    for partition in (NAMED_A, NAMED_B):
        source.seek(partition, 5)
    await listener.on_partitions_assigned([A, B])
    source.resume(ALL)
    reading = await Reading().read(source, until_s=now_s() + 1)
    assert reading.offsets == {NAMED_A: WHOLE[5:], NAMED_B: WHOLE[5:]}
    assert reading.unreadable == []


@virtually
async def test_a_lost_offset_beside_an_unreadable_batch_is_reported_too() -> None:
    """An error of another kind waits for the next fetch while partitions are read one by one."""
    consumer = FakeConsumer({A: 3, B: 3})
    source = source_of(consumer)
    consumer.errors = [CorruptRecordException("x"), OffsetOutOfRangeError({A: 0})]
    assert not (await source.fetch()).records
    found = (await source.fetch()).records
    assert len(found) == 1
    with pytest.raises(OffsetsGone) as gone:
        await source.fetch()
    assert gone.value.partitions == [NAMED_A]


@virtually
async def test_a_broker_that_leaves_during_the_search_loses_nothing() -> None:
    """The records of the partitions read before it left were not returned: they are read again."""
    consumer = FakeConsumer({A: 20, B: 20})
    source = source_of(consumer)
    consumer.errors = [CorruptRecordException("x")]
    assert not (await source.fetch()).records
    calls = iter(range(9))
    consumer.during_fetch = lambda: consumer.errors.extend([KafkaConnectionError("away")] if next(calls) == 1 else [])
    with pytest.raises(BrokerUnavailable, match="away"):
        await source.fetch()
    consumer.during_fetch = lambda: None
    reading = await Reading().read(source, until_s=2.0)
    assert reading.offsets == {NAMED_A: WHOLE, NAMED_B: WHOLE}


@virtually
async def test_a_slow_broker_is_not_an_unreadable_batch() -> None:
    """Two records fit into the time: they are returned, and the batch is found later, at its own place."""
    consumer = damaged(delay_s=2.0)
    reading = await Reading().read(source_of(consumer), until_s=100.0)
    assert reading.offsets == {NAMED_A: WHOLE, NAMED_B: WHOLE[:7]}
    assert {(partition, offset) for _, partition, offset in reading.unreadable} == {(NAMED_B, 7)}
    assert reading.unreadable[0][0] > 20.0, "the first tries did not get as far"


@virtually
async def test_an_idle_search_waits_as_long_as_an_idle_fetch() -> None:
    """Partition by partition, nothing waits for records; without a pause the loop would spin."""
    consumer = FakeConsumer({A: 0, B: 0})
    source = source_of(consumer, fetch_max_wait_ms=250)
    consumer.errors.append(CorruptRecordException("a wrong checksum"))
    assert not (await source.fetch()).records
    began = now_s()
    assert not (await source.fetch()).records
    assert now_s() - began == 0.25


@virtually
async def test_a_revoke_during_the_search_stops_nothing() -> None:
    """The partition is another member's in the middle of its records: no report, no pause, no error."""
    consumer = damaged()
    source = source_of(consumer)

    def revoke() -> None:
        if consumer.fetches[-4:] == [(B,)] * 4 and consumer.assignment():
            consumer.revoke_all()
            source._forget()

    consumer.during_fetch = revoke
    reading = await Reading().read(source, until_s=30.0)
    assert consumer.assignment() == set()
    assert reading.unreadable == []
    assert reading.offsets[NAMED_B] == WHOLE[:2], "what was read is returned; the pipeline knows whose it is"


@virtually
async def test_a_refusal_during_the_search_is_a_refusal() -> None:
    """The client raises an error of the group once, from whatever fetch comes next."""
    consumer = damaged()
    source = source_of(consumer)

    def refuse() -> None:
        if consumer.fetches[-3:] == [(B,)] * 3:
            consumer.errors.append(GroupAuthorizationFailedError("logwarden"))

    consumer.during_fetch = refuse
    with pytest.raises(BrokerRefused):
        await Reading().read(source, until_s=9.0)
