"""`logwarden scan`: the daemon's policy on log files, without Kafka.

Owns how a file becomes lines, which lines are for learning, and what is printed. A file is one service in one
partition; its line numbers, from 0, are the offsets. Decoding, windows and verdicts are the daemon's own, so a scan of
a topic's content returns the verdicts of the daemon on that topic. Standard output contains results only; notes, the
summary and the progress bar go to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from logwarden.daemon.commands.file_events import FileEvents, FileRow
from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.rendering import printable, render
from logwarden.daemon.decoding.decoder import Decoded
from logwarden.daemon.engine.stream import open_stream
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.incidents.alert import build_alert
from logwarden.daemon.ports import Engine
from logwarden.daemon.profiles import decoder_of, join_limits_of
from logwarden.daemon.settings.groups import Settings
from logwarden.model.schema import Verdict
from logwarden.model.stream import LineColumns
from logwarden.model.verdicts import AlertPolicy
from logwarden.model.windowing import WindowBatch

STDIN = Path("-")
CHUNK_BYTES = 1 << 18
"""Bytes per read: a few thousand lines, enough for a full batch and less than a second of work."""

LONGEST_LINE_BYTES = 1 << 20
"""Bytes of a line that are kept while its end is searched: a file without line breaks must not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """Arguments and options of the command line."""

    files: Sequence[Path]
    baseline: Sequence[Path] = ()
    service: str | None = None
    """None: each file is a service of its own, named after the file."""
    form: AlertFormat = AlertFormat.pretty
    every_verdict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLine:
    """A line of a file in the form of a Kafka record, for the daemon's decoder."""

    topic: str
    offset: int
    value: bytes
    partition: int = 0
    timestamp: int = -1
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True)
class Counts:
    """Figures of a file's summary."""

    lines: int = 0
    anomalies: int = 0


@dataclass(slots=True)
class ScannedFile:
    """An open file to scan, with its service and the number of its first lines that are for learning."""

    path: Path
    stream: BinaryIO
    service: str
    slot: int
    learning_lines: int
    counts: Counts = field(default_factory=Counts)

    @property
    def name(self) -> str:
        return "stdin" if self.path == STDIN else str(self.path)


def load_engine(settings: Settings) -> Engine:
    """Returns the model that the settings name. Raises ConfigurationError if it or its device cannot be used."""
    from logwarden.daemon.engine import loading  # imports torch, which takes seconds: a wrong file name is found before

    return loading.load_engine(settings)


def scan(
    options: ScanOptions,
    settings: Settings,
    out: Console,
    notes: Console,
    engine_of: Callable[[Settings], Engine] = load_engine,
) -> None:
    """Prints the anomalies of the files; prints the learned files and each file's summary to `notes`."""
    with ExitStack() as stack:
        baseline = [(path, stack.enter_context(_open(path))) for path in options.baseline]
        files = [(path, stack.enter_context(_open(path))) for path in options.files]
        sources = _sources(files, options, settings)
        scanner = Scanner(settings, engine_of(settings), slots=max(source.slot for source in sources) + 1)
        for path, stream in baseline:
            learned = scanner.learn(stream)
            notes.print(Text(f"learned from the {learned} lines of {printable(str(path))}"), soft_wrap=True)
        torn = out.is_terminal and options.form is AlertFormat.jsonl
        progress = _progress(notes) if notes.is_terminal and not torn else None
        # While a progress bar is on the same terminal, only the bar's own console prints without tearing it.
        target = progress.console if progress is not None and out.is_terminal else out
        with progress or nullcontext():
            for source in sources:
                task = progress.add_task(printable(source.name), total=_size(source)) if progress is not None else None
                for verdicts in scanner.judge(source, every=options.every_verdict):
                    for verdict in verdicts:
                        _show(verdict, settings, options.form, target)
                    if progress is not None and task is not None and source.stream.seekable():
                        progress.update(task, completed=source.stream.tell())
                notes.print(Text(_summary(source)), soft_wrap=True)


class Scanner:
    """Turns lines into verdicts, with one history per slot."""

    def __init__(self, settings: Settings, engine: Engine, *, slots: int) -> None:
        self._engine = engine
        self._slots = slots
        self._decoder, self._raw_decoder = decoder_of(settings), decoder_of(settings, format="raw")
        self._join_limits = join_limits_of(settings)
        self._stream = open_stream(engine, settings, max_slots=slots, shown_chars=settings.limits.max_line_chars)

    def learn(self, stream: BinaryIO) -> int:
        """Adds a file's lines to the history of every slot and returns their number. They are in no later window."""
        count = 0
        events = self._events()
        for records in _chunks(stream, "baseline"):
            self._learn(self._rows(records, events))
            count += len(records)
        self._learn(events.end())
        self._stream.rings.clear(np.arange(self._slots))
        return count

    def judge(self, source: ScannedFile, *, every: bool) -> Iterator[list[Verdict]]:
        """Yields a list of verdicts per part of the file, in order: of the anomalous windows, or of every window."""
        policy = replace(self._engine.policy, learning_lines=source.learning_lines)
        events = self._events()
        for records in _chunks(source.stream, source.name):
            source.counts.lines += len(records)
            rows = self._rows(records, events)
            if rows:
                yield self._verdicts(self._stream.push(_columns(rows, source.slot)), policy, source, every)
        rows = events.end()
        if rows:
            yield self._verdicts(self._stream.push(_columns(rows, source.slot)), policy, source, every)
        yield self._verdicts(self._stream.flush(np.array([source.slot])), policy, source, every)

    def _verdicts(self, batch: WindowBatch, policy: AlertPolicy, source: ScannedFile, every: bool) -> list[Verdict]:
        scores = self._engine.scorer.score(batch)
        self._stream.scored()
        anomalous = policy.alerts_due(batch, scores)
        source.counts.anomalies += int(anomalous.sum())
        places = range(len(batch)) if every else np.flatnonzero(anomalous).tolist()
        return [policy.verdict(batch, scores, i, service=source.service, topic=source.name) for i in places]

    def _events(self) -> FileEvents:
        return FileEvents(self._join_limits, self._stream.mask)

    def _learn(self, rows: list[FileRow]) -> None:
        for slot in range(self._slots if rows else 0):
            self._stream.push(_columns(rows, slot))
            self._stream.scored()

    def _rows(self, records: list[FileLine], events: FileEvents) -> list[FileRow]:
        """Returns the events that the records ended. Broken JSON is read as a plain line."""
        decoded = self._decoder.decode(records)
        rows = self._of(decoded, records, range(len(records)))
        if decoded.dead:
            places = [place for place, _ in decoded.dead]
            rows += self._of(self._raw_decoder.decode([records[place] for place in places]), records, places)
            rows.sort()
        return events.take([row for row, _ in rows], {place for place, (_, indented) in enumerate(rows) if indented})

    @staticmethod
    def _of(decoded: Decoded, records: list[FileLine], at: Sequence[int]) -> list[tuple[FileRow, bool]]:
        """Returns the lines as rows, each with True if it began with a blank. `at`: the record of each place."""
        offsets = [records[at[place]].offset for place in decoded.places]
        rows = map(FileRow, offsets, decoded.index, decoded.timestamps, decoded.lines)
        indented = set(decoded.indented)
        return [(row, place in indented) for place, row in enumerate(rows)]


def _columns(rows: Sequence[FileRow], slot: int) -> LineColumns:
    """Returns n ≥ 1 events as columns."""
    offset, index, timestamp, texts = zip(*rows, strict=True)
    return LineColumns(
        texts=list(texts),
        slots=np.full(len(rows), slot),
        offset=np.array(offset, np.int64),
        index=np.array(index, np.int32),
        timestamp=np.array(timestamp, np.int64),
    )


def _open(path: Path) -> AbstractContextManager[BinaryIO]:
    if path == STDIN:
        return nullcontext(sys.stdin.buffer)
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(
            f"the file {str(path)!r} cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from None


def _sources(files: Sequence[tuple[Path, BinaryIO]], options: ScanOptions, settings: Settings) -> list[ScannedFile]:
    """Returns the files with their services and slots. Files of one service share its history, one after the other."""
    names = [path.name for path, _ in files]
    services = [
        # Files of one name in two folders are two services, named by their paths.
        options.service or ("stdin" if path == STDIN else path.name if names.count(path.name) == 1 else str(path))
        for path, _ in files
    ]
    slots = {service: slot for slot, service in enumerate(dict.fromkeys(services))}
    learning = {
        service: 0
        if options.baseline
        else _learning_lines([stream for (_, stream), s in zip(files, services, strict=True) if s == service], settings)
        for service in slots
    }
    return [
        ScannedFile(path=path, stream=stream, service=service, slot=slots[service], learning_lines=learning[service])
        for (path, stream), service in zip(files, services, strict=True)
    ]


def _learning_lines(streams: Sequence[BinaryIO], settings: Settings) -> int:
    """Returns the setting, but at most half of the readable lines (rounded up), so that a short file gets verdicts."""
    # setting 1,000: 41 lines → 21 · 5,000 lines → 1,000 · a pipe, whose length is not known → 1,000
    wanted = settings.alerts.learning_lines
    count = 0
    for stream in streams:
        if not stream.seekable():
            return wanted
        count += sum(1 for _ in islice(stream, 2 * wanted - count))
        stream.seek(0)
    return min(wanted, (count + 1) // 2)


def _chunks(stream: BinaryIO, name: str) -> Iterator[list[FileLine]]:
    """Yields the lines of a stream as they become readable, so that a pipe gets its verdicts while it grows."""
    read = getattr(stream, "read1", stream.read)
    number, rest = 0, b""
    while part := read(CHUNK_BYTES):
        *lines, rest = (rest + part).split(b"\n")
        rest = rest[:LONGEST_LINE_BYTES]
        if lines:
            yield [FileLine(topic=name, offset=number + i, value=line) for i, line in enumerate(lines)]
        number += len(lines)
    if rest:
        yield [FileLine(topic=name, offset=number, value=rest)]


def _show(verdict: Verdict, settings: Settings, form: AlertFormat, out: Console) -> None:
    alert = build_alert(verdict, now_ms=None, max_line_chars=settings.alerts.max_line_chars)
    place = f"{verdict.window.topic}:{verdict.window.newest.offset + 1}"  # editors and compilers count from 1
    if form is AlertFormat.jsonl:
        print(alert.encode().decode(), flush=True)
    elif verdict.is_anomaly:
        out.print(render(alert, place=place, first_number=1))
    else:
        row = f"{verdict.score:.3f} {'learning ' if verdict.learning else ''}{place} {verdict.window.newest.text}"
        out.print(Text(printable(row), "dim", no_wrap=True, overflow="ellipsis"))


def _summary(source: ScannedFile) -> str:
    counts = source.counts
    learned = min(source.learning_lines, counts.lines)
    windows = "window" if counts.anomalies == 1 else "windows"
    words = f"{printable(source.name)}: {counts.anomalies} anomalous {windows} in {counts.lines} lines"
    if learned == 0:
        return words
    words += f"; no alerts from the first {learned} lines of {printable(source.service)}, which were for learning"
    return f"{words}; to get verdicts on all lines, pass a fault-free log with --baseline"


def _progress(notes: Console) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=notes, transient=True, redirect_stdout=False, redirect_stderr=False)


def _size(source: ScannedFile) -> int | None:
    return source.path.stat().st_size if source.stream.seekable() and source.path != STDIN else None
