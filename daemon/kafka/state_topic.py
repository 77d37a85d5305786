"""Creates the state topic with the settings that it needs, where the operator allows it.

Knows one connected client, for the number of partitions and brokers, and makes a client of its own for the request.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from logwarden.daemon.kafka.connection import connection_options, reason, stopped
from logwarden.daemon.kafka.topics import names_of, pattern_of
from logwarden.daemon.settings.kafka import KafkaSettings

log = structlog.get_logger(__name__)

CONFIGS = {
    "cleanup.policy": "compact",
    # For an hour no record is removed, so that the one of the last commit is still there after a member that failed
    # between writing and committing.
    "min.compaction.lag.ms": "3600000",
    # Small segments, compacted early: a member that starts reads little that was replaced.
    "segment.bytes": "67108864",
    "min.cleanable.dirty.ratio": "0.2",
}
OPTIONS = "".join(f" --config {name}={value}" for name, value in CONFIGS.items())
"""The same, for the command that creates the topic."""
_LEAST_PARTITIONS = 3
_REPLICAS = 3
_TIMEOUT_S = 10.0


async def creation(client: Any, settings: KafkaSettings) -> NewTopic:
    """Returns the state topic that fits the input topics: as many partitions as the one with the most has."""
    assert settings.state_topic is not None, "without a state topic there is nothing to create"
    pattern = pattern_of(settings)
    request = MetadataRequest(names_of(settings) if pattern is None else None, allow_auto_topic_creation=False)
    found = (await client.send(client.get_random_node(), request)).to_object()
    sizes = [
        len(topic["partitions"]) for topic in found["topics"] if pattern is None or re.match(pattern, topic["topic"])
    ]
    return NewTopic(
        settings.state_topic,
        max([_LEAST_PARTITIONS, *sizes]),
        max(1, min(_REPLICAS, len(found.get("brokers", ())))),
        topic_configs=CONFIGS,
    )


def command_of(topic: NewTopic, bootstrap: str) -> str:
    """Returns the command that creates this topic."""
    return (
        f"kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {topic.name} --partitions "
        f"{topic.num_partitions} --replication-factor {topic.replication_factor}{OPTIONS}"
    )


async def create(topic: NewTopic, settings: KafkaSettings) -> str:
    """Creates the state topic. Returns why the cluster refused, or an empty text: it is there now."""
    admin = AIOKafkaAdminClient(**connection_options(settings))
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await admin.start()
            answer = await admin.create_topics([topic])
        for _, code, *_ in answer.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                raise for_code(code)(topic.name)
    except Exception as error:  # such as from a broker that only looks like Kafka: the daemon does without the topic
        log.debug("state_topic_not_created", topic=topic.name, error=reason(error))
        return reason(error)
    finally:
        await stopped(admin.close())
    log.info("state_topic_created", topic=topic.name, partitions=topic.num_partitions)
    return ""
