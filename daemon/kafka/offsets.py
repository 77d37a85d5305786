"""Reads and commits the group's offsets, and reads the bounds of partitions with the identity of their topics.

- The admin client overlooks an answer that is an error as a whole and returns that nothing is committed; see
  `committed`.
- The consumer's own `commit` refuses while a pattern's topics change, although the group still takes the commit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CommitFailedError,
    InvalidCommitOffsetSizeError,
    KafkaError,
    OffsetMetadataTooLargeError,
)
from aiokafka.structs import OffsetAndMetadata

from logwarden.daemon.errors import BrokerUnavailable, FatalError
from logwarden.daemon.kafka.client import EARLIEST, LATEST, ReadingClient
from logwarden.daemon.kafka.connection import reason, translated
from logwarden.daemon.kafka.incarnations import Incarnations
from logwarden.daemon.records import Bounds, Committed, Partition
from logwarden.daemon.settings.kafka import KafkaSettings


class GroupOffsets:
    """The offsets of one group, and of the partitions that it reads."""

    def __init__(
        self,
        settings: KafkaSettings,
        consumer: AIOKafkaConsumer,
        client: ReadingClient,
        admin: AIOKafkaAdminClient,
        incarnations: Incarnations,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._client = client
        self._admin = admin
        self._incarnations = incarnations

    async def committed(self, partitions: Sequence[Partition] | None) -> Mapping[Partition, Committed]:
        """See `Source.committed`."""
        # Only the admin client returns the metadata; without names it would return all groups' partitions.
        wanted = (
            self._of_the_group() if partitions is None else [TopicPartition(*partition) for partition in partitions]
        )
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

    def _of_the_group(self) -> list[TopicPartition]:
        topics = self._consumer.subscription()
        return [TopicPartition(topic, n) for topic in topics for n in self._consumer.partitions_for_topic(topic) or ()]

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        """See `Source.bounds`. Reading of these topics begins with the identities that are found now."""
        wanted = [TopicPartition(*partition) for partition in partitions]
        topics = {partition.topic for partition in partitions}
        try:
            identities = await self._client.identify(topics)  # first: offsets of a later topic are then noticed
            earliest = await self._client.offsets(wanted, EARLIEST)
            end = await self._client.offsets(wanted, LATEST)
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error
        self._incarnations.note(topics, identities)
        return {Partition(*p): Bounds(earliest[p], end[p], identities.get(p.topic, "")) for p in wanted}

    async def replaced_topics(self, partitions: Collection[Partition]) -> set[str]:
        """Requests identities, and returns the topics that are not those any more with which reading began."""
        return self._incarnations.replaced(await self._client.identify({p.topic for p in partitions}))

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        """See `Source.commit`. Leaves out partitions of a topic that was created again.

        Whatever was read before the broker's answer is of the topics that it names. So no line of a new topic is
        committed as one of the old topic.
        """
        try:
            replaced = await self.replaced_topics(positions)
            offsets = {
                TopicPartition(*p): OffsetAndMetadata(c.offset, c.metadata)
                for p, c in positions.items()
                if p.topic not in replaced
            }
            await self._consumer._coordinator.commit_offsets(None, offsets)
        except (OffsetMetadataTooLargeError, InvalidCommitOffsetSizeError) as error:
            raise FatalError(
                f"the Kafka broker refused the metadata of a commit: {reason(error)}",
                hint="set the broker's offset.metadata.max.bytes to its default, 4096",
            ) from error
        except CommitFailedError as error:  # a rebalance overtook it: the next owner repeats the work
            raise BrokerUnavailable(self._settings.bootstrap_servers, reason(error)) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error
