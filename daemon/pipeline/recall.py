"""Reads what the state topic has about new assignments, within a bounded time.

Runs on the event loop. Where the topic cannot be read, the assignments begin without memory and write none, so that
what the topic has is not lost: scoring never waits for longer than `LONGEST_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import structlog

from logwarden.daemon.errors import BrokerUnavailable, TopicUnusable
from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Entries
from logwarden.daemon.state.choice import Choice, Marks, Place

log = structlog.get_logger(__name__)

QUIET_S = 10.0
"""Seconds without any record after which the topic is taken for unreadable."""
RETRY_S = 1.0
"""Seconds between two attempts."""
LONGEST_S = 60.0
"""Seconds that reading may take in all."""


class Recall:
    """Reads for each rebalance. `group` and `masks` are those of the records that count."""

    def __init__(self, ports: Ports, lifetime: Lifetime, *, group: str, masks: str) -> None:
        self._state = ports.state
        self._clock = ports.clock
        self._telemetry = ports.telemetry
        self._health = ports.health
        self._lifetime = lifetime
        self._group = group
        self._masks = masks

    async def choice(self, marks: Mapping[Place, Marks]) -> Choice | None:
        """Returns the records that count for these partitions. Returns None if the topic cannot be read."""
        choice = self._empty(marks)
        if self._state is None or not marks:
            return choice
        deadline = self._now() + LONGEST_S
        error: Exception = TimeoutError()
        while self._now() < deadline and self._lifetime.phase < Phase.DRAINING:
            choice = self._empty(marks)
            try:
                await self._read(choice, {place.partition for place in marks}, deadline)
            except TopicUnusable as raised:
                error = raised
                break  # until an operator acts
            except BrokerUnavailable as raised:
                error = raised
                log.warning("state_unavailable", error=str(raised), retry_in_s=RETRY_S)
                await self._clock.sleep(RETRY_S)
            except Exception as raised:  # whatever it is: the lines are more important than the memory
                error = raised
                break
            else:
                self._report(choice)
                return choice
        self._report_failure(error)
        return None

    def _empty(self, marks: Mapping[Place, Marks]) -> Choice:
        return Choice(marks, group=self._group, masks=self._masks)

    async def _read(self, choice: Choice, partitions: Collection[int], deadline: float) -> None:
        assert self._state is not None, "without a state topic there is nothing to read"
        async with asyncio.timeout_at(min(deadline, self._now() + QUIET_S)) as scope:

            def take(entries: Entries) -> None:
                choice.take(entries)
                scope.reschedule(min(deadline, self._now() + QUIET_S))

            await self._state.read(partitions, take)

    def _report(self, choice: Choice) -> None:
        self._health.without_memory.pop("read", None)
        for reason, records in choice.passed_over.items():
            self._telemetry.state_unreadable(reason, records)
            hint = "their services come back from an earlier record, or learn again"
            log.warning("state_records_passed_over", reason=reason, records=records, hint=hint)
        if choice.left_out:
            self._telemetry.state_forgotten(choice.left_out)
            self._health.services_forgotten += choice.left_out
            log.warning(
                "services_forgotten", services=choice.left_out, hint="the state of so many takes too much memory"
            )

    def _report_failure(self, error: Exception) -> None:
        sentence = str(error) or f"the state topic was not read within {QUIET_S:g} s"
        hint = getattr(error, "hint", "") or "services learn again until a restart or a rebalance finds it readable"
        self._telemetry.state_failed("read")
        self._health.forgets("read", sentence, hint)
        log.error("state_not_read", error=sentence, hint=hint, kind=type(error).__name__)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
