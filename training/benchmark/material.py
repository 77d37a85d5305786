"""Everything that the benchmark needs of one system of the fault lab, computed by one worker process.

Legend: n lines of the judged run · F inputs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import logwarden.model
from logwarden.model.arrays import Ints
from logwarden.model.checkpoint import SHIPPED, load_checkpoint, load_decision
from logwarden.training.benchmark import captures, drain, guilt, runs, youth
from logwarden.training.benchmark.cache import Arrays, Cache, stamp_of
from logwarden.training.benchmark.captures import HEAD_CHANGES, Capture, RememberingScorer, capture, without_levels
from logwarden.training.benchmark.guilt import FirstAlert
from logwarden.training.benchmark.methods import AT
from logwarden.training.benchmark.runs import JudgedRun, judged_run
from logwarden.training.benchmark.silences import RunSilences, silences_of
from logwarden.training.benchmark.youth import Young
from logwarden.training.faultlab import labels, recording
from logwarden.training.faultlab.labels import State
from logwarden.training.faultlab.release import RECORDINGS, LabelledRun
from logwarden.training.head import judging
from logwarden.training.head.judging import TWINS, PastViews, TrainingRows, training_rows

PASTS = ("peace", "faults", "repeated")
EXPLAINED = ("peace", "faults")
"""Pasts whose first alerts are looked at line by line."""
WITHOUT_LEVEL = "peace, level word removed", "faults, level word removed"
HEAD = "model.safetensors"


@dataclass(frozen=True, slots=True)
class SystemTask:
    """What a worker is given."""

    system: str
    runs: Sequence[LabelledRun]
    model: Path = SHIPPED
    twin: Path | None = None
    """The last step that has not seen the system; None: the shipped twin."""
    cache: Path | None = None
    seed: int = 0
    last_look: Path | None = None
    """Folder of the recordings of a last look: the system is measured, and there are no rows to train on."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the alerts of a system need: its judged run after each past."""

    run: JudgedRun
    captures: Mapping[str, Capture]
    """Past → the judged run's lines."""
    silences: Mapping[str, RunSilences]
    """Past → the services of the judged run that fell silent."""


@dataclass(frozen=True, slots=True)
class Material(Judged):
    """What a worker returns of a system. But for a last look, captures are also of pasts without level words."""

    rows: TrainingRows
    """None (m = 0) of a system of the last look."""
    groups: Mapping[str, list[tuple[Ints, Ints]]]
    """Past → Drain's groups and the services of its parts; the last part is the judged run."""
    alerts: Mapping[str, list[FirstAlert]]
    young: list[Young]


def material_of(task: SystemTask) -> Material:
    """Computes the material of a system, or takes it from the cache."""
    torch.set_num_threads(1)
    cache = Cache(task.cache)
    model = load_checkpoint(task.model)
    twin = task.twin or TWINS / f"{task.system}.safetensors"
    decision = load_decision(twin)
    model = replace(model, decision=decision)
    lines, whole = _stamps(task, twin)
    last = len(task.runs) - 1
    judged = [judged_run(run) for run in task.runs]
    views = _Views(task, RememberingScorer(model))

    found = {}
    for past in PASTS if task.last_look else (*PASTS, *WITHOUT_LEVEL):
        changes = HEAD_CHANGES if past in PASTS and not task.last_look else ()
        stored = cache.arrays(f"{task.system}-{past}", lines, partial(views.capture, past, changes))
        found[past] = Capture(stored["inputs"], stored["kinds"], {change: stored[change] for change in changes})
    rows: Arrays = {
        "inputs": np.zeros((0, len(AT)), np.float32),
        "labels": np.zeros(0, np.int64),
        "weights": np.zeros(0),
    }
    if not task.last_look:
        named = f"{task.system}-rows", lines + str(task.seed)
        rows = cache.arrays(*named, lambda: _rows(training_rows(views.of(plain=False), task.seed)))
    groups = cache.arrays(f"{task.system}-groups", lines, lambda: _groups(task.runs))
    threshold = model.calibration.threshold
    alerts = cache.values(
        f"{task.system}-alerts",
        whole,
        lambda: {
            past: [
                asdict(one) for one in guilt.first_alerts(views.of(plain=False), last, past, judged[last], threshold)
            ]
            for past in EXPLAINED
        },
    )
    young = (
        []
        if task.last_look
        else cache.values(
            f"{task.system}-young",
            whole,
            lambda: [
                asdict(one)
                for one in youth.young_services(
                    views.of(plain=False),
                    judged,
                    last,
                    decision,
                    model.calibration,
                )
            ],
        )
    )
    return Material(
        run=judged[last],
        captures=found,
        silences=_silences(task.runs),
        rows=TrainingRows(rows["inputs"], rows["labels"], rows["weights"]),
        groups={past: _past_groups(groups, task.runs, judged, past) for past in PASTS},
        alerts={past: [FirstAlert(**one) for one in alerts[past]] for past in EXPLAINED},
        young=[Young(**one) for one in young],
    )


def judged_of(task: SystemTask) -> Judged:
    """Computes only what the alerts of a system need. Takes it from a whole material where the cache has one."""
    torch.set_num_threads(1)
    cache = Cache(task.cache)
    lines, _ = _stamps(task, task.twin or TWINS / f"{task.system}.safetensors")
    views = _Views(task, RememberingScorer(load_checkpoint(task.model)))
    found = {}
    for past in PASTS:
        whole = f"{task.system}-{past}"
        name = whole if cache.has(whole, lines) else f"{whole}, alerts"
        stored = cache.arrays(name, lines, partial(views.capture, past, ()))
        found[past] = Capture(stored["inputs"], stored["kinds"], {})
    return Judged(judged_run(task.runs[-1]), found, _silences(task.runs))


class _Views:
    """Views of a system, made when they are first needed: a run from the cache needs none."""

    def __init__(self, task: SystemTask, scorer: RememberingScorer) -> None:
        self._task, self._scorer = task, scorer
        self._made: dict[bool, PastViews] = {}

    def of(self, *, plain: bool) -> PastViews:
        if plain not in self._made:
            runs = without_levels(self._task.runs) if plain else self._task.runs
            self._made[plain] = PastViews(self._scorer.checkpoint, runs, scorer=self._scorer)
        return self._made[plain]

    def capture(self, past: str, changes: Sequence[str]) -> Arrays:
        return _arrays(capture(self.of(plain="," in past), len(self._task.runs) - 1, past.partition(",")[0], changes))


def _silences(runs: Sequence[LabelledRun]) -> dict[str, RunSilences]:
    return {past: silences_of(runs, len(runs) - 1, past) for past in PASTS}


def _stamps(task: SystemTask, twin: Path) -> tuple[str, str]:
    """Stamps of what depends on the inputs only, and of what depends on the last step as well."""
    source = Path(logwarden.model.__path__[0])
    code = [*sorted(source.glob("*.py")), *_files(captures, runs, labels, recording, judging, drain)]
    weights = [task.model / "config.json", task.model / HEAD, task.model / "encoder"]
    data = [path for run in task.runs for path in _recorded(run, task.last_look or RECORDINGS)]
    lines = stamp_of([*code, *weights, *data])
    calibration = task.model / "calibration.json"
    return lines, stamp_of([lines, twin, calibration, *_files(guilt, youth)])


def _files(*modules: Any) -> list[Path]:
    return [Path(module.__file__) for module in modules]


def _recorded(run: LabelledRun, root: Path) -> list[Path]:
    folder = root / run.system / str(run.repetition)
    return [path for path in (folder / recording.MANIFEST, folder / labels.LABELS) if path.exists()]


def _arrays(found: Capture) -> Arrays:
    return {"inputs": found.inputs, "kinds": found.kinds, **found.margins}


def _rows(rows: TrainingRows) -> Arrays:
    return {"inputs": rows.inputs, "labels": rows.labels, "weights": rows.weights}


def _groups(runs: Sequence[LabelledRun]) -> Arrays:
    """Drain's groups of all runs, read one after the other."""
    parser = drain.Drain()
    return {
        str(number): np.array(parser.groups(line.text for line in run.recording.lines))
        for number, run in enumerate(runs)
    }


def _past_groups(
    groups: Arrays, runs: Sequence[LabelledRun], judged: Sequence[JudgedRun], past: str
) -> list[tuple[Ints, Ints]]:
    names = sorted({line.service for run in runs for line in run.recording.lines})
    services = [np.array([names.index(line.service) for line in run.recording.lines]) for run in runs]
    parts = []
    for number in range(len(runs) - 1):
        normal = judged[number].states == State.NORMAL
        whole = normal if past == "peace" else np.ones(len(normal), bool)
        parts.append((groups[str(number)][whole], services[number][whole]))
        if past == "repeated":
            parts.append((groups[str(number)][~normal], services[number][~normal]))
    return [*parts, (groups[str(len(runs) - 1)], services[-1])]
