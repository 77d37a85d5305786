"""`GET /api/v1/incidents`: open incidents and those that ended within a day, of all members."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from logwarden.daemon.incidents.shelf import IncidentShelf, ShelvedIncident
from logwarden.daemon.incidents.writing import rfc3339
from logwarden.daemon.ports import Clock
from logwarden.daemon.web.api import Endpoint, MemberFacts
from logwarden.daemon.web.questions import Listing, Question, Refusal, WordChoice, encoded_cursor
from logwarden.model.schema import AlertKind

LISTING = Listing(
    choices=(
        WordChoice(
            name="severity",
            meaning="Only incidents of this severity.",
            words=("critical", "error", "warning", "info"),
        ),
        WordChoice(name="state", meaning="Only incidents in this state.", words=("open", "resolved", "expired")),
        WordChoice(name="kind", meaning="Only incidents with an alert of this kind.", words=tuple(AlertKind)),
    ),
    since="Only incidents with an alert since then",
    limit=50,
    most=500,
)


class IncidentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `/api/v1/incidents`."""

    member: MemberFacts
    as_of: str | None
    note: str
    """Why the incidents may be incomplete; empty when they are not."""
    open: int
    """Open incidents of all services, whatever the request chose."""
    total: int
    """Incidents that the request chose, of which this page shows some."""
    incidents: tuple[msgspec.Raw, ...]
    """The newest record of each as it is in the incidents topic, that with the newest alert first."""
    next: str | None
    """Value of `after` for the next page; null on the last one."""


class IncidentsEndpoint:
    """Answers the endpoint from what this member has read of the incidents topic."""

    def __init__(self, member: Callable[[], MemberFacts], clock: Clock, shelf: IncidentShelf | None) -> None:
        """`shelf` None: there is no incidents topic."""
        self._member = member
        self._clock = clock
        self._shelf = shelf

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""
        return Endpoint(
            method="GET",
            path="/incidents",
            summary="Open incidents and those that ended within a day, of all members, newest alert first.",
            answer=IncidentsAnswer,
            reply=self.reply,
            parameters=LISTING.parameters,
        )

    async def reply(self, question: Question) -> IncidentsAnswer:
        """Returns a page of incidents."""
        now_ms = self._clock.now_ms()
        selection = LISTING.selection(question, now_ms, tuple[int, str])
        if self._shelf is None:
            message = "There is no incidents topic. Set LOGWARDEN_KAFKA__INCIDENTS_TOPIC, and restart the daemon."
            raise Refusal(404, "no_incidents", message)
        found = self._shelf.select(
            now_ms,
            statuses=selection.words["state"],
            severities=selection.words["severity"],
            kinds=selection.words["kind"],
            chosen=selection.chosen,
            since_ms=selection.since_ms,
        )
        after = selection.after
        left = found if after is None else [incident for incident in found if _key(incident) > after]
        page = left[: selection.limit]
        return IncidentsAnswer(
            member=self._member(),
            as_of=rfc3339(now_ms),
            note=self._shelf.note,
            open=self._shelf.open,
            total=len(found),
            incidents=tuple(msgspec.Raw(incident.value) for incident in page),
            next=encoded_cursor(_key(page[-1])) if len(page) < len(left) else None,
        )


def _key(incident: ShelvedIncident) -> tuple[int, str]:
    return -incident.seen_ms, incident.id
