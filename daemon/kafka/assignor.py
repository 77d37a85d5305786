"""Divides partitions as the client's round robin does, and publishes this member's card beside its subscription.

The protocol keeps its name and its rule, so that members of earlier releases, which publish nothing, share the group.
The idea is that of Kafka Streams' `application.server`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

log = structlog.get_logger(__name__)


def publishing(card: Callable[[], bytes]) -> type[RoundRobinPartitionAssignor]:
    """Returns an assignor whose members publish what `card` returns at each join."""

    class Publishing(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka ships no types
        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            try:
                published = card()
            except Exception as error:  # whatever it is: a member that cannot be asked still reads its partitions
                log.warning("no_member_card", error=str(error) or type(error).__name__)
                published = b""
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), published)

    return Publishing
