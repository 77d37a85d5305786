"""The recordings that ship: whole, in order, labelled by the rule, split for good, and described as they are."""

import itertools
import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from logwarden.training import corpora
from logwarden.training.faultlab import datasheet, labels_audit
from logwarden.training.faultlab.confounds import joined, shortcuts, ten_seconds, thirty_two_lines, windows_of
from logwarden.training.faultlab.labels import State, label, load_reviewed
from logwarden.training.faultlab.recording import MANIFEST, RECOVERY_TAIL_S
from logwarden.training.faultlab.release import RECORDINGS, SPLIT, LabelledRun, runs_below
from logwarden.training.faultlab.systems import SYSTEMS

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


def test_release_is_as_large_as_promised(release: Release) -> None:
    """At least 12 systems, each in three runs of five faults and more, with half an hour of peace; 15 MB in all."""
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
    """Times never fall, every line names its file, and a manifest counts the lines that are there."""
    for system, runs in release.items():
        for run in runs:
            lines = run.recording.lines
            assert all(before.t <= after.t for before, after in itertools.pairwise(lines)), system
            assert all(line.file and line.text for line in lines), system
            manifest = json.loads((RECORDINGS / system / str(run.repetition) / MANIFEST).read_text())
            assert Counter(line.service for line in lines) == manifest["lines"], system


def test_events_are_apart_and_peace_is_on_both_sides(release: Release) -> None:
    """Nothing is done before the last thing has recovered; planned changes come before the faults and between them."""
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


def test_every_fault_is_heard_or_marked_silent(release: Release) -> None:
    """A fault has a labelled line or is marked silent, and no line out of the reach of a fault is labelled."""
    for system, runs in release.items():
        for run in runs:
            heard: set[str] = set()
            for place in np.flatnonzero(run.labels.states == State.EVIDENCE):
                line, event = run.recording.lines[place], run.recording.faults[run.labels.fault[place]]
                assert event.injected_at <= line.t <= event.recovered_at, system
                assert line.service in event.services, system
                heard.add(event.name)
            assert heard | set(run.labels.silent) == {event.name for event in run.recording.faults}, system
            assert not heard & set(run.labels.silent), system


def test_splits_are_fixed_and_clean(release: Release) -> None:
    """By time: the runs of a system follow each other. By system: each is in one part, and what ships is in some."""
    split = json.loads((RECORDINGS / SPLIT).read_text())
    assert sorted(itertools.chain(*split["by_time"].values())) == [1, 2, 3]
    assert sorted(itertools.chain(*split["by_system"].values())) == sorted(release)
    assert all(split["by_system"].values())
    for system, runs in release.items():
        assert [run.by_time for run in runs] == ["train", "validation", "test"], system
        for before, after in itertools.pairwise(run.recording for run in runs):
            ended = datetime.fromisoformat(before.started).timestamp() + before.lines[-1].t
            assert ended < datetime.fromisoformat(after.started).timestamp(), system


def test_neither_count_nor_clock_tells_the_faults(release: Release) -> None:
    """Line rate alone, or time since the start alone, tells faults from peace with an AUROC of .70 at most."""
    for cut in (ten_seconds, thirty_two_lines):
        parts = {
            system: windows_of([run.recording for run in runs], [run.labels for run in runs], cut)
            for system, runs in release.items()
        }
        parts["all together"] = joined(list(parts.values()))
        for system, windows in parts.items():
            areas = shortcuts(windows)
            assert max(areas["line count"], areas["time since start"]) <= MOST, f"{system}, {cut.__name__}"


def test_datasheet_is_the_recordings() -> None:
    """The tables of the datasheet are those that `faultlab stats` prints of what ships."""
    text = (RECORDINGS / "DATASHEET.md").read_text()
    assert datasheet.tables(RECORDINGS) in text, "logwarden faultlab stats"
    assert all(name in text for name in runs_below(RECORDINGS))


def test_readers_agree_with_the_rule(release: Release) -> None:
    """Some hundred lines were judged by a reader who did not see the labels; nine in ten of them agree."""
    judged = labels_audit.read_judged(RECORDINGS / labels_audit.AUDIT)
    assert len(judged) >= 300
    assert {row["system"] for row in judged} == set(release)
    said = labels_audit.agreement([run for runs in release.values() for run in runs], judged)
    assert said in (RECORDINGS / "DATASHEET.md").read_text()


def test_audit_shows_every_fault_and_hides_the_labels(release: Release) -> None:
    """A person can read what was labelled in each fault; a sample to be judged does not give the labels away."""
    runs = next(iter(release.values()))
    listed = list(labels_audit.listing(runs))
    for event in runs[0].recording.faults:
        assert f"--- {event.name}" in listed
    assert any(line.startswith("+") for line in listed)
    drawn = labels_audit.sample(runs, seed=3)
    assert drawn == labels_audit.sample(runs, seed=3)
    assert {tuple(row) for row in drawn} == {("system", "repetition", "line", "fault", "service", "text", "says_wrong")}
    assert all(row["says_wrong"] is None for row in drawn)


def test_damage_is_noticed(tmp_path: Path) -> None:
    """An audit that was drawn from other recordings than these is refused."""
    run = next(iter(corpora.faultlab()))
    with pytest.raises(AssertionError, match="drawn from these recordings"):
        labels_audit.agreement(
            [run], [{"system": run.system, "repetition": run.repetition, "line": 0, "text": "?", "says_wrong": True}]
        )
