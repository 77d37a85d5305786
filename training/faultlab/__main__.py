"""The lab's command line: list, doctor, record, label, audit, stats, show. Nothing else in the package prints."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from logwarden.training.faultlab import labels_audit
from logwarden.training.faultlab.campaign import Campaign, Job
from logwarden.training.faultlab.errors import FaultlabError, ProgramMissing
from logwarden.training.faultlab.isolation import isolate
from logwarden.training.faultlab.labels import label, load_reviewed, save_labels
from logwarden.training.faultlab.process import termination_raises
from logwarden.training.faultlab.recording import Recording, load_recording, save_recording
from logwarden.training.faultlab.release import (
    RECORDINGS,
    SPLIT,
    load_last_look,
    load_release,
    require_recordings,
    runs_below,
)
from logwarden.training.faultlab.runner import record
from logwarden.training.faultlab.scenario import Script
from logwarden.training.faultlab.systems import SYSTEMS, build


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        with termination_raises():
            return int(options.command(options))
    except FaultlabError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of the pipe has closed it; the last flush of the interpreter goes to /dev/null.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted; all processes of the runs are stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="logwarden faultlab", description="Real systems under real faults.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: object, about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(command=does)
        return sub

    command("list", _list, "list the systems that can be recorded")
    command("doctor", _doctor, "list the Debian packages that are missing")
    many = command("record", _record, "record systems, each run with every fault and every planned change")
    many.add_argument("systems", nargs="+", choices=sorted([*SYSTEMS, "all"]), metavar="SYSTEM")
    many.add_argument("--repetitions", type=int, default=1, metavar="N", help="runs of each system (default: 1)")
    many.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at the same time (default: 1)")
    many.add_argument(
        "--out",
        type=Path,
        default=Path("moe_results/faultlab"),
        help="directory of SYSTEM/N",
    )
    one = command("run", _run, "record one run in this process; `record` calls this command")
    one.add_argument("system", choices=sorted(SYSTEMS))
    one.add_argument("--out", type=Path, required=True, help="directory of the run")
    minutes = Script(seed=0).clean_s / 60
    for sub in (many, one):
        sub.add_argument("--seed", type=int, default=1, help="seed of order, lengths and targets (default: 1)")
        sub.add_argument("--minutes", type=float, default=minutes, help=f"of fault-free time (default: {minutes:g})")
        sub.add_argument("--fault", action="append", default=[], metavar="NAME", help="only this fault; repeatable")
    for name, does, about in (
        ("label", _label, "write labels.json beside every recording below a directory"),
        ("stats", _stats, "print the counts, labels and shortcuts of every system"),
    ):
        command(name, does, about).add_argument("path", type=Path, nargs="?", default=RECORDINGS)
    command("show", _show_command, "print the events of one run and the evidence of each").add_argument(
        "path", type=Path
    )
    audit = command("audit", _audit, "print the labelled lines for a person to check")
    audit.add_argument("systems", nargs="*", metavar="SYSTEM", help="only these systems")
    audit.add_argument("--recordings", type=Path, default=RECORDINGS, metavar="DIR")
    audit.add_argument("--sample", type=Path, metavar="FILE", help="write a sample of lines without their labels")
    audit.add_argument("--seed", type=int, default=1, help="seed of the sample (default: 1)")
    audit.add_argument("--agreement", type=Path, metavar="FILE", help="compare a judged sample with the labels")
    return parser


def _list(options: argparse.Namespace) -> int:
    print("\n".join(sorted(SYSTEMS)))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    healthy = True
    for name in sorted(SYSTEMS):
        packages = build(name, 0).missing()
        healthy = healthy and not packages
        print(f"{name}: " + (f"apt-get install --no-install-recommends {' '.join(packages)}" if packages else "ready"))
    return 0 if healthy else 1


def _run(options: argparse.Namespace) -> int:
    script = Script(seed=options.seed, clean_s=options.minutes * 60, faults=frozenset(options.fault))
    isolate()
    result = record(build(options.system, script.seed), script, lambda text: print(text, flush=True))
    save_recording(result, options.out)
    _show(result)
    return 0


def _record(options: argparse.Namespace) -> int:
    systems = sorted(SYSTEMS) if "all" in options.systems else options.systems
    faults = tuple(part for name in options.fault for part in ("--fault", name))
    jobs = [
        Job(
            system=system,
            repetition=repetition,
            # Every run has its own order of events.
            arguments=("--seed", str(options.seed + repetition - 1), "--minutes", str(options.minutes), *faults),
            directory=options.out / system / str(repetition),
        )
        for repetition in range(1, options.repetitions + 1)
        for system in systems
    ]
    for system in systems:
        if packages := build(system, 0).missing():
            raise ProgramMissing(packages)
    failed = _watch(jobs, options.jobs)
    for job in failed:
        print(f"{job.name}: no recording; its last messages are above", file=sys.stderr)
    return 1 if failed else 0


def _watch(jobs: Sequence[Job], lanes: int) -> list[Job]:
    """Records with a progress bar for each run, or without a terminal with a line for each message."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[run]:16}"),
        BarColumn(30),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars = {}

        def listen(job: Job, message: str) -> None:
            if not console.is_terminal:
                print(f"{job.name}: {message}", flush=True)
                return
            if job not in bars:
                bars[job] = progress.add_task("starting", run=job.name, total=None)
            done, _, words = message.partition("% ")
            if done.strip().isdigit():
                progress.update(bars[job], completed=int(done), total=100, description=words)
            else:
                progress.console.print(f"{job.name}: {message}", markup=False, highlight=False)

        return Campaign(jobs, lanes, listen).record()


def _label(options: argparse.Namespace) -> int:
    require_recordings(options.path)
    reviewed = load_reviewed(options.path)
    for system, directories in runs_below(options.path).items():
        runs = [load_recording(directory) for directory in directories]
        for run, its, directory in zip(runs, label(runs, reviewed.get(system, ())), directories, strict=True):
            save_labels(run, its, directory)
            print(f"{system}/{directory.name}: {its.anomalous.sum()} anomalous of {len(run.lines)} lines;"
                  f" silent: {', '.join(its.silent) or 'none'}")  # fmt: skip
    return 0


def _audit(options: argparse.Namespace) -> int:
    # The recordings of a last look are a release without a split.
    load = load_release if (options.recordings / SPLIT).exists() else load_last_look
    runs = [run for run in load(options.recordings) if not options.systems or run.system in options.systems]
    if options.sample:
        sample = labels_audit.sample(runs, options.seed)
        options.sample.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in sample))
        print(f"{len(sample)} lines; set says_wrong to true or false in each")
    elif options.agreement:
        print(labels_audit.agreement(runs, labels_audit.read_judged(options.agreement)))
    else:
        print("\n".join(labels_audit.listing(runs)))
    return 0


def _stats(options: argparse.Namespace) -> int:
    from logwarden.training.faultlab import datasheet  # scikit-learn takes a second to import

    print(datasheet.tables(options.path))
    return 0


def _show_command(options: argparse.Namespace) -> int:
    _show(load_recording(options.path))
    return 0


def _show(recording: Recording) -> None:
    """Prints a run labelled by itself; with the other runs of its system more forms are known as normal."""
    (labels,) = label([recording])
    print(f"{recording.system} {dict(recording.versions)} seed {recording.seed}, started {recording.started}")
    counts = Counter(line.service for line in recording.lines)
    print(f"{len(recording.lines)} lines {dict(counts)}, no fault until {recording.clean_until:.0f} s")
    for event in recording.events:
        times = f"{event.injected_at:7.1f} → {event.cleared_at:7.1f} → {event.recovered_at:7.1f}"
        if event.kind == "benign":
            print(f"benign {event.name:22} {times}")
            continue
        evidence = np.flatnonzero(labels.anomalous & (labels.fault == recording.faults.index(event)))
        print(f"fault  {event.name:22} {times}  {len(evidence)} lines of evidence")
        for place in evidence[:3]:
            print(f"         {recording.lines[place].service}: {recording.lines[place].text}")
    for name, reason in recording.skipped.items():
        print(f"skipped {name}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
