"""Buries what a destination refuses: a message with the record, the destination and the reason.

Knows neither why something is refused nor who reads the topic.
"""

from __future__ import annotations

import msgspec

from logwarden.daemon.bridges.notice import Notice
from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.incidents.writing import rfc3339
from logwarden.daemon.ports import Clock, Sink
from logwarden.daemon.records import Delivery, Message

SCHEMA_VERSION = 1


class Graveyard:
    """The topic of dead letters. `topic`: None if there is none."""

    def __init__(self, topic: str | None, sink: Sink, clock: Clock) -> None:
        self._topic = topic
        self._sink = sink
        self._clock = clock

    async def bury(self, destination: str, notice: Notice, reason: str) -> None:
        """Publishes a dead letter, without the record if the topic takes none of its size.

        Returns without one if there is no topic, or the topic refuses it for good. Raises BrokerUnavailable if the
        topic does not take it now.
        """
        if self._topic is None:
            return
        for with_record in (True, False):
            message = dead_letter(destination, notice, reason, self._topic, self._clock.now_ms(), with_record)
            [outcome] = await self._sink.send(self._topic, [message])
            if outcome is Delivery.FAILED:
                raise BrokerUnavailable(self._topic, "the dead letter was not taken")
            if outcome is not Delivery.TOO_LARGE:
                return


def dead_letter(
    destination: str, notice: Notice, reason: str, topic: str, now_ms: int, with_record: bool = True
) -> Message:
    """Returns the message of a dead letter."""
    record = notice.record
    value = {
        "schema_version": SCHEMA_VERSION,
        "@timestamp": rfc3339(now_ms),
        "destination": destination,
        "action": notice.action.value,
        "reason": reason,
        "incident_id": record.id,
        "revision": record.logwarden.revision,
        "incident": record if with_record else None,
    }
    headers = (("content-type", b"application/json"), ("destination", destination.encode()))
    return Message(topic=topic, key=record.id.encode(), value=msgspec.json.encode(value), headers=headers)
