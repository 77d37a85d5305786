"""The feedback of people on alerts: *expected*, *real*, *mute*, and the windows of announced maintenance.

Decides which of it applies to an alert. Validity goes by the time of the line, so that a replay decides as the first
reading did. Pure, bounded, and the same in every replica: what counts depends on the set of entries alone, never on the
order in which they arrived. It is here and not in the daemon, so that the benchmark measures what the daemon does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from logwarden.model.defaults import PLANNED_TAIL_MS, SETTLING_TAIL_MS
from logwarden.model.incidents import Plan, system_in

MOST_JUDGEMENTS = 4_096
"""Entries with kinds of lines that are in force together."""
MOST_MUTES = 256
MOST_WINDOWS = 1_024
_CACHED_SERVICES = 4_096


class FeedbackKind(StrEnum):
    """The kinds of an entry."""

    EXPECTED = "expected"
    """These kinds of lines are normal."""
    REAL = "real"
    """They are a fault: takes back an earlier *expected* or *mute*, and teaches the model."""
    MUTE = "mute"
    """Lines with this text are of no interest."""
    MAINTENANCE = "maintenance"
    """What these services log now has an announced cause."""


@dataclass(frozen=True, slots=True)
class Tails:
    """Milliseconds after the end of a maintenance in which lines still belong to it."""

    any_ms: int = PLANNED_TAIL_MS
    """Of every line."""
    settling_ms: int = SETTLING_TAIL_MS
    """Of a line that states no failure. It is never shorter than the other."""

    def of(self, *, is_failure: bool) -> int:
        """Returns the tail of a line."""
        return self.any_ms if is_failure else max(self.any_ms, self.settling_ms)


MOST = {
    FeedbackKind.EXPECTED: MOST_JUDGEMENTS,
    FeedbackKind.REAL: MOST_JUDGEMENTS,
    FeedbackKind.MUTE: MOST_MUTES,
    FeedbackKind.MAINTENANCE: MOST_WINDOWS,
}
"""Entries of each kind that count together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One entry. The last one with its key counts."""

    key: str
    kind: FeedbackKind
    given_ms: int
    """When a person gave it. Of two entries that contradict each other, the one given later counts."""
    from_ms: int = 0
    """First time of a line to which it applies."""
    until_ms: int | None = None
    """First time of a line to which it no longer applies. None: it has no end."""
    services: tuple[str, ...] = ()
    """Patterns of names of services, in which * stands for any text. Empty: all services."""
    systems: tuple[str, ...] = ()
    """Patterns of names of systems; a service of one of them matches as well."""
    kinds: frozenset[str] = frozenset()
    """Names of kinds of lines, for *expected* and *real*."""
    pattern: str = ""
    """Text of a line, in which * stands for any text, for *mute*."""
    reason: str = ""
    by: str = ""
    """Who gave it."""

    def is_valid(self, time_ms: int, *, tail_ms: int = 0) -> bool:
        """Returns True for the time of a line to which the entry applies."""
        return self.from_ms <= time_ms and (self.until_ms is None or time_ms < self.until_ms + tail_ms)

    def reaches(self, service: str, system: str) -> bool:
        """Returns True for a service to which the entry applies. `system`: its name, where systems are configured."""
        if not self.services and not self.systems:
            return True
        return any(matches(pattern, service) for pattern in self.services) or any(
            matches(pattern, system or service) for pattern in self.systems
        )


@dataclass(slots=True)
class _OfService:
    """The entries that apply to one service, those given last first."""

    by_kind: dict[str, list[Feedback]] = field(default_factory=dict)
    mutes: list[tuple[str, Feedback]] = field(default_factory=list)
    """Each with the longest part of its pattern: most lines lack it, which is quick to see."""
    windows: list[Feedback] = field(default_factory=list)
    """In the order of their begin."""


class FeedbackBook:
    """All entries that count. Its readers share one thread; another set of entries is another book."""

    def __init__(
        self, entries: Iterable[Feedback] = (), *, system: re.Pattern[str] | None = None, tails: Tails | None = None
    ) -> None:
        self._system = system
        self._tails = tails or Tails()
        kept: dict[FeedbackKind, int] = {}
        self._entries: list[Feedback] = []
        self.refused: list[Feedback] = []
        """Entries beyond the bound of their kind, which do not count: those that end first, and of these given last."""
        for entry in sorted({one.key: one for one in entries}.values(), key=_longest):
            if kept.get(entry.kind, 0) >= MOST[entry.kind]:
                self.refused.append(entry)
                continue
            kept[entry.kind] = kept.get(entry.kind, 0) + 1
            self._entries.append(entry)
        self._entries.sort(key=_given)
        self._of_service: dict[str, _OfService] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Feedback]:
        return iter(self._entries)

    def judgement(self, service: str, kind: str, text: str, time_ms: int) -> FeedbackKind | None:
        """Returns the judgement of such a line by the entry that was given last. Returns None without one."""
        entry = self.deciding(service, kind, text, time_ms)
        return None if entry is None else entry.kind

    def deciding(self, service: str, kind: str, text: str, time_ms: int) -> Feedback | None:
        """Returns the entry that judges such a line: the one that was given last. Returns None without one."""
        if not self._entries:
            return None
        own = self._own(service)
        found = [entry for entry in own.by_kind.get(kind, ()) if entry.is_valid(time_ms)][:1]
        for part, entry in own.mutes:
            if part not in text:
                continue
            if found and _given(entry) < _given(found[0]):
                break
            if entry.is_valid(time_ms) and contains(entry.pattern, text):
                found = [entry]
                break
        return found[0] if found else None

    def plan(self, service: str, time_ms: int, *, is_failure: bool = True) -> Plan | None:
        """Returns the announced maintenance in which a line of a service was logged. Returns None if there is none.

        `is_failure`: the line states a failure, so that its tail is the shorter one.
        """
        entry = self.window(service, time_ms, is_failure=is_failure)
        if entry is None:
            return None
        until = entry.until_ms
        return Plan(id=entry.key, reason=entry.reason, until_ms=time_ms if until is None else until)

    def window(self, service: str, time_ms: int, *, is_failure: bool = True) -> Feedback | None:
        """Returns the entry that announces such a maintenance. Returns None without one."""
        if not self._entries:
            return None
        tail_ms = self._tails.of(is_failure=is_failure)
        return next((one for one in self._own(service).windows if one.is_valid(time_ms, tail_ms=tail_ms)), None)

    def _own(self, service: str) -> _OfService:
        own = self._of_service.get(service)
        if own is None:
            if len(self._of_service) >= _CACHED_SERVICES:
                self._of_service.clear()
            own = self._of_service[service] = self._selected(service)
        return own

    def _selected(self, service: str) -> _OfService:
        own, system = _OfService(), system_in(self._system, service)
        for entry in reversed(self._entries):
            if not entry.reaches(service, system):
                continue
            if entry.kind is FeedbackKind.MAINTENANCE:
                own.windows.append(entry)
            elif entry.kind is FeedbackKind.MUTE:
                own.mutes.append((max(entry.pattern.split("*"), key=len), entry))
            else:
                for kind in entry.kinds:
                    own.by_kind.setdefault(kind, []).append(entry)
        own.windows.sort(key=lambda one: (one.from_ms, one.key))
        return own


def matches(pattern: str, name: str) -> bool:
    """Returns True if the whole name has the form of a pattern, in which * stands for any text.

    Takes time in proportion to both, whatever they are.
    """
    first, *middle = pattern.split("*")
    if not middle:
        return name == pattern
    *middle, last = middle
    # "a*b*c" in "a1b2c": begins with a, ends with c, and b lies between them.
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def contains(pattern: str, text: str) -> bool:
    """Returns True if a part of the text has the form of a pattern."""
    return matches(f"*{pattern}*", text)


def _given(entry: Feedback) -> tuple[int, str]:
    return entry.given_ms, entry.key


def _longest(entry: Feedback) -> tuple[float, int, str]:
    """Sorts entries that have no end first, and those that ended first last."""
    return (-math.inf if entry.until_ms is None else -entry.until_ms, *_given(entry))


NO_FEEDBACK = FeedbackBook()
