"""A feedback topic in memory, and an office that writes to it, for tests of those who give feedback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.records import KeyedRecord, Message
from tests.fakes import FakeSink

NOW_MS = 1_795_428_600_000
"""2026-11-23T10:10Z."""


class Clock(SystemClock):
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.at = NOW_MS

    def now_ms(self) -> int:
        return self.at


class FeedbackTopic:
    """What was written, and an office for it."""

    def __init__(self, *incidents: IncidentRecord) -> None:
        self.sink, self.clock = FakeSink(), Clock()
        self.incidents = [KeyedRecord(one.id.encode(), one.encode()) for one in incidents]
        self.incidents.append(KeyedRecord(b"x", b"nonsense"))
        self.before_removal: Callable[[], None] = lambda: None
        """Runs before a transaction writes what it removes."""
        self.office = FeedbackOffice("feedback", self.read, self.read_incidents, self.sink, self, self.clock, by="ann")

    async def read(self) -> Sequence[KeyedRecord]:
        return [KeyedRecord(message.key or b"", message.value) for batch in self.sink.sent for message in batch]

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[_Transaction]:
        """Yields a transaction. See `daemon/ports.py: Transactions`."""
        yield _Transaction(self)

    async def read_incidents(self) -> Sequence[KeyedRecord]:
        return self.incidents


class _Transaction:
    """Its messages are in the topic once it is committed, at the place where they were written."""

    def __init__(self, topic: FeedbackTopic) -> None:
        self._topic = topic
        self._messages: list[Message] = []

    async def send(self, messages: Sequence[Message]) -> None:
        self._topic.before_removal()
        self._topic.sink.sent.append(self._messages)
        self._written = messages

    async def read(self) -> Sequence[KeyedRecord]:
        return [*await self._topic.read(), *(KeyedRecord(one.key or b"", one.value) for one in self._written)]

    async def commit(self) -> None:
        self._messages += self._written
