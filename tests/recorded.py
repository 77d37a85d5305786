"""Lines of the fault lab's recordings, which are part of the repository, as input of tests and benchmarks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from logwarden.model.stream import LineColumns
from logwarden.training.faultlab.labels import label, save_labels
from logwarden.training.faultlab.recording import Recording, load_recording, save_recording
from logwarden.training.faultlab.release import RECORDINGS, SPLIT, runs_below


@cache
def _lines() -> list[tuple[str, str]]:
    """(service, text) of the first run of every system, in turn of systems, so that any prefix has lines of all."""
    systems = [
        [(f"{name}/{line.service}", line.text) for line in load_recording(runs[0]).lines]
        for name, runs in sorted(runs_below(RECORDINGS).items())
    ]
    longest = max(map(len, systems))
    return [system[at] for at in range(longest) for system in systems if at < len(system)]


def short_release(root: Path, systems: Sequence[str], runs: int) -> None:
    """Writes the first runs of some systems into a directory, as a release whose runs last four minutes.

    Of each run are left a minute and a half without faults, and the first two minutes and a half with them.
    """
    for system in systems:
        tapes = [_shortened(load_recording(RECORDINGS / system / str(number))) for number in range(1, runs + 1)]
        for number, (tape, labels) in enumerate(zip(tapes, label(tapes), strict=True), 1):
            save_recording(tape, root / system / str(number))
            save_labels(tape, labels, root / system / str(number))
    shutil.copy(RECORDINGS / SPLIT, root)


def _shortened(run: Recording) -> Recording:
    kept = [line for line in run.lines if line.t < 90 or run.clean_until < line.t < run.clean_until + 150]
    events = [event for event in run.events if event.kind == "fault" and event.recovered_at < run.clean_until + 120]
    return replace(run, lines=tuple(kept), events=tuple(events))


def recorded_texts(count: int) -> list[str]:
    """Returns so many recorded lines of all systems; they repeat when there are not enough."""
    return [text for _, text in islice(cycle(_lines()), count)]


def recorded_columns(count: int) -> LineColumns:
    """Returns so many recorded lines as columns, with a slot for each service."""
    lines = list(islice(cycle(_lines()), count))
    slots = {name: number for number, name in enumerate(dict.fromkeys(name for name, _ in lines))}
    return LineColumns(
        texts=[text.encode() for _, text in lines],
        slots=np.array([slots[name] for name, _ in lines]),
        offset=np.arange(count),
        index=np.zeros(count, np.int32),
        timestamp=np.arange(count, dtype=np.int64),
    )
