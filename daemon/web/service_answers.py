"""Defines the answer of `GET /api/v1/services`, of one member and of a group. Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

from logwarden.daemon.web.api import MemberFacts, PartitionFacts
from logwarden.daemon.web.service_history import HistoryFacts

Key = tuple[str, str, int]
"""Name, topic and partition of a service: its place in the list."""


class AlertSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The newest alert of a service."""

    timestamp: str | None
    score: float


class ServiceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One service of one partition."""

    name: str
    topic: str
    partition: int
    state: Literal["learning", "known", "noisy"]
    """`learning`: too little was logged for an alert. `noisy`: new lines are so common that novelty is no evidence."""
    progress: float
    """Share of the learning that is done, 0 to 1."""
    lines: int
    """Lines counted so far."""
    known_lines: int
    """Distinct masked lines."""
    lines_per_minute: int
    """Lines that were read within the last minute."""
    last_seen: str | None
    """Time of the newest line since its member has the service in memory."""
    last_alert: AlertSummary | None
    """The newest alert since its member has the partition."""
    history: HistoryFacts | msgspec.UnsetType = msgspec.UNSET
    """Not in the answer unless the request wants it."""

    @property
    def key(self) -> Key:
        """Its place in the list."""
        return self.name, self.topic, self.partition


class StateCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Services by state, whatever the request chose."""

    learning: int
    known: int
    noisy: int


class MemberSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the group, and whether its services are in the answer."""

    name: str
    """Host and process; of a member that publishes no name, its host and its id in the group."""
    partitions: tuple[PartitionFacts, ...]
    version: str | None = None
    as_of: str | None = None
    """Time of its figures."""
    states: StateCounts | None = None
    lines_per_minute: int | None = None
    missing: str | None = None
    """Why its services are not in the answer; null where they are. Without them the facts above are null."""


class ServicesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `/api/v1/services`."""

    member: MemberFacts
    """The member that answers."""
    as_of: str | None
    """Time of the figures, the oldest where they are of several members."""
    states: StateCounts
    lines_per_minute: int
    """Lines of all services that were read within the last minute."""
    total: int
    """Services that the request chose, of which this page shows some."""
    services: tuple[ServiceEntry, ...]
    """By name, topic and partition."""
    next: str | None
    """Value of `after` for the next page; null on the last one."""
    members: tuple[MemberSummary, ...] = ()
    """The group, beginning with the member that answers. Empty with `scope=member`."""
    note: str = ""
    """Why services may be missing; empty when none are."""
