"""Polls that take from every waiting partition in turn, bounded in records and in bytes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException

from logwarden.daemon.kafka.polls import LEAST_SHARE, FairPolls, Poll
from tests.fake_kafka import FakeConsumer, partitions_of

A, B, C = partitions_of(3)


def polls_of(consumer: FakeConsumer, *, max_records: int = 4_096, max_bytes: int = 1 << 24) -> Callable[[], object]:
    """Returns a function that makes one poll of whatever waits."""
    polls = FairPolls(consumer, max_records=max_records, max_bytes=max_bytes)
    return lambda: polls.poll(list(consumer._fetcher._records), ())


def counts(poll: Poll) -> dict[TopicPartition, int]:
    return {partition: len(records) for partition, records in poll.records.items()}


async def test_a_noisy_partition_does_not_come_before_a_calm_one() -> None:
    """The client's own poll would return the noisy one's records alone, poll after poll."""
    consumer = FakeConsumer({A: 100_000, B: 3}, max_poll=10_000)
    poll = FairPolls(consumer, max_records=4_096)
    taken = await poll.poll([A, B], ())
    assert counts(taken) == {A: 2_048, B: 3}
    assert taken.positions == {A: 2_048, B: 3}
    assert counts(await poll.poll([A], ())) == {A: 4_096}, "alone it has the whole poll"


async def test_partitions_take_turns_where_a_poll_has_no_room_for_all() -> None:
    """Of 200 waiting partitions each comes once before any comes twice."""
    names = partitions_of(200)
    consumer = FakeConsumer(dict.fromkeys(names, 10_000), max_poll=10_000)
    polls = FairPolls(consumer, max_records=1_024)
    found = [set((await polls.poll(names, ())).records) for _ in range(13)]
    assert [len(partitions) for partitions in found] == [1_024 // LEAST_SHARE] * 13
    assert len(set.union(*found[:12])) == 192
    assert set.union(*found) == set(names)


async def test_a_poll_ends_at_its_bytes() -> None:
    """A thousand records of 100 KB: a poll holds 1 MB and the last call's records, never a thousand."""
    consumer = FakeConsumer({A: 1_000}, max_poll=10_000, value=lambda offset: bytes(100_000))
    polls = FairPolls(consumer, max_records=4_096, max_bytes=1_000_000)
    first, second = await polls.poll([A], ()), await polls.poll([A], ())
    assert (first.size, second.size) == (1_000_000, 1_000_000)
    assert first.positions == {A: 10}


async def test_large_records_between_small_ones_are_bounded_by_one_call() -> None:
    """Sizes are known afterwards only: a call takes 128 records at most, whatever the ones before it weighed."""
    consumer = FakeConsumer({A: 10_000}, max_poll=10_000, value=lambda offset: bytes(100_000 if offset > 1_000 else 10))
    polls = FairPolls(consumer, max_records=4_096, max_bytes=1_000_000)
    sizes = [(await polls.poll([A], ())).size for _ in range(5)]
    assert max(sizes) <= 128 * 100_000
    assert sizes[1:] == [1_000_000] * 4


async def test_a_record_larger_than_a_poll_is_taken() -> None:
    """Otherwise its partition would stand still for ever."""
    consumer = FakeConsumer({A: 3, B: 3}, value=lambda offset: bytes(5_000))
    polls = FairPolls(consumer, max_records=100, max_bytes=1_000)
    found = [counts(await polls.poll([A, B], ())) for _ in range(2)]
    assert found == [{A: 1}, {B: 1}]


async def test_an_error_is_about_its_partition_only() -> None:
    """The records of the others, and those before the batch, are returned with their positions."""
    consumer = FakeConsumer({A: 5, B: 5, C: 5}, {B: 3})
    polls = FairPolls(consumer, max_records=100)
    taken = await polls.poll([A, B, C], (B,))
    assert counts(taken) == {A: 5, B: 3, C: 5}
    assert taken.positions == {A: 5, B: 3, C: 5}
    assert isinstance(taken.errors.pop(B), CorruptRecordException)
    assert not taken.errors


async def test_what_is_revoked_during_a_poll_has_no_position() -> None:
    """The position of the next period of ownership is none of this one's."""
    consumer = FakeConsumer({A: 5})
    consumer.during_fetch = consumer.revoke_all
    taken = await FairPolls(consumer, max_records=100).poll([A], ())
    assert (taken.records, taken.positions) == ({}, {})


@pytest.mark.slow
async def test_a_poll_of_200_partitions_costs_little() -> None:
    """With records in each of them; the fake takes part of the time."""
    names = partitions_of(200)
    consumer = FakeConsumer(dict.fromkeys(names, 1_000_000), max_poll=10_000)
    polls = FairPolls(consumer, max_records=4_096)
    began = time.process_time()
    for _ in range(20):
        await polls.poll(names, ())
    assert (time.process_time() - began) / 20 < 0.1
