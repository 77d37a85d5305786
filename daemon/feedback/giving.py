"""Makes the records of feedback: a judgement of an incident, a mute, a maintenance, and their ends. Pure.

Knows no topic and no command line; who gives feedback and when is an argument.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.feedback.records import (
    MAX_KEY_CHARS,
    SCHEMA_VERSION,
    FeedbackLine,
    FeedbackRecord,
    decode_feedback,
    time_ms,
    written,
)
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.incidents.writing import encodable
from logwarden.model.feedback import MOST_MUTES, MOST_WINDOWS, FeedbackKind, matches

MAINTENANCE_MS = 3_600_000
"""Length of a maintenance without a length: a forgotten one must not hide faults."""
LONGEST_MAINTENANCE_MS = 7 * 86_400_000
KEPT_MS = {FeedbackKind.MAINTENANCE: 7 * 86_400_000}
"""Time for which ended feedback is kept, so that lines that are read again are judged as the first time."""
_KEPT_MS = 30 * 86_400_000
_LEAST_PREFIX = 4
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

Entries = Mapping[str, FeedbackRecord]
"""Records of feedback by their keys."""
Given = tuple[str, FeedbackRecord]


def judged(
    incident: IncidentRecord,
    kind: FeedbackKind,
    *,
    now_ms: int,
    services: Sequence[str] = (),
    for_ms: int | None = None,
    reason: str = "",
    by: str = "",
) -> Given:
    """Returns key and record of a judgement of an incident.

    `services`: patterns; only the incident's lines of such services are judged, and the judgement counts for every
    service of such a name. It applies to lines after the incident's last one, by the clock of the services: lines that
    are read again are judged as the first time.
    """
    facts = incident.logwarden
    lines = [
        FeedbackLine(service=line.service, text=line.text, dedup_key=line.dedup_key)
        for line in facts.lines
        if not services or any(matches(pattern, line.service) for pattern in services)
    ]
    if not lines:
        raise ConfigurationError(
            f"no line of the incident {incident.id} is of the service {' or '.join(services)}",
            hint=f"name one of {', '.join(one.name for one in facts.services)}",
        )
    last_ms = time_ms(facts.last_seen)
    begin = now_ms if last_ms is None else min(now_ms, last_ms + 1)
    record = FeedbackRecord(
        schema_version=SCHEMA_VERSION,
        kind=kind,
        given=written(now_ms),
        from_time=None if begin == now_ms else written(begin),
        until=None if for_ms is None else written(now_ms + for_ms),
        services=tuple(services),
        incident=incident.id,
        lines=tuple(lines),
        reason=encodable(reason),
        by=encodable(by),
    )
    return f"incident/{incident.id}", _whole(record)


def left_out(incident: IncidentRecord, kind: FeedbackKind) -> str:
    """Returns what a judgement of an incident does not reach, in sentences. Empty if its record lists every line."""
    facts = incident.logwarden
    if not facts.more_lines:
        return ""
    judged = f"The record of the incident lists {len(facts.lines)} kinds of lines, and the others are not judged."
    if kind is FeedbackKind.REAL or facts.status != "open" or facts.planned is not None:
        return judged
    return f"{judged} The incident ends once it is quiet, or by a mute of their text or a maintenance of its services."


def muted(
    pattern: str,
    *,
    now_ms: int,
    services: Sequence[str] = (),
    for_ms: int | None = None,
    reason: str = "",
    by: str = "",
) -> Given:
    """Returns key and record of a mute. The same text for the same services has the same key."""
    digest = hashlib.blake2b(repr((pattern, sorted(services))).encode("utf-8", "replace"), digest_size=6).hexdigest()
    record = FeedbackRecord(
        schema_version=SCHEMA_VERSION,
        kind=FeedbackKind.MUTE,
        given=written(now_ms),
        until=None if for_ms is None else written(now_ms + for_ms),
        services=tuple(services),
        pattern=encodable(pattern),
        reason=encodable(reason),
        by=encodable(by),
    )
    return f"mute/{digest}", _whole(record)


def maintained(
    name: str,
    *,
    now_ms: int,
    services: Sequence[str] = (),
    systems: Sequence[str] = (),
    for_ms: int | None = None,
    reason: str = "",
    by: str = "",
) -> Given:
    """Returns key and record of a maintenance that begins now. `name`: no other maintenance has it."""
    length = MAINTENANCE_MS if for_ms is None else for_ms
    if length > LONGEST_MAINTENANCE_MS:
        raise ConfigurationError("a maintenance lasts at most seven days", hint="announce it again when they are over")
    record = FeedbackRecord(
        schema_version=SCHEMA_VERSION,
        kind=FeedbackKind.MAINTENANCE,
        given=written(now_ms),
        until=written(now_ms + length),
        services=tuple(services),
        systems=tuple(systems),
        reason=encodable(reason),
        by=encodable(by),
    )
    key = f"maintenance/{encodable(name)}"
    if len(key) > MAX_KEY_CHARS:
        raise ConfigurationError("the name of the maintenance is too long", hint="give it a shorter one")
    return key, _whole(record)


def ended(record: FeedbackRecord, now_ms: int) -> FeedbackRecord:
    """Returns a record that applies no longer to lines from now on, and to the lines before as it did."""
    begin = time_ms(record.from_time or record.given) or 0
    return msgspec.structs.replace(record, until=written(max(now_ms, begin)))


def is_over(record: FeedbackRecord, now_ms: int) -> bool:
    """Returns True for feedback that has ended."""
    until = time_ms(record.until)
    return until is not None and until <= now_ms


def outdated(entries: Entries, now_ms: int) -> list[str]:
    """Returns the keys of feedback whose lines are no longer read again after its end.

    What was judged real is training data, and stays.
    """
    return [
        key
        for key, record in entries.items()
        if record.kind is not FeedbackKind.REAL and is_over(record, now_ms - KEPT_MS.get(record.kind, _KEPT_MS))
    ]


def refuse_too_many(entries: Entries, kind: FeedbackKind) -> None:
    """Raises ConfigurationError if another entry of this kind would be beyond what the daemon applies."""
    most = {FeedbackKind.MUTE: MOST_MUTES, FeedbackKind.MAINTENANCE: MOST_WINDOWS}.get(kind)
    if most is not None and sum(record.kind is kind for record in entries.values()) >= most:
        raise ConfigurationError(
            f"there are {most:,} entries of the kind {kind.value!r}, and the daemon applies no more",
            hint="undo those that are not needed: `logwarden feedback list --all` shows them",
        )


def length_of(text: str | None) -> int | None:
    """Returns the milliseconds of a length such as `10m`. Returns None without one. Raises ConfigurationError."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if match is None or not int(match[1]):
        raise ConfigurationError(f"{text[:80]!r} is no length of time", hint="write a number and s, m, h or d: 10m, 7d")
    return int(match[1]) * _UNITS_MS[match[2]]


def the_one(prefix: str, ids: Iterable[str], what: str) -> str:
    """Returns the only id that begins with a text. Raises ConfigurationError if none or several do."""
    found = sorted({one for one in ids if one.startswith(prefix)})
    if prefix in found:
        return prefix
    if len(found) == 1 and len(prefix) >= _LEAST_PREFIX:
        return found[0]
    if not found:
        raise ConfigurationError(f"no {what} begins with {prefix!r}", hint="give the id, or the begin of one")
    if len(found) == 1:
        raise ConfigurationError(f"{prefix!r} is too short", hint=f"give at least {_LEAST_PREFIX} characters of the id")
    shown = ", ".join(found[:5])
    raise ConfigurationError(f"{prefix!r} names more than one {what}: {shown}", hint="give more of the id")


def _whole(record: FeedbackRecord) -> FeedbackRecord:
    """Returns a record that every reader takes. Raises ConfigurationError for one that is none."""
    try:
        return decode_feedback(record.encode())
    except ValueError as error:
        raise ConfigurationError(f"this feedback cannot be given: {error}", hint="correct it") from None
