"""Makes the records of feedback: a judgement of an incident, a mute, a maintenance, and their ends. Pure.

Knows no topic and no command line; who gives feedback and when is an argument.
"""

from __future__ import annotations

import hashlib
import math
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
    given_at,
    time_ms,
    written,
)
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.incidents.writing import encodable
from logwarden.model.feedback import MOST, FeedbackKind, matches
from logwarden.model.schema import truncated

MAINTENANCE_MS = 3_600_000
"""Length of a maintenance without a length: a forgotten one must not hide faults."""
LONGEST_MAINTENANCE_MS = 7 * 86_400_000
KEPT_MS = {FeedbackKind.MAINTENANCE: 7 * 86_400_000}
"""Time for which ended feedback is kept, so that lines that are read again are judged as the first time."""
_KEPT_MS = 30 * 86_400_000
_LEAST_PREFIX = 4
_SHOWN_NAMES, _SHOWN_CHARS = 5, 80
"""Names in a message, and characters of each."""
_CONTINUED = frozenset({FeedbackKind.MUTE, FeedbackKind.MAINTENANCE})
DAY_MS = 86_400_000
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
            f"no line of the incident {incident.id} is of the service {shown(*services)}",
            hint=f"name one of {shown(*(one.name for one in facts.services))}",
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


def replaced(before: FeedbackRecord | None, kind: FeedbackKind, now_ms: int) -> str:
    """Returns the sentence about the opposite judgement that a new one replaces. Empty if it replaces none."""
    if before is None or before.kind is kind or is_over(before, now_ms):
        return ""
    by = f" by {shown(before.by)}" if before.by else ""
    return f"It replaces the judgement {before.kind.value!r}{by} of {before.given}."


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
    name = encodable(name)
    key = f"maintenance/{name}"
    if len(key) > MAX_KEY_CHARS:
        raise ConfigurationError("the name of the maintenance is too long", hint="give it a shorter one")
    if not name.isprintable() or name != name.strip():
        raise ConfigurationError(
            f"the name of the maintenance, {shown(name)}, has characters that no person can type or see",
            hint="name it by letters, digits and signs",
        )
    return key, _whole(record)


def ended(record: FeedbackRecord, now_ms: int) -> FeedbackRecord:
    """Returns a record that applies no longer to lines from now on, and to the lines before as it did."""
    begin = time_ms(record.from_time or record.given) or 0
    return msgspec.structs.replace(record, until=written(max(now_ms, begin)))


def is_over(record: FeedbackRecord, now_ms: int) -> bool:
    """Returns True for feedback that applies to no line from now on. Some never applied: undone before its begin."""
    until, begin = time_ms(record.until), time_ms(record.from_time or record.given) or 0
    return until is not None and until <= max(now_ms, begin)


def outdated(entries: Entries, now_ms: int) -> list[str]:
    """Returns the keys of feedback whose lines are no longer read again after its end.

    What was judged real is training data, and stays.
    """
    return [
        key
        for key, record in entries.items()
        if record.kind is not FeedbackKind.REAL
        and (time_ms(record.until) or math.inf) <= now_ms - KEPT_MS.get(record.kind, _KEPT_MS)
    ]


def refuse_too_many(entries: Entries, kind: FeedbackKind, now_ms: int) -> None:
    """Raises ConfigurationError if another entry of this kind would be beyond what the daemon applies."""
    if sum(record.kind is kind and not is_over(record, now_ms) for record in entries.values()) >= MOST[kind]:
        raise ConfigurationError(
            f"{MOST[kind]:,} entries of the kind {kind.value!r} are in force, and the daemon applies no more",
            hint="undo those that are not needed: `logwarden feedback list` shows them",
        )


def continued(given: Given, before: FeedbackRecord | None, now_ms: int) -> Given:
    """Returns what replaces a mute or a maintenance that is in force: it begins when that one began.

    So lines since then that are still to be judged are judged as if nothing had been given again. Raises
    ConfigurationError for a maintenance of others: two jobs use one name.
    """
    key, record = given
    if before is None or before.kind is not record.kind or is_over(before, now_ms):
        return given
    begin = time_ms(before.from_time or before.given) or 0
    if record.kind is FeedbackKind.MAINTENANCE and (before.services, before.systems) != (
        record.services,
        record.systems,
    ):
        raise ConfigurationError(
            f"a maintenance {shown(key)} of {shown(*before.services, *before.systems) or 'all services'} runs until "
            f"{before.until}",
            hint="stop it first, or give this one another name",
        )
    if record.kind not in _CONTINUED or begin > now_ms:
        return given
    return key, msgspec.structs.replace(record, from_time=written(begin))


def in_order(given: Given, entries: Entries) -> Given:
    """Returns feedback that was given after all that it may contradict, whatever the clocks of people.

    A clock that is ahead by more than a day is wrong, and is followed no further.
    """
    key, record = given
    mine = given_at(key, record)[0]
    times = [given_at(*row)[0] for row in entries.items() if row[1].kind is not FeedbackKind.MAINTENANCE]
    newest = max((time for time in times if time < mine + DAY_MS), default=0)
    if record.kind is FeedbackKind.MAINTENANCE or newest < mine:
        return given
    begin = record.from_time or record.given
    return key, msgspec.structs.replace(record, given=written(newest + 1), from_time=begin)


def shown(*names: str) -> str:
    """Returns some names as a message quotes them, and how many more there are."""
    found = ", ".join(repr(truncated(name, _SHOWN_CHARS)) for name in names[:_SHOWN_NAMES])
    return found + (f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else "")


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
        raise ConfigurationError(f"no {what} begins with {shown(prefix)}", hint="give the id, or the begin of one")
    if len(found) == 1:
        raise ConfigurationError(
            f"{shown(prefix)} is too short", hint=f"give at least {_LEAST_PREFIX} characters of the id"
        )
    raise ConfigurationError(f"{shown(prefix)} names more than one {what}: {shown(*found)}", hint="give more of the id")


def _whole(record: FeedbackRecord) -> FeedbackRecord:
    """Returns a record that every reader takes. Raises ConfigurationError for one that is none."""
    try:
        return decode_feedback(record.encode())
    except ValueError as error:
        raise ConfigurationError(f"this feedback cannot be given: {error}", hint="correct it") from None
