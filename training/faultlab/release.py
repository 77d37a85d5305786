"""Reads the recordings of the repository with their labels and their split. Knows the layout on disk, no system.

recordings/SYSTEM/N/   lines.jsonl.xz, manifest.json, labels.json: run N of a system
recordings/reviewed.json   masked forms that a reader found to be no symptom
recordings/split.json      the parts for training, validation and test: by time inside every system, and by system
recordings/last-look/      a release of its own: systems on which nothing is trained or chosen, in no part of a split
recordings/demo/           the recording that `logwarden demo` plays; in no part of a split, and alone in the package
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from logwarden.training.faultlab.errors import LastLookOnly, RecordingsMissing
from logwarden.training.faultlab.labels import RunLabels, load_labels
from logwarden.training.faultlab.recording import MANIFEST, Recording, load_recording

RECORDINGS = Path(__file__).parent / "recordings"
SPLIT = "split.json"
LAST_LOOK = ("postfix", "prometheus")
"""Systems that are measured only: nobody who has seen them changes model, thresholds, masking or words for them."""
LAST_LOOK_RECORDINGS = RECORDINGS / "last-look"

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
    """Reads all runs below `root`, which training and every choice may use.

    Raises RecordingsMissing if there is none, LastLookOnly if one is of a last look, and RecordingDamaged if lines do
    not match their manifest.
    """
    require_recordings(root)
    found = runs_below(root)
    refuse_last_look(found)
    split: Mapping[str, Mapping[Part, list[str | int]]] = json.loads((root / SPLIT).read_text())
    time_of = {number: part for part, numbers in split["by_time"].items() for number in numbers}
    system_of = {name: part for part, names in split["by_system"].items() for name in names}
    return [
        _labelled(system, directory, time_of[int(directory.name)], system_of[system])
        for system, directories in found.items()
        for directory in directories
    ]


def load_last_look(root: Path = LAST_LOOK_RECORDINGS) -> list[LabelledRun]:
    """Reads the runs of the last look, to measure on them and nothing else. Raises as `load_release` does."""
    require_recordings(root)
    return [
        _labelled(system, directory, "test", "test")
        for system, directories in runs_below(root).items()
        for directory in directories
    ]


def refuse_last_look(systems: Iterable[str]) -> None:
    """Raises LastLookOnly if one of the systems was recorded for a last look: whatever trains or chooses calls this."""
    if kept := sorted(set(systems).intersection(LAST_LOOK)):
        raise LastLookOnly(kept)


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


def _labelled(system: str, directory: Path, by_time: Part, by_system: Part) -> LabelledRun:
    recording = load_recording(directory)
    return LabelledRun(
        system=system,
        repetition=int(directory.name),
        recording=recording,
        labels=load_labels(recording, directory),
        by_time=by_time,
        by_system=by_system,
    )
