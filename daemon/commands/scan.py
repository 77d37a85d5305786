"""`logwarden scan`: the daemon's judgement on log files, without Kafka.

Owns how a file becomes lines, which lines are for learning, and what is printed. A file is one service in one
partition; its line numbers, from 0, are the offsets. Decoding, windows and verdicts are the daemon's own, so a scan of
a topic's content and the daemon on that topic say the same. Standard output holds results only; notes, the summary and
the progress bar go to standard error.
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
from logwarden.daemon.alerts import build, encode
from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.config import Settings
from logwarden.daemon.decoding import Decoder
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.rendering import printable, render
from logwarden.model.errors import ModelError
from logwarden.model.lines import Encode, LineTable, Store
from logwarden.model.schema import Verdict
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import WindowBatch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

STDIN = Path("-")
CHUNK_BYTES = 1 << 18
"""Read at a time: a few thousand lines, enough for a full batch and a moment's work."""

LONGEST_LINE_BYTES = 1 << 20
"""More of a line is not kept while its end is searched for: a file without line breaks must not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """What was asked for on the command line."""

    files: Sequence[Path]
    baseline: Sequence[Path] = ()
    service: str | None = None
    """None: each file is a service of its own, called by its name."""
    form: AlertFormat = AlertFormat.pretty
    every_verdict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The model, as far as a scan needs it."""

    encode: Encode
    store: Store
    score: Callable[[WindowBatch], Scores]
    threshold: float
    revision: str


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
    """What a file's scan came to, for its summary."""

    lines: int = 0
    anomalies: int = 0


@dataclass(slots=True)
class Source:
    """A file to scan, open, with the service it is and how many of its first lines are for learning."""

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
    """The model that the settings name. ConfigurationError if it or its device is not there."""
    # torch comes with these two: seconds that a wrong file name need not wait for
    from logwarden.model.checkpoint import load_checkpoint
    from logwarden.model.scoring import WindowScorer

    model = settings.model
    try:
        loaded = load_checkpoint(model.path, model.bert_path, allow_download=model.allow_download)
        scorer = WindowScorer(
            loaded, device=model.device, rows=model.table_rows, max_windows=settings.batch.max_windows
        )
    except ModelError as error:
        raise ConfigurationError(str(error)) from None
    threshold = settings.alerts.threshold or loaded.calibration.threshold
    return Engine(
        encode=scorer.encode, store=scorer.store, score=scorer.score, threshold=threshold, revision=loaded.revision
    )


def scan(
    options: ScanOptions,
    settings: Settings,
    out: Console,
    notes: Console,
    engine_of: Callable[[Settings], Engine] = load_engine,
) -> None:
    """Print what is anomalous in the files, and to `notes` what was learned from and what it came to."""
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
        # While a bar is alive on the same terminal, only the bar's own console prints without tearing it.
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
    """Lines in, verdicts out; one history per slot."""

    def __init__(self, settings: Settings, engine: Engine, *, slots: int) -> None:
        self._engine = engine
        self._slots = slots
        self._decoder, self._raw_decoder = _decoder(settings, settings.input.format), _decoder(settings, "raw")
        self._stream = LogStream(
            LineTable(settings.model.table_rows, engine.encode, engine.store),
            size=settings.window.size,
            step=settings.window.step,
            max_slots=slots,
            max_lines_per_slot=settings.limits.max_history_lines_per_service,
            shown_chars=settings.limits.max_line_chars,
        )

    def learn(self, stream: BinaryIO) -> int:
        """Adds a file's lines to what every slot knows; returns how many. They are in no later window."""
        count = 0
        for records in _chunks(stream, "baseline"):
            columns = self._columns(records, 0)
            for slot in range(self._slots if columns is not None else 0):
                assert columns is not None, "without lines no slot is asked"
                self._stream.push(replace(columns, slots=np.full(len(columns.texts), slot)))
                self._stream.scored()
            count += len(records)
        self._stream.rings.clear(np.arange(self._slots))
        return count

    def judge(self, source: Source, *, every: bool) -> Iterator[list[Verdict]]:
        """The file's verdicts in order, a list for each part read: of the anomalous windows, or of every one."""
        policy = AlertPolicy(
            threshold=self._engine.threshold,
            learning_lines=source.learning_lines,
            model_revision=self._engine.revision,
        )
        for records in _chunks(source.stream, source.name):
            source.counts.lines += len(records)
            columns = self._columns(records, source.slot)
            if columns is not None:
                yield self._verdicts(self._stream.push(columns), policy, source, every)
        yield self._verdicts(self._stream.flush(np.array([source.slot])), policy, source, every)

    def _verdicts(self, batch: WindowBatch, policy: AlertPolicy, source: Source, every: bool) -> list[Verdict]:
        scores = self._engine.score(batch)
        self._stream.scored()
        anomalous = policy.alerts_due(batch, scores)
        source.counts.anomalies += int(anomalous.sum())
        places = range(len(batch)) if every else np.flatnonzero(anomalous).tolist()
        return [policy.verdict(batch, scores, i, service=source.service, topic=source.name) for i in places]

    def _columns(self, records: list[FileLine], slot: int) -> LineColumns | None:
        """The records' lines; None if all are blank. What looks like JSON and is not is a line as it stands."""
        decoded = self._decoder.decode(records)
        rows = list(zip(decoded.places, decoded.lines, decoded.timestamps, strict=True))
        if decoded.dead:
            places = [place for place, _ in decoded.dead]
            raw = self._raw_decoder.decode([records[place] for place in places])
            rows += zip([places[i] for i in raw.places], raw.lines, raw.timestamps, strict=True)
            rows.sort()
        if not rows:
            return None
        at, texts, timestamps = zip(*rows, strict=True)
        return LineColumns(
            texts=list(texts),
            slots=np.full(len(rows), slot),
            offset=np.array([records[place].offset for place in at], np.int64),
            index=np.zeros(len(rows), np.int32),
            timestamp=np.array(timestamps, np.int64),
        )


def _decoder(settings: Settings, form: str) -> Decoder:
    return Decoder(
        format=form,
        text_paths=settings.input.text_paths,
        service_paths=settings.input.service_paths,
        time_paths=settings.input.time_paths,
        max_line_bytes=settings.limits.max_line_chars,
    )


def _open(path: Path) -> AbstractContextManager[BinaryIO]:
    if path == STDIN:
        return nullcontext(sys.stdin.buffer)
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read: {error.strerror}") from None


def _sources(files: Sequence[tuple[Path, BinaryIO]], options: ScanOptions, settings: Settings) -> list[Source]:
    """The files with their services and slots; files of one service share its history, one after the other."""
    names = [path.name for path, _ in files]
    services = [
        # A name that two files share would make one service of two.
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
        Source(path=path, stream=stream, service=service, slot=slots[service], learning_lines=learning[service])
        for (path, stream), service in zip(files, services, strict=True)
    ]


def _learning_lines(streams: Sequence[BinaryIO], settings: Settings) -> int:
    """The setting, but at most half of what there is to read (rounded up), so that a short file is judged at all."""
    wanted = settings.alerts.learning_lines
    count = 0
    for stream in streams:
        if not stream.seekable():
            return wanted
        count += sum(1 for _ in islice(stream, 2 * wanted - count))
        stream.seek(0)
    return min(wanted, (count + 1) // 2)


def _chunks(stream: BinaryIO, name: str) -> Iterator[list[FileLine]]:
    """The lines of a stream as they become readable, so that a growing pipe is judged while it grows."""
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
    alert = build(verdict, now_ms=None, max_line_chars=settings.alerts.max_line_chars)
    place = f"{verdict.window.topic}:{verdict.window.newest.offset + 1}"  # as editors and compilers count
    if form is AlertFormat.jsonl:
        print(encode(alert).decode(), flush=True)
    elif verdict.is_anomaly:
        out.print(render(alert, place=place, first_number=1))
    else:
        row = f"{verdict.score:.3f} {'learning ' if verdict.learning else ''}{place} {verdict.window.newest.text}"
        out.print(Text(printable(row), "dim", no_wrap=True, overflow="ellipsis"))


def _summary(source: Source) -> str:
    counts = source.counts
    learned = min(source.learning_lines, counts.lines)
    windows = "window" if counts.anomalies == 1 else "windows"
    words = f"{printable(source.name)}: {counts.anomalies} anomalous {windows} in {counts.lines} lines"
    if learned == 0:
        return words
    words += f"; the first {learned} of {printable(source.service)} were for learning and raised nothing"
    return f"{words}; give --baseline with a log of a good day to judge all of them"


def _progress(notes: Console) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=notes, transient=True, redirect_stdout=False, redirect_stderr=False)


def _size(source: Source) -> int | None:
    return source.path.stat().st_size if source.stream.seekable() and source.path != STDIN else None
