"""Reads the recordings of the repository with their labels and their split. Knows the layout on disk, no system.

recordings/SYSTEM/N/   lines.jsonl.xz, manifest.json, labels.json: run N of a system
recordings/reviewed.json   masked forms that a reader found to be no symptom
recordings/split.json      the parts for training, validation and test: by time inside every system, and by system
recordings/demo/           the recording that `logwarden demo` plays; in no part of a split, and alone in the package
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from logwarden.training.faultlab.errors import RecordingsMissing
from logwarden.training.faultlab.labels import RunLabels, load_labels
from logwarden.training.faultlab.recording import MANIFEST, Recording, load_recording

RECORDINGS = Path(__file__).parent / "recordings"
SPLIT = "split.json"

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRun:
    """One run of one system, with its labels and its part in both splits."""

    system: str
    repetition: int
    recording: Recording
    labels: RunLabels
    by_time: Part
    """The runs of every system follow each other in time: the first is for training, the last for the test."""
    by_system: Part
    """By system: some systems are in no training part at all."""


def load_release(root: Path = RECORDINGS) -> list[LabelledRun]:
    """Reads all runs below `root`.

    Raises RecordingsMissing if there is none, and RecordingDamaged if lines do not match their manifest.
    """
    require_recordings(root)
    split: Mapping[str, Mapping[Part, list[str | int]]] = json.loads((root / SPLIT).read_text())
    time_of = {number: part for part, numbers in split["by_time"].items() for number in numbers}
    system_of = {name: part for part, names in split["by_system"].items() for name in names}
    runs = []
    for system, directories in runs_below(root).items():
        for directory in directories:
            recording = load_recording(directory)
            repetition = int(directory.name)
            runs.append(
                LabelledRun(
                    system=system,
                    repetition=repetition,
                    recording=recording,
                    labels=load_labels(recording, directory),
                    by_time=time_of[repetition],
                    by_system=system_of[system],
                )
            )
    return runs


def require_recordings(root: Path) -> None:
    """Raises RecordingsMissing unless a recorded run is below `root`."""
    if not runs_below(root):
        raise RecordingsMissing(root)


def runs_below(root: Path) -> dict[str, list[Path]]:
    """Returns system → the directories of its runs, in order."""
    found: dict[str, list[Path]] = {}
    for manifest in sorted(root.glob(f"*/[0-9]*/{MANIFEST}"), key=lambda path: int(path.parent.name)):
        found.setdefault(manifest.parent.parent.name, []).append(manifest.parent)
    return dict(sorted(found.items()))
