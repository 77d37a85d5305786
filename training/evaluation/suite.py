"""Measures one model on one set of data after another, and keeps tables and figures.

Every table obeys one protocol: a split by time before windowing, trivial baselines on the same split, intervals, and a
threshold frozen before the test. Every row names the supervision of its method. The model is given no label of any
target. It streams the lines before the split first, as it would in service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.progress import Progress

from logwarden.model.checkpoint import ModelCheckpoint, load_decision
from logwarden.model.sessions import MEMBERS
from logwarden.training import corpora
from logwarden.training.evaluation import fault_results, session_results, sweeps, tables
from logwarden.training.evaluation.baselines import LineSessions
from logwarden.training.evaluation.fault_results import RecordingResult
from logwarden.training.evaluation.labelled_sessions import (
    BASELINES_WITH_LABELS,
    by_baseline,
    by_session_judge,
    learned_sessions,
)
from logwarden.training.evaluation.line_results import LineResult, line_grid, line_results, stream_of
from logwarden.training.evaluation.replay import ReplayedStream, replay, without_level
from logwarden.training.evaluation.session_results import Contest, Examined, SessionResult
from logwarden.training.evaluation.splits import (
    BEFORE,
    TEST,
    Trial,
    hdfs_trial,
    in_windows,
    openstack_faults_trial,
    openstack_vm_trial,
)
from logwarden.training.evaluation.tables import Grid
from logwarden.training.faultlab.recording import load_recording
from logwarden.training.head.judging import TWINS

SEEN = {
    "openstack-faults": "unlabelled text seen: clean rounds of it",
    "openstack-vm": "unlabelled text seen: another OpenStack",
}
"""Data set → the unlabelled text of it that the shipped model was trained on. It read nothing of the other sets."""
RANDOM_BASELINES = ("decision tree",)
"""Baselines whose scores depend on the seed."""
SWEPT = ("max surprise", "1-NN", "TF-IDF + logistic regression")
WINDOWED = ("keyword in any line", "lines with keyword", "max surprise", "top-4 surprise")
FIXED_WINDOW = 32

Advance = Callable[[int], None]


@dataclass(slots=True)
class Findings:
    """Tables and figures of one run of the command."""

    grids: list[Grid] = field(default_factory=list)
    rows: list[SessionResult] = field(default_factory=list)
    sweeps: list[SessionResult] = field(default_factory=list)
    recording: list[RecordingResult] = field(default_factory=list)
    lines: list[LineResult] = field(default_factory=list)


class Suite:
    """Measures one model; every method adds one set of data to `findings`."""

    def __init__(self, model: ModelCheckpoint, *, name: str, seeds: int, shipped: bool, progress: Progress) -> None:
        self._model = model
        self._name = name
        self._as_runs = f"{name}, sessions as runs, fence of their past"
        self._seeds = seeds
        self._seen = SEEN if shipped else {}
        self._shipped = shipped
        self._progress = progress
        self.findings = Findings()

    def hdfs(self) -> None:
        """Measures sessions of HDFS: blocks grouped, the raw stream, without level words; then both sweeps."""
        trial = hdfs_trial(corpora.hdfs_lines())
        replayed = self._replay(trial, "grouped by block", with_history=True)
        sessions = session_results.sessions_of(trial, replayed)
        about = session_results.tested(trial, sessions)
        raw = trial.raw()
        contests = [
            session_results.by_model(trial, replayed, method=self._name, note="grouped by block"),
            session_results.by_runs(trial, replayed, method=self._as_runs, note="grouped by block"),
            session_results.by_model(
                raw, self._replay(raw, "as one stream"), method=f"{self._name}, one interleaved stream"
            ),
            self._without_level(trial),
            *session_results.by_baselines(trial, sessions, seed=0),
        ]
        by_seed = self._random_baselines(trial, sessions)
        self._publish(trial, about, contests, by_seed)
        self._publish(trial, about, contests, by_seed, only_unseen=True)
        swept = [contest for contest in contests if contest.method in (self._name, *SWEPT)]
        remark = (
            "Scores are those of the whole stream; anomalous blocks are left out, or for higher shares normal ones."
        )
        self._sweep("hdfs by prevalence", sweeps.prevalence_sweep(about, swept, self._seeds), remark)
        noise = sweeps.label_noise(trial, sessions, about, self._seeds)
        remark = "The model is given no labels, so wrong labels do not change its figures."
        self._sweep("hdfs with wrong training labels", noise, remark)
        self._labelled(trial, sessions)

    def _labelled(self, trial: Trial, sessions: LineSessions) -> None:
        """Measures the judge of whole sessions, learned from four fifths of them, beside baselines with labels."""
        method = f"{self._name}, trained on labelled sessions"
        for order, chronological in (("random", False), ("chronological", True)):
            rows: dict[str, list[SessionResult]] = {}
            with self._task(f"{trial.name}: labels, {order}", self._seeds * MEMBERS) as advance:
                for seed in range(self._seeds):
                    learned = learned_sessions(sessions, seed=None if chronological else seed)
                    part = replace(trial, part=np.where(learned, BEFORE, TEST).astype(np.int8))
                    about = session_results.tested(part, sessions)
                    contests = [
                        by_session_judge(
                            self._model, sessions, learned, seed=seed, method=method, advance=lambda: advance(1)
                        ),
                        *(by_baseline(name, sessions, learned, seed) for name in BASELINES_WITH_LABELS),
                    ]
                    for contest in contests:
                        row = session_results.row_of(part, about, replace(contest, note=order), seed=seed)
                        rows.setdefault(contest.method, []).append(replace(row, data=f"{trial.name} with labels"))
            title = f"{trial.name} with labels of four fifths of the blocks, {order}, mean ± sd of {self._seeds} seeds"
            self._add(title, [session_results.over_seeds(same) for same in rows.values()])

    def openstack_faults(self) -> None:
        """Measures rounds of the fault injection, and windows of one size, so that length has no effect."""
        trial = openstack_faults_trial(
            self._reading(corpora.openstack_fault_rounds(), 1358, "openstack-faults: reading")
        )
        replayed = self._replay(trial, "rounds", with_history=True)
        sessions = session_results.sessions_of(trial, replayed)
        about = session_results.tested(trial, sessions)
        contests = [
            *self._by_model(trial, replayed),
            self._without_level(trial),
            *session_results.by_counts(trial),
            *session_results.by_baselines(trial, sessions, seed=0),
        ]
        self._publish(trial, about, contests, self._random_baselines(trial, sessions))
        windows = in_windows(trial, FIXED_WINDOW)
        sessions = session_results.sessions_of(windows, replayed)
        contests = [
            session_results.by_model(windows, replayed, method=self._name, note=self._seen.get(trial.name, "")),
            *session_results.by_counts(windows),
            *session_results.by_baselines(windows, sessions, seed=0, names=WINDOWED),
        ]
        self._publish(windows, session_results.tested(windows, sessions), contests, {})

    def openstack_vm(self) -> None:
        """Measures lives of virtual machines in random orders: each seed is a split, and rows are means over seeds."""
        rows: dict[str, list[SessionResult]] = {}
        for seed in range(self._seeds):
            trial = openstack_vm_trial(corpora.openstack_vm_sessions(), seed)
            replayed = self._replay(trial, f"order {seed}", with_history=True)
            sessions = session_results.sessions_of(trial, replayed)
            about = session_results.tested(trial, sessions)
            for contest in (
                *self._by_model(trial, replayed),
                *session_results.by_baselines(trial, sessions, seed),
            ):
                rows.setdefault(contest.method, []).append(session_results.row_of(trial, about, contest, seed=seed))
        title = f"{trial.name}: machines, {self._seeds} random orders (the file is sorted by label), mean ± sd"
        self._add(title, [session_results.over_seeds(same) for same in rows.values()])

    def faultlab(self, directory: Path) -> None:
        """Measures the fault lab's systems line by line, the model beside one-line rules.

        The last step of the shipped model was trained on these systems. A twin judges each that has not seen it.
        """
        runs = corpora.faultlab(directory)
        for fault_free, past in ((False, "two runs with the same faults"), (True, "the fault-free time of two runs")):
            results = []
            for system in dict.fromkeys(run.system for run in runs):
                stream = stream_of([run for run in runs if run.system == system], fault_free_past=fault_free)
                with self._task(f"fault lab: {system}, {past}", len(stream.lines)) as advance:
                    replayed = replay(
                        self._without(system),
                        stream.lines,
                        stream.service,
                        stream.service,
                        stream.scored,
                        at_ms=stream.at_ms,
                        advance=advance,
                    )
                results += line_results(stream, replayed, self._name, past)
            self.findings.lines += results
            self.findings.grids.append(line_grid(results, past))

    def recording(self, directory: Path) -> None:
        """Measures a recording fault by fault, the model beside one-line rules."""
        recording = load_recording(directory)
        timeline = fault_results.timeline_of(recording)
        names = sorted({line.service for line in recording.lines})
        service = np.array([names.index(line.service) for line in recording.lines])
        lines = [line.text for line in recording.lines]
        at_ms = np.array([int(line.t * 1000) for line in recording.lines])
        model = self._without(recording.system)
        everything = np.ones(len(lines), bool)
        with self._task(f"{recording.system}: lines", len(lines)) as advance:
            replayed = replay(model, lines, service, service, everything, at_ms=at_ms, advance=advance)
        with self._task(f"{recording.system}: level word removed", len(lines)) as advance:
            texts = without_level(lines)
            plain = replay(model, texts, service, service, everything, at_ms=at_ms, advance=advance)
        by_method = {self._name: replayed, f"{self._name}, level word removed": plain}
        results = [
            fault_results.result_of(recording, timeline, one.alerts, one.learning, method=method)
            for method, one in by_method.items()
        ]
        highest = fault_results.quiet_threshold(timeline, replayed.margin, replayed.learning)
        results += [
            fault_results.result_of(
                recording,
                timeline,
                replayed.margin >= highest,
                replayed.learning,
                method=f"{self._name}, least threshold without a clean alert",
                note="oracle",
            ),
            *(
                fault_results.result_of(recording, timeline, alerts, replayed.learning, method=name)
                for name, alerts in fault_results.trivial_alerts(replayed).items()
            ),
        ]
        self.findings.recording += results
        title = f"recording of {recording.system}, seed {recording.seed}"
        self.findings.grids += tables.recording_grids(title, results)

    def _without(self, system: str) -> ModelCheckpoint:
        """Returns the model whose last step was not trained on a system of the fault lab."""
        if not self._shipped or self._model.decision is None:
            return self._model
        return replace(self._model, decision=load_decision(TWINS / f"{system}.safetensors"))

    def _replay(self, trial: Trial, what: str, *, with_history: bool = False) -> ReplayedStream:
        with self._task(f"{trial.name}: {what}", len(trial.lines)) as advance:
            scored = trial.scored | trial.quiet if with_history else trial.scored
            return replay(self._model, trial.lines, trial.service, trial.group, scored, advance=advance)

    def _by_model(self, trial: Trial, replayed: ReplayedStream) -> tuple[Contest, Contest]:
        note = self._seen.get(trial.name, "")
        return (
            session_results.by_model(trial, replayed, method=self._name, note=note),
            session_results.by_runs(trial, replayed, method=self._as_runs, note=note),
        )

    def _without_level(self, trial: Trial) -> Contest:
        plain = replace(trial, lines=without_level(trial.lines))
        replayed = self._replay(plain, "level word removed")
        note = self._seen.get(trial.name, "")
        return session_results.by_model(plain, replayed, method=f"{self._name}, level word removed", note=note)

    def _random_baselines(self, trial: Trial, sessions: LineSessions) -> dict[str, list[Contest]]:
        """Scores the baselines that depend on the seed, once for each seed."""
        return {
            name: [
                contest
                for seed in range(self._seeds)
                for contest in session_results.by_baselines(trial, sessions, seed, names=(name,))
            ]
            for name in RANDOM_BASELINES
        }

    def _publish(
        self,
        trial: Trial,
        about: Examined,
        contests: Sequence[Contest],
        by_seed: dict[str, list[Contest]],
        *,
        only_unseen: bool = False,
    ) -> None:
        rows = [
            session_results.over_seeds(
                [
                    session_results.row_of(trial, about, one, only_unseen=only_unseen)
                    for one in by_seed.get(contest.method, [contest])
                ]
            )
            for contest in contests
        ]
        before = int((trial.part == BEFORE).sum())
        title = f"{trial.name}: {len(about.labels):,} {trial.unit} after {before:,} that came before"
        if only_unseen:
            title = f"{trial.name}: of these, {trial.unit} whose sequence of masked lines had not come before"
        self._add(title, rows)

    def _add(self, title: str, rows: list[SessionResult]) -> None:
        self.findings.rows += rows
        self.findings.grids.append(tables.session_grid(title, rows))

    def _sweep(self, title: str, rows: list[SessionResult], remark: str) -> None:
        self.findings.sweeps += rows
        self.findings.grids.append(tables.brief_grid(f"{title}, mean ± sd of {self._seeds} seeds", rows, remark))

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
