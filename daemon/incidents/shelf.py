"""Keeps the incidents that people look at, bounded in number and bytes: open ones, and those that ended lately.

A projection of the incidents topic: the newest record of each id, as the bytes that were published. Pure; does not know
who reads the topic. Belongs to the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Set
from dataclasses import dataclass

from logwarden.daemon.incidents.brief import brief_of
from logwarden.daemon.incidents.incident import decode_incident
from logwarden.daemon.incidents.writing import milliseconds

MAX_INCIDENTS = 2_000
MAX_BYTES = 16 * 1024 * 1024
RECENT_MS = 24 * 3_600_000
"""Age of the last record up to which an incident that ended is news."""
KEPT_MS = 30 * RECENT_MS
"""Age up to which one is kept, within the other bounds, so that a later incident finds it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelvedIncident:
    """One incident, with what people choose by."""

    id: str
    status: str
    severity: str
    kinds: tuple[str, ...]
    services: tuple[str, ...]
    seen_ms: int
    """Time of its last alert; that of publication if its lines have no time."""
    published_ms: int
    value: bytes
    """The record as it was published."""
    brief: bytes
    """Its short form, as JSON."""
    lines: frozenset[str] = frozenset()
    """Its services with their kinds of lines."""


class IncidentShelf:
    """The incidents. `now_ms` is the wall clock."""

    def __init__(self, *, max_incidents: int = MAX_INCIDENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_incidents = max_incidents
        self._max_bytes = max_bytes
        self._incidents: dict[str, ShelvedIncident] = {}
        self._bytes = 0
        self._note = "The incidents are being read."
        self.watchers: set[Callable[[str], None]] = set()
        """Called with the id of each incident that changes or is dropped, and with an empty text for another note."""

    @property
    def note(self) -> str:
        """Returns the sentence why the incidents may be incomplete; empty when they are not."""
        return self._note

    @note.setter
    def note(self, sentence: str) -> None:
        if sentence != self._note:
            self._note = sentence
            self._notify("")

    def get(self, id: str) -> ShelvedIncident | None:
        """Returns the incident of this id. Returns None if it is not kept."""
        return self._incidents.get(id)

    def put(self, key: bytes, value: bytes | None, published_ms: int) -> None:
        """Takes a record of the topic; None deletes. A record that is no incident of this version is left out."""
        self._drop(key.decode("utf-8", "replace"))
        if value is None:
            return
        try:
            record = decode_incident(value)
            last = record.logwarden.last_seen
            seen_ms = published_ms if last is None else milliseconds(last)
        except (ValueError, OverflowError):
            return
        facts = record.logwarden
        self._drop(record.id)
        self._incidents[record.id] = ShelvedIncident(
            id=record.id,
            status=facts.status,
            severity=facts.severity,
            kinds=facts.kinds,
            services=tuple(service.name for service in facts.services),
            seen_ms=seen_ms,
            published_ms=published_ms,
            value=value,
            brief=brief_of(record, published_ms).encode(),
            lines=frozenset(line.dedup_key for line in facts.lines),
        )
        self._bytes += len(value)
        self._notify(record.id)
        self._bound()

    @property
    def open(self) -> int:
        """Open incidents."""
        return sum(incident.status == "open" for incident in self._incidents.values())

    def select(
        self,
        now_ms: int,
        *,
        statuses: Collection[str] = (),
        severities: Collection[str] = (),
        kinds: Set[str] = frozenset(),
        chosen: Callable[[str], bool] | None = None,
        since_ms: int | None = None,
    ) -> list[ShelvedIncident]:
        """Returns the incidents of these statuses and severities, newest alert first.

        Each has an alert of one of these kinds, and a service that is chosen. An empty collection chooses all. Without
        `since_ms` they are those that are open or ended lately.
        """
        oldest_ms = now_ms - RECENT_MS if since_ms is None else 0
        found = [
            incident
            for incident in self.kept(now_ms)
            if (incident.status == "open" or incident.published_ms >= oldest_ms)
            and (not statuses or incident.status in statuses)
            and (not severities or incident.severity in severities)
            and (not kinds or not kinds.isdisjoint(incident.kinds))
            and (since_ms is None or incident.seen_ms >= since_ms)
            and (chosen is None or any(map(chosen, incident.services)))
        ]
        return sorted(found, key=lambda incident: (-incident.seen_ms, incident.id))

    def kept(self, now_ms: int) -> list[ShelvedIncident]:
        """Returns every incident, in no order. Drops those that ended long ago."""
        for incident in list(self._incidents.values()):
            if incident.status != "open" and incident.published_ms < now_ms - KEPT_MS:
                self._drop(incident.id)
        return list(self._incidents.values())

    def similar(self, incident: ShelvedIncident) -> list[tuple[int, ShelvedIncident]]:
        """Returns other incidents with the number of lines that they share with this one, most and newest first."""
        shared = [(len(incident.lines & other.lines), other) for other in self._incidents.values()]
        found = [(count, other) for count, other in shared if count and other.id != incident.id]
        return sorted(found, key=lambda one: (-one[0], -one[1].seen_ms, one[1].id))

    def _bound(self) -> None:
        """Drops incidents beyond the bounds: those that ended first, of these the ones published first."""
        while len(self._incidents) > self._max_incidents or self._bytes > self._max_bytes:
            # A quarter at once: a sort at each record of a long topic would take minutes.
            order = sorted(self._incidents.values(), key=lambda one: (one.status == "open", one.published_ms))
            for incident in order[: max(1, len(order) // 4)]:
                self._drop(incident.id)

    def _drop(self, id: str) -> None:
        incident = self._incidents.pop(id, None)
        if incident is not None:
            self._bytes -= len(incident.value)
            self._notify(id)

    def _notify(self, id: str) -> None:
        for watcher in list(self.watchers):
            watcher(id)
