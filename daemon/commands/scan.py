"""`logwarden scan`: the daemon's policy on log files, without Kafka.

Owns which lines are for learning, and what is printed: the incidents of all files at the end, or each alert as it is
found. All files are one partition; the line numbers of a file, from 0, are its offsets. Decoding, joining, windows and
verdicts are the daemon's own, so a scan of a topic's content returns the verdicts of the daemon on that topic. A line
belongs to the service that it states, and otherwise to its file's.
Standard output contains results only; notes, the summary and the progress bar go to standard error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from logwarden.daemon.commands.file_records import FileDecoder, FileLine, count_events, parts_of, stated
from logwarden.daemon.commands.files import ServiceFile, Sources, find_sources
from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.incident_view import render_incident
from logwarden.daemon.commands.reading import LogFile
from logwarden.daemon.commands.rendering import printable, render
from logwarden.daemon.commands.run_tally import LISTED, STRONG, PastRuns, RunTally
from logwarden.daemon.commands.scan_incidents import ScanIncidents
from logwarden.daemon.engine.stream import open_stream
from logwarden.daemon.errors import FatalError, IncidentsFound
from logwarden.daemon.incidents.alert import Alert, build_alert
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.ledger import PartitionLedger
from logwarden.daemon.pipeline.partitions import Assignment, TopicProfile
from logwarden.daemon.pipeline.work import Work
from logwarden.daemon.ports import Engine
from logwarden.daemon.profiles import decoder_of, feedback_of_file, fold_rules, join_limits_of, profiles_of, system_of
from logwarden.daemon.records import DeadLetter, Partition
from logwarden.daemon.settings.groups import Settings
from logwarden.model.arrays import Bools
from logwarden.model.schema import Verdict

NO_LIMIT = 1 << 62
"""New lines that a step may embed: a scan has no other service that would wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """Arguments and options of the command line."""

    files: Sequence[Path]
    baseline: Sequence[Path] = ()
    service: str | None = None
    """None: each file is a service of its own, named after the file."""
    form: AlertFormat = AlertFormat.pretty
    every_verdict: bool = False
    lines: bool = False
    """Print each alert as it is found, in place of the incidents."""
    fail_on_incident: bool = False

    @property
    def by_line(self) -> bool:
        """True if alerts or verdicts are printed, and no incidents."""
        return self.lines or self.every_verdict


@dataclass(slots=True)
class Counts:
    """Figures of a file's summary."""

    lines: int = 0
    anomalies: int = 0
    unreadable: int = 0
    first_unreadable: str = ""
    services: Counter[str] = field(default_factory=Counter)
    """Log events of each service."""
    run: RunTally = field(default_factory=RunTally)


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
    """Prints the anomalies of the files; prints the learned files and each file's summary to `notes`.

    Raises FatalError at the end if a file was read in part only.
    """
    baseline = find_sources(options.baseline, options.service) if options.baseline else Sources()
    sources = find_sources(options.files, options.service)
    for sentence in (*baseline.skipped, *sources.skipped):
        notes.print(Text(printable(sentence)), soft_wrap=True)
    faults = [*baseline.unreadable, *sources.unreadable]
    incidents = ScanIncidents(fold_rules(settings), system_of(settings), feedback_of_file(settings))
    scanner = Scanner(settings, engine_of(settings), options.service)
    runs: list[RunTally] = []
    for number, source in enumerate(baseline.files):
        # The first run only teaches: where nothing is known, everything is odd.
        run = RunTally() if number else None
        learned = scanner.learn(source.file, list(dict.fromkeys(each.service for each in sources.files)), run)
        runs += [] if run is None else [run]
        notes.print(Text(f"learned from the {learned} lines of {printable(source.file.name)}"), soft_wrap=True)
        faults += _faults(source.file)
    past = PastRuns(runs)
    if not baseline.files:
        scanner.count(sources.files)
    torn = out.is_terminal and options.form is AlertFormat.jsonl
    progress = _progress(notes) if notes.is_terminal and not torn else None
    # While a progress bar is on the same terminal, only the bar's own console prints without tearing it.
    target = progress.console if progress is not None and out.is_terminal else out
    try:
        with progress or nullcontext():
            for source in sources.files:
                file, counts = source.file, Counts()
                task = progress.add_task(printable(file.name), total=file.size) if progress is not None else None
                for verdicts in scanner.judge(source, counts, every=options.every_verdict):
                    for verdict in verdicts:
                        alert = _alert_of(verdict, scanner.record_of(verdict), settings)
                        if verdict.is_anomaly:
                            incidents.add(alert, _place(verdict))
                        if options.by_line:
                            _show(verdict, alert, options.form, target)
                    if progress is not None and task is not None and file.size is not None:
                        progress.update(task, completed=file.position)
                notes.print(Text(_summary(file, counts, scanner.learning_lines)), soft_wrap=True)
                if baseline.files:
                    _show_run(counts.run, past, file, notes)
                faults += _faults(file, counts)
    finally:  # an interrupted scan prints what it has found
        if not options.by_line:
            _show_incidents(incidents, options.form, out)
    if faults:
        others = f"; {len(faults) - 1} more could not be read whole" if len(faults) > 1 else ""
        raise FatalError(f"{faults[0]}{others}", hint="what could be read was judged")
    if options.fail_on_incident and (found := incidents.unplanned()):
        raise IncidentsFound(found)


class Scanner:
    """Turns lines into verdicts, with one history per service."""

    def __init__(self, settings: Settings, engine: Engine, service: str | None = None) -> None:
        self._engine = engine
        self._wanted = settings.alerts.learning_lines
        self._learning: dict[str, int] | None = None
        slots = settings.limits.max_services
        self._slots = np.arange(slots)
        self._stream = open_stream(engine, settings, max_slots=slots, shown_chars=settings.limits.max_line_chars)
        self._join = join_limits_of(settings)
        self._ingestor = Ingestor(self._stream, max_services=slots, join=self._join)
        self._decoder = FileDecoder(decoder_of(settings), service)
        profile = replace(profiles_of(settings)("scan"), decoder=self._decoder)
        self._owner = _partition(profile)

    def count(self, sources: Sequence[ServiceFile]) -> None:
        """Counts the events of each service, to leave half of them to be judged."""
        # setting 1,000: 41 events → 21 · 5,000 events → 1,000 · a pipe, whose length is not known → 1,000
        counts = count_events(sources, self._owner, self._join)
        if counts is not None:
            self._learning = {service: min(self._wanted, (count + 1) // 2) for service, count in counts.items()}

    def learning_lines(self, service: str) -> int:
        """Returns the number of first lines of a service that are for learning: the setting, but at most half."""
        return self._wanted if self._learning is None else self._learning.get(service, self._wanted)

    def learn(self, file: LogFile, services: Sequence[str], run: RunTally | None = None) -> int:
        """Adds a file's lines to the history of the service that each states, or of all these services.

        `run`: gets the evidence of the lines, each judged by what was learned before it. None: they are not judged.
        Returns the number of its lines. They are in no later window, and every later line is judged.
        """
        count = 0
        for part in parts_of(file, services[0]):
            count += part.lines
            self._teach(part.records, run)
            for service in services[1:]:
                self._teach([replace(record, topic=service) for record in self._without_service(part.records)])
        self._learned(self._flush(), run)
        self._stream.rings.clear(self._slots)
        self._learning, self._wanted = {}, 0
        return count

    def judge(self, source: ServiceFile, counts: Counts, *, every: bool) -> Iterator[list[Verdict]]:
        """Yields a list of verdicts per part of the file, in order: of the anomalous windows, or of every window."""
        file = source.file
        for part in parts_of(file, source.service):
            counts.lines += part.lines
            if not part.records:
                continue
            ingested = self._ingestor.ingest([(self._owner, part.records)], 0.0, new_lines=NO_LIMIT)
            for _, letter in ingested.dead:
                _count_unreadable(counts, letter)
            for _, absorbed in ingested.absorbed:
                self._owner.forget(absorbed)
            for work in ingested.work:
                yield self._verdicts(work, file, counts, every)
                self._owner.forget(work.windows.columns["offset"][work.windows.fresh_lines()[0]])
        for work in self._flush():
            yield self._verdicts(work, file, counts, every)
        self._owner.originals.clear()  # the next file has the same offsets

    def record_of(self, verdict: Verdict) -> bytes:
        """Returns what an alert would quote of the newest line's record, until the next verdicts are taken."""
        return self._owner.originals.get(verdict.window.newest.offset, b"")

    def _teach(self, records: list[FileLine], run: RunTally | None = None) -> None:
        if records:
            self._learned(self._ingestor.ingest([(self._owner, records)], 0.0, new_lines=NO_LIMIT).work, run)
            self._owner.originals.clear()

    def _learned(self, pieces: Sequence[Work], run: RunTally | None) -> None:
        for work in pieces:
            if run is not None:
                run.add(work.windows, self._engine.scorer.score(work.windows))
            self._ingestor.scored(work.pushes)

    def _without_service(self, records: list[FileLine]) -> list[FileLine]:
        """Returns the records whose lines state no service."""
        decoded = self._decoder.decode(records)
        pairs = zip(decoded.places, decoded.services, strict=True)
        stated = {place for place, service in pairs if service != records[place].topic}
        return [record for place, record in enumerate(records) if place not in stated]

    def _flush(self) -> list[Work]:
        """Returns the windows of everything that still waits: open events, then lines short of a step."""
        ended = self._ingestor.close_events(0.0, new_lines=NO_LIMIT, all_of_them=True)
        return [*ended.work, *self._ingestor.flush(float("inf"))]

    def _verdicts(self, work: Work, file: LogFile, counts: Counts, every: bool) -> list[Verdict]:
        batch = work.windows
        scores = self._engine.policy.judged(batch, self._engine.scorer.score(batch))
        self._ingestor.scored(work.pushes)
        services: list[str] = work.services.tolist()
        for service, lines in zip(services, batch.fresh.tolist(), strict=True):
            counts.services[service] += lines
        learning = np.array([self.learning_lines(service) for service in services], np.int64)
        anomalous = np.zeros(len(batch), bool)
        policies = {n: replace(self._engine.policy, learning_lines=n) for n in np.unique(learning).tolist()}
        for lines, policy in policies.items():
            due: Bools = policy.alerts_due(batch, scores)
            anomalous |= due & (learning == lines)
        counts.anomalies += int(anomalous.sum())
        counts.run.add(batch, scores)
        places = range(len(batch)) if every else np.flatnonzero(anomalous).tolist()
        return [
            stated(policies[int(learning[i])].verdict(batch, scores, i, service=services[i], topic=file.name))
            for i in places
        ]


def _partition(profile: TopicProfile) -> Assignment:
    """Returns the partition that all files are."""
    return Assignment(1, Partition("scan", 0), PartitionLedger(0, 0), profile)


def _count_unreadable(counts: Counts, letter: DeadLetter) -> None:
    if not counts.unreadable:
        counts.first_unreadable = f"line {letter.record.offset + 1}, {letter.reason}"
    counts.unreadable += 1


def _faults(file: LogFile, counts: Counts | None = None) -> list[str]:
    """Returns why a file was not read whole, in a sentence; nothing for a file that was."""
    if file.damage is not None:
        return [f"the file {file.name!r} was read in part only: {file.damage}"]
    if counts is not None and counts.unreadable and not counts.services:
        return [f"no line of the file {file.name!r} could be read: {counts.first_unreadable}"]
    return []


def _alert_of(verdict: Verdict, record: bytes, settings: Settings) -> Alert:
    return build_alert(
        verdict,
        now_ms=None,
        max_line_chars=settings.alerts.max_line_chars,
        original=record,
        max_original_chars=settings.alerts.max_original_chars,
    )


def _place(verdict: Verdict) -> str:
    return f"{verdict.window.topic}:{verdict.window.newest.offset + 1}"  # editors and compilers count from 1


def _show_incidents(incidents: ScanIncidents, form: AlertFormat, out: Console) -> None:
    for record in incidents.records():
        if form is AlertFormat.jsonl:
            print(record.encode().decode(), flush=True)
        else:
            out.print(render_incident(record, incidents.places))


def _show(verdict: Verdict, alert: Alert, form: AlertFormat, out: Console) -> None:
    place = _place(verdict)
    if form is AlertFormat.jsonl:
        print(alert.encode().decode(), flush=True)
    elif verdict.is_anomaly:
        out.print(render(alert, place=place, first_number=1))
    else:
        row = f"{verdict.score:.3f} {'learning ' if verdict.learning else ''}{place} {verdict.window.newest.text}"
        out.print(Text(printable(row), "dim", no_wrap=True, overflow="ellipsis"))


def _summary(file: LogFile, counts: Counts, learning_lines: Callable[[str], int]) -> str:
    windows = "window" if counts.anomalies == 1 else "windows"
    words = f"{printable(file.name)}: {counts.anomalies} anomalous {windows} in {counts.lines} lines"
    if counts.unreadable:
        records = "1 record" if counts.unreadable == 1 else f"{counts.unreadable} records"
        words += f"; {records} could not be read, the first: {printable(counts.first_unreadable)}"
    if file.damage is not None:
        words += f"; the file was read in part only: {file.damage}"
    learned = {service: min(learning_lines(service), lines) for service, lines in counts.services.items()}
    if not sum(learned.values()):
        return words
    if len(learned) == 1:
        ((service, lines),) = learned.items()
        words += f"; no alerts from the first {lines} lines of {printable(service)}, which were for learning"
    else:
        words += (
            f"; no alerts from the first lines of each of its {len(learned)} services, "
            f"{sum(learned.values())} in all, which were for learning"
        )
    return f"{words}; to get verdicts on all lines, pass a fault-free log with --baseline"


def _show_run(run: RunTally, past: PastRuns, file: LogFile, notes: Console) -> None:
    notes.print(Text(f"{printable(file.name)}: {run.sentence(past)}"), soft_wrap=True)
    for evidence, count, offset, text in run.strongest():
        notes.print(Text(f"  {evidence:6.2f}  {count:6} times  line {offset + 1}  {printable(text)}"), soft_wrap=True)
    if past.evidence_of_lack(run) >= STRONG:
        for text in past.missing(run)[:LISTED]:
            notes.print(Text(f"  missing  {printable(text)}"), soft_wrap=True)


def _progress(notes: Console) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=notes, transient=True, redirect_stdout=False, redirect_stderr=False)
