"""Consumes the input topics as a member of the consumer group. Knows the traps of the client.

- Raw bytes only: with a deserialiser one bad value would make every later `getmany` raise.
- One assignor, never Sticky; rebalances are eager: each revokes everything (aiokafka issues 1175, 1176).
- `auto_offset_reset="none"`: the pipeline chooses positions, and an offset out of range is an incident, not a jump.
- A consumer that subscribes before its start waits there for topics that do not exist yet: subscribe afterwards.
- A batch that cannot be decoded makes `getmany` raise without naming its partition, after it took the records of the
  partitions before; see `_search`.
- The admin client overlooks an answer that is an error as a whole and returns that nothing is committed; see
  `committed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)
from aiokafka.structs import OffsetAndMetadata

from logwarden.daemon.errors import (
    BrokerRefused,
    BrokerUnavailable,
    FatalError,
    LogwardenError,
    OffsetsGone,
    UnreadableBatch,
)
from logwarden.daemon.kafka.connection import (
    REFUSALS,
    check_access,
    check_codecs,
    connection_options,
    reason,
    stopped,
    translated,
)
from logwarden.daemon.kafka.credentials import credentials_of
from logwarden.daemon.kafka.quarantine import Quarantine
from logwarden.daemon.ports import RebalanceListener
from logwarden.daemon.records import Bounds, Committed, Fetched, Partition, Record
from logwarden.daemon.settings.kafka import KafkaSettings

log = structlog.get_logger(__name__)

_TOPIC_MISSING, _TOPIC_REFUSED = 3, 29
"""Kafka's error codes in the description of a topic."""
_METADATA_MAX_AGE_MS = 10_000
"""How long a topic or partition made later may stay unseen; aiokafka's default is five minutes."""
_SEARCH_S = 30.0
"""Seconds of fetching partition by partition in search of one that cannot be read; it is found within one fetch."""
_SALVAGE_S, _SALVAGE_WAIT_MS = 5.0, 200
"""Time for reading the records before an unreadable batch one by one, and for one of these reads."""


class KafkaSource:
    """A member of the consumer group, reading the input topics."""

    def __init__(self, settings: KafkaSettings) -> None:
        check_codecs()  # here and not at the first compressed batch, which may come days later
        credentials_of(settings)  # here, because the model is not loaded yet: wrong files end the daemon at once
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._next: dict[Partition, int] = {}
        """Offset after the last record that `fetch` returned, or the one of the last `seek`."""
        self._quarantine = Quarantine()
        self._searching_until = 0.0
        self._pending: list[LogwardenError] = []
        """Errors found beside records, for the next `fetch`."""
        self._paused: set[Partition] = set()

    async def start(self, listener: RebalanceListener) -> None:
        settings = self._settings
        await check_access(settings)
        options = connection_options(settings)
        self._admin = AIOKafkaAdminClient(**options)
        self._consumer = AIOKafkaConsumer(
            **options,
            group_id=settings.group_id,
            group_instance_id=settings.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=settings.session_timeout_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            heartbeat_interval_ms=min(3000, settings.session_timeout_ms // 3),
            metadata_max_age_ms=_METADATA_MAX_AGE_MS,
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
            max_poll_records=settings.max_poll_records,
        )
        try:
            async with asyncio.timeout(settings.request_timeout_ms / 1000):
                await self._admin.start()
                await self._consumer.start()
                await self._look_for(settings.input_topics)
            self._consumer.subscribe(list(settings.input_topics), listener=_Listener(listener, self._forget))
        except (KafkaError, OSError, TimeoutError) as error:
            await self.stop()
            raise translated(error, settings) from error
        except BaseException:
            await self.stop()
            raise

    async def fetch(self) -> Fetched:
        assert self._consumer is not None, "fetch comes after start"
        if self._pending:
            raise self._pending.pop(0)
        now = asyncio.get_running_loop().time()
        self._release_due(self._consumer, now)
        try:
            if now < self._searching_until:
                batch = await self._fetch_one_by_one(self._consumer)
            else:
                batch = await self._consumer.getmany(timeout_ms=self._settings.fetch_max_wait_ms)
        except NoOffsetForPartitionError:
            return Fetched()  # a new partition, in the moment before the listener chose where to start
        except OffsetOutOfRangeError as error:
            raise OffsetsGone([Partition(*p) for p in error.args[0]]) from None
        except REFUSALS as error:
            raise BrokerRefused(f"the Kafka broker refused to continue: {reason(error)}") from error
        except Exception as error:  # a batch that cannot be decompressed raises the errors of the codec's library
            if _is_of_a_batch(error):
                return self._search(self._consumer, now)
            if isinstance(error, KafkaError) and error.retriable:
                raise BrokerUnavailable(self._settings.bootstrap_servers, reason(error)) from error
            # A task inside the client ended, or the group removed this member: only a new client can join again.
            raise FatalError(f"the Kafka consumer cannot continue: {reason(error)}") from error
        found = {Partition(*partition): records for partition, records in batch.items()}
        self._next |= {partition: records[-1].offset + 1 for partition, records in found.items()}
        return Fetched(records=found)

    async def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, Committed]:
        assert self._admin is not None, "committed comes after start"
        # Only the admin client returns the metadata; without names it would return all groups' partitions.
        wanted = [TopicPartition(*partition) for partition in partitions]
        try:
            found = await self._admin.list_consumer_group_offsets(self._settings.group_id, partitions=wanted)
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error
        if len(found) < len(wanted):
            # The broker names every partition of the request, and -1 where nothing is committed. Otherwise its answer
            # was an error that the admin client overlooked; to believe it would start from the oldest line kept.
            raise BrokerUnavailable(self._settings.bootstrap_servers, "the group's offsets are not loaded yet")
        return {
            Partition(*partition): Committed(entry.offset, entry.metadata or "")
            for partition, entry in found.items()
            if entry.offset >= 0
        }

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        assert self._consumer is not None, "bounds comes after start"
        wanted = [TopicPartition(*partition) for partition in partitions]
        try:
            earliest = await self._consumer.beginning_offsets(wanted)
            end = await self._consumer.end_offsets(wanted)
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error
        return {Partition(*p): Bounds(earliest[p], end[p]) for p in wanted}

    def end(self, partition: Partition) -> int | None:
        """The high watermark as of the last fetch; None before the first."""
        assert self._consumer is not None, "end comes after start"
        watermark = self._consumer.highwater(TopicPartition(*partition))
        return None if watermark is None else int(watermark)

    def seek(self, partition: Partition, offset: int) -> None:
        assert self._consumer is not None, "seek comes after start"
        self._next[partition] = offset
        self._consumer.seek(TopicPartition(*partition), offset)

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        assert self._consumer is not None, "commit comes after start"
        try:
            await self._consumer.commit(
                {TopicPartition(*p): OffsetAndMetadata(c.offset, c.metadata) for p, c in positions.items()}
            )
        except (KafkaError, OSError) as error:
            # A commit that a rebalance overtook is refused; the next owner starts from the one before it.
            raise BrokerUnavailable(self._settings.bootstrap_servers, reason(error)) from error

    def pause(self, partitions: Collection[Partition]) -> None:
        assert self._consumer is not None, "pause comes after start"
        self._paused |= set(partitions)
        self._consumer.pause(*(p for p in self._consumer.assignment() if Partition(*p) in self._paused))

    def resume(self, partitions: Collection[Partition]) -> None:
        assert self._consumer is not None, "resume comes after start"
        self._paused -= set(partitions)
        stopped = {Partition(*p) for p in self._consumer.paused()} & set(partitions)
        self._consumer.resume(*(TopicPartition(*p) for p in stopped if p not in self._quarantine))

    async def stop(self) -> None:
        stops = (self._consumer and self._consumer.stop, self._admin and self._admin.close)
        await asyncio.gather(*(stopped(stop()) for stop in stops if stop))
        self._consumer = self._admin = None

    # ---------------------------------------------------------------- batches that cannot be read

    def _search(self, consumer: AIOKafkaConsumer, now: float) -> Fetched:
        """Begins to fetch partition by partition, so that the one with the unreadable batch is found."""
        self._searching_until = now + _SEARCH_S
        self._rewind(consumer)
        return Fetched()

    def _rewind(self, consumer: AIOKafkaConsumer) -> None:
        """Seeks to where the returned records end: `getmany` may have taken records before it raised."""
        for partition in consumer.assignment():
            if Partition(*partition) in self._next:
                consumer.seek(partition, self._next[Partition(*partition)])

    async def _fetch_one_by_one(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, Sequence[Record]]:
        found: dict[TopicPartition, Sequence[Record]] = {}
        for partition in consumer.assignment() - consumer.paused():
            try:
                found |= await self._fetch_from(consumer, partition)
            except OffsetOutOfRangeError as error:
                self._pending.append(OffsetsGone([Partition(*p) for p in error.args[0]]))
            except Exception:
                self._rewind(consumer)
                raise
        if not found:  # nothing waits for records in this mode
            await asyncio.sleep(self._settings.fetch_max_wait_ms / 1000)
        return found

    async def _fetch_from(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition
    ) -> dict[TopicPartition, Sequence[Record]]:
        try:
            return dict(await consumer.getmany(partition, timeout_ms=0))
        except Exception as error:  # a codec's library raises errors of its own
            if not _is_of_a_batch(error):
                raise
            return await self._salvage(consumer, partition)

    async def _salvage(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition
    ) -> dict[TopicPartition, Sequence[Record]]:
        """Returns the records before an unreadable batch, and stops the partition at the batch.

        The client drops the whole records of a fetch when it meets the batch, so they are fetched again, one by one.
        """
        named = Partition(*partition)
        records: list[Record] = []
        if named in self._next:
            consumer.seek(partition, self._next[named])
        try:
            async with asyncio.timeout(_SALVAGE_S):
                while len(records) < self._settings.max_poll_records:
                    batch = await consumer.getmany(partition, timeout_ms=_SALVAGE_WAIT_MS, max_records=1)
                    records += batch.get(partition, ())
        except TimeoutError:
            pass  # the broker was slow, or the batch is whole again: the next fetch continues here
        except Exception as error:  # as above
            if not _is_of_a_batch(error):
                raise
            self._isolate(consumer, named, records[-1].offset + 1 if records else self._next.get(named, 0), error)
        return {partition: records} if records else {}

    def _isolate(self, consumer: AIOKafkaConsumer, partition: Partition, offset: int, error: Exception) -> None:
        """Stops one partition at an offset; the others continue as before."""
        if TopicPartition(*partition) not in consumer.assignment():
            return  # revoked while its records were read
        self._quarantine.add(partition, asyncio.get_running_loop().time())
        self._searching_until = 0.0
        self._next[partition] = offset
        consumer.seek(TopicPartition(*partition), offset)  # also drops what the client has buffered of the batch
        consumer.pause(TopicPartition(*partition))
        self._pending.append(UnreadableBatch(partition, offset, reason(error)))

    def _release_due(self, consumer: AIOKafkaConsumer, now: float) -> None:
        for partition in self._quarantine.take_due(now):
            self._searching_until = now + _SEARCH_S
            if partition not in self._paused and TopicPartition(*partition) in consumer.assignment():
                consumer.resume(TopicPartition(*partition))

    def _forget(self) -> None:
        """Drops what belongs to revoked partitions; a rebalance revokes all of them."""
        self._next.clear()
        self._quarantine.clear()
        self._pending.clear()
        self._paused.clear()

    async def _look_for(self, topics: Sequence[str]) -> None:
        """Logs the topics that do not exist yet. Raises for those that this client may not see."""
        assert self._admin is not None, "only called from start"
        for found in await self._admin.describe_topics(list(topics)):
            if found["error_code"] == _TOPIC_REFUSED:
                raise TopicAuthorizationFailedError(found["topic"])
            if found["error_code"] == _TOPIC_MISSING:
                log.warning("input_topic_missing", topic=found["topic"], hint="it is read as soon as it is created")


def _is_of_a_batch(error: Exception) -> bool:
    """Returns True if an error of `getmany` is about a batch: its codec's errors, not those of Kafka or the client."""
    if isinstance(error, CorruptRecordException | UnsupportedCodecError):
        return True
    return not isinstance(error, KafkaError | ConsumerStoppedError)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, listener: RebalanceListener, forget: Callable[[], None]) -> None:
        self._listener = listener
        self._forget = forget

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        await self._listener.on_revoked([Partition(*p) for p in revoked])
        self._forget()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self._listener.on_assigned([Partition(*p) for p in assigned])
