"""Reads the facts about an output topic, without creating it: its existence, the permission to see it, its limits.

Knows one connected client and one topic; refuses to know messages and producers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import structlog
from aiokafka.errors import (
    BrokerNotAvailableError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from logwarden.daemon.errors import TopicMissing, TopicUnusable

log = structlog.get_logger(__name__)

_TOPIC_RESOURCE = 2
_SIZE, _CLEANUP = "max.message.bytes", "cleanup.policy"


INCIDENTS = " --config cleanup.policy=compact,delete --config retention.ms=2592000000"
"""Options of an incidents topic: the newest record of each incident, for thirty days."""

FEEDBACK = " --config cleanup.policy=compact"
"""Options of a feedback topic: the newest record of each key, without an end."""


class TopicLimits(NamedTuple):
    """Limits of a topic. None: the broker does not report it to this client."""

    max_message_bytes: int | None = None
    """Most bytes of a batch on the wire."""
    is_compacted: bool | None = None
    """True if records of one key replace each other, so that every record needs a key."""


async def require_topic(client: Any, topic: str, bootstrap: str, *, options: str = "") -> None:
    """Raises TopicMissing if the topic does not exist, TopicUnusable if none of its partitions has a leader.

    Raises TopicAuthorizationFailedError if this client may not see it. The request forbids the broker to create the
    topic. `options`: of the command that creates it.
    """
    request = MetadataRequest([topic], allow_auto_topic_creation=False)
    response = await client.send(_node(client), request)
    described = next((found for found in response.to_object()["topics"] if found["topic"] == topic), None)
    error = UnknownTopicOrPartitionError if described is None else for_code(described["error_code"])
    if error is TopicAuthorizationFailedError:
        raise error(topic)
    partitions = described["partitions"] if described else []
    if error is UnknownTopicOrPartitionError or not partitions:
        command = f"kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {topic} --partitions 3{options}"
        raise TopicMissing(topic, "it does not exist", hint=f"create it with `{command}`")
    if all(partition["leader"] < 0 for partition in partitions):
        raise TopicUnusable(
            topic, "none of its partitions has a leader", hint="start the brokers that have its replicas"
        )


async def limits_of(client: Any, topic: str) -> TopicLimits:
    """Returns the topic's limits. The broker answers with its own default where the topic has none."""
    request = DescribeConfigsRequest([(_TOPIC_RESOURCE, topic, [_SIZE, _CLEANUP])])
    try:
        response = await client.send(_node(client), request)
    except KafkaError as error:  # an old broker, or one that only looks like Kafka
        log.debug("topic_limits_unknown", topic=topic, error=str(error))
        return TopicLimits()
    code, message, _, _, entries = response.resources[0][:5]
    if code:  # such as no permission to describe the configuration: refusals teach the limit
        log.debug("topic_limits_unknown", topic=topic, error=message or for_code(code).__name__)
        return TopicLimits()
    values = {entry[0]: entry[1] for entry in entries}
    return TopicLimits(
        max_message_bytes=int(values[_SIZE]) if values.get(_SIZE) else None,
        is_compacted="compact" in values[_CLEANUP] if values.get(_CLEANUP) is not None else None,
    )


def _node(client: Any) -> Any:
    node = client.get_random_node()
    if node is None:
        raise BrokerNotAvailableError("the client knows no broker")
    return node
