"""Consumes the input topics as a member of the consumer group. Knows the traps of the client.

- Raw bytes only: with a deserialiser one bad value would make every later `getmany` raise.
- One assignor, never Sticky; rebalances are eager: each revokes everything (aiokafka issues 1175, 1176).
- `auto_offset_reset="none"`: the pipeline chooses positions, and an offset out of range is an incident, not a jump.
- A consumer that subscribes before its start waits there for topics that do not exist yet: subscribe afterwards.
- With a pattern, a topic that appears or is deleted empties the client's assignment at once, before the rebalance: a
  seek or a position is an error then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    InconsistentGroupProtocolError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from logwarden.daemon.errors import (
    BrokerRefused,
    BrokerUnavailable,
    FatalError,
    LogwardenError,
    OffsetsGone,
    TopicRecreated,
)
from logwarden.daemon.kafka.assignor import publishing
from logwarden.daemon.kafka.client import ReadingClient
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
from logwarden.daemon.kafka.decompression import bound
from logwarden.daemon.kafka.incarnations import Incarnations
from logwarden.daemon.kafka.membership import FencedInstanceId, Membership, name_is_taken
from logwarden.daemon.kafka.metadata import TOPIC_REFUSED, UNKNOWN_TOPIC
from logwarden.daemon.kafka.offsets import GroupOffsets
from logwarden.daemon.kafka.polls import Buffer, FairPolls, Poll
from logwarden.daemon.kafka.topics import names_of, pattern_of
from logwarden.daemon.kafka.unreadable import UnreadableBatches, is_of_a_batch
from logwarden.daemon.ports import RebalanceListener
from logwarden.daemon.records import Bounds, Committed, Fetched, Partition
from logwarden.daemon.settings.kafka import KafkaSettings

log = structlog.get_logger(__name__)

_METADATA_MAX_AGE_MS = 10_000
"""How long a topic or partition made later may stay unseen; aiokafka's default is five minutes."""
_NEVER_MS = 2**31 - 1
"""Milliseconds between polls after which the client leaves the group: a long poll must not cost the membership."""
_GAP_S = 0.05
"""Seconds without a look at the client, beyond those of an idle poll, in which a topic may have been created again."""
_IDENTIFY_TIMEOUT_S = 2.0


class KafkaSource:
    """A member of the consumer group, reading the input topics. Publishes `card` of its own address at each join."""

    def __init__(self, settings: KafkaSettings, card: Callable[[str | None], bytes] = lambda _: b"") -> None:
        check_codecs()  # here and not at the first compressed batch, which may come days later
        bound(settings.max_batch_bytes)
        credentials_of(settings)  # here, because the model is not loaded yet: wrong files end the daemon at once
        self._settings, self._card = settings, card
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._membership: Membership | None = None
        self._incarnations = Incarnations()
        self._pending: list[LogwardenError] = []
        """Errors found beside records, for the next `fetch`."""
        self._sought: set[Partition] = set()
        """Partitions for which the pipeline chose a position: only these are read."""
        self._moved: set[Partition] = set()
        """Partitions whose position was chosen since the last fetch returned."""
        self._paused: set[Partition] = set()
        self._looked_at = self._answered_at = 0.0
        self._newest_answer = 0
        self._longest_gap_s = 0.0
        """Longest time since the assignment without a look at the client, or without an answer of the broker."""
        self._unconfirmed_s = 0.0
        """The same since the identities of the topics were last confirmed."""

    async def start(self, listener: RebalanceListener) -> None:
        settings = self._settings
        await check_access(settings)
        options = connection_options(settings)
        self._admin = AIOKafkaAdminClient(**options)
        consumer = AIOKafkaConsumer(
            **options,
            group_id=settings.group_id,
            group_instance_id=settings.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            partition_assignment_strategy=(publishing(lambda: self._card(client.local_host())),),
            session_timeout_ms=settings.session_timeout_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            heartbeat_interval_ms=min(3000, settings.session_timeout_ms // 3),
            max_poll_interval_ms=_NEVER_MS,
            metadata_max_age_ms=_METADATA_MAX_AGE_MS,
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
        )
        client = consumer._client = ReadingClient(**options, metadata_max_age_ms=_METADATA_MAX_AGE_MS)
        self._use(consumer, client, self._admin)
        self._membership = Membership(
            listener,
            static_name=settings.group_instance_id,
            session_timeout_s=settings.session_timeout_ms / 1000,
            coordinator=lambda: consumer._coordinator,
            revoked=self._forget,
            silent_s=self._silence,
        )
        try:
            async with asyncio.timeout(settings.request_timeout_ms / 1000):
                await self._admin.start()
                await consumer.start()
                self._buffer.check()
                await self._look_for(names_of(settings))
            pattern = pattern_of(settings)
            chosen = {"topics": list(settings.input_topics)} if pattern is None else {"pattern": pattern}
            consumer.subscribe(**chosen, listener=self._membership)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.stop()
            raise translated(error, settings) from error
        except BaseException:
            await self.stop()
            raise

    def _use(self, consumer: AIOKafkaConsumer, client: ReadingClient, admin: AIOKafkaAdminClient) -> None:
        self._consumer, self._client = consumer, client
        self._looked_at = asyncio.get_running_loop().time()
        self._buffer = Buffer(consumer)
        self._polls = FairPolls(consumer, max_records=self._settings.max_poll_records)
        self._unreadable = UnreadableBatches(consumer, client, self._settings.unreadable_batches)
        self._offsets = GroupOffsets(self._settings, consumer, client, admin, self._incarnations)

    # ---------------------------------------------------------------- reading

    async def fetch(self) -> Fetched:
        assert self._consumer is not None, "fetch comes after start"
        if self._pending:
            raise self._pending.pop(0)
        loop = asyncio.get_running_loop()
        self._release_due(self._consumer, loop.time())
        if not self._waiting():
            try:
                await self._buffer.wait(self._settings.fetch_max_wait_ms / 1000)
            except Exception as error:  # whatever ended one of the client's tasks
                raise self._meant(error) from error
        if self._membership is not None and self._membership.failure is not None:
            raise self._membership.failure
        arrived = self._waiting()
        await self._confirm_topics(loop.time(), arrived)
        waiting = [partition for partition in self._waiting() if partition in arrived]  # the others are unconfirmed
        poll = await self._polls.poll(waiting, self._unreadable.one_by_one)
        self._looked_at = loop.time()
        await self._keep_errors(poll)
        self._unreadable.one_by_one -= set(waiting) - poll.errors.keys() - set(self._buffer.partitions())
        if self._pending and not poll.records:
            raise self._pending.pop(0)
        return Fetched(
            records={Partition(*partition): records for partition, records in poll.records.items()},
            positions=await self._positions(self._consumer, poll),
        )

    async def _positions(self, consumer: AIOKafkaConsumer, poll: Poll) -> dict[Partition, int]:
        """Returns the positions after a poll, and those of partitions that were sought since the last one.

        A partition with an error is left out: the client moves past a record that is too large before it raises.
        """
        found = {Partition(*partition): position for partition, position in poll.positions.items()}
        for partition in self._moved - found.keys():
            if TopicPartition(*partition) in consumer.assignment():
                found[partition] = await consumer.position(TopicPartition(*partition))
        self._moved = {Partition(*partition) for partition in poll.errors} & self._moved
        return {partition: position for partition, position in found.items() if partition not in poll.errors}

    def _waiting(self) -> list[TopicPartition]:
        """Returns the partitions that have records, or an error, and may be read."""
        assert self._consumer is not None, "only called from fetch"
        may_be_read = self._consumer.assignment() - self._consumer.paused()
        return [p for p in self._buffer.partitions() if p in may_be_read and Partition(*p) in self._sought]

    async def _keep_errors(self, poll: Poll) -> None:
        """Sorts the errors of a poll: each is about one partition, and the records beside it are returned first."""
        gone: list[Partition] = []
        for partition, error in poll.errors.items():
            if isinstance(error, NoOffsetForPartitionError):
                continue  # a new partition, in the moment before the listener chose where to start
            if isinstance(error, OffsetOutOfRangeError):
                gone += [Partition(*p) for p in error.args[0]]
            elif not is_of_a_batch(error):
                self._pending.append(self._meant(error))
            elif partition in poll.positions:
                report = await self._unreadable.met(partition, poll.positions[partition], error)
                if report is not None:
                    self._pending.append(report)
                    self._moved.add(Partition(*partition))
        if gone:
            self._pending.append(OffsetsGone(gone))

    def _meant(self, error: Exception) -> LogwardenError:
        """Returns the error of `daemon/errors.py` for an error of the group, or of the client as a whole."""
        if isinstance(error, REFUSALS):
            return BrokerRefused(f"the Kafka broker refused to continue: {reason(error)}")
        if self._settings.group_instance_id and FencedInstanceId.__name__ in str(error):
            return name_is_taken(self._settings.group_instance_id, "the group knows another member by it")
        if isinstance(error, KafkaError) and error.retriable:
            return BrokerUnavailable(self._settings.bootstrap_servers, reason(error))
        if isinstance(error, InconsistentGroupProtocolError):
            return FatalError(
                f"other members of the group {self._settings.group_id!r} divide its partitions in another way",
                hint="end all members of an earlier release before you start this one, or give this one its own group",
            )
        # A task inside the client ended, or the group removed this member: only a new client can join again.
        return FatalError(f"the Kafka consumer cannot continue: {reason(error)}")

    # ---------------------------------------------------------------- identity of topics

    async def _confirm_topics(self, now: float, arrived: Collection[TopicPartition]) -> None:
        """Raises TopicRecreated for topics that are other ones now. Requests them where this may have been missed.

        Only an answer to a request that follows the records confirms them: an earlier one may be of the topic before.
        """
        gap_s = max(now - self._looked_at, self.silent_s())
        self._longest_gap_s = max(self._longest_gap_s, gap_s)
        self._unconfirmed_s = max(self._unconfirmed_s, gap_s)
        missed = self._unconfirmed_s > _GAP_S + self._settings.fetch_max_wait_ms / 1000
        if arrived and (self._client.in_doubt or missed):
            try:
                async with asyncio.timeout(_IDENTIFY_TIMEOUT_S):
                    await self._client.confirm({partition.topic for partition in self._sought})
                self._unconfirmed_s = 0.0
            except (KafkaError, OSError, TimeoutError):
                self._client.in_doubt = True  # no commit is made before an answer, either
        replaced = self._incarnations.replaced(self._client.incarnations)
        affected = [partition for partition in self._sought if partition.topic in replaced]
        if affected:
            raise TopicRecreated(affected)

    # ---------------------------------------------------------------- offsets

    async def committed(self, partitions: Sequence[Partition] | None) -> Mapping[Partition, Committed]:
        return await self._offsets.committed(partitions)

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        return await self._offsets.bounds(partitions)

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        await self._offsets.commit(positions)

    def end(self, partition: Partition) -> int | None:
        """The high watermark as of the last fetch; None before the first."""
        assert self._consumer is not None, "end comes after start"
        if TopicPartition(*partition) not in self._consumer.assignment():
            return None
        watermark = self._consumer.highwater(TopicPartition(*partition))
        return None if watermark is None else int(watermark)

    def seek(self, partition: Partition, offset: int) -> None:
        assert self._consumer is not None, "seek comes after start"
        if TopicPartition(*partition) in self._consumer.assignment():
            if not self._sought:
                self._answered_at = asyncio.get_running_loop().time()
            self._sought.add(partition)
            self._moved.add(partition)
            self._consumer.seek(TopicPartition(*partition), offset)

    # ---------------------------------------------------------------- flow

    def pause(self, partitions: Collection[Partition]) -> None:
        assert self._consumer is not None, "pause comes after start"
        self._paused |= set(partitions)
        self._consumer.pause(*(p for p in self._consumer.assignment() if Partition(*p) in self._paused))

    def resume(self, partitions: Collection[Partition]) -> None:
        assert self._consumer is not None, "resume comes after start"
        self._paused -= set(partitions)
        stopped = {Partition(*p) for p in self._consumer.paused()} & set(partitions)
        self._consumer.resume(*(TopicPartition(*p) for p in stopped if p not in self._unreadable.quarantine))

    def _release_due(self, consumer: AIOKafkaConsumer, now: float) -> None:
        for partition in self._unreadable.quarantine.take_due(now):
            if partition not in self._paused and TopicPartition(*partition) in consumer.assignment():
                consumer.resume(TopicPartition(*partition))

    # ---------------------------------------------------------------- facts about this member

    def silent_s(self) -> float:
        """Seconds since the broker last answered a fetch of a partition that is read; 0 without such partitions."""
        assert self._consumer is not None, "silent_s comes after start"
        read = self._consumer.assignment() - self._consumer.paused()
        now = asyncio.get_running_loop().time()
        # The client notes when an answer came, by the wall clock, which may jump: only a change counts.
        newest = max((self._consumer.last_poll_timestamp(p) or 0 for p in read), default=0)
        if newest != self._newest_answer or not read or self._buffer.partitions():
            self._newest_answer, self._answered_at = newest, now
        return now - self._answered_at

    def missing_topics(self) -> list[str]:
        """Returns the input topics, of those given by name, that the cluster did not have at the last request."""
        assert self._consumer is not None, "missing_topics comes after start"
        return [name for name in names_of(self._settings) if self._consumer.partitions_for_topic(name) is None]

    def _silence(self) -> float:
        """Returns the longest time since the assignment for which this member may not have reached its group."""
        unlooked_s = asyncio.get_running_loop().time() - self._looked_at
        return max(self._longest_gap_s, unlooked_s, self.silent_s())

    # ---------------------------------------------------------------- begin and end

    async def stop(self) -> None:
        if self._membership is not None:
            await self._membership.leave()
        stops = (self._consumer and self._consumer.stop, self._admin and self._admin.close)
        await asyncio.gather(*(stopped(stop()) for stop in stops if stop))
        self._consumer = self._admin = self._membership = None

    def _forget(self) -> None:
        """Drops what belongs to revoked partitions; a rebalance revokes all of them."""
        self._sought.clear()
        self._moved.clear()
        self._unreadable.clear()
        self._polls.forget()
        self._incarnations.clear()
        self._pending.clear()
        self._paused.clear()
        self._longest_gap_s = 0.0

    async def _look_for(self, topics: Sequence[str]) -> None:
        """Logs the topics that do not exist yet. Raises for those that this client may not see."""
        errors = (await self._client.describe(topics)).errors if topics else {}
        for topic, code in errors.items():
            if code == TOPIC_REFUSED:
                raise TopicAuthorizationFailedError(topic)
            if code == UNKNOWN_TOPIC:
                log.warning("input_topic_missing", topic=topic, hint="it is read as soon as it is created")
