"""What each error of the client means, what a fetch returns, and what a commit contains."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition as TopicName
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    InvalidCommitOffsetSizeError,
    KafkaConnectionError,
    NodeNotReadyError,
    NoOffsetForPartitionError,
    OffsetMetadataTooLargeError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, FatalError, OffsetsGone, TopicRecreated
from logwarden.daemon.records import Bounds, Committed, Partition
from tests.fake_kafka import FakeConsumer, partitions_of, source_of
from tests.fakes import virtually
from tests.sim.loop import now_s

A, B = partitions_of(2)
ALL = [Partition(*A), Partition(*B)]
NAMED_A, NAMED_B = Partition(*A), Partition(*B)


# ---------------------------------------------------------------- fetch


@virtually
async def test_a_fetch_returns_records_by_partition() -> None:
    """Each partition by our own name, its records in order."""
    found = (await source_of(FakeConsumer({A: 3, B: 2})).fetch()).records
    assert {partition: [record.offset for record in records] for partition, records in found.items()} == {
        NAMED_A: [0, 1, 2],
        NAMED_B: [0, 1],
    }


@virtually
async def test_a_partition_without_a_position_has_no_records_yet() -> None:
    """A new partition, before the listener chose where to start, is no error."""
    consumer = FakeConsumer({A: 3}, errors=[NoOffsetForPartitionError(A)])
    source = source_of(consumer)
    assert not (await source.fetch()).records
    assert len((await source.fetch()).records) == 1


@virtually
async def test_an_offset_out_of_range_names_its_partitions() -> None:
    """The pipeline decides where to go on; the client does not jump."""
    source = source_of(
        FakeConsumer({A: 3, B: 3}, errors=[OffsetOutOfRangeError({A: 5}), OffsetOutOfRangeError({B: 6})])
    )
    with pytest.raises(OffsetsGone) as gone:
        await source.fetch()
    assert sorted(gone.value.partitions) == [NAMED_A, NAMED_B]


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError("logs"), GroupAuthorizationFailedError("g")])
@virtually
async def test_a_withdrawn_permission_ends_the_daemon(error: Exception) -> None:
    """The broker refused; a daemon that retried would look like one with an idle topic."""
    with pytest.raises(BrokerRefused, match="refused to continue"):
        await source_of(FakeConsumer({A: 3}, errors=[error])).fetch()


@pytest.mark.parametrize("error", [KafkaConnectionError("away"), NodeNotReadyError(), RequestTimedOutError("slow")])
@virtually
async def test_a_broker_that_is_away_is_tried_again(error: Exception) -> None:
    """The next fetch goes on where this one would have been."""
    source = source_of(FakeConsumer({A: 3}, errors=[error]))
    with pytest.raises(BrokerUnavailable, match="localhost:9092"):
        await source.fetch()
    assert len((await source.fetch()).records) == 1


@pytest.mark.parametrize("error", [UnknownMemberIdError("x"), IllegalStateError("x")])
@virtually
async def test_a_member_that_is_no_longer_one_ends(error: Exception) -> None:
    """Only a new client can join the group again: a restart is needed, and no retry."""
    with pytest.raises(FatalError, match="the Kafka consumer cannot continue") as ended:
        await source_of(FakeConsumer({A: 3}, errors=[error])).fetch()
    assert not isinstance(ended.value, BrokerRefused)


# ---------------------------------------------------------------- offsets


@virtually
async def test_a_commit_carries_offset_and_metadata() -> None:
    """The metadata is where the next owner reads from."""
    consumer = FakeConsumer({A: 3, B: 3})
    await source_of(consumer).commit({NAMED_A: Committed(2, "context"), NAMED_B: Committed(1, "")})
    assert consumer.commits == [{A: OffsetAndMetadata(2, "context"), B: OffsetAndMetadata(1, "")}]


@pytest.mark.parametrize(
    "error", [CommitFailedError("overtaken"), KafkaConnectionError("x"), OSError("x"), TimeoutError("x")]
)
@virtually
async def test_a_commit_that_was_not_taken_may_be_repeated(error: Exception) -> None:
    """A rebalance that overtook it is no failure of this member."""
    with pytest.raises(BrokerUnavailable):
        await source_of(FakeConsumer({A: 3}, errors=[error])).commit({NAMED_A: Committed(2, "")})


@pytest.mark.parametrize("error", [GroupAuthorizationFailedError("g"), TopicAuthorizationFailedError("logs")])
@virtually
async def test_a_commit_that_is_refused_ends_the_daemon(error: Exception) -> None:
    """Without the permission every restart would repeat all lines, while this member looked ready."""
    with pytest.raises(BrokerRefused):
        await source_of(FakeConsumer({A: 3}, errors=[error])).commit({NAMED_A: Committed(2, "")})


@pytest.mark.parametrize("error", [OffsetMetadataTooLargeError(), InvalidCommitOffsetSizeError()])
@virtually
async def test_metadata_that_the_broker_refuses_name_its_setting(error: Exception) -> None:
    """No retry helps: the broker's limit was lowered below what the daemon writes."""
    with pytest.raises(FatalError, match="metadata") as ended:
        await source_of(FakeConsumer({A: 3}, errors=[error])).commit({NAMED_A: Committed(2, "")})
    assert "offset.metadata.max.bytes" in ended.value.hint


@virtually
async def test_bounds_are_the_oldest_offset_and_the_next_one() -> None:
    """A time-out or a refusal is sorted like everywhere; a topic without an identity has an empty one."""
    consumer = FakeConsumer({A: 30, B: 7})
    source = source_of(consumer)
    consumer._client.first = 5
    assert await source.bounds([NAMED_A, NAMED_B]) == {NAMED_A: Bounds(5, 30), NAMED_B: Bounds(5, 7)}
    consumer._client.identities = {"logs": "cluster/one"}
    assert await source.bounds([NAMED_A]) == {NAMED_A: Bounds(5, 30, "cluster/one")}
    consumer._client.errors = [TimeoutError(), TopicAuthorizationFailedError("logs")]
    with pytest.raises(BrokerUnavailable):
        await source.bounds([NAMED_A])
    with pytest.raises(BrokerRefused):
        await source.bounds([NAMED_A])


@virtually
async def test_the_end_is_known_after_the_first_fetch() -> None:
    """The lag is unknown before it, and not zero; of a partition that was revoked it is unknown, too."""
    consumer = FakeConsumer({A: 3})
    source = source_of(consumer)
    assert source.end(NAMED_A) is None
    consumer.watermarks[A] = 3
    assert source.end(NAMED_A) == 3
    consumer.revoke_all()
    assert source.end(NAMED_A) is None
    source.seek(NAMED_A, 2)


@virtually
async def test_a_pause_takes_all_partitions_and_a_resume_gives_them_back() -> None:
    """No partition stays paused where none stands still."""
    consumer = FakeConsumer({A: 3, B: 3})
    source = source_of(consumer, fetch_max_wait_ms=10)
    source.pause(ALL)
    assert not (await source.fetch()).records
    source.resume(ALL)
    assert len((await source.fetch()).records) == 2


# ---------------------------------------------------------------- positions


@virtually
async def test_a_position_passes_what_contains_no_record() -> None:
    """A marker behind the last record has an offset that no reader gets: without it, the lag would stay 1."""
    consumer = FakeConsumer({A: 3, B: 3}, markers={A: 1})
    source = source_of(consumer)
    assert (await source.fetch()).positions == {NAMED_A: 4, NAMED_B: 3}


@virtually
async def test_a_position_never_passes_a_record_that_was_not_returned() -> None:
    """With a limit of four records, each position is that behind the partition's last record of this fetch."""
    source = source_of(FakeConsumer({A: 9, B: 9}), max_poll_records=4)
    while fetched := (await source.fetch()):
        ends = {partition: records[-1].offset + 1 for partition, records in fetched.records.items()}
        assert {NAMED_A: 0, NAMED_B: 0, **fetched.positions} == {NAMED_A: 0, NAMED_B: 0, **ends}
        if ends.get(NAMED_B) == 9:
            break


@virtually
async def test_a_position_that_was_chosen_is_reported_without_a_record() -> None:
    """Retention deleted all lines, and reading continues at the end: the committed offset must follow, once."""
    consumer = FakeConsumer({A: 9})
    source = source_of(consumer, fetch_max_wait_ms=10)
    source.seek(NAMED_A, 9)
    assert (await source.fetch()).positions == {NAMED_A: 9}
    assert (await source.fetch()).positions == {}


@virtually
async def test_a_partition_with_an_error_reports_no_position() -> None:
    """The client moves past a record that is too large for it, and then raises: its offset must not be committed."""
    consumer = FakeConsumer({A: 1, B: 3})
    source = source_of(consumer)

    def refuse() -> None:
        if consumer.positions[A] == 1 and consumer.fetches[-1] == (B,):
            consumer.positions[B] = 1
            consumer.errors = [RecordTooLargeError("larger than the fetch size")]

    consumer.during_fetch = refuse
    fetched = await source.fetch()
    assert (list(fetched.records), fetched.positions) == ([NAMED_A], {NAMED_A: 1})
    with pytest.raises(FatalError, match="larger"):
        await source.fetch()


@virtually
async def test_a_partition_that_nobody_sought_is_not_read() -> None:
    """The client begins by itself at the committed offset, before the pipeline has chosen the begin of the context."""
    consumer = FakeConsumer({A: 3, B: 3})
    source = source_of(consumer, fetch_max_wait_ms=10)
    source._forget()
    source.seek(NAMED_B, 1)
    assert list((await source.fetch()).records) == [NAMED_B]
    assert not (await source.fetch()).records


# ---------------------------------------------------------------- waiting


@virtually
async def test_an_idle_fetch_waits_and_ends_early_for_records() -> None:
    """At most as long as is set; a record that arrives ends the wait."""
    consumer = FakeConsumer({A: 0})
    source = source_of(consumer, fetch_max_wait_ms=250)
    assert not (await source.fetch()).records
    assert now_s() == 0.25

    def arrive() -> None:
        consumer.lengths[A] = 1
        consumer._fetcher.waiters[-1].set_result(None)

    asyncio.get_running_loop().call_later(0.1, arrive)
    assert len((await source.fetch()).records) == 1
    assert now_s() == pytest.approx(0.35)


@virtually
async def test_an_error_of_the_group_ends_the_wait() -> None:
    """Nothing arrives any more: without the question to the coordinator the member would look idle."""
    consumer = FakeConsumer({A: 0})
    source = source_of(consumer)
    consumer.coordinator_errors = [GroupAuthorizationFailedError("logwarden")]
    with pytest.raises(BrokerRefused):
        await source.fetch()
    consumer._fetcher.error_future = asyncio.get_running_loop().create_future()
    consumer._fetcher.error_future.set_result(None)
    with pytest.raises(FatalError, match="fetcher ended"):
        await source.fetch()


@virtually
async def test_silence_is_the_time_without_an_answer() -> None:
    """Of the partitions that are read; none, paused ones and waiting records are no silence."""
    consumer = FakeConsumer({A: 0, B: 0})
    source = source_of(consumer)
    await asyncio.sleep(30)
    assert source.silent_s() == 30, "no answer since the assignment"
    consumer.answered_ms = {A: 9_000, B: 5_000}
    assert source.silent_s() == 0
    await asyncio.sleep(3)
    assert source.silent_s() == 3
    consumer.lengths[A] = 1
    assert source.silent_s() == 0
    consumer.lengths[A] = 0
    await asyncio.sleep(3)
    source.pause(ALL)
    assert source.silent_s() == 0


# ---------------------------------------------------------------- topics that were created again


@virtually
async def test_a_commit_leaves_out_a_topic_that_was_created_again() -> None:
    """What was read before the broker's answer may be of the new topic: it is never committed as the old one's."""
    old, other = Partition("old", 0), Partition("other", 0)
    consumer = FakeConsumer({TopicName(*old): 9, TopicName(*other): 9})
    source = source_of(consumer)
    consumer._client.identities = {"old": "c/1", "other": "c/2"}
    await source.bounds([old, other])
    consumer._client.identities["old"] = "c/9"
    await source.commit({old: Committed(5, ""), other: Committed(6, "")})
    assert consumer.commits == [{TopicName(*other): OffsetAndMetadata(6, "")}]
    with pytest.raises(TopicRecreated) as found:
        await source.fetch()
    assert found.value.partitions == [old]
    await source.bounds([old])
    assert (await source.fetch()).records, "the new topic is read once its bounds were asked for"


@virtually
async def test_a_topic_is_confirmed_after_a_gap_and_after_a_lost_connection() -> None:
    """A frozen member returns nothing of a topic that was created again meanwhile; one that polls asks nothing."""
    consumer = FakeConsumer({A: 500})
    source = source_of(consumer, max_poll_records=10)
    consumer._client.identities = {"logs": "c/1"}
    await source.bounds([NAMED_A])
    consumer._client.asked.clear()
    await source.fetch()
    await asyncio.sleep(0.1)
    await source.fetch()
    assert consumer._client.asked == []
    consumer._client.in_doubt = True
    await source.fetch()
    assert consumer._client.asked == ["identify"]
    consumer._client.identities = {"logs": "c/2"}
    await asyncio.sleep(2)
    with pytest.raises(TopicRecreated):
        await source.fetch()


@virtually
async def test_a_broker_that_does_not_answer_is_asked_again() -> None:
    """Reading continues, because no commit is made without the answer."""
    consumer = FakeConsumer({A: 500})
    source = source_of(consumer, max_poll_records=10)
    consumer._client.in_doubt = True
    consumer._client.errors = [KafkaConnectionError("away"), KafkaConnectionError("away")]
    assert (await source.fetch()).records
    assert consumer._client.in_doubt
    with pytest.raises(BrokerUnavailable):
        await source.commit({NAMED_A: Committed(5, "")})
    assert consumer.commits == []
