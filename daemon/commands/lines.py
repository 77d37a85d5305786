"""`logwarden lines`: the events of log files as the daemon reads them, for people to label and for `logwarden train`.

One JSON object per event: service, time, text, the file and the number of its first line, from 1, and a label. An event
of several lines, such as a trace, is one object. Without labels of the caller's, all are 0. Knows no model.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from logwarden.daemon.commands.file_records import FileDecoder, events_of
from logwarden.daemon.commands.files import ServiceFile, find_sources
from logwarden.daemon.commands.rendering import printable
from logwarden.daemon.errors import ConfigurationError, FatalError
from logwarden.daemon.pipeline.ledger import PartitionLedger
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.profiles import join_limits_of, profiles_of
from logwarden.daemon.records import Partition
from logwarden.daemon.settings.groups import Settings

_ROW = re.compile(r"([0-9]{1,12})(?:-([0-9]{1,12}))?(?::.*)?")
"""`12`, `12-15`, or a row of `grep -n`: `12:the line`."""


@dataclass(frozen=True, slots=True)
class _Event:
    number: int
    """Of its first line in the file, from 1."""
    service: str
    time_ms: int
    text: str


def print_lines(
    files: Sequence[Path], anomalous: Path | None, service: str | None, settings: Settings, out: TextIO, notes: Console
) -> None:
    """Prints the events of the files. `anomalous`: a file with the numbers of lines whose label is 1.

    Raises ConfigurationError for a row of that file that names no line, and FatalError at the end if a file was read
    in part only.
    """
    sources = find_sources(files, service)
    for sentence in sources.skipped:
        notes.print(Text(printable(sentence)), soft_wrap=True)
    wanted = _numbers(anomalous, [each.file.name for each in sources.files]) if anomalous is not None else {}
    profile = profiles_of(settings)("lines")
    decoder = FileDecoder(profile.decoder, service, only_stated=True)
    owner = Assignment(1, Partition("lines", 0), PartitionLedger(0, 0), replace(profile, decoder=decoder))
    faults = list(sources.unreadable)
    for source in sources.files:
        labelled = 0
        events = list(_events(source, owner, settings, notes))
        labels = _labels([event.number for event in events], wanted.get(source.file.name, []))
        for event, label in zip(events, labels, strict=True):
            labelled += label
            out.write(json.dumps(_row(event, source, label), ensure_ascii=False) + "\n")
        sentence = f"{source.file.name}: {len(events):,} events, {labelled:,} of them labelled anomalous"
        notes.print(Text(printable(sentence)), soft_wrap=True)
        if source.file.damage is not None:
            faults.append(f"the file {source.file.name!r} was read in part only: {source.file.damage}")
    if faults:
        raise FatalError(faults[0], hint="what could be read was printed")


def _events(source: ServiceFile, owner: Assignment, settings: Settings, notes: Console) -> Iterator[_Event]:
    dead: list[str] = []
    found: list[_Event] = []
    for part in events_of(source, owner, join_limits_of(settings)):
        dead += [f"line {letter.record.offset + 1}, {letter.reason}" for _, letter in part.dead]
        if part.events is not None:
            batch = part.events
            columns = zip(batch.offsets, batch.services, batch.timestamps, batch.texts, strict=True)
            found += [_Event(at + 1, name, ms, text.decode("utf-8", "replace")) for at, name, ms, text in columns]
    if dead:
        records = "1 record" if len(dead) == 1 else f"{len(dead):,} records"
        sentence = f"{source.file.name}: {records} could not be read, the first: {dead[0]}"
        notes.print(Text(printable(sentence)), soft_wrap=True)
    return iter(sorted(found, key=lambda event: event.number))  # a joined event ends after younger events of others


def _row(event: _Event, source: ServiceFile, label: int) -> Mapping[str, Any]:
    time = None
    if event.time_ms >= 0:
        time = datetime.fromtimestamp(event.time_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    return {
        "service": event.service,
        "time": time,
        "text": event.text,
        "file": source.file.name,
        "line": event.number,
        "label": label,
    }


def _labels(numbers: Sequence[int], ranges: Sequence[tuple[int, int]]) -> list[int]:
    """Returns (n,) 1 for every event with a line in one of the ranges. `numbers` (n,): of first lines, ascending."""
    # Events that begin on lines 1, 2 and 9, the second of seven lines; the range 4-4 is in the second:
    #   numbers        [1, 2, 9]
    #   bisect_right   4 → 2, so the event at 1
    labels = [0] * len(numbers)
    for first, last in ranges:
        for place in range(max(bisect_right(numbers, first) - 1, 0), bisect_right(numbers, last)):
            labels[place] = 1
    return labels


def _numbers(path: Path, names: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    """Reads file name → ranges of line numbers, from 1."""
    found: dict[str, list[tuple[int, int]]] = {}
    for place, row in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not row.strip():
            continue
        name = next((name for name in names if row.startswith(f"{name}:")), names[0] if len(names) == 1 else None)
        match = _ROW.fullmatch(row.removeprefix(f"{name}:").strip()) if name is not None else None
        if name is None or match is None or int(match[1]) < 1 or int(match[2] or match[1]) < int(match[1]):
            raise ConfigurationError(
                f"{path}:{place} names no line of the log",
                hint="write a number, a range such as 12-15, or the output of `grep -n`; with several logs FILE:12",
            )
        found.setdefault(name, []).append((int(match[1]), int(match[2] or match[1])))
    return found
