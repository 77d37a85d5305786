"""`GET /api/v1/events`: incidents as they change, as server-sent events.

    event: all     every incident that the shelf has, at the begin and where a client is too far behind
    event: some    those that changed since the last event, and ids that were dropped

The data of both has `open` (open incidents), `note` (why they may be incomplete), `incidents` (short forms) and `gone`.
What a client was not sent yet is a set of ids: a slow client costs a set, and is sent the newest form of each.
`follow=false` ends the answer after the first event. An answer beyond `MAX_STREAMS` is refused with 503, and such a
client polls that way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec
from aiohttp import web

from logwarden.daemon.incidents.shelf import IncidentShelf, ShelvedIncident
from logwarden.daemon.ports import Clock
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.web.api import HEADERS, ROOT, Access, refused
from logwarden.daemon.web.questions import Parameter, Refusal

PATH = f"{ROOT}/events"
SUMMARY = "Short forms of all incidents, and then of those that change, as server-sent events."
FOLLOW = Parameter(
    name="follow",
    meaning="False ends the answer after the first event.",
    schema={"type": "string", "enum": ["true", "false"], "default": "true"},
)
MAX_STREAMS = 24
"""Clients that are followed at a time, of the connections that the server has."""
MAX_BEHIND = 500
"""Incidents that a client may be behind. One that is further behind is sent all of them."""
GATHER_S = 0.05
"""Seconds for which changes are gathered into one event."""
PING_S = 15.0
WRITE_TIMEOUT_S = 30.0
"""Seconds that a client has to take an event."""
PING = b": here\n\n"


class UnsentChanges:
    """What one client was not sent. Takes calls of the shelf; belongs to the event loop."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._has_all = False
        self.changed = asyncio.Event()
        self.is_over = False
        """True once the daemon ends."""

    def __len__(self) -> int:
        return len(self._ids)

    def note(self, id: str) -> None:
        """Records that an incident changed; an empty id is a change of the note."""
        if id:
            self._ids[id] = None
        if len(self._ids) > MAX_BEHIND:
            self._ids.clear()
            self._has_all = False
        self.changed.set()

    def take(self) -> list[str] | None:
        """Returns the ids that changed, and forgets them. Returns None if all incidents are to be sent."""
        ids, had_all = list(self._ids), self._has_all
        self._ids.clear()
        self._has_all = True
        self.changed.clear()
        return ids if had_all else None

    def end(self) -> None:
        """Ends the stream of the client."""
        self.is_over = True
        self.changed.set()


class EventStreams:
    """Follows a shelf for clients. `shelf` None: there is no incidents topic."""

    def __init__(self, shelf: IncidentShelf | None, settings: HttpSettings, clock: Clock) -> None:
        self._shelf = shelf
        self._access = Access(settings)
        self._clock = clock
        self._streams: set[UnsentChanges] = set()

    def routes(self) -> list[web.RouteDef]:
        """Returns the route."""
        return [web.get(PATH, self.serve)]

    def stop(self) -> None:
        """Ends every stream, so that the server's stop waits for none."""
        for unsent in self._streams:
            unsent.end()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answers one client until it leaves."""
        try:
            shelf, follows = self._checked(request)
        except Refusal as refusal:
            return refused(refusal)
        headers = {**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":  # which has no body, and a stream would write one
            return web.Response(headers=headers)
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        unsent = UnsentChanges()
        shelf.watchers.add(unsent.note)
        self._streams.add(unsent)
        try:
            await self._follow(shelf, unsent, response, follows=follows)
        finally:  # the client left, or the daemon ends
            self._streams.discard(unsent)
            shelf.watchers.discard(unsent.note)
        return response

    def _checked(self, request: web.Request) -> tuple[IncidentShelf, bool]:
        """Returns the shelf, and whether the client follows it. Raises Refusal."""
        self._access.check(request, writes=False)
        follow = request.query.get("follow", "true")
        if set(request.query) - {"follow"} or follow not in ("true", "false"):
            raise Refusal(400, "bad_parameter", "The only parameter is follow, which is true or false.")
        if self._shelf is None:
            message = "There is no incidents topic. Set LOGWARDEN_KAFKA__INCIDENTS_TOPIC, and restart the daemon."
            raise Refusal(404, "no_incidents", message)
        if follow == "true" and len(self._streams) >= MAX_STREAMS:
            message = f"{MAX_STREAMS} clients follow incidents already. Ask with follow=false from time to time."
            raise Refusal(503, "too_many_streams", message)
        return self._shelf, follow == "true"

    async def _follow(
        self, shelf: IncidentShelf, unsent: UnsentChanges, response: web.StreamResponse, *, follows: bool
    ) -> None:
        event = self._event(shelf, unsent.take())
        while True:
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await response.write(event)
            except (TimeoutError, ConnectionError):
                return
            if not follows or unsent.is_over:
                return
            event = PING
            try:
                async with asyncio.timeout(PING_S):
                    await unsent.changed.wait()
            except TimeoutError:
                continue
            if unsent.is_over:
                return
            await asyncio.sleep(GATHER_S)
            event = self._event(shelf, unsent.take())

    def _event(self, shelf: IncidentShelf, ids: Iterable[str] | None) -> bytes:
        if ids is None:
            kind, incidents, gone = b"all", shelf.kept(self._clock.now_ms()), []
        else:
            found = {id: shelf.get(id) for id in ids}
            kind, incidents = b"some", [incident for incident in found.values() if incident is not None]
            gone = [id for id, incident in found.items() if incident is None]
        return _written(kind, shelf, incidents, gone)


def _written(kind: bytes, shelf: IncidentShelf, incidents: Iterable[ShelvedIncident], gone: list[str]) -> bytes:
    """Returns an event. JSON has no line break, so that its data is one line."""
    data = {
        "open": shelf.open,
        "note": shelf.note,
        "incidents": [msgspec.Raw(incident.brief) for incident in incidents],
        "gone": gone,
    }
    return b"event: %s\ndata: %s\n\n" % (kind, msgspec.json.encode(data))
