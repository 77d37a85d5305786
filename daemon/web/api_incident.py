"""`GET /api/v1/incident`: one incident as it is in the topic, and earlier ones that logged the same kinds of lines."""

from __future__ import annotations

import msgspec

from logwarden.daemon.incidents.shelf import IncidentShelf
from logwarden.daemon.web.api import Endpoint
from logwarden.daemon.web.questions import Parameter, Question, Refusal

MAX_SIMILAR = 20


class SimilarIncident(msgspec.Struct, frozen=True, kw_only=True):
    """Another incident with lines of the same kind in the same services."""

    shared: int
    """Kinds of lines that both have."""
    incident: msgspec.Raw
    """Its short form."""


class IncidentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `/api/v1/incident`."""

    incident: msgspec.Raw
    """The newest record as it is in the incidents topic."""
    similar: tuple[SimilarIncident, ...]
    """Those that share the most kinds of lines first, and of them the newest; at most 20."""
    published: int
    """When the record was published, in milliseconds."""


class IncidentEndpoint:
    """Answers the endpoint from what this member has read of the incidents topic."""

    def __init__(self, shelf: IncidentShelf | None) -> None:
        """`shelf` None: there is no incidents topic."""
        self._shelf = shelf

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""
        return Endpoint(
            method="GET",
            path="/incident",
            summary="One incident, and earlier ones that logged the same kinds of lines.",
            answer=IncidentAnswer,
            reply=self.reply,
            parameters=(Parameter(name="id", meaning="Id of the incident.", is_required=True),),
        )

    async def reply(self, question: Question) -> IncidentAnswer:
        """Returns the incident. Raises Refusal if it is not kept."""
        found = None if self._shelf is None else self._shelf.get(question.text("id") or "")
        if self._shelf is None or found is None:
            message = (
                "There is no such incident, or it ended too long ago to be kept here. The incidents topic may have it."
            )
            raise Refusal(404, "no_such_incident", message)
        similar = self._shelf.similar(found)[:MAX_SIMILAR]
        return IncidentAnswer(
            incident=msgspec.Raw(found.value),
            similar=tuple(SimilarIncident(shared=n, incident=msgspec.Raw(other.brief)) for n, other in similar),
            published=found.published_ms,
        )
