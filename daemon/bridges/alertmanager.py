"""Sends incidents to Alertmanager's API v2 as alerts.

Alertmanager knows an alert by its labels, and forgets alerts at a restart. So an open incident is sent again and again,
each time with an end that lies ahead: if the bridge and its successor stay away, Alertmanager ends the alert then. The
severity is a label, because routes choose by it: an incident that gets more severe is an alert of other labels, and the
one before is ended in the same request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from logwarden.daemon.bridges.notice import Action, Notice, Quoting, ending_of, one_line, seen_ms, services_of
from logwarden.daemon.bridges.posting import Poster
from logwarden.daemon.errors import DestinationUnavailable, NoticeRefused
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.incidents.writing import rfc3339
from logwarden.daemon.ports import Clock

PATH = "/api/v2/alerts"
_AT_A_TIME = 64
"""Alerts of a reminder's request."""


class Alertmanager:
    """The destination: one Alertmanager, or all members of a cluster, of which one has to take an alert."""

    name, at_once, round_trips, all_updates = "alertmanager", 8, 1, True

    def __init__(
        self,
        urls: Sequence[str],
        poster: Poster,
        quoting: Quoting,
        clock: Clock,
        *,
        remind_s: float,
        hold_s: float,
        authorization: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._urls = [url.rstrip("/") + PATH for url in urls]
        self._poster = poster
        self._quoting = quoting
        self._clock = clock
        self.remind_s: float | None = remind_s
        self._hold_ms = round(1000 * hold_s)
        self._authorization = authorization

    async def deliver(self, notice: Notice) -> None:
        now_ms = self._clock.now_ms()
        is_open = notice.action is Action.TRIGGER
        alerts = [alert_of(notice.record, self._quoting, now_ms, self._hold_ms if is_open else 0)]
        before = notice.announced
        if before is not None and labels_of(before) != labels_of(notice.record):
            alerts.append(alert_of(before, self._quoting, now_ms, 0))
        await self._post(alerts)

    async def remind(self, records: Sequence[IncidentRecord]) -> None:
        now_ms = self._clock.now_ms()
        for begin in range(0, len(records), _AT_A_TIME):
            part = records[begin : begin + _AT_A_TIME]
            await self._post([alert_of(record, self._quoting, now_ms, self._hold_ms) for record in part])

    async def close(self) -> None:
        await self._poster.close()

    async def _post(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Sends to all members. Raises the first error if none of them took the alerts."""
        secret = self._authorization()
        headers = {} if secret is None else {"Authorization": secret}
        body = msgspec.json.encode(alerts)
        posts = [self._poster.post(url, body, headers) for url in self._urls]
        outcomes = await asyncio.gather(*posts, return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        unexpected = [error for error in errors if not isinstance(error, DestinationUnavailable | NoticeRefused)]
        if unexpected or len(errors) == len(outcomes):
            raise next(iter(unexpected), errors[0])


def labels_of(record: IncidentRecord) -> dict[str, str]:
    """Returns the labels that identify and route an alert. A label without a value is left out, as Prometheus does."""
    facts = record.logwarden
    labels = {
        "alertname": "LogwardenIncident",
        "incident": record.id,
        "service": one_line(record.service.name, 200),
        "severity": facts.severity,
        "system": one_line(facts.system, 200),
        "planned": "true" if facts.planned is not None else "",
    }
    return {name: value for name, value in labels.items() if value}


def alert_of(record: IncidentRecord, quoting: Quoting, now_ms: int, hold_ms: int) -> dict[str, Any]:
    """Returns the alert of an incident, which ends in `hold_ms` unless it is sent again. 0: it has ended.

    A begin in the future, by the clock of another machine, would be refused together with an end of now.
    """
    facts = record.logwarden
    began_ms = seen_ms(facts.first_seen)
    annotations = {
        "summary": quoting.summary(record),
        "description": quoting.details(record),
        "services": services_of(record),
        "kinds": ", ".join(facts.kinds),
        "alerts": str(facts.alerts),
        "last_seen": facts.last_seen or "",
        "resolution": ending_of(record),
    }
    alert: dict[str, Any] = {
        "labels": labels_of(record),
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": rfc3339(now_ms if began_ms is None else min(began_ms, now_ms)) or rfc3339(now_ms),
        "endsAt": rfc3339(now_ms + hold_ms),
    }
    link = quoting.link_to(record)
    return alert | ({"generatorURL": link} if link else {})
