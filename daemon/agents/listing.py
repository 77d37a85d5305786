"""Lists incidents in a short form, and the kinds of lines of many of them. Pure but for requests to members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from logwarden.daemon.agents.answers import ErrorPattern, ErrorPatterns, IncidentList, IncidentSummary
from logwarden.daemon.agents.arguments import FindErrorPatternLogs, ListIncidents
from logwarden.daemon.agents.fitting import LIST_BUDGET, fits, fitted, longest_prefix
from logwarden.daemon.agents.members import Members
from logwarden.daemon.agents.records import SEVERITIES, incident_in, time_ms
from logwarden.daemon.agents.texts import Texts, name
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.incidents.incident import IncidentRecord, LineFacts
from logwarden.daemon.incidents.settling import words_of
from logwarden.daemon.incidents.writing import rfc3339
from logwarden.daemon.selecting import matcher, time_of
from logwarden.model.schema import AlertKind

INCIDENTS = "/api/v1/incidents"
TITLE_TOKENS = 60
_PAGE = 500
_SHOWN_PATTERNS = 40
_SHOWN_NAMES = 3
DEFAULT_START = "30m"
_OF_SERVICES = ("service", "app", "job", "workload", "deployment", "statefulset", "daemonset", "container", "component")
"""Words in the names of labels whose values are names of services."""


def list_incidents(arguments: ListIncidents, members: Members, texts: Texts, now_ms: int) -> IncidentList:
    """Answers `list_incidents`. Raises ConfigurationError for a time that is none, FatalError without an answer."""
    query = [
        *(("state", each) for each in arguments.state),
        *(("service", each) for each in arguments.service),
        *(("severity", each) for each in arguments.severity),
        *(("kind", str(each)) for each in arguments.kind),
    ]
    if arguments.since:
        query.append(("since", _sent(moment("since", arguments.since, now_ms))))
    if arguments.cursor:
        query.append(("after", arguments.cursor))

    def page(limit: int) -> IncidentList:
        answer = members.first(INCIDENTS, [*query, ("limit", str(limit))])
        return IncidentList(
            as_of=answer["as_of"],
            open=answer["open"],
            total=answer["total"],
            incidents=tuple(summary_of(record, texts) for record in records_in(answer)),
            next=answer["next"],
            note=answer["note"],
        )

    limit = arguments.limit
    while True:
        found = page(limit)
        most = _fitting(found)
        if most >= len(found.incidents):
            return found
        limit = most  # the cursor belongs to the page, so that a shorter one is read again


def find_error_patterns(arguments: FindErrorPatternLogs, members: Members, texts: Texts, now_ms: int) -> ErrorPatterns:
    """Answers `find_error_pattern_logs`. Raises as `list_incidents` does."""
    start = moment("start", arguments.start or DEFAULT_START, now_ms)
    end = moment("end", arguments.end, now_ms) if arguments.end else now_ms
    if end < start:
        raise ConfigurationError("end is before start", hint="write a start that is earlier, or leave end out")
    wanted, ignored = _services_in(arguments.labels)
    try:
        is_chosen = matcher(wanted)
    except ValueError as error:
        raise ConfigurationError(f"labels: {error}") from None
    query = [("since", _sent(start)), *(("service", each) for each in wanted), ("limit", str(_PAGE))]
    records: list[IncidentRecord] = []
    after: list[tuple[str, str]] = []
    while True:
        answer = members.first(INCIDENTS, [*query, *after])
        records += [each for each in records_in(answer) if (time_ms(each.logwarden.first_seen) or start) <= end]
        if answer["next"] is None:
            break
        after = [("after", answer["next"])]
    notes = [answer["note"]] if answer["note"] else []
    if ignored:
        notes.append("Labels in ignored_labels chose nothing: incidents know names of services only.")
    if wanted and not records:
        notes.append("No incident of such a service in this time. Start earlier, or see its name in list_incidents.")
    found = _patterns(records, texts, is_chosen, start, end)
    return fitted(
        ErrorPatterns(
            name=name(arguments.name),
            start=rfc3339(start),
            end=rfc3339(end),
            incidents=len(records),
            patterns=tuple(found[:_SHOWN_PATTERNS]),
            more_patterns=max(0, len(found) - _SHOWN_PATTERNS),
            note=" ".join(notes),
            ignored_labels=tuple(map(name, ignored[:5])),
        ),
        [("patterns", "more_patterns", 1)],
        LIST_BUDGET,
    )


# ---------------------------------------------------------------- what is shown of one incident


def records_in(answer: Any) -> list[IncidentRecord]:
    """Returns the incidents of an answer of `/api/v1/incidents`."""
    return [incident_in(incident) for incident in answer["incidents"]]


def summary_of(record: IncidentRecord, texts: Texts) -> IncidentSummary:
    """Returns the short form of an incident."""
    facts = record.logwarden
    title = title_line(record)
    return IncidentSummary(
        id=name(record.id),
        origin=name(record.service.name),
        title="" if title is None else texts.line(title.text, TITLE_TOKENS),
        severity=facts.severity,
        status=facts.status,
        first_seen=facts.first_seen,
        last_seen=facts.last_seen,
        alerts=facts.alerts,
        lines=len(facts.lines) + facts.more_lines,
        services=len(facts.services) + facts.more_services,
        kinds=facts.kinds,
        recurrence=facts.recurrence,
        planned=facts.planned is not None,
        ended_by=name(words_of(facts.resolution)),
    )


def title_line(record: IncidentRecord) -> LineFacts | None:
    """Returns the line in the title. Returns None for a record without lines.

    The message has the title's service and text with a count behind them, and cannot be masked as a line.
    """
    lines = record.logwarden.lines
    named = (line for line in lines if record.message.startswith(f"{line.service}: {line.text}"[:120]))
    return next(named, next(iter(by_weight(lines)), None))


def by_weight(lines: Iterable[LineFacts]) -> list[LineFacts]:
    """Returns lines, those that state a failure first, then by evidence."""
    return sorted(lines, key=lambda line: (not line.is_failure, -line.evidence))


def moment(argument: str, text: str, now_ms: int) -> int:
    """Returns the milliseconds of a time. Raises ConfigurationError for a text that is none."""
    try:
        return time_of(text, now_ms)
    except ValueError as error:
        sentence, _, hint = str(error).partition("; ")
        raise ConfigurationError(f"{argument}: {sentence}", hint=hint) from None


# ---------------------------------------------------------------- kinds of lines


def _patterns(
    records: Sequence[IncidentRecord], texts: Texts, is_chosen: Callable[[str], bool], start: int, end: int
) -> list[ErrorPattern]:
    """Returns the kinds of lines within a time range, those with the most evidence first."""
    groups: dict[str, list[tuple[IncidentRecord, LineFacts]]] = {}
    for record in records:
        for line in record.logwarden.lines:
            is_within = (time_ms(line.last_seen) or end) >= start and (time_ms(line.first_seen) or start) <= end
            if is_within and is_chosen(line.service):
                kind = line.dedup_key.rpartition(":")[2]  # the same in every service
                groups.setdefault(kind, []).append((record, line))
    ranked = sorted(groups.values(), key=lambda group: -max(line.evidence for _, line in group))
    return [_pattern(group, texts) for group in ranked]


def _pattern(group: Sequence[tuple[IncidentRecord, LineFacts]], texts: Texts) -> ErrorPattern:
    lines = [line for _, line in group]
    services = list(dict.fromkeys(line.service for line in lines))
    incidents = list(dict.fromkeys(record.id for record, _ in group))
    kinds = sorted({kind for line in lines for kind in line.kinds})
    return ErrorPattern(
        pattern=Texts().line(lines[0].text),
        example=texts.line(lines[0].text) if texts.raw else "",
        count=sum(line.count for line in lines),
        services=tuple(map(name, services[:_SHOWN_NAMES])),
        more_services=max(0, len(services) - _SHOWN_NAMES),
        severity=min((record.logwarden.severity for record, _ in group), key=SEVERITIES.index),
        states_failure=any(line.is_failure for line in lines),
        is_new=AlertKind.NEW_LINE in kinds,
        kinds=tuple(kinds),
        first_seen=min((line.first_seen for line in lines if line.first_seen), default=None),
        last_seen=max((line.last_seen for line in lines if line.last_seen), default=None),
        incidents=tuple(map(name, incidents[:_SHOWN_NAMES])),
        more_incidents=max(0, len(incidents) - _SHOWN_NAMES),
    )


def _services_in(labels: dict[str, str]) -> tuple[list[str], list[str]]:
    """Returns the patterns of services in labels, any of which is enough, and the labels that choose nothing."""
    wanted: list[str] = []
    ignored = []
    for label, value in labels.items():
        words = label.lower().replace("-", "_").replace(".", "_").replace("/", "_").split("_")
        if value and any(word in _OF_SERVICES for word in words):
            # A job of Prometheus or Loki is often `namespace/service`, and a service here may be `system/service`.
            wanted += [value, f"*/{value}", value.rpartition("/")[2]]
        else:
            ignored.append(label)
    return list(dict.fromkeys(wanted)), ignored


def _fitting(found: IncidentList) -> int:
    """Returns how many of the incidents fit the bound of tokens, 1 at least."""

    def is_short(count: int) -> bool:
        return fits(msgspec.structs.replace(found, incidents=found.incidents[:count]), LIST_BUDGET)

    count = len(found.incidents)
    return longest_prefix(min(1, count), count, is_short)


def _sent(time_ms: int) -> str:
    """Returns a time as the API takes it."""
    text = rfc3339(time_ms)
    if text is None:
        raise ConfigurationError("the time is outside the years 1 to 9999", hint="write a time such as 30m, 2h or 7d")
    return text
