"""Names what the bridge needs of a destination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from logwarden.daemon.bridges.notice import Notice
from logwarden.daemon.incidents.incident import IncidentRecord


class Destination(Protocol):
    """Where incidents go. Each has a file of its own."""

    @property
    def name(self) -> str:
        """Name in settings, metrics and groups."""

    @property
    def at_once(self) -> int:
        """Notices that may be on their way at a time."""

    @property
    def round_trips(self) -> int:
        """Answers that one notice waits for, each with a time limit of its own."""

    @property
    def all_updates(self) -> bool:
        """True if it gets every state of an incident; False if only the first, those that are worse, and the end."""

    @property
    def remind_s(self) -> float | None:
        """Seconds between reminders of open incidents; None if it remembers them by itself."""

    async def deliver(self, notice: Notice) -> None:
        """Sends a notice. Raises DestinationUnavailable to be called again, NoticeRefused if that is no use."""

    async def remind(self, records: Sequence[IncidentRecord]) -> None:
        """Sends open incidents again. Raises what `deliver` raises."""

    async def close(self) -> None:
        """Closes the connections."""
