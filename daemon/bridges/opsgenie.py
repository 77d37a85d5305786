"""Sends incidents to the Alert API of Opsgenie, which Jira Service Management offers as well.

The alias of an alert is the incident's id: a repeated creation counts up the alert that is open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from logwarden.daemon.bridges.notice import Action, Notice, Quoting, ending_of, one_line, services_of
from logwarden.daemon.bridges.posting import Poster
from logwarden.daemon.errors import DestinationUnavailable
from logwarden.daemon.incidents.incident import IncidentRecord

MESSAGE_CHARS, DESCRIPTION_CHARS, ENTITY_CHARS, TAG_CHARS, MAX_TAGS = 130, 15_000, 512, 50, 20
PRIORITIES = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}


class Opsgenie:
    """The destination. `api_key` is called for each request, so that a file with it may change."""

    name, at_once, round_trips, all_updates, remind_s = "opsgenie", 4, 1, False, None

    def __init__(self, url: str, poster: Poster, quoting: Quoting, api_key: Callable[[], str | None]) -> None:
        self._url = url.rstrip("/")
        self._poster = poster
        self._quoting = quoting
        self._api_key = api_key

    async def deliver(self, notice: Notice) -> None:
        key = self._api_key()
        if not key:
            raise DestinationUnavailable("Opsgenie's API key is empty", hint="write it into its file")
        url, body = self._url, alert_body(notice.record, self._quoting)
        if notice.action is Action.RESOLVE:
            url = f"{url}/{quote(notice.record.id, safe='')}/close?identifierType=alias"
            body = {"source": "logwarden", "note": note_of(notice.record)}
        await self._poster.post(url, msgspec.json.encode(body), {"Authorization": f"GenieKey {key}"})

    async def remind(self, records: Sequence[IncidentRecord]) -> None:
        """Sends nothing: Opsgenie keeps an alert until it is closed."""

    async def close(self) -> None:
        await self._poster.close()


def note_of(record: IncidentRecord) -> str:
    """Returns the note with which an alert is closed."""
    ending = ending_of(record)
    return f"logwarden: the incident is {record.logwarden.status}" + (f", {ending}" if ending else "")


def alert_body(record: IncidentRecord, quoting: Quoting) -> dict[str, Any]:
    """Returns the body that creates an alert, within the limits of the API."""
    facts = record.logwarden
    names = [service.name for service in facts.services[: MAX_TAGS - len(facts.kinds) - 1]]
    tags = [one_line(tag, TAG_CHARS).replace(",", " ") for tag in ("logwarden", *facts.kinds, *names)]
    details = {
        "incident": record.id,
        "services": services_of(record),
        "first_seen": facts.first_seen,
        "last_seen": facts.last_seen,
        "alerts": str(facts.alerts),
        "system": one_line(facts.system, 200),
        "link": quoting.link_to(record),
    }
    link = quoting.link_to(record)
    description = quoting.details(record, DESCRIPTION_CHARS - 300) + (f"\n{link}" if link else "")
    return {
        "message": quoting.summary(record, MESSAGE_CHARS),
        "alias": record.id,
        "description": description[:DESCRIPTION_CHARS],
        "entity": one_line(record.service.name, ENTITY_CHARS),
        "source": "logwarden",
        "priority": PRIORITIES.get(facts.severity, "P3"),
        "tags": list(dict.fromkeys(tags)),
        "details": {name: value for name, value in details.items() if value},
    }
