"""`GET /api/v1/window`: the alert behind a line of an incident, its record as it was written, and what came after it.

An incident names the partition and offset of the alert. The alert names those of its line in the input topic, from
which the lines after it are read. Both topics keep records for a time only: a note
states what is missing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import msgspec

from logwarden.daemon.decoding.decoder import Decoder
from logwarden.daemon.errors import LogwardenError
from logwarden.daemon.health import sentence_of
from logwarden.daemon.incidents.alert import Alert, decode_alert
from logwarden.daemon.incidents.incident import decode_incident
from logwarden.daemon.incidents.shelf import IncidentShelf
from logwarden.daemon.incidents.writing import encodable, rfc3339
from logwarden.daemon.ports import PieceReader, Worker
from logwarden.daemon.records import Partition, Record
from logwarden.daemon.settings.groups import AlertSettings
from logwarden.daemon.web.api import Endpoint
from logwarden.daemon.web.questions import Parameter, Question, Refusal
from logwarden.model.schema import truncated

AFTER_RECORDS = 400
"""Records of the input partition among which lines of the service are looked for."""
AFTER_LINES = 12
KEPT = 32
"""Windows that are kept in memory."""
TIMEOUT_S = 8.0
ALERT_GONE = "The alerts topic no longer has this alert, so only what the incident itself quotes is shown."
ALERT_OLD = "This incident was written by a release that did not name the place of its alerts."
LINE_GONE = "The input topic no longer has this line, so what came after it is not shown."


class AfterLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the service after the one that raised the alert."""

    offset: int
    index: int
    timestamp: str | None
    text: str


class WindowAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `/api/v1/window`."""

    alert: msgspec.Raw | None
    """As it is in the alerts topic, with the lines before it and what each weighs. None if the topic has it no more."""
    after: tuple[AfterLine, ...]
    """The next lines of the service, oldest first; at most 12."""
    original: str | None
    """The record as it was written, as long as alerts may quote it. None if no topic has it, or it may not."""
    note: str
    """Why parts are missing; empty when none is."""


class WindowEndpoint:
    """Answers the endpoint from the alerts topic and the input topics, one request at a time."""

    def __init__(
        self,
        shelf: IncidentShelf | None,
        pieces: PieceReader,
        worker: Worker,
        *,
        alerts_topic: str,
        limits: AlertSettings,
        decoder_for: Callable[[str], Decoder],
    ) -> None:
        """`shelf` None: there is no incidents topic. `worker`: where records are decoded."""
        self._shelf = shelf
        self._pieces = pieces
        self._worker = worker
        self._alerts_topic = alerts_topic
        self._limits = limits
        self._decoder_for = decoder_for
        self._lock = asyncio.Lock()
        self._kept: OrderedDict[str, WindowAnswer] = OrderedDict()

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""
        return Endpoint(
            method="GET",
            path="/window",
            summary="The alert behind a line of an incident, its original record, and the lines after it.",
            answer=WindowAnswer,
            reply=self.reply,
            parameters=(
                Parameter(name="incident", meaning="Id of the incident.", is_required=True),
                Parameter(name="alert", meaning="The `alert_id` of one of its lines.", is_required=True),
            ),
        )

    async def reply(self, question: Question) -> WindowAnswer:
        """Returns the window. Raises Refusal if the incident has no such line, or no broker answers."""
        alert_id = question.text("alert") or ""
        place = self._place(question.text("incident") or "", alert_id)
        if place is None:
            return _nothing(ALERT_OLD)
        try:
            async with asyncio.timeout(TIMEOUT_S), self._lock:
                known = self._kept.get(alert_id)
                if known is not None:
                    return known
                answer, is_final = await self._answer(place, alert_id)
                if is_final:
                    self._kept[alert_id] = answer
                    if len(self._kept) > KEPT:
                        self._kept.popitem(last=False)
                return answer
        except LogwardenError as error:
            message = f"{sentence_of(str(error))} {sentence_of(error.hint)}".strip()
            raise Refusal(503, "not_read", message) from None
        except TimeoutError:
            raise Refusal(503, "busy", f"The topic was not read within {TIMEOUT_S:.0f} s. Try again.") from None

    def _place(self, incident_id: str, alert_id: str) -> tuple[int, int] | None:
        """Returns partition and offset of an alert. Returns None if the incident does not name them. Raises Refusal."""
        found = None if self._shelf is None else self._shelf.get(incident_id)
        lines = () if found is None else decode_incident(found.value).logwarden.lines
        line = next((line for line in lines if line.alert_id == alert_id), None)
        if line is None:
            raise Refusal(404, "no_such_line", "There is no such incident, or none of its lines has this alert.")
        return None if line.alert_at is msgspec.UNSET else line.alert_at

    async def _answer(self, place: tuple[int, int], alert_id: str) -> tuple[WindowAnswer, bool]:
        """Returns an answer, and whether a later one would be the same."""
        records = await self._pieces.read(Partition(self._alerts_topic, place[0]), place[1], 1)
        value = next((record.value for record in records if record.offset == place[1]), None)
        try:
            alert = decode_alert(value or b"")
        except ValueError:
            return _nothing(ALERT_GONE), False
        if alert.id != alert_id or value is None:  # a topic that was created again
            return _nothing(ALERT_GONE), False
        source = alert.logwarden.source
        try:
            written = await self._pieces.read(
                Partition(source.topic, source.partition), source.last_offset, AFTER_RECORDS
            )
        except LogwardenError as error:
            note = f"What came after it is not shown. {sentence_of(str(error))} {sentence_of(error.hint)}".strip()
            return WindowAnswer(alert=msgspec.Raw(value), after=(), original=alert_original(alert), note=note), False
        found = await self._worker.run(self._lines, alert, written)
        if found is None:
            return WindowAnswer(
                alert=msgspec.Raw(value), after=(), original=alert_original(alert), note=LINE_GONE
            ), True
        answer = WindowAnswer(alert=msgspec.Raw(value), after=found, original=self._original(written[0]), note="")
        return answer, len(found) == AFTER_LINES or len(written) == AFTER_RECORDS

    def _lines(self, alert: Alert, records: Sequence[Record]) -> tuple[AfterLine, ...] | None:
        """Returns the lines of the alert's service after its newest one. Returns None if that one is not there."""
        source = alert.logwarden.source
        decoded = self._decoder_for(source.topic).decode(records)
        lines = zip(decoded.places, decoded.index, decoded.services, decoded.timestamps, decoded.lines, strict=True)
        own = [
            (records[place].offset, index, at_ms, text)
            for place, index, service, at_ms, text in lines
            if encodable(service) == alert.service.name
        ]
        newest = (source.last_offset, source.index)
        if newest not in [one[:2] for one in own]:
            return None
        return tuple(self._shown(one for one in own if one[:2] > newest))

    def _shown(self, lines: Iterator[tuple[int, int, int, bytes]]) -> Iterator[AfterLine]:
        for _, (offset, index, at_ms, text) in zip(range(AFTER_LINES), lines, strict=False):
            line = truncated(encodable(text.decode("utf-8", "replace")), self._limits.max_line_chars)
            yield AfterLine(offset=offset, index=index, timestamp=rfc3339(at_ms) if at_ms >= 0 else None, text=line)

    def _original(self, record: Record) -> str | None:
        most = self._limits.max_original_chars
        if not most:
            return None
        return truncated((record.value or b"")[: 4 * most].decode("utf-8", "replace"), most)


def alert_original(alert: Alert) -> str | None:
    """Returns what the alert itself quotes of the record."""
    return None if alert.event.original is msgspec.UNSET else alert.event.original


def _nothing(note: str) -> WindowAnswer:
    return WindowAnswer(alert=None, after=(), original=None, note=note)
