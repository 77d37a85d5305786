"""Explains one incident: what broke first, guilty lines, the lines around them, similar incidents, what is next.

The next steps follow from facts by fixed rules. They are fixed sentences without a word of a log, so that no log line
can write one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from logwarden.daemon.agents.answers import (
    Explanation,
    GuiltyLine,
    LikeIncident,
    LineWindow,
    ServicePart,
    WindowLine,
)
from logwarden.daemon.agents.arguments import ExplainIncident
from logwarden.daemon.agents.fitting import fitted
from logwarden.daemon.agents.given import feedback_on
from logwarden.daemon.agents.listing import TITLE_TOKENS, by_weight, title_line
from logwarden.daemon.agents.members import Members
from logwarden.daemon.agents.records import incident_in, severity, status, time, time_ms
from logwarden.daemon.agents.steps import next_steps, reasons
from logwarden.daemon.agents.texts import Texts, name
from logwarden.daemon.errors import ConfigurationError, FatalError
from logwarden.daemon.incidents.incident import IncidentRecord, LineFacts
from logwarden.daemon.incidents.settling import words_of

WINDOW_TOKENS = 60
_SHOWN_LINES = 20
_SHOWN_SERVICES = 12
_SHOWN_SIMILAR = 4
_SHOWN_FEEDBACK = 3
_BEFORE, _AFTER = 5, 4
"""Lines around the one that raised the alert, beside guilty ones."""
_STEPS = (
    *(("lines", "more_lines", 6), ("similar", "more_similar", 1), ("services", "more_services", 4)),
    *(("lines", "more_lines", 2), ("feedback", "more_feedback", 1), ("services", "more_services", 1)),
    *(("similar", "more_similar", 0), ("lines", "more_lines", 1), ("feedback", "more_feedback", 0)),
)
"""What leaves an answer that is too long: the lightest lines first."""


def explain_incident(arguments: ExplainIncident, members: Members, texts: Texts) -> Explanation:
    """Answers `explain_incident`. Raises ConfigurationError for an unknown id, FatalError without an answer."""
    answer = members.first("/api/v1/incident", [("id", arguments.id)], refusals=(404,))
    if "error" in answer:
        raise ConfigurationError(
            "there is no incident of this id, or it ended too long ago to be kept",
            hint="list_incidents returns the ids that are known",
        )
    record = incident_in(answer["incident"])
    notes: list[str] = []
    title = title_line(record)
    window = None if title is None else _window(record, title, members, texts, notes)
    feedback = feedback_on(record, members, notes)
    whole = _explanation(record, title, answer["similar"], texts)
    whole = msgspec.structs.replace(
        whole,
        window=window,
        feedback=tuple(feedback[:_SHOWN_FEEDBACK]),
        more_feedback=max(0, len(feedback) - _SHOWN_FEEDBACK),
        next_steps=next_steps(record, similar=len(answer["similar"]), feedback=feedback, has_window=window is not None),
        notes=tuple(notes),
    )
    return fitted(whole, _STEPS)


def _explanation(
    record: IncidentRecord, title: LineFacts | None, similar: Sequence[Mapping[str, Any]], texts: Texts
) -> Explanation:
    """Returns the parts that the record itself has."""
    facts = record.logwarden
    begin = time_ms(facts.first_seen)
    lines, total = by_weight(facts.lines), sum(line.evidence for line in facts.lines)
    return Explanation(
        id=name(record.id),
        title="" if title is None else texts.line(title.text),
        origin=name(record.service.name),
        status=facts.status,
        severity=facts.severity,
        why=reasons(record),
        first_seen=facts.first_seen,
        last_seen=facts.last_seen,
        lasted_s=_after(begin, facts.last_seen),
        alerts=facts.alerts,
        recurrence=facts.recurrence,
        planned_reason="" if facts.planned is None else name(facts.planned.reason),
        ended_by=name(words_of(facts.resolution)),
        kinds=facts.kinds,
        services=tuple(
            ServicePart(name=name(each.name), alerts=each.alerts, after_s=_after(begin, each.first_seen))
            for each in facts.services[:_SHOWN_SERVICES]
        ),
        more_services=max(0, len(facts.services) - _SHOWN_SERVICES) + facts.more_services,
        lines=tuple(_line(line, begin, total, texts) for line in lines[:_SHOWN_LINES]),
        more_lines=max(0, len(lines) - _SHOWN_LINES) + facts.more_lines,
        similar=tuple(_like(each, texts) for each in similar[:_SHOWN_SIMILAR]),
        more_similar=max(0, len(similar) - _SHOWN_SIMILAR),
        next_steps=(),
    )


def _line(line: LineFacts, begin: int | None, total: float, texts: Texts) -> GuiltyLine:
    return GuiltyLine(
        service=name(line.service),
        text=texts.line(line.text),
        count=line.count,
        weight=round(line.evidence / total, 2) if total > 0 else 0.0,
        states_failure=line.is_failure,
        kinds=line.kinds,
        first_s=_after(begin, line.first_seen),
        last_s=_after(begin, line.last_seen),
    )


def _like(row: Mapping[str, Any], texts: Texts) -> LikeIncident:
    brief = row["incident"]
    return LikeIncident(
        id=name(brief["id"]),
        shared=row["shared"],
        severity=severity(brief["severity"]),
        status=status(brief["status"]),
        last_seen=time(brief["last_seen"]),
        title=texts.line(brief["message"], TITLE_TOKENS),
    )


# ---------------------------------------------------------------- lines around the alert


def _window(
    record: IncidentRecord, title: LineFacts, members: Members, texts: Texts, notes: list[str]
) -> LineWindow | None:
    """Returns the lines around the title's first alert. Returns None, with a note, where none can be read."""
    try:
        answer = members.first("/api/v1/window", [("incident", record.id), ("alert", title.alert_id)])
    except FatalError as error:
        notes.append(f"The lines around the alert are missing: {error}.")
        return None
    if answer["alert"] is None:
        notes.append(answer["note"])
        return None
    before = answer["alert"]["logwarden"]["lines"]
    shown = [
        WindowLine(
            text=texts.line(line["text"], WINDOW_TOKENS),
            weight=round(line["weight"], 2) or None,
            guilty=line["guilty"],
            alerted=line["newest"],
        )
        for line in _chosen(before)
    ]
    after = answer["after"][:_AFTER]
    shown += [WindowLine(text=texts.line(line["text"], WINDOW_TOKENS)) for line in after]
    left_out = len(before) + len(answer["after"]) - len(shown)
    return LineWindow(service=name(title.service), lines=tuple(shown), left_out=left_out, note=answer["note"])


def _chosen(lines: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yields the newest line, the heaviest guilty ones, and the last lines before it, in their order."""
    guilty = sorted((n for n, line in enumerate(lines) if line["guilty"]), key=lambda n: -lines[n]["weight"])[:3]
    kept = {*guilty, *range(max(0, len(lines) - 1 - _BEFORE), len(lines))}
    yield from (line for n, line in enumerate(lines) if n in kept)


def _after(begin: int | None, timestamp: str | None) -> float | None:
    """Returns the seconds from the begin to a time. Returns None where one of them is not known."""
    moment = time_ms(timestamp)
    return None if begin is None or moment is None else round((moment - begin) / 1000, 1)
