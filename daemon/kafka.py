"""Kafka, behind the ports. The only file that imports aiokafka, and the one that knows its traps.

- Raw bytes only: with a deserialiser one bad value would make `getmany` raise for ever.
- One assignor, never Sticky; rebalances are eager: each revokes everything (issues 1175, 1176 of aiokafka).
- `auto_offset_reset="none"`: positions are ours to choose, and an offset out of range is an incident, not a jump.
- `start`, `stop` and `send` can hang while brokers are down (issues 764, 773, 1101): each has a time-out.
- A consumer that is subscribed before its start waits there for topics that are not there yet: subscribe afterwards.
- The admin client overlooks an answer that is an error as a whole and says that nothing is committed; see `committed`.
- The client turns every refusal at bootstrap into "unable to bootstrap"; `check_access` asks for the reason first.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    MessageSizeTooLargeError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)
from aiokafka.helpers import create_ssl_context
from aiokafka.structs import OffsetAndMetadata

from logwarden.daemon.config import KafkaSettings, Settings
from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, ConfigurationError, FatalError, OffsetsGone
from logwarden.daemon.ports import RebalanceListener
from logwarden.daemon.records import Bounds, Committed, Message, Partition, Record

log = structlog.get_logger(__name__)

_REFUSALS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
_TOPIC_MISSING, _TOPIC_REFUSED = 3, 29
"""Kafka's error codes for a topic asked about."""
_METADATA_MAX_AGE_MS = 10_000
"""How long a topic or partition made later may stay unseen; aiokafka's default is five minutes."""
_STOP_TIMEOUT_S = 10.0
_TOPIC_TIMEOUT_S = 2.0
_MAX_BATCH_BYTES = 256 * 1024  # aiokafka's default of 16 KiB holds one or two alerts, and each batch is a round trip
_MAX_MESSAGE_BYTES = 2 * 1024 * 1024  # above the broker's default of 1 MiB, so that the broker's own setting decides


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """What every client of ours is given to reach the broker."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.client_id,
        "request_timeout_ms": settings.request_timeout_ms,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password.get_secret_value() if settings.sasl_password else None
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": password,
        }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    return options


async def check_access(settings: KafkaSettings) -> None:
    """Connects and authenticates once. BrokerRefused if a broker said no, BrokerUnavailable if none answered."""
    options = connection_options(settings)
    reason = "no address given"
    for address in settings.bootstrap_servers.split(","):
        host, _, port = address.strip().rpartition(":")
        wanted = {k: v for k, v in options.items() if k != "bootstrap_servers"}
        try:
            connection = await create_conn(host.strip("[]"), int(port), **wanted)
        except _REFUSALS as error:
            raise BrokerRefused(
                f"the Kafka broker at {address} refused the user {settings.sasl_username!r}: {_reason(error)}",
                hint="check LOGWARDEN_KAFKA__SASL_USERNAME, LOGWARDEN_KAFKA__SASL_PASSWORD and the mechanism",
            ) from None
        except (OSError, KafkaError, TimeoutError) as error:
            reason = _reason(error)
            continue
        except ValueError:
            raise ConfigurationError(
                f"LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS holds {address!r}, but must be host:port,host:port"
            ) from None
        connection.close()
        return
    raise BrokerUnavailable(settings.bootstrap_servers, reason)


class KafkaSource:
    """A member of the consumer group, reading the input topics."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None

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
            self._consumer.subscribe(list(settings.input_topics), listener=_Listener(listener))
        except (KafkaError, OSError, TimeoutError) as error:
            await self.stop()
            raise _translated(error, settings) from error
        except BaseException:
            await self.stop()
            raise

    async def fetch(self) -> Mapping[Partition, Sequence[Record]]:
        assert self._consumer is not None, "fetch comes after start"
        try:
            batch = await self._consumer.getmany(timeout_ms=self._settings.fetch_max_wait_ms)
        except NoOffsetForPartitionError:
            return {}  # a new partition, in the moment before our listener chose where to start
        except OffsetOutOfRangeError as error:
            raise OffsetsGone([Partition(*p) for p in error.args[0]]) from None
        except _REFUSALS as error:
            raise BrokerRefused(f"the Kafka broker refused to go on: {_reason(error)}") from error
        except KafkaError as error:
            if error.retriable:
                raise BrokerUnavailable(self._settings.bootstrap_servers, _reason(error)) from error
            # A task inside the client ended, or the group put us out for good: only a new client can join again.
            raise FatalError(f"the Kafka consumer cannot go on: {_reason(error)}") from error
        return {Partition(*partition): records for partition, records in batch.items()}

    async def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, Committed]:
        assert self._admin is not None, "committed comes after start"
        # Only the admin client returns the metadata; asked without names it would return all groups' partitions.
        wanted = [TopicPartition(*partition) for partition in partitions]
        try:
            found = await self._admin.list_consumer_group_offsets(self._settings.group_id, partitions=wanted)
        except (KafkaError, OSError, TimeoutError) as error:
            raise _translated(error, self._settings) from error
        if len(found) < len(wanted):
            # The broker names every partition asked for, with -1 where nothing is committed. Without them its answer
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
            raise _translated(error, self._settings) from error
        return {Partition(*p): Bounds(earliest[p], end[p]) for p in wanted}

    def end(self, partition: Partition) -> int | None:
        """The high watermark as of the last fetch; None before the first."""
        assert self._consumer is not None, "end comes after start"
        watermark = self._consumer.highwater(TopicPartition(*partition))
        return None if watermark is None else int(watermark)

    def seek(self, partition: Partition, offset: int) -> None:
        assert self._consumer is not None, "seek comes after start"
        self._consumer.seek(TopicPartition(*partition), offset)

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        assert self._consumer is not None, "commit comes after start"
        try:
            await self._consumer.commit(
                {TopicPartition(*p): OffsetAndMetadata(c.offset, c.metadata) for p, c in positions.items()}
            )
        except (KafkaError, OSError) as error:
            # A commit that a rebalance overtook is refused; the next owner starts from the one before it.
            raise BrokerUnavailable(self._settings.bootstrap_servers, _reason(error)) from error

    def pause(self) -> None:
        assert self._consumer is not None, "pause comes after start"
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        assert self._consumer is not None, "resume comes after start"
        self._consumer.resume(*self._consumer.paused())

    async def stop(self) -> None:
        for stop in (self._consumer.stop if self._consumer else None, self._admin.close if self._admin else None):
            if stop is not None:
                await _stopped(stop())
        self._consumer = self._admin = None

    async def _look_for(self, topics: Sequence[str]) -> None:
        """Says which topics are not there yet; raises for those that we may not see."""
        assert self._admin is not None, "only called from start"
        for found in await self._admin.describe_topics(list(topics)):
            if found["error_code"] == _TOPIC_REFUSED:
                raise TopicAuthorizationFailedError(found["topic"])
            if found["error_code"] == _TOPIC_MISSING:
                log.warning("input_topic_missing", topic=found["topic"], hint="it is read as soon as it is created")


class KafkaSink:
    """An idempotent producer that waits for all in-sync replicas."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connects, and says which of our topics are missing: a broker that makes topics by itself makes them now."""
        await self._connect()
        assert self._producer is not None, "connected"
        for topic in (self._settings.alerts_topic, self._settings.dead_letter_topic):
            try:
                async with asyncio.timeout(_TOPIC_TIMEOUT_S):
                    await self._producer.partitions_for(topic)
            except _REFUSALS as error:
                raise _translated(error, self._settings) from error
            except (KafkaError, OSError, TimeoutError):
                log.warning("output_topic_missing", topic=topic, hint="create it; what belongs there waits until then")

    async def send(self, messages: Sequence[Message]) -> None:
        if self._producer is None:  # an earlier send failed; its producer's sequence numbers are not to be trusted
            await self._connect()
        assert self._producer is not None, "connected"
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                for m in messages:
                    sent.append(await self._producer.send(m.topic, value=m.value, key=m.key, headers=list(m.headers)))
                await asyncio.gather(*sent)
        except MessageSizeTooLargeError as error:
            largest = max(messages, key=lambda message: len(message.value or b""))
            raise BrokerRefused(
                f"the Kafka broker refused a message of {len(largest.value or b''):,} bytes for {largest.topic!r}",
                hint="raise the topic's max.message.bytes, or lower LOGWARDEN_ALERTS__MAX_LINE_CHARS",
            ) from error
        except _REFUSALS as error:
            raise BrokerRefused(f"the Kafka broker refused to take a message: {_reason(error)}") from error
        except UnknownTopicOrPartitionError as error:
            await self._give_up()
            topics = ", ".join(sorted({message.topic for message in messages}))
            raise BrokerUnavailable(self._settings.bootstrap_servers, f"no such topic among {topics}") from error
        except (KafkaError, OSError, TimeoutError) as error:
            await self._give_up()
            raise BrokerUnavailable(self._settings.bootstrap_servers, _reason(error)) from error
        finally:
            for answer in sent:  # nobody asks for them any more
                answer.cancel()

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stopped(producer.stop())

    async def _connect(self) -> None:
        await check_access(self._settings)
        self._producer = AIOKafkaProducer(
            **connection_options(self._settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=_MAX_BATCH_BYTES,
            max_request_size=_MAX_MESSAGE_BYTES,
        )
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                await self._producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._give_up()
            raise _translated(error, self._settings) from error

    async def _give_up(self) -> None:
        """Ends a producer without waiting for what it holds: all of that is sent again by the next one.

        Its own `stop` would wait for the broker that does not answer; given up half way, it would go on in the
        background, one more at each retry, for as long as the outage lasts.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stopped(_cut_off(producer))


async def tail_topic(
    settings: Settings, topic: str, *, from_beginning: bool
) -> AsyncIterator[tuple[bytes | None, bytes]]:
    """Yields (key, value) of a topic's messages as they come, for people; commits nothing, joins no group."""
    await check_access(settings.kafka)
    consumer = AIOKafkaConsumer(
        topic,
        **connection_options(settings.kafka),
        group_id=None,
        auto_offset_reset="earliest" if from_beginning else "latest",
    )
    try:
        await consumer.start()
        async for record in consumer:
            if record.value is not None:
                yield record.key, record.value
    except (KafkaError, OSError) as error:
        raise _translated(error, settings.kafka) from error
    finally:
        await _stopped(consumer.stop())


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, listener: RebalanceListener) -> None:
        self._listener = listener

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        await self._listener.on_revoked([Partition(*p) for p in revoked])

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self._listener.on_assigned([Partition(*p) for p in assigned])


async def _stopped(stopping: Any) -> None:
    """Waits for a client to stop, but not for ever: a broker that is gone must not hold up the exit."""
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await stopping
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("client_stop_failed", error=_reason(error))


async def _cut_off(producer: AIOKafkaProducer) -> None:
    await producer.client.close()  # first: it fails the requests that the sender would wait for
    if producer._sender is not None:
        await producer._sender.close()


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = create_ssl_context(
            cafile=_path(settings.ssl_cafile),
            certfile=_path(settings.ssl_certfile),
            keyfile=_path(settings.ssl_keyfile),
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"the TLS certificates cannot be used: {_reason(error)}") from error
    assert isinstance(context, ssl.SSLContext)
    return context


def _path(value: object) -> str | None:
    return None if value is None else str(value)


def _translated(error: BaseException, settings: KafkaSettings) -> BrokerRefused | BrokerUnavailable:
    if isinstance(error, _REFUSALS):
        return BrokerRefused(f"the Kafka broker refused us: {_reason(error)}")
    return BrokerUnavailable(settings.bootstrap_servers, _reason(error))


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
