"""Describes the consumer group: its members with their partitions and cards.

Uses connections of its own, made for one question each, as the witness does: people who look must not disturb the
consumer. The metadata of another member may contain anything.
"""

from __future__ import annotations

import struct
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError, for_code

from logwarden.daemon.kafka.connection import connection_options, stopped, translated
from logwarden.daemon.records import Partition
from logwarden.daemon.roster import GroupDescription, GroupMember, card_in
from logwarden.daemon.settings.kafka import KafkaSettings

_MALFORMED = (struct.error, ValueError, TypeError, IndexError, OverflowError, MemoryError)
"""How the client's codec fails at bytes that are no metadata."""


class KafkaGroup:
    """Implements `daemon/ports.py: GroupReader`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def describe(self) -> GroupDescription:
        """Returns the members. Raises BrokerUnavailable or BrokerRefused."""
        admin = AIOKafkaAdminClient(**connection_options(self._settings))
        try:
            await admin.start()
            [answer] = await admin.describe_consumer_groups([self._settings.group_id])
            code, _, state, _, _, members, *_ = answer.groups[0]
            if code:
                raise for_code(code)("the coordinator does not describe the group")
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error
        finally:
            await stopped(admin.close())
        return GroupDescription(members=tuple(member_of(*member) for member in members), is_stable=state == "Stable")


def member_of(member_id: str, _: str, host: str, metadata: bytes | None, assignment: bytes | None) -> GroupMember:
    """Returns a member from its fields in the coordinator's answer."""
    return GroupMember(
        member_id=member_id or "",
        host=(host or "").lstrip("/"),
        partitions=_partitions(assignment),
        card=_card(metadata),
    )


def _card(metadata: bytes | None) -> Any:
    try:
        return card_in(ConsumerProtocolMemberMetadata.decode(metadata).user_data) if metadata else None
    except _MALFORMED:
        return None


def _partitions(assignment: bytes | None) -> tuple[Partition, ...]:
    try:
        found = ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else []
    except _MALFORMED:
        return ()
    return tuple(sorted(Partition(*partition) for partition in found))
