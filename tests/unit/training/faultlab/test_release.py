"""The recordings of the release are whole, in order, labelled by the rule, split, and described by their datasheet."""

import glob
import itertools
import json
import tomllib
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from logwarden.training import corpora
from logwarden.training.faultlab import datasheet, labels_audit
from logwarden.training.faultlab.confounds import (
    RunFacts,
    facts_of,
    joined,
    shortcuts,
    ten_seconds,
    thirty_two_lines,
    windows_of,
)
from logwarden.training.faultlab.errors import RecordingsMissing
from logwarden.training.faultlab.kinds import systems_with_kinds
from logwarden.training.faultlab.labels import State, label, load_reviewed
from logwarden.training.faultlab.recording import LINES, MANIFEST, RECOVERY_TAIL_S
from logwarden.training.faultlab.release import RECORDINGS, SPLIT, LabelledRun, runs_below
from logwarden.training.faultlab.systems import SYSTEMS

ROOT = Path(__file__).parents[4]
MAX_BYTES = 15_000_000
MOST = 0.70
Release = dict[str, list[LabelledRun]]


@pytest.fixture(scope="module")
def release() -> Release:
    """All runs by system. Loading them checks their hashes."""
    found: Release = {}
    for run in corpora.faultlab():
        found.setdefault(run.system, []).append(run)
    return found


@pytest.fixture(scope="module")
def facts(release: Release) -> dict[str, list[RunFacts]]:
    """The text of all runs, read once for all windows."""
    return {
        system: facts_of([run.recording for run in runs], [run.labels for run in runs])
        for system, runs in release.items()
    }


def test_release_is_as_large_as_promised(release: Release) -> None:
    """At least 12 systems, each in three runs of at least five faults, with half an hour fault-free; 15 MB in all."""
    assert len(release) >= 12
    assert set(release) <= set(SYSTEMS)
    for system, runs in release.items():
        assert [run.repetition for run in runs] == [1, 2, 3], system
        for run in runs:
            assert len(run.recording.faults) >= 5, system
            assert len({event.cause for event in run.recording.faults}) >= 3, system
            assert {event.name for event in run.recording.faults} == {event.name for event in runs[0].recording.faults}
        assert datasheet.clean_minutes([run.recording for run in runs]) >= 30, system
    assert sum(path.stat().st_size for path in RECORDINGS.rglob("*") if path.is_file()) <= MAX_BYTES


def test_lines_are_in_order_and_counted(release: Release) -> None:
    """Times never fall, every line names its file, and a manifest counts the lines of its run."""
    for system, runs in release.items():
        for run in runs:
            lines = run.recording.lines
            assert all(before.t <= after.t for before, after in itertools.pairwise(lines)), system
            assert all(line.file and line.text for line in lines), system
            manifest = json.loads((RECORDINGS / system / str(run.repetition) / MANIFEST).read_text())
            assert Counter(line.service for line in lines) == manifest["lines"], system


def test_events_do_not_overlap_and_fault_free_time_is_on_both_sides(release: Release) -> None:
    """No event begins before the last one has recovered; planned changes come before the faults and between them."""
    for system, runs in release.items():
        for run in runs:
            events = run.recording.events
            assert all(x.injected_at <= x.cleared_at <= x.recovered_at + 1 for x in events), system
            assert all(before.recovered_at < after.injected_at for before, after in itertools.pairwise(events)), system
            planned = [event for event in events if event.kind == "benign"]
            benign = Counter(event.name for event in planned)
            assert set(benign.values()) == {2}, system
            assert {"load_spike", "idle", "load_ramp"} < set(benign), system
            first = {
                event.name
                for event in events
                if event.kind == "benign" and event.recovered_at < run.recording.clean_until
            }
            assert first == set(benign), system
            assert run.recording.faults[-1].recovered_at + RECOVERY_TAIL_S < run.recording.lines[-1].t, system


def test_labels_are_what_the_rule_says(release: Release) -> None:
    """The labels on disk are those that the rule gives for these lines today."""
    reviewed = load_reviewed(RECORDINGS)
    for system, runs in release.items():
        again = label([run.recording for run in runs], reviewed.get(system, ()))
        for run, its in zip(runs, again, strict=True):
            assert np.array_equal(its.states, run.labels.states), f"{system}/{run.repetition}: logwarden faultlab label"
            assert its.silent == run.labels.silent


def test_every_fault_has_evidence_or_is_marked_silent(release: Release) -> None:
    """A fault has a labelled line or is marked silent, and no line out of the reach of a fault is labelled."""
    for system, runs in release.items():
        for run in runs:
            with_evidence: set[str] = set()
            for place in np.flatnonzero(run.labels.states == State.EVIDENCE):
                line, event = run.recording.lines[place], run.recording.faults[run.labels.fault[place]]
                assert event.injected_at <= line.t <= event.recovered_at, system
                assert line.service in event.services, system
                with_evidence.add(event.name)
            assert with_evidence | set(run.labels.silent) == {event.name for event in run.recording.faults}, system
            assert not with_evidence & set(run.labels.silent), system


def test_splits_are_fixed_and_clean(release: Release) -> None:
    """The runs of a system follow each other in time, and every system is in exactly one part."""
    split = json.loads((RECORDINGS / SPLIT).read_text())
    assert sorted(itertools.chain(*split["by_time"].values())) == [1, 2, 3]
    assert sorted(itertools.chain(*split["by_system"].values())) == sorted(release)
    assert all(split["by_system"].values())
    for system, runs in release.items():
        assert [run.by_time for run in runs] == ["train", "validation", "test"], system
        for before, after in itertools.pairwise(run.recording for run in runs):
            ended = datetime.fromisoformat(before.started).timestamp() + before.lines[-1].t
            assert ended < datetime.fromisoformat(after.started).timestamp(), system


def test_neither_count_nor_clock_reveals_the_faults(facts: dict[str, list[RunFacts]]) -> None:
    """Line rate alone, or time since the start alone, separates faults with an AUROC of at most .70."""
    for cut in (ten_seconds, thirty_two_lines):
        parts = {system: windows_of(of_system, cut) for system, of_system in facts.items()}
        parts["all together"] = joined(list(parts.values()))
        for system, windows in parts.items():
            areas = shortcuts(windows)
            assert max(areas["line count"], areas["time since start"]) <= MOST, f"{system}, {cut.__name__}"


def test_the_datasheet_describes_the_recordings(release: Release, facts: dict[str, list[RunFacts]]) -> None:
    """The tables of the datasheet are those of the recordings today."""
    text = (RECORDINGS / "DATASHEET.md").read_text()
    labelled = {system: [(run.recording, run.labels) for run in runs] for system, runs in release.items()}
    assert datasheet.tables_of(labelled, facts) in text, "logwarden faultlab stats"
    assert list(labelled) == list(runs_below(RECORDINGS))


def test_the_tables_of_a_directory_are_those_of_its_runs(tmp_path: Path, release: Release) -> None:
    """`faultlab stats` reads the runs from disk; a directory without runs is an error."""
    system, runs = min(release.items(), key=lambda item: sum(len(run.recording.lines) for run in item[1]))
    (tmp_path / system).symlink_to(RECORDINGS / system)
    labelled = {system: [(run.recording, run.labels) for run in runs]}
    assert datasheet.tables(tmp_path) == datasheet.tables_of(labelled)
    with pytest.raises(RecordingsMissing):
        datasheet.tables(tmp_path / system)


def test_readers_agree_with_the_rule(release: Release) -> None:
    """The datasheet states how often the rule agrees with a reader who did not see the labels."""
    judged = labels_audit.read_judged(RECORDINGS / labels_audit.AUDIT)
    assert len(judged) >= 300
    assert {row["system"] for row in judged} == set(release)
    agreement = labels_audit.agreement([run for runs in release.values() for run in runs], judged)
    assert agreement in (RECORDINGS / "DATASHEET.md").read_text()


def test_audit_shows_every_fault_and_hides_the_labels(release: Release) -> None:
    """A person can read the labelled lines of each fault; a sample to be judged contains no label."""
    runs = next(iter(release.values()))
    listed = list(labels_audit.listing(runs))
    for event in runs[0].recording.faults:
        assert f"--- {event.name}" in listed
    assert any(line.startswith("+") for line in listed)
    sample = labels_audit.sample(runs, seed=3)
    assert sample == labels_audit.sample(runs, seed=3)
    assert {tuple(row) for row in sample} == {
        ("system", "repetition", "line", "fault", "service", "text", "says_wrong")
    }
    assert all(row["says_wrong"] is None for row in sample)


def test_an_audit_of_other_recordings_is_refused(release: Release) -> None:
    """A judged line that is not the line of this recording ends the count."""
    run = next(iter(release.values()))[0]
    with pytest.raises(AssertionError, match="drawn from these recordings"):
        labels_audit.agreement(
            [run], [{"system": run.system, "repetition": run.repetition, "line": 0, "text": "?", "says_wrong": True}]
        )


def test_the_package_contains_only_the_recording_of_the_demo() -> None:
    """Eight megabytes of labelled recordings stay in the repository and out of every installation."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    package = ROOT / "training"
    found = {
        path
        for pattern in table["logwarden.training"]
        for path in glob.glob(pattern, root_dir=package, recursive=True)
        if (package / path).is_file()
    }
    recordings = {path for path in found if "recordings" in path}
    assert recordings == {f"faultlab/recordings/demo/{name}" for name in ("README.md", LINES, MANIFEST)}
    twins = {f"evaluation/twins/{system}.safetensors" for system in runs_below(RECORDINGS)}
    kinds = {f"faultlab/templates/{system}.tsv" for system in systems_with_kinds()}
    assert found - recordings == {"faultlab/systems/kafka/pom.xml", *twins, *kinds}


def test_absent_recordings_are_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    """A caller of an installed copy learns where the recordings are."""
    with pytest.raises(RecordingsMissing, match="clone the repository and name its folder"):
        corpora.faultlab(tmp_path)
