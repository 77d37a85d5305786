"""Writes cuts to the state topic, as the step of a checkpoint before its offsets.

Runs on the event loop. A cut that cannot be written keeps the offsets back, so no commit names a cut that is not there;
alerts are published meanwhile. Knows records as bytes; knows nothing of what is in them.
"""

from __future__ import annotations

import structlog

from logwarden.daemon.errors import BrokerUnavailable, TopicUnusable
from logwarden.daemon.pipeline.checkpoint import Positions
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Delivery, Message

log = structlog.get_logger(__name__)


class StateWriter:
    """The step `write`. With an empty `topic` there are no journals, and it does nothing."""

    def __init__(self, ports: Ports, topic: str) -> None:
        self._sink = ports.sink
        self._telemetry = ports.telemetry
        self._health = ports.health
        self._topic = topic

    async def write(self, positions: Positions) -> None:
        """Writes the cuts that count with these positions. Raises BrokerUnavailable if not all are acknowledged."""
        messages = [
            Message(topic=self._topic, key=key, value=value, partition=assignment.partition.partition)
            for assignment, position in positions.items()
            if assignment.journal is not None
            for key, value in assignment.journal.to_write(position.offset)
        ]
        if messages:
            await self._send(messages)
        else:
            self.unblock()
        for assignment, position in positions.items():
            if assignment.journal is not None:
                assignment.journal.written(position.offset)

    def unblock(self) -> None:
        """Reports that nothing waits for the state topic now."""
        if self._topic:
            self._health.unblocked(self._topic)

    async def _send(self, messages: list[Message]) -> None:
        try:
            outcomes = await self._sink.send(self._topic, messages)
        except BrokerUnavailable as error:
            self._health.blocked(self._topic, str(error), error.hint if isinstance(error, TopicUnusable) else "")
            raise
        if Delivery.FAILED in outcomes:
            raise BrokerUnavailable(
                "the brokers", f"{outcomes.count(Delivery.FAILED)} records of the state topic failed"
            )
        self._health.unblocked(self._topic)
        sizes = [len(message.key or b"") + len(message.value or b"") for message in messages]
        self._telemetry.state_written(len(messages), sum(sizes))
        log.debug("state_written", records=len(messages), bytes=sum(sizes))
        for message, outcome in zip(messages, outcomes, strict=True):
            if outcome is not Delivery.ACKNOWLEDGED:  # its service keeps the record before this one
                self._telemetry.lost(self._topic)
                log.error(
                    "state_record_refused",
                    key=(message.key or b"").decode(errors="replace"),
                    bytes=len(message.value or b""),
                    outcome=outcome.value,
                    hint="raise the topic's max.message.bytes, and set its cleanup.policy to compact",
                )
