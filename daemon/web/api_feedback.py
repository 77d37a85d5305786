"""`/api/v1/feedback` and `/api/v1/maintenance`: feedback is read by all, and given by clients with the token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from logwarden.daemon.errors import ConfigurationError, LogwardenError
from logwarden.daemon.feedback.giving import Entries, Given, is_over, length_of
from logwarden.daemon.feedback.office import FeedbackOffice
from logwarden.daemon.feedback.records import FeedbackRecord, given_at
from logwarden.daemon.health import sentence_of
from logwarden.daemon.ports import Clock
from logwarden.daemon.web.api import Endpoint
from logwarden.daemon.web.questions import Parameter, Question, Refusal
from logwarden.model.feedback import FeedbackKind

MAX_SHOWN = 5_000
WRITE_TIMEOUT_S = 30.0


class FeedbackBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Feedback that a client gives."""

    kind: Literal["expected", "real", "mute"]
    incident: str = ""
    """Id of the incident that is judged, or the begin of one. Not of a mute."""
    pattern: str = ""
    """Part of a line, in which * is any text. Of a mute only."""
    services: tuple[str, ...] = ()
    length: str = msgspec.field(name="for", default="")
    """Such as 30m, 2h or 7d; empty: it has no end."""
    reason: str = ""


class MaintenanceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A maintenance that a client begins or ends."""

    action: Literal["start", "stop"]
    name: str = ""
    """Its own, such as that of a deploy job. Empty: a new one, or the only one that runs."""
    services: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    length: str = msgspec.field(name="for", default="")
    """Such as 10m; empty: an hour."""
    reason: str = ""


class FeedbackFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One entry."""

    key: str
    is_over: bool
    """True once it applies to no new line."""
    feedback: FeedbackRecord
    """As it is in the feedback topic."""
    note: str = ""
    """What a judgement does not reach, in sentences; empty otherwise."""


class FeedbackAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /api/v1/feedback`."""

    note: str
    """Why the feedback may be incomplete; empty when it is not."""
    total: int
    feedback: tuple[FeedbackFacts, ...]
    """The newest first; at most 5,000 entries."""


class FeedbackEndpoints:
    """Answers the endpoints. Until `office` is set, feedback cannot be given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._writing = asyncio.Lock()  # each write has connections of its own for a moment
        self.office: FeedbackOffice | None = None
        self.entries: Callable[[], Entries] = dict
        """Returns what this member has read of the feedback topic."""
        self.note: Callable[[], str] = str
        """Returns the sentence why this member has not read all."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints."""
        meaning = "Key of the feedback, or the begin of one; `GET` of this path shows the keys."
        key = Parameter(name="key", meaning=meaning, is_required=True)
        return (
            Endpoint(
                method="GET",
                path="/feedback",
                summary="Feedback and maintenance of the feedback topic, the newest first.",
                answer=FeedbackAnswer,
                reply=self.read,
            ),
            Endpoint(
                method="POST",
                path="/feedback",
                summary="Judges an incident as expected or real, or mutes a text.",
                answer=FeedbackFacts,
                reply=self.give,
                body=FeedbackBody,
            ),
            Endpoint(
                method="DELETE",
                path="/feedback",
                summary="Ends feedback: lines from now on alert again.",
                answer=FeedbackFacts,
                reply=self.undo,
                parameters=(key,),
            ),
            Endpoint(
                method="POST",
                path="/maintenance",
                summary="Announces maintenance, whose alerts are marked as planned, or ends it.",
                answer=FeedbackFacts,
                reply=self.maintain,
                body=MaintenanceBody,
            ),
        )

    async def read(self, _: Question) -> FeedbackAnswer:
        """Returns what this member has read."""
        entries = sorted(self.entries().items(), key=lambda row: given_at(*row), reverse=True)
        return FeedbackAnswer(
            note=self.note(), total=len(entries), feedback=tuple(map(self._facts, entries[:MAX_SHOWN]))
        )

    async def give(self, question: Question) -> FeedbackFacts:
        """Gives feedback."""
        body: FeedbackBody = question.body
        if (body.kind == "mute") != bool(body.pattern) or (body.kind == "mute") == bool(body.incident):
            message = "A mute needs a pattern and no incident, a judgement an incident and no pattern. Send one."
            raise Refusal(400, "bad_feedback", message)
        length = body.length or None
        if body.kind == "mute":
            return await self._written(
                lambda office: office.mute(
                    body.pattern, services=body.services, for_ms=length_of(length), reason=body.reason
                )
            )
        remarks: list[str] = []
        facts = await self._written(
            lambda office: office.judge(
                body.incident,
                FeedbackKind(body.kind),
                services=body.services,
                for_ms=length_of(length),
                reason=body.reason,
                remark=remarks.append,
            )
        )
        return msgspec.structs.replace(facts, note=" ".join(remarks))

    async def undo(self, question: Question) -> FeedbackFacts:
        """Ends feedback."""
        key = question.text("key") or ""
        return await self._written(lambda office: office.undo(key))

    async def maintain(self, question: Question) -> FeedbackFacts:
        """Begins or ends a maintenance."""
        body: MaintenanceBody = question.body
        if body.action == "stop":
            if body.services or body.systems or body.length or body.reason:
                message = "A maintenance ends as a whole, by its name. Send the action and the name only."
                raise Refusal(400, "bad_feedback", message)
            return await self._written(lambda office: office.stop(body.name))
        return await self._written(
            lambda office: office.start(
                body.name,
                services=body.services,
                systems=body.systems,
                for_ms=length_of(body.length or None),
                reason=body.reason,
            )
        )

    async def _written(self, write: Callable[[FeedbackOffice], Awaitable[Given]]) -> FeedbackFacts:
        """Returns what was written. Raises Refusal if the client must change it, or the topic takes nothing now."""
        office = self.office
        if office is None:
            message = "There is no feedback topic, or this member has not started. Set LOGWARDEN_KAFKA__FEEDBACK_TOPIC."
            raise Refusal(503, "no_feedback", message)
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S), self._writing:
                return self._facts(await write(office))
        except ConfigurationError as error:
            message = f"{sentence_of(str(error))} {sentence_of(error.hint)}".strip()
            raise Refusal(400, "bad_feedback", message) from None
        except (LogwardenError, TimeoutError) as error:
            hint = sentence_of(error.hint) if isinstance(error, LogwardenError) else "Send it again."
            message = f"The feedback may not be in force. {sentence_of(str(error) or 'no broker answered')} {hint}"
            raise Refusal(503, "not_written", message.strip()) from None

    def _facts(self, given: Given) -> FeedbackFacts:
        key, record = given
        return FeedbackFacts(key=key, is_over=is_over(record, self._clock.now_ms()), feedback=record)
