"""Lines of the fault lab's recordings, which are part of the repository, as input of tests and benchmarks."""

from __future__ import annotations

from functools import cache
from itertools import cycle, islice

import numpy as np

from logwarden.model.stream import LineColumns
from logwarden.training.faultlab.recording import load_recording
from logwarden.training.faultlab.release import RECORDINGS, runs_below


@cache
def _lines() -> list[tuple[str, str]]:
    """(service, text) of the first run of every system, in turn of systems, so that any prefix has lines of all."""
    systems = [
        [(f"{name}/{line.service}", line.text) for line in load_recording(runs[0]).lines]
        for name, runs in sorted(runs_below(RECORDINGS).items())
    ]
    longest = max(map(len, systems))
    return [system[at] for at in range(longest) for system in systems if at < len(system)]


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
