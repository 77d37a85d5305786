"""Writes cuts to the state topic, as the step of a checkpoint before its offsets.

Runs on the event loop. Never holds the offsets back: a commit names only a cut that the topic has acknowledged. Where a
cut cannot be written, the next owner reads more lines again. Knows records as bytes, and nothing of what is in them.
"""

from __future__ import annotations

import asyncio

import structlog

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.pipeline.checkpoint import Positions
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Delivery, Message

log = structlog.get_logger(__name__)

PATIENCE_S = 5.0
"""Seconds that a checkpoint waits for the state topic: its offsets come after that."""
FIRST_RETRY_S, LAST_RETRY_S = 2.0, 60.0
"""Seconds between two attempts while the topic takes nothing."""


class StateWriter:
    """The step `write`. With an empty `topic` there are no journals, and it does nothing."""

    def __init__(self, ports: Ports, topic: str) -> None:
        self._sink = ports.sink
        self._clock = ports.clock
        self._telemetry = ports.telemetry
        self._health = ports.health
        self._topic = topic
        self._retry_s = FIRST_RETRY_S
        self._not_before = 0.0

    async def write(self, positions: Positions, patience_s: float) -> None:
        """Writes the cuts that may count with these positions. Reports a failure, and returns: it is tried again."""
        owners = [(assignment.journal, assignment, position) for assignment, position in positions.items()]
        messages = [
            Message(topic=self._topic, key=key, value=value, partition=assignment.partition.partition)
            for journal, assignment, position in owners
            if journal is not None
            for key, value in journal.to_write(position.offset)
        ]
        if messages:
            if self._clock.monotonic() < self._not_before:
                return
            try:
                async with asyncio.timeout(min(PATIENCE_S, patience_s)):
                    await self._send(messages)
            except Exception as error:  # whatever it is: the offsets are more important than the memory
                self._report_failure(error)
                return
        for journal, _, position in owners:
            if journal is not None:
                journal.written(position.offset)

    async def _send(self, messages: list[Message]) -> None:
        outcomes = await self._sink.send(self._topic, messages)
        if Delivery.FAILED in outcomes:
            raise BrokerUnavailable(
                "the brokers", f"{outcomes.count(Delivery.FAILED)} records of the state topic failed"
            )
        self._retry_s, self._not_before = FIRST_RETRY_S, 0.0
        self._health.without_memory.pop("write", None)
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

    def _report_failure(self, error: Exception) -> None:
        sentence = str(error) or f"the state topic {self._topic!r} took nothing for {PATIENCE_S:g} s"
        hint = getattr(error, "hint", "")
        self._not_before = self._clock.monotonic() + self._retry_s
        self._telemetry.state_failed("write")
        self._health.forgets("write", sentence, hint)
        log.warning("state_not_written", error=sentence, hint=hint, kind=type(error).__name__, retry_in_s=self._retry_s)
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
