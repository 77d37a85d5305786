"""Defines what is sent about an incident, and what of it destinations quote. Pure.

Log lines come from outside: every text here is bounded, of one line, and without control characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from logwarden.daemon.incidents.incident import IncidentRecord, LineFacts
from logwarden.daemon.incidents.settling import words_of
from logwarden.daemon.incidents.writing import milliseconds
from logwarden.model.schema import truncated

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
"""Control characters, line ends, and characters that turn the direction of the text behind them."""


class Action(StrEnum):
    """What a destination does with a notice."""

    TRIGGER = "trigger"
    """Begin, or bring up to date, what the destination has about the incident."""
    RESOLVE = "resolve"
    """End it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is sent about an incident."""

    record: IncidentRecord
    action: Action
    announced: IncidentRecord | None = None
    """What the destination has about the incident, as far as this process knows."""
    published_ms: int = 0

    @property
    def is_first(self) -> bool:
        """True if the destination knows nothing of the incident yet."""
        return self.announced is None and self.action is Action.TRIGGER


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoting:
    """What messages quote, and where they link to."""

    lines: int = 5
    link: str | None = None

    def summary(self, record: IncidentRecord, most: int = 300) -> str:
        """Returns the sentence that a person reads first."""
        if self.lines:
            return one_line(record.message, most)
        distinct = len(record.logwarden.lines) + record.logwarden.more_lines
        services = len(record.logwarden.services) + record.logwarden.more_services
        beside = f" of {services} services" if services > 1 else ""
        return one_line(f"{record.service.name}: {distinct} anomalous lines{beside}", most)

    def worst_lines(self, record: IncidentRecord) -> list[LineFacts]:
        """Returns the lines to quote: those that state a failure first, then by evidence."""
        return sorted(record.logwarden.lines, key=lambda line: (not line.is_failure, -line.evidence))[: self.lines]

    def details(self, record: IncidentRecord, most: int = 3_000) -> str:
        """Returns the quoted lines with their counts, one on a line, and what is not quoted."""
        rows = [
            f"{line.count}x {one_line(line.service, 80)}: {one_line(line.text)}" for line in self.worst_lines(record)
        ]
        hidden = len(record.logwarden.lines) - len(rows) + record.logwarden.more_lines
        if hidden:
            rows.append(f"and {hidden} more" if rows else f"{hidden} distinct lines")
        return truncated("\n".join(rows), most)

    def link_to(self, record: IncidentRecord) -> str:
        """Returns the link to an incident; empty without one."""
        return "" if self.link is None else self.link.replace("{id}", quote(record.id, safe=""))


def ending_of(record: IncidentRecord) -> str:
    """Returns who ended an incident by feedback, and why: `expected by ann: every night`. Empty if nobody did."""
    return one_line(words_of(record.logwarden.resolution), 400)


def status_of(record: IncidentRecord) -> str:
    """Returns the state of an incident that has ended, as a headline: `RESOLVED (expected by ann: every night)`."""
    ending = ending_of(record)
    return record.logwarden.status.upper() + (f" ({ending})" if ending else "")


def one_line(text: str, most: int = 300) -> str:
    """Returns a text of one line, without control characters, of at most this number of characters."""
    return truncated(_CONTROL.sub(" ", text[: 4 * most]).strip(), most)


def services_of(record: IncidentRecord, most: int = 300) -> str:
    """Returns the names of the services, in the order in which they broke."""
    facts = record.logwarden
    names = ", ".join(service.name for service in facts.services[:20])
    hidden = max(0, len(facts.services) - 20) + facts.more_services
    return one_line(names + (f" and {hidden} more" if hidden else ""), most)


def seen_ms(timestamp: str | None) -> int | None:
    """Returns the time of a timestamp. Returns None without one, or for one that is none."""
    try:
        return None if timestamp is None else milliseconds(timestamp)
    except (ValueError, OverflowError):
        return None
