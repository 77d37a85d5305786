"""Measures a model on systems that it was not trained on: `logwarden evaluate`. Prints tables and the seeds.

Data sets, by the name that --data takes:

    hdfs               blocks of a file system at the natural rate of anomalies; kept out of training altogether
    openstack-faults   rounds of a fault injection, and windows of one size within them
    openstack-vm       lives of virtual machines, as event templates
    faultlab           the labelled lines of the fault lab's systems, each scored after two runs of its history
    recording          a recording of the fault lab, fault by fault; never tune a model on the shipped one

The model is given no label of any of them. Some unlabelled text of OpenStack was in its training; those rows carry a
note and are no figures of transfer to an unknown system.

--benchmark measures everything that is published of the shipped model, in half an hour, and prints its progress.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import SHIPPED, ModelCheckpoint, load_checkpoint
from logwarden.model.classifier import LogWindowClassifier, LogWindowConfig
from logwarden.model.encoder import LineEncoder
from logwarden.training.evaluation import tables
from logwarden.training.evaluation.suite import Findings, Suite
from logwarden.training.evaluation.tables import Grid
from logwarden.training.faultlab.errors import FaultlabError
from logwarden.training.faultlab.recording import MANIFEST
from logwarden.training.faultlab.release import RECORDINGS, require_recordings

DATA = ("hdfs", "openstack-faults", "openstack-vm", "faultlab", "recording")
RECORDING = RECORDINGS / "demo"
MODEL_NAME = "logwarden"
UNTRAINED_NAME = f"{MODEL_NAME}, untrained head"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit code: 0, or 2 after one sentence about an error of the caller's."""
    options = _options(arguments)
    try:
        _check(options)
        if options.benchmark is not None:
            _benchmark(options)
        else:
            evaluate(options)
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError, FaultlabError) as error:
        named = isinstance(error, OSError) and error.filename
        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and named else str(error)
        print(f"logwarden evaluate: {message}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the pipe, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails too
    except KeyboardInterrupt:
        return 130
    return 0


def evaluate(options: argparse.Namespace) -> Findings:
    """Measures the chosen data sets, prints the tables and writes the JSON."""
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    model = _load_model(options)
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    notes = Console(stderr=True)
    with Progress(*bar, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        shipped = options.model is None and not options.untrained
        name = UNTRAINED_NAME if options.untrained else MODEL_NAME
        suite = Suite(model, name=name, seeds=options.seeds, shipped=shipped, progress=progress)
        if options.data in ("hdfs", "all"):
            suite.hdfs()
        if options.data in ("openstack-faults", "all"):
            suite.openstack_faults()
        if options.data in ("openstack-vm", "all"):
            suite.openstack_vm()
        if options.data in ("faultlab", "all"):
            suite.faultlab(options.faultlab)
        if options.data in ("recording", "all"):
            suite.recording(options.recording)
    findings = suite.findings
    facts = {
        "model": model.revision,
        "threshold": model.calibration.threshold,
        "seeds": list(range(options.seeds)),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if options.out is not None:
        found = {name: tables.as_json(getattr(findings, name)) for name in ("rows", "sweeps", "recording", "lines")}
        options.out.write_text(json.dumps(facts | found, indent=1) + "\n", encoding="utf-8")
    seeds = f"seeds 0 to {options.seeds - 1}"
    summary = f"model {model.revision}, threshold {model.calibration.threshold:.3f}, {seeds}, {facts['seconds']} s"
    _print(findings.grids, summary, markdown=options.markdown)
    return findings


def _benchmark(options: argparse.Namespace) -> None:
    """Measures everything of the shipped model, or a part, and writes it down."""
    # The tables alone need none of it.
    from logwarden.training.benchmark.command import Options, benchmark, last_look, renew_kinds
    from logwarden.training.benchmark.report import alert_sections

    chosen = Options(options.benchmark, options.faultlab, options.cache, options.jobs, options.seeds)
    if options.only is None:
        benchmark(chosen)
        return
    if options.only == "last-look":
        last_look(chosen)
        return
    print("\n\n".join(alert_sections(renew_kinds(chosen))))


def _load_model(options: argparse.Namespace) -> ModelCheckpoint:
    if not options.untrained:
        return load_checkpoint(options.model)
    encoder = LineEncoder.from_directory((options.model or SHIPPED) / "encoder")
    torch.manual_seed(0)
    head = LogWindowClassifier(LogWindowConfig(encoder_width=encoder.width)).eval().requires_grad_(False)
    return ModelCheckpoint(head, encoder, Calibration(), "untrained")


def _print(grids: Sequence[Grid], summary: str, *, markdown: bool) -> None:
    if markdown:
        print("\n\n".join([summary, *(grid.markdown() for grid in grids)]))
        return
    console = Console(width=None if sys.stdout.isatty() else 220, highlight=False)
    for grid in grids:
        console.print(grid.rich())
        console.print()
    console.print(summary)


def _check(options: argparse.Namespace) -> None:
    """Raises an error with one sentence for an option that would fail only after minutes of work."""
    if options.data not in (*DATA, "all"):
        raise ValueError(f"there is no data called {options.data!r}; choose {', '.join(DATA)} or all")
    if options.benchmark is not None and (options.model is not None or options.untrained or options.data != "all"):
        raise ValueError(
            "--benchmark measures the shipped model on all data; leave out --model, --untrained and --data"
        )
    if options.only is not None and options.benchmark is None:
        raise ValueError("--only is a part of the benchmark; name its folder after --benchmark")
    for option in ("seeds", "threads", "jobs"):
        if getattr(options, option) < 1:
            raise ValueError(f"--{option} must be at least 1, not {getattr(options, option)}")
    if options.out is not None and (options.out.is_dir() or not options.out.absolute().parent.is_dir()):
        raise ValueError(f"cannot write to {options.out}: name a file in a folder that exists")
    if options.data in ("faultlab", "all"):
        require_recordings(options.faultlab)
    if options.data in ("recording", "all") and not (options.recording / MANIFEST).is_file():
        raise ValueError(f"{options.recording} is no recording of the fault lab: {MANIFEST} is missing")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="logwarden evaluate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, default=None, metavar="DIR", help="model directory (default: the shipped one)")
    add("--data", default="all", metavar="NAME", help=f"{', '.join(DATA)} or all (the default)")
    add("--recording", type=Path, default=RECORDING, metavar="DIR", help="another recording of the fault lab")
    add("--faultlab", type=Path, default=RECORDINGS, metavar="DIR", help="folder of the labelled recordings")
    add("--seeds", type=int, default=5, help="number of runs of every random step (default: 5)")
    add("--out", type=Path, default=None, metavar="FILE", help="write all figures to this file as JSON")
    add("--markdown", action="store_true", help="print the tables as markdown")
    add("--threads", type=int, default=1, help="number of CPU threads (default: 1; a second one gains little)")
    add("--benchmark", type=Path, default=None, metavar="DIR", help="write BENCHMARKS.md, figures and plots below DIR")
    add(
        "--cache",
        type=Path,
        default=None,
        metavar="DIR",
        help="of the benchmark: keep its parts here and go on from them",
    )
    add(
        "--only",
        choices=["kinds", "last-look"],
        help="of the benchmark: renew only the tables of kinds and of incidents, or that of the last look",
    )
    add("--jobs", type=int, default=2, help="of the benchmark: number of processes (default: 2)")
    add("--untrained", action="store_true", help="measure an untrained head on the model's encoder: plain surprise")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
