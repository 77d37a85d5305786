"""Describes a service: how well it is known, its last lines and alerts, its incidents. Pure but for requests."""

from __future__ import annotations

from typing import Any

from logwarden.daemon.agents.answers import ServiceHistoryAnswer, ServiceStanding
from logwarden.daemon.agents.arguments import ServiceHistoryOf
from logwarden.daemon.agents.fitting import fitted
from logwarden.daemon.agents.given import feedback_for
from logwarden.daemon.agents.listing import INCIDENTS, moment, records_in, summary_of
from logwarden.daemon.agents.members import Members
from logwarden.daemon.agents.texts import Texts, name
from logwarden.daemon.incidents.writing import rfc3339

SERVICES = "/api/v1/services"
_SHOWN_INCIDENTS = 8
_SHOWN_STANDINGS = 6
_SHOWN_FEEDBACK = 5
_SHOWN_NAMES = 5
_STEPS = (
    ("incidents", "more_incidents", 3),
    ("standings", "more_standings", 2),
    ("feedback", "more_feedback", 1),
    ("incidents", "more_incidents", 0),
    ("feedback", "more_feedback", 0),
)


def service_history(arguments: ServiceHistoryOf, members: Members, texts: Texts, now_ms: int) -> ServiceHistoryAnswer:
    """Answers `service_history`. Raises ConfigurationError for a time that is none, FatalError without an answer."""
    service, since = arguments.service, moment("since", arguments.since, now_ms)
    literal = _literal(service)
    notes: list[str] = []
    rows, as_of = _rows(service, members, notes)
    found = members.first(
        INCIDENTS,
        [("service", literal), ("since", rfc3339(since) or ""), ("limit", str(_SHOWN_INCIDENTS))],
        refusals=(404,),
    )
    if "error" in found:  # incidents are switched off
        notes.append(str(found["error"]["message"]))
        found = {"incidents": (), "total": 0, "note": ""}
    known: tuple[str, ...] = ()
    if not rows and not found["total"]:
        known = _names_with(service, members)
        notes.append(
            "No service of this name is known. Names that contain it are in known_names."
            if known
            else "No service of this name is known. list_incidents returns names of services."
        )
    elif not rows:
        notes.append("No member has it in memory now: it has logged nothing since it was evicted or assigned.")
    notes += [found["note"]] if found["note"] else []
    feedback = feedback_for(service, members, notes)
    incidents = tuple(summary_of(record, texts) for record in records_in(found))
    histories = [row["history"] for row in rows if "history" in row]
    scores = tuple(map(max, zip(*(each["scores"] for each in histories), strict=True)))
    return fitted(
        ServiceHistoryAnswer(
            service=name(service),
            known_names=known,
            as_of=as_of,
            standings=tuple(map(_standing, rows[:_SHOWN_STANDINGS])),
            more_standings=max(0, len(rows) - _SHOWN_STANDINGS),
            lines_by_minute=tuple(map(sum, zip(*(each["lines"] for each in histories), strict=True))),
            alerts_by_minute=scores if any(scores) else (),
            incidents=incidents,
            more_incidents=found["total"] - len(incidents),
            feedback=tuple(feedback[:_SHOWN_FEEDBACK]),
            more_feedback=max(0, len(feedback) - _SHOWN_FEEDBACK),
            notes=tuple(notes[:4]),
        ),
        _STEPS,
    )


def _rows(service: str, members: Members, notes: list[str]) -> tuple[list[Any], str | None]:
    """Returns the rows of a service, one for each partition, that with the most lines first, and their time."""
    query = [("service", _literal(service)), ("history", "true"), ("limit", "1000")]
    rows: list[Any] = []
    after: list[tuple[str, str]] = []
    while True:
        answer = members.first(SERVICES, [*query, *after])
        rows += answer["services"]
        if answer["next"] is None:
            break
        after = [("after", answer["next"])]
    if answer["note"]:  # without its words: names of members are not this server's text
        notes.append("Some members of the group did not answer, so this may be a part. logwarden status names them.")
    return sorted(rows, key=lambda row: -row["lines"]), answer["as_of"]


def _standing(row: Any) -> ServiceStanding:
    alert = row["last_alert"]
    return ServiceStanding(
        topic=name(row["topic"]),
        partition=row["partition"],
        state=row["state"],
        progress=row["progress"],
        lines=row["lines"],
        known_lines=row["known_lines"],
        lines_per_minute=row["lines_per_minute"],
        last_seen=row["last_seen"],
        last_alert=None if alert is None else alert["timestamp"],
        last_score=None if alert is None else alert["score"],
    )


def _names_with(service: str, members: Members) -> tuple[str, ...]:
    """Returns known names that contain this one."""
    query = [("service", f"*{_literal(service)[:200]}*"), ("limit", str(_SHOWN_NAMES))]
    names = dict.fromkeys(name(row["name"]) for row in members.first(SERVICES, query)["services"])
    return tuple(names)[:_SHOWN_NAMES]


def _literal(text: str) -> str:
    """Returns the pattern that matches this text only."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)
