"""Measures a model on systems it was not trained on: `logwarden evaluate`. One command, the seed printed.

Every table obeys one protocol: split by time before windowing, trivial baselines on the same split, intervals, the
threshold frozen before the test, and in every row what the method was told of the target. The model gets no label of
any target; it hears what comes before the split, as it would in service. Where text of the target was trained on,
without labels, the row says so: it is no figure of transfer to a system unheard of.

    HDFS               blocks of a file system, the natural rate of anomalies; kept out of training altogether
    openstack-faults   rounds of a fault injection, and windows of one size within them
    openstack-vm       lives of virtual machines, as event templates
    faultlab           the labelled lines of the fault lab's systems, each judged after two runs that it heard
    recording          a recording of the fault lab, fault by fault; nothing may be tuned on the one that is shipped
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from logwarden.model import checkpoint
from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import Checkpoint
from logwarden.model.classifier import LogWindowClassifier, LogWindowConfig
from logwarden.model.encoder import LineEncoder
from logwarden.training import corpora
from logwarden.training.evaluation import fault_results as faults
from logwarden.training.evaluation import session_results as protocol
from logwarden.training.evaluation import tables
from logwarden.training.evaluation.baselines import LineSessions
from logwarden.training.evaluation.fault_results import RecordingResult
from logwarden.training.evaluation.line_results import LineResult, line_grid, line_results, stream_of
from logwarden.training.evaluation.replay import Judged, judge, without_level
from logwarden.training.evaluation.session_results import Contest, Row
from logwarden.training.evaluation.splits import (
    BEFORE,
    Trial,
    hdfs_trial,
    in_windows,
    openstack_faults_trial,
    openstack_vm_trial,
)
from logwarden.training.evaluation.tables import Grid
from logwarden.training.faultlab import recording as recordings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

DATA = ("hdfs", "openstack-faults", "openstack-vm", "faultlab", "recording")
RECORDING = Path(recordings.__file__).parent / "recordings" / "demo"
MODEL_NAME = "logwarden"
UNTRAINED_NAME = f"{MODEL_NAME}, untrained head"
SEEN = {
    "openstack-faults": "unlabelled text seen: clean rounds of it",
    "openstack-vm": "unlabelled text seen: another OpenStack",
}
"""What the shipped model was trained on of a target, without labels. Of the others it read nothing."""
RANDOM_BASELINES = ("decision tree",)
"""The others give the same scores for every seed, so one run is all of them."""
SWEPT = ("max surprise", "1-NN", "TF-IDF + logistic regression")
WINDOWED = ("keyword in any line", "lines with keyword", "max surprise", "top-4 surprise")
FIXED_WINDOW = 32

Advance = Callable[[int], None]


@dataclass(slots=True)
class Findings:
    """All that a run of the command found."""

    grids: list[Grid] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    sweeps: list[Row] = field(default_factory=list)
    recording: list[RecordingResult] = field(default_factory=list)
    lines: list[LineResult] = field(default_factory=list)


class Evaluation:
    """One model, measured on one set of data after the other."""

    def __init__(self, model: Checkpoint, *, name: str, seeds: int, shipped: bool, progress: Progress) -> None:
        self._model = model
        self._name = name
        self._seeds = seeds
        self._seen = SEEN if shipped else {}
        self._progress = progress
        self.findings = Findings()

    def hdfs(self) -> None:
        """Sessions of HDFS: blocks grouped, the raw stream, without level words; sweeps over prevalence and noise."""
        trial = hdfs_trial(corpora.hdfs_lines())
        judged = self._judge(trial, "grouped by block", with_history=True)
        sessions = protocol.sessions_of(trial, judged)
        about = protocol.tested(trial, sessions)
        raw = trial.raw()
        contests = [
            protocol.by_model(trial, judged, method=self._name, note="grouped by block"),
            protocol.by_model(
                trial,
                judged,
                method=f"{self._name}, threshold from its history",
                note="grouped by block",
                own_threshold=True,
            ),
            protocol.by_model(raw, self._judge(raw, "as one stream"), method=f"{self._name}, one interleaved stream"),
            self._without_level(trial),
            *protocol.by_baselines(trial, sessions, seed=0),
        ]
        drawn = self._drawn(trial, sessions)
        self._publish(trial, about, contests, drawn)
        self._publish(trial, about, contests, drawn, only_unseen=True)
        swept = [contest for contest in contests if contest.method in (self._name, *SWEPT)]
        remark = (
            "Scores are those of the whole stream; anomalous blocks are left out, or for higher shares normal ones."
        )
        self._sweep(
            "hdfs by prevalence", protocol.prevalence_sweep(about, swept, self._seeds), remark, seeds=self._seeds
        )
        noise = protocol.label_noise(trial, sessions, about, self._seeds)
        remark = "The model is given no labels, so wrong ones do not touch it."
        self._sweep("hdfs with wrong training labels", noise, remark, seeds=self._seeds)

    def openstack_faults(self) -> None:
        """Rounds of the fault injection, and windows of one size, in which the length of a round tells nothing."""
        trial = openstack_faults_trial(
            self._reading(corpora.openstack_fault_rounds(), 1358, "openstack-faults: reading")
        )
        judged = self._judge(trial, "rounds", with_history=True)
        sessions = protocol.sessions_of(trial, judged)
        about = protocol.tested(trial, sessions)
        contests = [
            *self._ours(trial, judged),
            self._without_level(trial),
            *protocol.by_counts(trial),
            *protocol.by_baselines(trial, sessions, seed=0),
        ]
        self._publish(trial, about, contests, self._drawn(trial, sessions))
        windows = in_windows(trial, FIXED_WINDOW)
        sessions = protocol.sessions_of(windows, judged)
        contests = [
            protocol.by_model(windows, judged, method=self._name, note=self._seen.get(trial.name, "")),
            *protocol.by_counts(windows),
            *protocol.by_baselines(windows, sessions, seed=0, names=WINDOWED),
        ]
        self._publish(windows, protocol.tested(windows, sessions), contests, {})

    def openstack_vm(self) -> None:
        """Lives of virtual machines. Their order is drawn, so each seed is a split, and rows are means over them."""
        rows: dict[str, list[Row]] = {}
        for seed in range(self._seeds):
            trial = openstack_vm_trial(corpora.openstack_vm_sessions(), seed)
            judged = self._judge(trial, f"order {seed}", with_history=True)
            sessions = protocol.sessions_of(trial, judged)
            about = protocol.tested(trial, sessions)
            for contest in (*self._ours(trial, judged), *protocol.by_baselines(trial, sessions, seed)):
                rows.setdefault(contest.method, []).append(protocol.row_of(trial, about, contest, seed=seed))
        title = f"{trial.name}: machines, {self._seeds} random orders (the file is sorted by label), mean ± sd"
        self._add(title, [protocol.over_seeds(same) for same in rows.values()])

    def faultlab(self) -> None:
        """Line by line over many systems, the model beside what a line of code would say."""
        runs = corpora.faultlab()
        for peaceful, past in ((False, "two runs with the same faults"), (True, "the fault-free time of two runs")):
            results = []
            for system in dict.fromkeys(run.system for run in runs):
                stream = stream_of([run for run in runs if run.system == system], past_in_peace=peaceful)
                with self._task(f"fault lab: {system}, {past}", len(stream.lines)) as advance:
                    said = judge(
                        self._model, stream.lines, stream.service, stream.service, stream.judged, advance=advance
                    )
                results += line_results(stream, said, self._name, past)
            self.findings.lines += results
            self.findings.grids.append(line_grid(results, past))

    def recording(self, directory: Path) -> None:
        """Fault by fault, the model and what a line of code would alert on."""
        tape = recordings.load(directory)
        timeline = faults.timeline_of(tape)
        names = sorted({line.service for line in tape.lines})
        service = np.array([names.index(line.service) for line in tape.lines])
        lines = [line.text for line in tape.lines]
        everything = np.ones(len(lines), bool)
        with self._task(f"{tape.system}: lines", len(lines)) as advance:
            judged = judge(self._model, lines, service, service, everything, advance=advance)
        with self._task(f"{tape.system}: level word removed", len(lines)) as advance:
            plain = judge(self._model, without_level(lines), service, service, everything, advance=advance)
        margins = {"": judged, ", level word removed": plain}
        results = [
            faults.result_of(tape, timeline, said.alerts, said.learning, method=self._name + what)
            for what, said in margins.items()
        ]
        highest = faults.quiet_threshold(timeline, judged.margin, judged.learning)
        results += [
            faults.result_of(
                tape,
                timeline,
                judged.margin >= highest,
                judged.learning,
                method=f"{self._name}, least threshold without a clean alert",
                note="oracle",
            ),
            *(
                faults.result_of(tape, timeline, alerts, judged.learning, method=name)
                for name, alerts in faults.trivial_alerts(judged).items()
            ),
        ]
        self.findings.recording += results
        self.findings.grids += tables.recording_grids(f"recording of {tape.system}, seed {tape.seed}", results)

    def _judge(self, trial: Trial, what: str, *, with_history: bool = False) -> Judged:
        with self._task(f"{trial.name}: {what}", len(trial.lines)) as advance:
            scored = trial.scored | trial.quiet if with_history else trial.scored
            return judge(self._model, trial.lines, trial.service, trial.group, scored, advance=advance)

    def _ours(self, trial: Trial, judged: Judged) -> tuple[Contest, Contest]:
        note = self._seen.get(trial.name, "")
        return (
            protocol.by_model(trial, judged, method=self._name, note=note),
            protocol.by_model(
                trial, judged, method=f"{self._name}, threshold from its history", note=note, own_threshold=True
            ),
        )

    def _without_level(self, trial: Trial) -> Contest:
        plain = replace(trial, lines=without_level(trial.lines))
        judged = self._judge(plain, "level word removed")
        note = self._seen.get(trial.name, "")
        return protocol.by_model(plain, judged, method=f"{self._name}, level word removed", note=note)

    def _drawn(self, trial: Trial, sessions: LineSessions) -> dict[str, list[Contest]]:
        """The baselines that draw lots, once for each seed."""
        return {
            name: [
                contest
                for seed in range(self._seeds)
                for contest in protocol.by_baselines(trial, sessions, seed, names=(name,))
            ]
            for name in RANDOM_BASELINES
        }

    def _publish(
        self,
        trial: Trial,
        about: protocol.Examined,
        contests: Sequence[Contest],
        drawn: dict[str, list[Contest]],
        *,
        only_unseen: bool = False,
    ) -> None:
        rows = [
            protocol.over_seeds(
                [
                    protocol.row_of(trial, about, one, only_unseen=only_unseen)
                    for one in drawn.get(contest.method, [contest])
                ]
            )
            for contest in contests
        ]
        before = int((trial.part == BEFORE).sum())
        title = f"{trial.name}: {len(about.labels):,} {trial.unit} after {before:,} that came before"
        if only_unseen:
            title = f"{trial.name}: of these, {trial.unit} whose sequence of masked lines had not come before"
        self._add(title, rows)

    def _add(self, title: str, rows: list[Row]) -> None:
        self.findings.rows += rows
        self.findings.grids.append(tables.session_grid(title, rows))

    def _sweep(self, title: str, rows: list[Row], remark: str, *, seeds: int) -> None:
        self.findings.sweeps += rows
        self.findings.grids.append(tables.brief_grid(f"{title}, mean ± sd of {seeds} seeds", rows, remark))

    @contextmanager
    def _task(self, description: str, total: int) -> Iterator[Advance]:
        task = self._progress.add_task(description, total=total)
        yield lambda done: self._progress.advance(task, done)
        self._progress.remove_task(task)

    def _reading(self, rounds: Iterator[corpora.FaultRound], total: int, what: str) -> Iterator[corpora.FaultRound]:
        with self._task(what, total) as advance:
            for one in rounds:
                advance(1)
                yield one


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 0, or 2 with one sentence for something that must be mended first."""
    options = _options(arguments)
    try:
        _check(options)
        evaluate(options)
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError) as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        print(f"logwarden evaluate: {said}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads our tables has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails too
    except KeyboardInterrupt:
        return 130
    return 0


def evaluate(options: argparse.Namespace) -> Findings:
    """Runs what was asked for, prints the tables, writes the JSON."""
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    model = _load(options)
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    notes = Console(stderr=True)
    with Progress(*bar, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        shipped = options.model is None and not options.untrained
        name = UNTRAINED_NAME if options.untrained else MODEL_NAME
        evaluation = Evaluation(model, name=name, seeds=options.seeds, shipped=shipped, progress=progress)
        if options.data in ("hdfs", "all"):
            evaluation.hdfs()
        if options.data in ("openstack-faults", "all"):
            evaluation.openstack_faults()
        if options.data in ("openstack-vm", "all"):
            evaluation.openstack_vm()
        if options.data in ("faultlab", "all"):
            evaluation.faultlab()
        if options.data in ("recording", "all"):
            evaluation.recording(options.recording)
    findings = evaluation.findings
    facts = {
        "model": model.revision,
        "threshold": model.calibration.threshold,
        "seeds": list(range(options.seeds)),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if options.out is not None:
        found = {name: tables.as_json(getattr(findings, name)) for name in ("rows", "sweeps", "recording", "lines")}
        options.out.write_text(json.dumps(facts | found, indent=1) + "\n", encoding="utf-8")
    said = f"model {model.revision}, threshold {model.calibration.threshold:.3f}, seeds 0 to {options.seeds - 1}, "
    _print(findings.grids, f"{said}{facts['seconds']} s", markdown=options.markdown)
    return findings


def _load(options: argparse.Namespace) -> Checkpoint:
    if not options.untrained:
        return checkpoint.load(options.model)
    encoder = LineEncoder.from_directory((options.model or checkpoint.SHIPPED) / "encoder")
    torch.manual_seed(0)
    head = LogWindowClassifier(LogWindowConfig(encoder_width=encoder.width)).eval().requires_grad_(False)
    return Checkpoint(head, encoder, Calibration(), "untrained")


def _print(grids: Sequence[Grid], facts: str, *, markdown: bool) -> None:
    if markdown:
        print("\n\n".join([facts, *(grid.markdown() for grid in grids)]))
        return
    console = Console(width=None if sys.stdout.isatty() else 220, highlight=False)
    for grid in grids:
        console.print(grid.rich())
        console.print()
    console.print(facts)


def _check(options: argparse.Namespace) -> None:
    """ValueError for what would otherwise be found out after minutes of work."""
    if options.data not in (*DATA, "all"):
        raise ValueError(f"there is no data called {options.data!r}; choose {', '.join(DATA)} or all")
    for what in ("seeds", "threads"):
        if getattr(options, what) < 1:
            raise ValueError(f"--{what} must be at least 1, not {getattr(options, what)}")
    if options.out is not None and (options.out.is_dir() or not options.out.absolute().parent.is_dir()):
        raise ValueError(f"cannot write to {options.out}: it must be a file in a folder that exists")
    if options.data in ("recording", "all") and not (options.recording / recordings.MANIFEST).is_file():
        raise ValueError(f"{options.recording} is no recording of the fault lab: {recordings.MANIFEST} is missing")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="logwarden evaluate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, default=None, metavar="DIR", help="model directory (default: the shipped one)")
    add("--data", default="all", metavar="NAME", help=f"{', '.join(DATA)} or all (the default)")
    add("--recording", type=Path, default=RECORDING, metavar="DIR", help="another recording of the fault lab")
    add("--seeds", type=int, default=5, help="runs of what depends on chance (default 5)")
    add("--out", type=Path, default=None, metavar="FILE", help="write all figures as JSON")
    add("--markdown", action="store_true", help="print the tables as markdown")
    add("--threads", type=int, default=1, help="CPU threads (default 1: a second one gains little)")
    add("--untrained", action="store_true", help="measure an untrained head on the model's encoder: plain surprise")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
