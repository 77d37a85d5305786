"""Reads findings from alerts: what an incident needs of one, and nothing else. Pure."""

from __future__ import annotations

import math
import re

import msgspec

from logwarden.daemon.incidents.alert import SCHEMA_VERSION
from logwarden.daemon.incidents.incident import TEXT_CHARS
from logwarden.daemon.incidents.plans import PlanFacts, plan_of
from logwarden.daemon.incidents.writing import milliseconds
from logwarden.model.evidence import severities
from logwarden.model.incidents import ODD_BITS, Finding, system_in
from logwarden.model.schema import truncated

_CERTAIN = 1e-12
"""Least doubt of a score: the evidence of certainty would be without end."""
_MOST_KINDS = 4_096
_FAILURE_LEVELS = frozenset({"error", "critical"})


class _Named(msgspec.Struct, frozen=True):
    name: str


class _Log(msgspec.Struct, frozen=True):
    level: str | None


class _Line(msgspec.Struct, frozen=True):
    surprise: float


class _Facts(msgspec.Struct, frozen=True):
    score: float
    prediction: str
    dedup_key: str
    lines: tuple[_Line, ...]
    kind: str = ""
    planned: PlanFacts | None = None


class _Alert(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of an alert that matter here; the others are not read."""

    schema_version: int
    id: str
    timestamp: str | None = msgspec.field(name="@timestamp")
    service: _Named
    message: str
    log: _Log
    logwarden: _Facts


_DECODER = msgspec.json.Decoder(_Alert)


class FindingReader:
    """Turns alerts into findings. `system`: its first group in a service's name is the system; None: all are one."""

    def __init__(self, system: re.Pattern[str] | None = None) -> None:
        self._system = system
        self._failures: dict[str, bool] = {}

    def read(self, value: bytes, *, published_ms: int, place: tuple[int, int] | None = None) -> Finding:
        """Returns the finding of an alert's bytes. Raises ValueError if they are no alert that reports an anomaly.

        `place`: partition and offset of the alert.
        """
        try:
            alert = _DECODER.decode(value)
        except UnicodeDecodeError as error:
            raise ValueError(f"the value is not UTF-8: {error}") from None
        facts = alert.logwarden
        if alert.schema_version != SCHEMA_VERSION or facts.prediction != "anomaly" or not facts.lines:
            raise ValueError("the value is no alert of this version")
        before = facts.lines[:-1]
        return Finding(
            id=alert.id,
            service=alert.service.name,
            kind=facts.dedup_key,
            reason=facts.kind,
            time_ms=_time_ms(alert.timestamp, published_ms),
            clock_ms=published_ms,
            evidence=-math.log1p(-min(max(facts.score, 0.0), 1 - _CERTAIN)),
            text=truncated(alert.message, TEXT_CHARS),
            is_failure=self._is_failure(alert),
            surprise=facts.lines[-1].surprise,
            odd_share=sum(line.surprise >= ODD_BITS for line in before) / max(len(before), 1),
            system=system_in(self._system, alert.service.name),
            plan=plan_of(facts.planned),
            place=place,
        )

    def _is_failure(self, alert: _Alert) -> bool:
        """Returns True for a line that states a level of failure or names one. Reads one text of each kind of line."""
        if alert.log.level in _FAILURE_LEVELS:
            return True
        kind = alert.logwarden.dedup_key
        if kind not in self._failures:
            if len(self._failures) >= _MOST_KINDS:
                self._failures.clear()
            self._failures[kind] = bool(severities([alert.message])[0][0])
        return self._failures[kind]


def _time_ms(timestamp: str | None, published_ms: int) -> int:
    if timestamp is None:
        return published_ms
    try:
        return milliseconds(timestamp)
    except (ValueError, OverflowError):
        return published_ms
