"""Gives feedback for people: reads what the topic has, writes one record, and removes what ended long ago.

The command line and the HTTP API share it. A record counts as given once all in-sync replicas have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from logwarden.daemon.errors import BrokerUnavailable, ConfigurationError, LogwardenError, TopicUnusable
from logwarden.daemon.feedback.giving import (
    Entries,
    Given,
    continued,
    ended,
    in_order,
    is_over,
    judged,
    left_out,
    maintained,
    muted,
    outdated,
    refuse_too_many,
    replaced,
    shown,
    the_one,
)
from logwarden.daemon.feedback.newest import readable
from logwarden.daemon.feedback.records import FeedbackRecord, feedback_message
from logwarden.daemon.incidents.incident import IncidentRecord, decode_incident
from logwarden.daemon.ports import Clock, Sink, Transactions
from logwarden.daemon.records import Delivery, KeyedRecord
from logwarden.model.feedback import FeedbackKind

ReadAll = Callable[[], Awaitable[Sequence[KeyedRecord]]]
"""Returns all records of a topic. Raises BrokerUnavailable if it cannot be read now."""

log = structlog.get_logger(__name__)

_MAINTENANCE = "maintenance/"
_REMOVAL_S = 5.0
"""Longest time for which a person waits until feedback is removed that ended long ago."""


class FeedbackOffice:
    """`by`: who gives the feedback."""

    def __init__(
        self,
        topic: str,
        read: ReadAll,
        read_incidents: ReadAll | None,
        sink: Sink,
        transactions: Transactions,
        clock: Clock,
        *,
        by: str,
    ) -> None:
        self._topic = topic
        self._read = read
        self._read_incidents = read_incidents
        self._sink = sink
        self._transactions = transactions
        self._clock = clock
        self._by = by

    async def entries(self) -> Entries:
        """Returns all feedback by its keys."""
        return readable(await self._read())

    async def incidents(self) -> dict[str, IncidentRecord]:
        """Returns the newest record of each incident by its id."""
        if self._read_incidents is None:
            raise ConfigurationError(
                "there is no incidents topic", hint="set LOGWARDEN_KAFKA__INCIDENTS_TOPIC to the topic of the daemon"
            )
        found: dict[str, IncidentRecord] = {}
        for entry in await self._read_incidents():
            try:
                record = decode_incident(entry.value or b"")
            except ValueError:  # another producer's record, or one of another version
                continue
            known = found.get(record.id)
            if known is None or record.logwarden.revision >= known.logwarden.revision:
                found[record.id] = record
        return found

    async def judge(
        self,
        incident: str,
        kind: FeedbackKind,
        *,
        services: Sequence[str],
        for_ms: int | None,
        reason: str,
        remark: Callable[[str], None] = lambda _: None,
    ) -> Given:
        """Judges the incident whose id begins with a text.

        `remark` takes sentences about what the judgement replaces, and what it does not reach.
        """
        known = await self.incidents()
        record = known[the_one(incident, known, "incident")]
        now_ms, entries = self._clock.now_ms(), await self.entries()
        judgement = judged(record, kind, now_ms=now_ms, services=services, for_ms=for_ms, reason=reason, by=self._by)
        given = await self._give(judgement, entries)
        for sentences in (replaced(entries.get(given[0]), kind, now_ms), left_out(record, kind)):
            if sentences:
                remark(sentences)
        return given

    async def mute(self, pattern: str, *, services: Sequence[str], for_ms: int | None, reason: str) -> Given:
        """Mutes lines with this text."""
        now_ms = self._clock.now_ms()
        return await self._give(
            muted(pattern, now_ms=now_ms, services=services, for_ms=for_ms, reason=reason, by=self._by)
        )

    async def start(
        self, name: str, *, services: Sequence[str], systems: Sequence[str], for_ms: int | None, reason: str
    ) -> Given:
        """Announces a maintenance that begins now. `name`: empty for a name of its own."""
        now_ms = self._clock.now_ms()
        return await self._give(
            maintained(
                name or f"{now_ms // 1000:x}",
                now_ms=now_ms,
                services=services,
                systems=systems,
                for_ms=for_ms,
                reason=reason,
                by=self._by,
            )
        )

    async def stop(self, name: str) -> Given:
        """Ends a maintenance, or with an empty name the only one that runs."""
        now_ms, entries = self._clock.now_ms(), await self.entries()
        running = {
            key: record
            for key, record in entries.items()
            if record.kind is FeedbackKind.MAINTENANCE and not is_over(record, now_ms)
        }
        if not name and len(running) > 1:
            names = shown(*(key.removeprefix(_MAINTENANCE) for key in running))
            raise ConfigurationError(f"more than one maintenance runs: {names}", hint="name the one that is over")
        if not name and not running:
            raise ConfigurationError("no maintenance runs", hint="`logwarden maintenance list` shows those that ended")
        # By its whole name: a job whose start failed must not end another one whose name begins alike.
        key = f"{_MAINTENANCE}{name.removeprefix(_MAINTENANCE)}" if name else next(iter(running))
        if key not in running:
            raise ConfigurationError(
                f"no maintenance named {shown(name)} runs",
                hint="`logwarden maintenance list` shows those that run, and those that ended",
            )
        return await self._give((key, ended(running[key], now_ms)), entries)

    async def undo(self, name: str) -> Given:
        """Ends feedback. Lines before now keep what it did; what was judged real is removed."""
        now_ms, entries = self._clock.now_ms(), await self.entries()
        if name.startswith("file/") and not any(key.startswith(name) for key in entries):
            raise ConfigurationError(
                f"{shown(name)} is feedback of a file, and not of the topic {self._topic!r}",
                hint="take it out of the file that LOGWARDEN_FEEDBACK__FILE names",
            )
        key = _key_of(name, entries, "feedback")
        record = entries[key]
        if record.kind is FeedbackKind.REAL:
            await self._send([(key, None)])
            return key, record
        if is_over(record, now_ms):
            raise ConfigurationError(f"{shown(key)} ended at {record.until}", hint="there is nothing to undo")
        return await self._give((key, ended(record, now_ms)), entries)

    async def _give(self, given: Given, entries: Entries | None = None) -> Given:
        """Writes one record, and removes those that ended long ago."""
        if entries is None:
            entries = await self.entries()
        key, record = given
        now_ms, before = self._clock.now_ms(), entries.get(key)
        if not is_over(record, now_ms):
            others = {name: entry for name, entry in entries.items() if name != key}
            refuse_too_many(others, record.kind, now_ms)
            given = in_order(continued(given, before, now_ms), others)
        await self._send([given])
        old = [each for each in outdated(entries, now_ms) if each != key]
        if old:
            await self._remove(old)
        return given

    async def _remove(self, old: Sequence[str]) -> None:
        """Removes feedback that ended long ago, in a transaction. What fails here the next one who gives feedback does.

        Since it was read, another person or a deploy job may have given feedback under such a key. Whatever lies in
        front of the removals is read before they count, so that they never take it, whoever dies meanwhile.
        """
        try:
            async with asyncio.timeout(_REMOVAL_S), self._transactions.begin() as transaction:
                await transaction.send([feedback_message(key, None, self._topic) for key in old])
                last = readable(row for row in await transaction.read() if row.value is not None)
                if set(outdated(last, self._clock.now_ms())).issuperset(old):
                    await transaction.commit()
        except TopicUnusable as error:
            log.warning("old_feedback_not_removed", topic=self._topic, reason=str(error), hint=error.hint)
        except (LogwardenError, TimeoutError) as error:
            log.debug("old_feedback_not_removed", topic=self._topic, reason=str(error) or type(error).__name__)

    async def _send(self, rows: Sequence[tuple[str, FeedbackRecord | None]]) -> None:
        """Raises BrokerUnavailable unless the topic has all records."""
        outcomes = await self._sink.send(self._topic, [feedback_message(*row, self._topic) for row in rows])
        if any(outcome is not Delivery.ACKNOWLEDGED for outcome in outcomes):
            raise BrokerUnavailable(self._topic, "the feedback was not taken; give it again")


def _key_of(name: str, entries: Entries, what: str) -> str:
    """Returns the key that begins with a text, or whose part behind its kind does."""
    short = {key.partition("/")[2] or key: key for key in entries}
    if name in entries or any(key.startswith(name) and "/" in name for key in entries):
        return the_one(name, entries, what)
    return short[the_one(name, short, what)]
