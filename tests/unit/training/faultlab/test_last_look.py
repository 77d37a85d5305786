"""The systems of the last look are whole and labelled by the rule, and reach neither training nor a choice."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from logwarden.model.decision import INPUTS
from logwarden.training import corpora
from logwarden.training.faultlab import datasheet, labels_audit
from logwarden.training.faultlab.errors import LastLookOnly
from logwarden.training.faultlab.labels import label, load_reviewed
from logwarden.training.faultlab.release import (
    LAST_LOOK,
    LAST_LOOK_RECORDINGS,
    RECORDINGS,
    SPLIT,
    LabelledRun,
    load_last_look,
    load_release,
)
from logwarden.training.head import judging
from logwarden.training.head.judging import TWINS, PastViews, SystemViews, TrainingRows, operating_point, training_rows

ROOT = Path(__file__).parents[4]
MAX_BYTES = 1_500_000
READERS = {
    "training/faultlab/release.py",
    "training/faultlab/__main__.py",
    "training/benchmark/lastlook.py",
    "training/benchmark/command.py",
}
"""Files that may know where the recordings are: they read, label and measure them."""
Looked = dict[str, list[LabelledRun]]


@pytest.fixture(scope="module")
def looked() -> Looked:
    """All runs of the last look by system. Loading them checks their hashes."""
    found: Looked = {}
    for run in load_last_look():
        found.setdefault(run.system, []).append(run)
    return found


def test_training_reads_no_system_of_the_last_look() -> None:
    """What training reads contains none of them, no split names one, and no twin was trained for one."""
    assert not {run.system for run in corpora.faultlab()}.intersection(LAST_LOOK)
    assert not any(name in (RECORDINGS / SPLIT).read_text() for name in LAST_LOOK)
    assert not {path.stem for path in TWINS.glob("*.safetensors")}.intersection(LAST_LOOK)


@pytest.mark.parametrize("system", LAST_LOOK)
def test_a_folder_with_such_a_system_trains_nothing(system: str, tmp_path: Path) -> None:
    """Whoever names a folder that contains one gets a sentence in place of trees."""
    (tmp_path / system).symlink_to(LAST_LOOK_RECORDINGS / system)
    (tmp_path / SPLIT).write_text((RECORDINGS / SPLIT).read_text())
    with pytest.raises(LastLookOnly, match=f"{system}: recorded for a last look"):
        load_release(tmp_path)
    with pytest.raises(LastLookOnly):
        judging.main(["--recordings", str(tmp_path), "--model", str(tmp_path), "--twins", str(tmp_path)])
    assert not list(tmp_path.glob("*.safetensors"))


def test_runs_of_such_a_system_become_no_training_rows(looked: Looked) -> None:
    """The rows of trees and twins are refused even where the runs come from elsewhere than a folder."""
    for runs in looked.values():
        views = SimpleNamespace(runs=[SimpleNamespace(labels=run) for run in runs])
        with pytest.raises(LastLookOnly):
            training_rows(cast(PastViews, views), seed=0)


def test_such_a_system_chooses_no_threshold(looked: Looked) -> None:
    """Scale and shift of the threshold are refused where one of the systems was kept for the last look."""
    rows = TrainingRows(np.zeros((0, len(INPUTS)), np.float32), np.zeros(0, np.int64), np.zeros(0))
    for system, runs in looked.items():
        with pytest.raises(LastLookOnly):
            operating_point([SystemViews(system, rows, {}, runs[-1])], {})


def test_only_readers_know_where_the_recordings_are() -> None:
    """No recipe and no choice of a threshold names the folder or its reader."""
    names = ("load_last_look", "LAST_LOOK_RECORDINGS", "last-look/")
    found = {
        str(path.relative_to(ROOT))
        for folder in ("model", "daemon", "training", "demo")
        for path in (ROOT / folder).rglob("*.py")
        if any(name in path.read_text(encoding="utf-8") for name in names)
    }
    assert found == READERS


def test_published_choices_are_made_on_the_other_systems() -> None:
    """Tables of the fault lab, frozen thresholds and factors of the budget contain none; the last look has its own."""
    figures: dict[str, Any] = json.loads((ROOT / "docs" / "benchmarks" / "figures.json").read_text())
    for chosen in (figures["systems"], figures["frozen"]["together"]["factors"], figures["at_default"]["factors"]):
        assert not set(chosen).intersection(LAST_LOOK)
    assert set(figures["last_look"]["systems"]) == set(LAST_LOOK)


def test_the_last_look_is_small_and_whole(looked: Looked) -> None:
    """Both systems have three runs with the same faults of many causes, a third of an hour without them, and 1.5 MB."""
    assert set(looked) == set(LAST_LOOK)
    for system, runs in looked.items():
        assert [run.repetition for run in runs] == [1, 2, 3], system
        for run in runs:
            faults = run.recording.faults
            assert {event.name for event in faults} == {event.name for event in runs[0].recording.faults}
            assert len(faults) >= 8
            assert len({event.cause for event in faults}) >= 5
            assert not run.recording.skipped
        assert datasheet.clean_minutes([run.recording for run in runs]) >= 19, system
    assert sum(path.stat().st_size for path in LAST_LOOK_RECORDINGS.rglob("*") if path.is_file()) <= MAX_BYTES


def test_labels_follow_the_same_rule(looked: Looked) -> None:
    """The labels on disk are those that the rule gives for these lines today."""
    reviewed = load_reviewed(LAST_LOOK_RECORDINGS)
    for system, runs in looked.items():
        again = label([run.recording for run in runs], reviewed.get(system, ()))
        for run, its in zip(runs, again, strict=True):
            assert np.array_equal(its.states, run.labels.states), f"{system}/{run.repetition}: logwarden faultlab label"
            assert its.silent == run.labels.silent


def test_the_datasheet_describes_the_last_look(looked: Looked) -> None:
    """Tables and the agreement with a reader stand in the datasheet as they are today."""
    text = (RECORDINGS / "DATASHEET.md").read_text()
    assert datasheet.tables_of({s: [(r.recording, r.labels) for r in runs] for s, runs in looked.items()}) in text
    judged = labels_audit.read_judged(LAST_LOOK_RECORDINGS / labels_audit.AUDIT)
    assert {row["system"] for row in judged} == set(looked)
    assert labels_audit.agreement([run for runs in looked.values() for run in runs], judged) in text
