"""Produces to one output topic. One producer at a time; one that failed is replaced by a new one.

An idempotent producer numbers its batches, and a batch that failed leaves a gap: the broker refuses those after it, so
the order within a partition is kept, and a new producer sends them again. Messages are packed into batches here and not
in the client, so that an answer is known to be about these messages, and no batch exceeds what the topic takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnsupportedForMessageFormatError,
)
from aiokafka.partitioner import DefaultPartitioner

from logwarden.daemon.errors import TopicMissing, TopicUnusable
from logwarden.daemon.kafka import state_topic
from logwarden.daemon.kafka.connection import check_access, connection_options, reason, stopped
from logwarden.daemon.kafka.output_topic import FEEDBACK, INCIDENTS, TopicLimits, limits_of, require_topic
from logwarden.daemon.records import Delivery, Message
from logwarden.daemon.settings.kafka import KafkaSettings

log = structlog.get_logger(__name__)

_MAX_BATCH_BYTES = 512 * 1024  # each batch is a round trip; a larger one would compress for too long on the event loop
_DEFAULT_LIMIT = 1_048_588  # Kafka's own default of max.message.bytes, for brokers that do not tell
_BATCH_HEADER_BYTES = 61
_RECORD_BYTES = 21  # the most that lengths, offset and time of one record take
_ASK_AGAIN_S = 300.0
_PATIENCE_S = 3.0
"""Seconds without an answer after which the sink checks that the topic still exists."""

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
# The client knows no error 87, INVALID_RECORD, which a compacted topic answers to a record without a key: UnknownError.
_REFUSED = (InvalidTimestampError, PolicyViolationError, UnknownError, UnsupportedForMessageFormatError)


@dataclass(slots=True)
class _Batch:
    """Messages of one partition that are sent together, by their places among all messages."""

    partition: int
    size: int = _BATCH_HEADER_BYTES
    places: list[int] = field(default_factory=list)
    answer: asyncio.Future[Any] | None = None

    @property
    def is_acknowledged(self) -> bool:
        return self.answer is not None and self.answer.done() and self.error is None

    @property
    def error(self) -> BaseException | None:
        """The broker's answer, if it is an error."""
        if self.answer is None or not self.answer.done() or self.answer.cancelled():
            return None
        return self.answer.exception()


class Outlet:
    """The way to one output topic. Errors of the client come out as they are; the sink translates them."""

    def __init__(self, topic: str, settings: KafkaSettings) -> None:
        self._topic = topic
        self._settings = settings
        compacted = {
            settings.state_topic: "state",
            settings.incidents_topic: "incidents",
            settings.feedback_topic: "feedback",
        }
        self._compacted_kind = compacted.get(topic)
        """What the topic keeps, where records of one key are meant to replace each other."""
        self._producer: AIOKafkaProducer | None = None
        self._is_checked = False
        self._limits = TopicLimits()
        self._asked_at = 0.0
        self._max_bytes = _DEFAULT_LIMIT
        """Most bytes of a batch, from the broker's answer or learnt from its refusals of single messages."""
        self._batch_bytes = _MAX_BATCH_BYTES
        """Most bytes of a batch of several messages, lowered while the broker refuses larger ones."""
        self._max_messages = 1 << 30
        """Most messages of a batch; fewer while one among them is refused, until it is known which."""

    async def open(self) -> None:
        """Connects, if necessary, and finds out what the topic takes. Raises what keeps it from being written to."""
        if self._producer is None:
            await self._connect()
        assert self._producer is not None, "connected"
        if not self._is_checked:
            await self._require_topic()
            # Until the client knows the topic's partitions, every message would go to the first one.
            await self._producer.partitions_for(self._topic)
        if not self._is_checked or self._now() - self._asked_at > _ASK_AGAIN_S:
            await self._ask_limits()
        self._is_checked = True

    async def send(self, messages: Sequence[Message], outcomes: list[Delivery]) -> None:
        """Sends the messages, and writes into `outcomes` what is decided about each, also when it raises."""
        while waiting := [place for place, outcome in enumerate(outcomes) if outcome is Delivery.FAILED]:
            await self.open()
            batches = self._pack(messages, waiting, outcomes)
            error: BaseException | None = None
            try:
                await self._deliver(batches, messages)
            except (KafkaError, OSError, TimeoutError, TopicUnusable) as raised:
                error = raised
            finally:
                for batch in batches:
                    if batch.is_acknowledged:
                        for place in batch.places:
                            outcomes[place] = Delivery.ACKNOWLEDGED
            errors = [batch.error for batch in batches if batch.error is not None]
            if error is None and not errors:
                self._max_messages = min(2 * self._max_messages, 1 << 30)
                continue
            await self.close(at_once=True)
            if not self._learn(batches, outcomes):
                raise error or errors[0]

    async def close(self, *, at_once: bool = False) -> None:
        """Ends the producer. `at_once`: without waiting for its messages, which the next producer sends again.

        Its own `stop` would wait for the broker that does not answer. Cancelled half way, it would continue in the
        background, one more at each retry, as long as the outage lasts.
        """
        producer, self._producer = self._producer, None
        self._is_checked = False
        if producer is not None:
            await stopped(cut_off(producer) if at_once else producer.stop())

    # ---------------------------------------------------------------- the producer

    async def _connect(self) -> None:
        await check_access(self._settings)
        self._producer = AIOKafkaProducer(
            **connection_options(self._settings),
            acks="all",
            enable_idempotence=True,
            compression_type=None if self._settings.compression == "none" else self._settings.compression,
            max_batch_size=2 * _DEFAULT_LIMIT,  # `_pack` decides
        )
        try:
            await self._producer.start()
        except BaseException:
            await self.close(at_once=True)
            raise

    async def _require_topic(self) -> None:
        assert self._producer is not None, "connected"
        client, bootstrap = self._producer.client, self._settings.bootstrap_servers
        try:
            own = {self._settings.incidents_topic: INCIDENTS, self._settings.feedback_topic: FEEDBACK}
            options = own.get(self._topic, "")
            await require_topic(client, self._topic, bootstrap, options=options)
        except TopicMissing:
            if self._topic != self._settings.state_topic:
                raise
            topic = await state_topic.creation(client, self._settings)
            refusal = await state_topic.create(topic, self._settings) if self._settings.create_state_topic else ""
            why = f", and the broker did not create it: {refusal}" if refusal else ""
            if refusal or not self._settings.create_state_topic:
                hint = f"create it with `{state_topic.command_of(topic, bootstrap)}`"
                raise TopicMissing(self._topic, f"it does not exist{why}", hint=hint) from None

    async def _ask_limits(self) -> None:
        assert self._producer is not None, "connected"
        before, self._limits = self._limits, await limits_of(self._producer.client, self._topic)
        now = self._now()
        if self._limits.max_message_bytes is not None:
            self._max_bytes = self._limits.max_message_bytes
        elif now - self._asked_at > _ASK_AGAIN_S:  # what refusals taught may be out of date
            self._max_bytes, self._batch_bytes = _DEFAULT_LIMIT, _MAX_BATCH_BYTES
        self._asked_at = now
        if self._compacted_kind and self._limits.is_compacted is False and before.is_compacted is not False:
            log.warning(
                f"{self._compacted_kind}_topic_not_compacted",
                topic=self._topic,
                hint=f"set it by `kafka-configs.sh --alter --topic {self._topic} --add-config cleanup.policy=compact`",
            )
        if self._limits.is_compacted and not before.is_compacted and not self._compacted_kind:
            log.warning(
                "output_topic_compacted",
                topic=self._topic,
                hint="messages of one key replace each other; set the topic's cleanup.policy to delete",
            )

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # ---------------------------------------------------------------- batches

    def _pack(self, messages: Sequence[Message], waiting: Iterable[int], outcomes: list[Delivery]) -> list[_Batch]:
        """Returns the batches of the messages that wait, in order per partition; marks those that fit into none."""
        assert self._producer is not None, "connected"
        cluster = self._producer.client.cluster
        partitions = tuple(sorted(cluster.partitions_for_topic(self._topic) or (0,)))
        limit = min(self._max_bytes, self._batch_bytes)
        batches: list[_Batch] = []
        open_batches: dict[int, _Batch] = {}
        for place in waiting:
            message = messages[place]
            size = _size(message)
            if size + _BATCH_HEADER_BYTES > self._max_bytes:
                outcomes[place] = Delivery.TOO_LARGE
                continue
            if message.partition is None:
                partition = _partition(message.key, partitions)
            else:
                partition = partitions[message.partition % len(partitions)]
            batch = open_batches.get(partition)
            if batch is None or batch.size + size > limit or len(batch.places) >= self._max_messages:
                batch = open_batches[partition] = _Batch(partition)
                batches.append(batch)
            batch.places.append(place)
            batch.size += size
        return batches

    async def _deliver(self, batches: Sequence[_Batch], messages: Sequence[Message]) -> None:
        """Sends the batches and waits for every answer. Raises if the topic was deleted meanwhile."""
        assert self._producer is not None, "connected"
        lanes: dict[int, list[_Batch]] = {}
        for batch in batches:
            lanes.setdefault(batch.partition, []).append(batch)
        sending = asyncio.gather(*(self._deliver_partition(lane, messages) for lane in lanes.values()))
        try:
            while not (await asyncio.wait([sending], timeout=_PATIENCE_S))[0]:
                await self._require_topic()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)  # its children end before the producer does
        sending.result()

    async def _deliver_partition(self, batches: Sequence[_Batch], messages: Sequence[Message]) -> None:
        assert self._producer is not None, "connected"
        for batch in batches:
            builder = self._producer.create_batch()
            for place in batch.places:
                message = messages[place]
                taken = builder.append(
                    timestamp=None, key=message.key, value=message.value, headers=list(message.headers)
                )
                assert taken is not None, "the client's own limit is beyond that of every batch"
            batch.answer = await self._producer.send_batch(builder, self._topic, partition=batch.partition)
        await asyncio.wait([batch.answer for batch in batches if batch.answer is not None])

    def _learn(self, batches: Sequence[_Batch], outcomes: list[Delivery]) -> bool:
        """Decides messages that were refused alone, and makes batches smaller. Returns True if another try may help."""
        learnt = any(batch.is_acknowledged for batch in batches)
        for batch in batches:
            error = batch.error
            if isinstance(error, _TOO_LARGE) and len(batch.places) == 1:
                outcomes[batch.places[0]] = Delivery.TOO_LARGE
                self._max_bytes, learnt = min(self._max_bytes, batch.size - 1), True
            elif isinstance(error, _REFUSED) and len(batch.places) == 1:
                outcomes[batch.places[0]] = Delivery.REFUSED
                learnt = True
            elif isinstance(error, _TOO_LARGE):
                self._batch_bytes, learnt = batch.size // 2, True
            elif isinstance(error, _REFUSED):
                self._max_messages, learnt = max(1, len(batch.places) // 2), True
                log.debug("batch_refused", topic=self._topic, messages=len(batch.places), error=reason(error))
            elif isinstance(error, TopicAuthorizationFailedError):
                return False
        return learnt


def _size(message: Message) -> int:
    """Returns the most bytes that a message takes in a batch, uncompressed."""
    headers = sum(len(name.encode()) + len(value or b"") + 10 for name, value in message.headers)
    return _RECORD_BYTES + len(message.key or b"") + len(message.value or b"") + headers


@lru_cache(maxsize=4096)
def _partition(key: bytes | None, partitions: tuple[int, ...]) -> int:
    """Returns the partition of a key: as every Kafka client, so that a service stays where it is."""
    return int(DefaultPartitioner()(key, list(partitions), list(partitions)))


async def cut_off(producer: AIOKafkaProducer) -> None:
    """Ends a producer without waiting for what it sends."""
    producer._closed = True  # otherwise the client complains when the object is collected, also if this takes too long
    await producer.client.close()  # first: it fails the requests that the sender would wait for
    if producer._sender is not None:
        await producer._sender.close()
