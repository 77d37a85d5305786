"""Reads labelled lines and labelled sessions, and splits them by time. Knows no model.

A *unit* has a label: a line, or a session, which is anomalous as a whole. Units are anomalous (1), normal (0) or in
doubt (-1): those count in the history of their service and nowhere else.

Legend: n lines · u units
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from logwarden.model.defaults import MAX_LINE_CHARS

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ANOMALOUS, NORMAL, IN_DOUBT = 1, 0, -1
LEAST_ANOMALOUS, LEAST_NORMAL, LEAST_INCIDENTS = 20, 200, 3
"""Anomalous and normal units, and incidents, below which nothing can be learned and measured."""
FEW_ANOMALOUS, FEW_NORMAL, FEW_INCIDENTS = 100, 5_000, 10
"""The same, below which what is measured may be luck."""
INCIDENT_MS = 60_000
"""Anomalous lines that follow each other by less are one incident, of whatever services."""
HELD_OUT, LEAST_HELD_OUT = 1 / 3, 1 / 5
"""Share of the units, the last ones, that are kept for the comparison, and the least share of the incidents."""

LINE_FORM = '{"text": string, "label": 0, 1 or null, "service": string, "time": string or null}'
SESSION_FORM = '{"lines": [string, …], "label": 0 or 1, "service": string}'


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledStream:
    """n lines in the order of time, and the units that they belong to."""

    texts: list[bytes]
    service: Ints
    """(n,) number of the service in whose history a line counts."""
    at_ms: Ints
    """(n,) milliseconds since the epoch; -1 = unknown."""
    unit: Ints
    """(n,) unit of each line, ascending."""
    labels: Ints
    """(u,) 1, 0 or -1."""
    incident: Ints
    """(u,) number of the incident of an anomalous unit, from 0 and ascending; -1 for the others."""
    sessions: bool
    """The units are sessions, which have windows of their own."""

    @property
    def clock_ms(self) -> Ints:
        """Returns (n,) the times of the lines, or a second for each line where one has none."""
        return _clock(self.at_ms)

    @property
    def name(self) -> str:
        """Returns the plural of what a unit is, for people."""
        return "sessions" if self.sessions else "lines"


def read_lines(path: Path) -> LabelledStream:
    """Reads lines as `logwarden lines` prints them. Raises ValueError with the number and the form of a wrong one.

    They are sorted by their times where all have one, and stay in their order otherwise.
    """
    rows = [
        (_time_ms(row.get("time")), str(row.get("service", "default")), row["text"], _label(row["label"]))
        for row in _rows(path, LINE_FORM, _is_line)
    ]
    if all(row[0] >= 0 for row in rows):
        rows.sort(key=lambda row: row[0])
    names = {name: place for place, name in enumerate(dict.fromkeys(row[1] for row in rows))}
    service = np.array([names[row[1]] for row in rows], np.int64)
    at_ms = np.array([row[0] for row in rows], np.int64)
    labels = np.array([row[3] for row in rows], np.int64)
    return LabelledStream(
        texts=[_encoded(row[2]) for row in rows],
        service=service,
        at_ms=at_ms,
        unit=np.arange(len(rows)),
        labels=labels,
        incident=_incidents(labels, at_ms),
        sessions=False,
    )


def read_sessions(path: Path) -> LabelledStream:
    """Reads sessions in the order of the file. Raises ValueError with the number and the form of a wrong one."""
    rows = list(_rows(path, SESSION_FORM, _is_session))
    names = {name: place for place, name in enumerate(dict.fromkeys(_service(row) for row in rows))}
    lengths = [len(row["lines"]) for row in rows]
    labels = np.array([int(row["label"]) for row in rows], np.int64)
    anomalous = labels == ANOMALOUS
    return LabelledStream(
        texts=[_encoded(line) for row in rows for line in row["lines"]],
        service=np.repeat(np.array([names[_service(row)] for row in rows], np.int64), lengths),
        at_ms=np.full(sum(lengths), -1),
        unit=np.repeat(np.arange(len(rows)), lengths),
        labels=labels,
        incident=np.where(anomalous, np.cumsum(anomalous) - 1, -1),
        sessions=True,
    )


def held_out_from(stream: LabelledStream) -> int:
    """Returns the first unit of the last part: in the middle between two incidents, near two thirds of the units.

    At least two incidents come before it, and a fifth of them after it.
    """
    # 12 units, incidents of unit 2, of 4 and 5, of 8, and of 11; two thirds of 12 are 8:
    #   last     [2, 5, 8, 11]    unit of each incident
    #   first    [2, 4, 8, 11]
    #   middles  behind incident 1: (5 + 1 + 8) // 2 = 7; behind incident 2: (8 + 1 + 11) // 2 = 10
    #   cut      7, the nearest to 8
    of = stream.incident[stream.incident >= 0]
    units = np.flatnonzero(stream.incident >= 0)
    _, begins, lengths = np.unique(of, return_index=True, return_counts=True)
    first, last = units[begins], units[begins + lengths - 1]
    kept = max(1, int(len(first) * LEAST_HELD_OUT))
    middles = ((last[:-1] + 1 + first[1:]) // 2)[1 : len(first) - kept]
    return int(middles[np.abs(middles - len(stream.labels) * (1 - HELD_OUT)).argmin()])


def refuse_too_few(stream: LabelledStream) -> None:
    """Raises ValueError with one sentence if nothing can be learned from so little, or nothing measured."""
    anomalous, normal = (int((stream.labels == label).sum()) for label in (ANOMALOUS, NORMAL))
    incidents = int(stream.incident.max(initial=-1)) + 1
    if anomalous < LEAST_ANOMALOUS or normal < LEAST_NORMAL:
        raise ValueError(
            f"{anomalous:,} anomalous and {normal:,} normal {stream.name} are too few to learn from; label at least "
            f"{LEAST_ANOMALOUS} anomalous and {LEAST_NORMAL} normal ones, or keep the shipped model"
        )
    if incidents < LEAST_INCIDENTS:
        raise ValueError(
            f"the anomalous {stream.name} are {incidents} incidents, too few to learn from some and measure on others; "
            f"label at least {LEAST_INCIDENTS} that are a minute or more apart"
        )


def warning_of(stream: LabelledStream) -> str | None:
    """Returns one sentence if there is so little that the figures may be luck."""
    anomalous, normal = (int((stream.labels == label).sum()) for label in (ANOMALOUS, NORMAL))
    incidents = int(stream.incident.max(initial=-1)) + 1
    if anomalous >= FEW_ANOMALOUS and normal >= FEW_NORMAL and incidents >= FEW_INCIDENTS:
        return None
    return (
        f"{anomalous:,} anomalous and {normal:,} normal {stream.name} in {incidents:,} incidents are few, so the "
        f"figures below may be luck; label {FEW_ANOMALOUS:,}, {FEW_NORMAL:,} and {FEW_INCIDENTS} or more to be surer"
    )


def _incidents(labels: Ints, at_ms: Ints) -> Ints:
    """(n,) number of the incident of each anomalous line, from 0 in the order of their begins; -1 for the others.

    Lines without a time follow each other by a second, so that 60 lines without an anomaly end an incident.
    """
    clock = _clock(at_ms)
    found = np.full(len(labels), -1)
    last: tuple[int, int] | None = None
    for place in np.flatnonzero(labels == ANOMALOUS).tolist():
        now = int(clock[place])
        number = -1 if last is None else last[0]
        if last is None or now - last[1] >= INCIDENT_MS:
            number += 1
        found[place], last = number, (number, now)
    return found


def _clock(at_ms: Ints) -> Ints:
    return at_ms if at_ms.min(initial=0) >= 0 else np.arange(len(at_ms)) * 1_000


def _rows(path: Path, form: str, fits: Callable[[Any], bool]) -> Iterator[Mapping[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file at {path}; name a file of JSON lines")
    with path.open(encoding="utf-8", errors="replace") as rows:
        for number, text in enumerate(rows, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
                right = isinstance(row, dict) and fits(row)
            except (ValueError, KeyError, TypeError, RecursionError):
                right = False
            if not right:
                raise ValueError(f"{path}:{number} must be {form}")
            yield row


def _is_line(row: Mapping[str, Any]) -> bool:
    _time_ms(row.get("time"))
    return isinstance(row["text"], str) and bool(row["text"].strip()) and row["label"] in (0, 1, None)


def _is_session(row: Mapping[str, Any]) -> bool:
    lines: Sequence[Any] = row["lines"]
    return isinstance(lines, list) and bool(lines) and all(isinstance(x, str) for x in lines) and row["label"] in (0, 1)


def _service(row: Mapping[str, Any]) -> str:
    return str(row.get("service", "default"))


def _label(label: int | None) -> int:
    return IN_DOUBT if label is None else int(label)


def _time_ms(time: str | float | None) -> int:
    """Milliseconds since the epoch of a time of ISO 8601, or of a number of them; -1 for None."""
    if time is None:
        return -1
    if isinstance(time, (int, float)):
        return int(time)
    moment = datetime.fromisoformat(time)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


def _encoded(text: str) -> bytes:
    return text[:MAX_LINE_CHARS].encode("utf-8", "replace").replace(b"\n", b" ")
