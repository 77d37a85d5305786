"""The contract of docs/feedback.md, written again in the simplest way, and the invariants that hold daemons to it.

Reads the feedback topic and the file as they are, and computes what may become of an anomalous line. Where a record is
so new that a member may not have it yet, more than one thing may. Knows nothing of the daemon's own book.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from logwarden.daemon.profiles import kind_of
from logwarden.daemon.settings.groups import Settings
from logwarden.model.feedback import Tails
from tests.sim.evidence import Evidence, Place
from tests.sim.loop import now_s
from tests.sim.stand_ins import EPOCH_MS
from tests.sim.topics import Era, OutputTopic

SILENT, PLAIN_MARK = "silent", ""
"""No alert; an alert without a mark. Any other mark is the key of a maintenance."""
FILE = "the file"
TAILS = Tails(any_ms=3_000, settling_ms=4_500)
"""Times after a maintenance whose alerts still count as planned: short, so that worlds live to see their end."""
SYSTEM = re.compile("^svc-([01])$")
"""Two services are systems of their own; the third one is in none."""
IN_FORCE_S = 5.0
"""Bound on the time until a member that reaches the topic applies what was written."""
AFTER_TROUBLE_S = 9.0
"""Bound on the same after a failure: a request's time-out, a retry and a reading."""
NEVER_S = -1e9
MOST_CHOICES = 4_096
KEPT_MS = {"maintenance": 7 * 86_400_000, "mute": 30 * 86_400_000}
"""Time for which ended feedback stays in the topic; other kinds stay as long as a mute."""
_OUTSIDE = frozenset({"expected", "mute"})


_kind_of = kind_of(Settings())


@lru_cache(maxsize=10_000)
def kind_name_of(text: str) -> str:
    """Returns the name of the kind of a line, by the masks of the daemon."""
    return _kind_of(text)


@dataclass(frozen=True, slots=True)
class Judged:
    """An anomalous line."""

    service: str
    text: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of feedback, as a person reads it."""

    key: str
    kind: str
    given_ms: int
    from_ms: int
    until_ms: int | None
    services: tuple[str, ...]
    systems: tuple[str, ...]
    kinds: frozenset[str]
    pattern: str

    def covers(self, line: Judged, *, always: bool = False, tail_ms: int = TAILS.settling_ms) -> bool:
        """Returns True for a line that the entry is about. `always`: whatever the line's time."""
        tail_ms = tail_ms if self.kind == "maintenance" else 0
        ended = self.until_ms is not None and line.time_ms >= self.until_ms + tail_ms
        if not always and (line.time_ms < self.from_ms or ended):
            return False
        found = SYSTEM.search(line.service)
        system = found[1] if found else line.service
        if (self.services or self.systems) and not (
            any(_has_form(name, line.service) for name in self.services)
            or any(_has_form(name, system) for name in self.systems)
        ):
            return False
        if self.kind == "mute":
            return _has_form(f"*{self.pattern}*", line.text)
        return self.kind == "maintenance" or kind_name_of(line.text) in self.kinds


def _has_form(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def entry_of(key: str, record: Mapping[str, Any]) -> Entry:
    """Returns what a record's JSON states."""
    lines = record.get("lines", [])
    given = _ms(record["given"])
    return Entry(
        key=key,
        kind=record["kind"],
        given_ms=given,
        from_ms=_ms(record["from"]) if "from" in record else given,
        until_ms=_ms(record["until"]) if "until" in record else None,
        services=tuple(record.get("services") or {line["service"] for line in lines}),
        systems=tuple(record.get("systems", ())),
        kinds=frozenset(kind_name_of(line["text"]) for line in lines if not line["text"].endswith("…"))
        | {line["dedup_key"][-16:] for line in lines if line.get("dedup_key")},
        pattern=record.get("pattern", ""),
    )


def _ms(text: str) -> int:
    return round(1000 * datetime.fromisoformat(text).timestamp())


def marks(entries: Iterable[Entry], line: Judged) -> set[str]:
    """Returns what may become of a line while these entries are in force: of two windows, either may mark it.

    Behind the shorter tail of its window, a line is marked if it states no failure, which is not decided here.
    """
    about = [entry for entry in entries if entry.covers(line)]
    judgements = [entry for entry in about if entry.kind != "maintenance"]
    if judgements and max(judgements, key=lambda entry: (entry.given_ms, entry.key)).kind in _OUTSIDE:
        return {SILENT}
    plans = [entry for entry in about if entry.kind == "maintenance"]
    is_planned = any(entry.covers(line, tail_ms=TAILS.any_ms) for entry in plans)
    return {entry.key for entry in plans} | (set() if is_planned else {PLAIN_MARK})


class Contract:
    """The topic and the file by their versions, and what people did on purpose."""

    def __init__(self, topic: OutputTopic, evidence: Evidence) -> None:
        self._topic = topic
        self._evidence = evidence
        self._read = 0
        self._versions: dict[str, list[tuple[float, tuple[Entry, ...]]]] = {}
        """By key, or by the name of the file: since when which entries."""
        self.values: dict[str, list[tuple[float, bytes | None]]] = {}
        """The bytes of each key, with the seconds of their writing."""
        self.meant: set[tuple[str, bytes | None]] = set()
        """Keys and values that a person meant to write."""
        self._removed: dict[str, float] = {}
        """Keys that lack what was given last, and since when."""
        self.file = b""
        self._file_is_right_s: float | None = NEVER_S
        """Since when the file can be used. None: it cannot."""

    # ---------------------------------------------------------------- what people do

    def acknowledged(self, key: str, value: bytes | None) -> None:
        """feedback_kept: what is acknowledged to a person is in the topic."""
        self._look()
        topic = self._topic
        written = [one for one in topic.records if (one.key or b"").decode() == key and one.offset not in topic.void]
        if not any(one.value == value for one in written):
            self._evidence.breach("feedback_kept", f"{key} was acknowledged and is not in the topic")

    def write_file(self, content: bytes, entries: Sequence[Mapping[str, Any]] | None) -> None:
        """Replaces the file. `entries`: None for one that cannot be used."""
        self.file = content
        if entries is None:
            self._file_is_right_s = None
        else:
            self._file_is_right_s = now_s() if self._file_is_right_s is None else self._file_is_right_s
            found = tuple(entry_of(f"file/{number}", entry) for number, entry in enumerate(entries))
            self._versions.setdefault(FILE, []).append((now_s(), found))

    # ---------------------------------------------------------------- what may become of a line

    def allowed(self, line: Judged, *, known_s: float, file_known_s: float, asked_s: float) -> set[str]:
        """Returns what may become of a line that a member judges by what it had at a moment.

        The member has what the topic and the file had until `known_s` and `file_known_s`. It has perhaps what was
        written from then to the moment.
        """
        self._look()
        choices = []
        for name, versions in self._versions.items():
            is_file = name == FILE
            could_be = _at(versions, file_known_s if is_file else known_s, asked_s, ())
            right_s = self._file_is_right_s
            if is_file and (right_s is None or file_known_s < right_s):
                # The last good one that a member read; one that started has none.
                could_be = [(), *(found for _, found in versions)]
            about = {tuple(entry for entry in entries if entry.covers(line)) for entries in could_be}
            if about != {()}:
                choices.append(about)
        combined = itertools.islice(itertools.product(*choices), MOST_CHOICES)
        return {mark for chosen in combined for mark in marks(itertools.chain(*chosen), line)}

    def ever_covered(self, line: Judged) -> bool:
        """Returns True for a line that some judgement or mute was about, at another time or for another while."""
        given = (found for versions in self._versions.values() for at_s, found in versions if at_s > 0)
        entries = itertools.chain.from_iterable(given)
        return any(entry.kind in _OUTSIDE and entry.covers(line, always=True) for entry in entries)

    def _look(self) -> None:
        """Reads what was written since the last call."""
        topic = self._topic
        fresh, self._read = topic.records[self._read : topic.end], topic.end
        for record in fresh:
            if record.offset in topic.void:
                continue
            key, at_s = (record.key or b"").decode(), topic.seen_at_ms.get(record.offset, record.timestamp) / 1000
            entry = () if record.value is None else (entry_of(key, json.loads(record.value)),)
            before = self._versions.setdefault(key, [])
            is_meant = (key, record.value) in self.meant
            if is_meant:
                self._removed.pop(key, None)
            elif any(not _is_outdated(one, record.timestamp) for one in _last(before)):
                self._removed[key] = at_s
            before.append((at_s, entry))
            self.values.setdefault(key, []).append((at_s, record.value))

    # ---------------------------------------------------------------- invariants

    def check_kept(self) -> Iterator[str]:
        """feedback_kept: nothing vanishes that nobody meant to take back, unless it is put back."""
        self._look()
        for key, at_s in self._removed.items():
            yield f"{key} was removed at {at_s:.3f} s, and nobody meant to"

    def check_member(self, name: str, found: Mapping[str, bytes], known_s: float) -> None:
        """feedback_everywhere: a member has of each key what was written last, or what is newer than the bound."""
        self._look()
        for key, versions in self.values.items():
            if found.get(key) not in (could_be := _at(versions, known_s, now_s(), None)):
                self._evidence.breach(
                    "feedback_everywhere",
                    f"{name} has {found.get(key)!r} of {key}, and it could be {could_be}: known until {known_s:.3f} s",
                )

    def check_alert(self, line: tuple[Era, Place], mark: str) -> None:
        """feedback_heeded, feedback_ends: an alert is there and marked as the feedback in force demands."""
        allowed = self._evidence.allowed.get(line, {mark})
        if mark not in allowed:
            name = "feedback_ends" if mark else "feedback_heeded"
            self._evidence.breach(name, f"{line} has an alert with the mark {mark!r}, and it must be {allowed}")

    def check_silence(self, lines: Iterable[tuple[tuple[Era, Place], Judged]]) -> Iterator[str]:
        """feedback_ends: no line lacks an alert because of feedback that is over, withdrawn, or of another line."""
        for line, judged in lines:
            allowed = self._evidence.allowed.get(line, set())
            if allowed and SILENT not in allowed and line not in self._evidence.alerted and self.ever_covered(judged):
                yield f"{line} is committed without an alert, and it must be {allowed}: {judged}"


def _last(versions: Sequence[tuple[float, tuple[Entry, ...]]]) -> tuple[Entry, ...]:
    return versions[-1][1] if versions else ()


def _is_outdated(entry: Entry, timestamp_ms: int) -> bool:
    """Returns True for an entry whose lines nobody reads again."""
    return entry.until_ms is not None and entry.until_ms + KEPT_MS.get(entry.kind, KEPT_MS["mute"]) <= (
        EPOCH_MS + timestamp_ms
    )


def _at(versions: Sequence[tuple[float, Any]], known_s: float, until_s: float, nothing: Any) -> list[Any]:
    """Returns the version that was the last one at `known_s`, and those written from then to `until_s`."""
    old = [value for at_s, value in versions if at_s <= known_s]
    return [old[-1] if old else nothing, *(value for at_s, value in versions if known_s < at_s <= until_s)]
