"""A feedback topic in memory, and an office that writes to it, for tests of those who give feedback."""

from __future__ import annotations

from collections.abc import Sequence

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.incidents.incident import IncidentRecord
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
        self.incidents = [(one.id.encode(), one.encode()) for one in incidents] + [(b"x", b"nonsense")]
        self.office = FeedbackOffice("feedback", self.read, self.read_incidents, self.sink, self.clock, by="ann")

    async def read(self) -> Sequence[tuple[bytes, bytes | None]]:
        return [(message.key or b"", message.value) for batch in self.sink.sent for message in batch]

    async def read_incidents(self) -> Sequence[tuple[bytes, bytes | None]]:
        return self.incidents
