"""Runs the whole benchmark, writes BENCHMARKS.md, figures and plots: `logwarden evaluate --benchmark DIR`.

Works in a few processes and prints one line to stderr whenever a part is done. With a cache, a run that was interrupted
goes on where it stopped. The document has no dates and no times, so that two runs on the same model are the same.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import SHIPPED, ModelCheckpoint, load_checkpoint, load_decision
from logwarden.model.decision import Decision
from logwarden.training import corpora
from logwarden.training.benchmark import explained, figures, lastlook
from logwarden.training.benchmark.ablations import ALL, DROPPED, TwinTask, twins_without
from logwarden.training.benchmark.material import PASTS, Material, SystemTask, judged_of, material_of
from logwarden.training.benchmark.plots import plots_of
from logwarden.training.benchmark.public import PUBLIC, PublicTask, public_tables
from logwarden.training.benchmark.report import document
from logwarden.training.benchmark.youth import monotone_services
from logwarden.training.faultlab.release import LAST_LOOK_RECORDINGS, LabelledRun, runs_below
from logwarden.training.head.judging import TWINS, SystemViews, decision_of, operating_point

DOCUMENT, PLOTS, FIGURES = "BENCHMARKS.md", Path("docs") / "benchmarks", "figures.json"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line chose."""

    root: Path
    """Folder that gets BENCHMARKS.md and docs/benchmarks/."""
    recordings: Path
    cache: Path | None
    jobs: int
    seeds: int


def benchmark(options: Options) -> dict[str, Any]:
    """Measures the shipped model and writes the files. Returns the figures."""
    progress = _Progress()
    runs = corpora.faultlab(options.recordings)
    systems = {run.system: [other for other in runs if other.system == run.system] for run in runs}
    model = load_checkpoint(SHIPPED)
    twins = {system: load_decision(TWINS / f"{system}.safetensors") for system in systems}
    public, left_out = _public_tasks(options)
    with _workers(options.jobs) as over_all:
        tasks = [SystemTask(system, its, cache=options.cache) for system, its in systems.items()]
        materials = dict(zip(systems, progress.over(over_all(material_of, tasks), list(systems)), strict=True))
        rows = {system: material.rows for system, material in materials.items()}
        dropped = [TwinTask(rows, name, options.cache) for name in DROPPED]
        grown = dict(
            zip(
                DROPPED, progress.over(over_all(twins_without, dropped), [f"without {d}" for d in DROPPED]), strict=True
            )
        )
        tables = dict(zip(public, progress.over(over_all(public_tables, public.values()), list(public)), strict=True))
        looked = _last_look(options, model, progress, over_all)
    steps = _decisions(systems, materials, grown, model.calibration)
    found = faultlab_figures(model, materials, twins, steps)
    found = {
        "model": model.revision,
        "threshold": model.calibration.threshold,
        "left_out": left_out,
        **found,
        "monotone": [asdict(one) for one in monotone_services(model)],
        "last_look": looked,
        "public": tables,
    }
    progress.done("figures")
    write(found, options.root)
    progress.done("documents")
    return found


def renew_kinds(options: Options) -> dict[str, Any]:
    """Measures the kinds of alerts and the incidents alone, and renews their sections. Returns their figures.

    Raises ValueError where the figures that are there are of another model.
    """
    progress, model = _Progress(), load_checkpoint(SHIPPED)
    before = _written(options, model)
    runs = corpora.faultlab(options.recordings)
    systems = {run.system: [other for other in runs if other.system == run.system] for run in runs}
    with _workers(options.jobs) as over_all:
        tasks = [SystemTask(system, its, cache=options.cache) for system, its in systems.items()]
        judged = dict(zip(systems, progress.over(over_all(judged_of, tasks), list(systems)), strict=True))
    twins = {system: load_decision(TWINS / f"{system}.safetensors") for system in systems}
    found = {
        "incidents": figures.incidents_compared(judged, twins, model.calibration),
        "kinds": figures.kinds_compared(judged, twins, model.calibration),
    }
    write(before | found, options.root)
    progress.done("documents")
    return found


def last_look(options: Options) -> dict[str, Any]:
    """Measures the last look alone, and renews its section. Returns all figures.

    Raises ValueError where the figures that are there are of another model.
    """
    progress, model = _Progress(), load_checkpoint(SHIPPED)
    found = _written(options, model)
    with _workers(options.jobs) as over_all:
        found["last_look"] = _last_look(options, model, progress, over_all)
    write(found, options.root)
    progress.done("documents")
    return found


def _last_look(
    options: Options, model: ModelCheckpoint, progress: _Progress, over_all: Callable[..., Iterable[Any]]
) -> dict[str, Any] | None:
    """Returns the figures of the last look; None where the recordings contain none."""
    root = options.recordings / LAST_LOOK_RECORDINGS.name
    if not runs_below(root):
        return None
    tasks = lastlook.last_look_tasks(options.cache, root)
    names = [task.system for task in tasks]
    return lastlook.last_look_figures(model, tasks, lambda f, each: progress.over(over_all(f, each), names))


def _written(options: Options, model: ModelCheckpoint) -> dict[str, Any]:
    """Returns the figures that were written before. Raises ValueError where there are none of this model."""
    stored = options.root / PLOTS / FIGURES
    try:
        before: dict[str, Any] = json.loads(stored.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{stored} does not exist; run the whole benchmark, without --only, first") from None
    if before["model"] != model.revision:
        raise ValueError(f"{stored} is of the model {before['model']}; run the whole benchmark, without --only")
    return before


@contextmanager
def _workers(jobs: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Yields a `map` over so many processes; over this one where that is enough."""
    if jobs == 1:
        yield map
        return
    # Children that do not share this process's threads: a fork of a program with threads can hang.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.map


def faultlab_figures(
    model: ModelCheckpoint,
    materials: Mapping[str, Material],
    twins: Mapping[str, Decision],
    steps: Mapping[str, Mapping[str, Decision]],
) -> dict[str, Any]:
    """Returns the figures of the fault lab. `steps`: the last step without each input, where it was trained."""
    calibration = model.calibration
    compared = figures.compared(materials, twins, steps.get("without margin", {}), calibration)
    first = next(iter(materials.values()))
    return {
        "systems": figures.facts_of(materials),
        "faultlab": compared,
        "incidents": figures.incidents_compared(materials, twins, calibration),
        "kinds": figures.kinds_compared(materials, twins, calibration),
        "frozen": figures.frozen_figures(materials, twins, calibration),
        "at_default": figures.default_factors(compared),
        "level_word_removed": figures.level_word_removed(materials, twins, calibration),
        "calibration": figures.calibration_figures(materials, twins, calibration),
        "ablations": figures.ablation_figures(materials, steps, twins, calibration),
        "explanations": {
            past: explained.explanation_figures({s: m.alerts[past] for s, m in materials.items()})
            for past in first.alerts
        },
        "young": explained.summed_young([material.young for material in materials.values()]),
    }


def write(found: Mapping[str, Any], root: Path) -> None:
    """Writes the document, the plots and the figures below a folder."""
    folder = root / PLOTS
    folder.mkdir(parents=True, exist_ok=True)
    values = figures.rounded(found)
    # Points of a curve stand on one line, or they are most of the file.
    text = re.sub(
        r"\[[\d\s.,e+-]+\]", lambda m: " ".join(m[0].split()), json.dumps(values, indent=1, ensure_ascii=False)
    )
    (folder / FIGURES).write_text(text + "\n", encoding="utf-8")
    for name, text in plots_of(values).items():
        (folder / name).write_text(text, encoding="utf-8")
    (root / DOCUMENT).write_text(document(values), encoding="utf-8")


def _decisions(
    systems: Mapping[str, Sequence[LabelledRun]],
    materials: Mapping[str, Material],
    grown: Mapping[str, Mapping[str, Any]],
    head: Calibration,
) -> dict[str, dict[str, Decision]]:
    """Name of an ablation → system → its last step, on the scale of the whole recipe."""
    views = [
        SystemViews(
            system, material.rows, {past: material.captures[past].inputs for past in PASTS}, systems[system][-1]
        )
        for system, material in materials.items()
    ]
    scale, shift = operating_point(views, grown[ALL])
    return {
        name if name == ALL else f"without {name}": {
            system: decision_of(trees, scale, shift, head) for system, trees in twins.items()
        }
        for name, twins in grown.items()
    }


def _public_tasks(options: Options) -> tuple[dict[str, PublicTask], list[str]]:
    """The data sets that can be measured, and a sentence for each that is left out."""
    tasks, left_out = {}, []
    for name, needs_data in PUBLIC.items():
        try:
            if needs_data:
                corpora.recordings_root()
        except FileNotFoundError:
            left_out.append(f"{name}: {corpora.ROOT_VARIABLE} names no folder with the public data sets")
            continue
        tasks[name] = PublicTask(name, options.seeds, options.cache)
    return tasks, left_out


class _Progress:
    """Prints a line to stderr for each part that is done."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def over(self, results: Any, names: Sequence[str]) -> list[Any]:
        found = []
        for name, result in zip(names, results, strict=True):
            self.done(name)
            found.append(result)
        return found

    def done(self, name: str) -> None:
        print(f"{time.perf_counter() - self._began:6.0f} s  {name}", file=sys.stderr, flush=True)
