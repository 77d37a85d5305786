"""Sends incidents to PagerDuty's Events API v2: one alert for each incident, by its deduplication key.

A repeated trigger changes the alert that is open, without a page; a resolve of an unknown key does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from logwarden.daemon.bridges.notice import Action, Notice, Quoting, ending_of, one_line, services_of
from logwarden.daemon.bridges.posting import Poster
from logwarden.daemon.errors import DestinationUnavailable
from logwarden.daemon.incidents.incident import IncidentRecord

SUMMARY_CHARS = 1_024


class PagerDuty:
    """The destination. `routing_key` is called for each request, so that a file with it may change."""

    name, at_once, round_trips, all_updates, remind_s = "pagerduty", 4, 1, False, None

    def __init__(self, url: str, poster: Poster, quoting: Quoting, routing_key: Callable[[], str | None]) -> None:
        self._url = url
        self._poster = poster
        self._quoting = quoting
        self._routing_key = routing_key

    async def deliver(self, notice: Notice) -> None:
        key = self._routing_key()
        if not key:
            raise DestinationUnavailable("PagerDuty's routing key is empty", hint="write it into its file")
        body = msgspec.json.encode({"routing_key": key, **event_of(notice, self._quoting)})
        await self._poster.post(self._url, body, {})

    async def remind(self, records: Sequence[IncidentRecord]) -> None:
        """Sends nothing: PagerDuty keeps an alert until it is resolved."""

    async def close(self) -> None:
        await self._poster.close()


def event_of(notice: Notice, quoting: Quoting) -> dict[str, Any]:
    """Returns the event of a notice, without the routing key."""
    record, facts = notice.record, notice.record.logwarden
    event: dict[str, Any] = {"event_action": notice.action.value, "dedup_key": record.id}
    if notice.action is Action.RESOLVE:
        ending = ending_of(record)
        if ending:  # PagerDuty logs the payload of an end, and requires none
            source = one_line(record.service.name, 255) or "logwarden"
            event["payload"] = {"summary": f"Resolved: {ending}", "source": source, "severity": facts.severity}
        return event
    link = quoting.link_to(record)
    payload = {
        "summary": quoting.summary(record, SUMMARY_CHARS),
        "source": one_line(record.service.name, 255) or "logwarden",
        "severity": facts.severity,
        "timestamp": facts.first_seen,
        "component": one_line(record.service.name, 255),
        "group": one_line(facts.system, 255),
        "class": ", ".join(facts.kinds),
        "custom_details": {
            "incident": record.id,
            "services": services_of(record),
            "lines": quoting.details(record).splitlines(),
            "alerts": facts.alerts,
            "last_seen": facts.last_seen,
            "recurrence": facts.recurrence,
            "planned": facts.planned is not None,
        },
    }
    event["payload"] = {name: value for name, value in payload.items() if value}
    event["client"] = "logwarden"
    return event | ({"client_url": link, "links": [{"href": link, "text": "Incident"}]} if link else {})
