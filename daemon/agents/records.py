"""Reads incidents from answers of the API, and makes their words and times those of this product. Pure.

Any producer of the incidents topic decides about the content of a record. A word or a time that is none of this product
could carry any text past `Texts`, which shows lines and names only.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.incidents.writing import milliseconds, rfc3339

UNKNOWN = "unknown"
SEVERITIES = ("critical", "error", "warning", "info", UNKNOWN)
"""From the worst to the least."""
_STATUSES = ("open", "resolved", "expired")
_WORD = re.compile(r"[a-z_]{1,32}")
_MOST_KINDS = 8


def incident_in(value: Any) -> IncidentRecord:
    """Returns the incident in a part of an answer. Raises msgspec.ValidationError for what is none."""
    record = msgspec.convert(value, IncidentRecord)
    facts = record.logwarden
    services = tuple(
        msgspec.structs.replace(each, first_seen=time(each.first_seen), last_seen=time(each.last_seen))
        for each in facts.services
    )
    lines = tuple(
        msgspec.structs.replace(
            each, kinds=_words(each.kinds), first_seen=time(each.first_seen), last_seen=time(each.last_seen)
        )
        for each in facts.lines
    )
    facts = msgspec.structs.replace(
        facts,
        severity=severity(facts.severity),
        status=status(facts.status),
        kinds=_words(facts.kinds),
        first_seen=time(facts.first_seen),
        last_seen=time(facts.last_seen),
        services=services,
        lines=lines,
    )
    return msgspec.structs.replace(record, logwarden=facts)


def severity(word: str) -> str:
    """Returns a severity, or `UNKNOWN`."""
    return word if word in SEVERITIES else UNKNOWN


def status(word: str) -> str:
    """Returns a status, or `UNKNOWN`."""
    return word if word in _STATUSES else UNKNOWN


def time(timestamp: str | None) -> str | None:
    """Returns a timestamp as this product writes it. Returns None for what is none."""
    moment = time_ms(timestamp)
    return None if moment is None else rfc3339(moment)


def time_ms(timestamp: str | None) -> int | None:
    """Returns the milliseconds of a timestamp. Returns None for what is none."""
    try:
        return None if timestamp is None else milliseconds(timestamp)
    except (ValueError, OverflowError):
        return None


def _words(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if _WORD.fullmatch(word))[:_MOST_KINDS]
