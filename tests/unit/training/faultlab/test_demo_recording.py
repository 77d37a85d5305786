"""The recording that the demo plays: whole, clean first, with every fault in its server's own words."""

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from logwarden.training.faultlab.recording import Recording, lines_of, load_recording

COMMITTED = Path(__file__).parents[4] / "training" / "faultlab" / "recordings" / "demo"


@pytest.fixture(scope="module")
def committed() -> Recording:
    return load_recording(COMMITTED)


def test_committed_recording_is_small_and_whole(committed: Recording) -> None:
    """The shipped recording matches its hash, has three services, dropped no line and is small."""
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) <= 1_000_000
    assert {line.service for line in committed.lines} == {"postgres-primary", "postgres-replica", "pgbouncer"}
    assert 4_000 <= len(committed.lines) <= 12_000
    assert not committed.dropped
    counted = Counter(line.service for line in committed.lines)
    assert counted == json.loads((COMMITTED / "manifest.json").read_text())["lines"]
    assert all(before.t <= after.t for before, after in itertools.pairwise(committed.lines))


def test_committed_recording_is_clean_first(committed: Recording) -> None:
    """Eight minutes and more pass before the first fault, with each planned change twice and early once."""
    assert committed.clean_until >= 480
    assert all(event.injected_at > committed.clean_until for event in committed.faults)
    benign = [event for event in committed.events if event.kind == "benign"]
    assert all(event.recovered_at < committed.clean_until for event in benign)
    assert set(Counter(event.name for event in benign).values()) == {2}
    early = {event.name for event in benign if event.injected_at < committed.clean_until / 3}
    assert early == {event.name for event in benign} >= {
        "config_reload", "pooler_reload", "replica_restart", "load_spike", "idle",
    }  # fmt: skip


def test_committed_recording_has_its_faults_apart(committed: Recording) -> None:
    """At least five faults were injected, each over for 20 s before the next, all within the recording."""
    assert len(committed.faults) >= 5
    for before, after in itertools.pairwise(committed.faults):
        assert before.injected_at < before.cleared_at
        assert max(before.cleared_at, before.recovered_at) + 20 <= after.injected_at
    assert committed.faults[-1].recovered_at < committed.lines[-1].t


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("backend_sigkill", "was terminated by signal 9: Killed"),
        ("primary_sigkill", "database system was interrupted"),
        ("connection_exhaustion", "remaining connection slots are reserved"),
        ("wrong_password_burst", "password authentication failed"),
        ("deadlock", "deadlock detected"),
        ("disk_full", "No space left on device"),
        ("replica_frozen", "terminating walsender process due to replication timeout"),
        ("bad_config_reload", "invalid value for parameter"),
    ],
)
def test_committed_fault_left_its_words(committed: Recording, fault: str, words: str) -> None:
    """Every fault was real: PostgreSQL itself speaks of it while it lasts, and never in the clean part."""
    event = next(event for event in committed.faults if event.name == fault)
    assert any(words in line.text for line in lines_of(committed.lines, event, tail_s=10))
    assert not any(words in line.text for line in committed.lines if line.t <= committed.clean_until)
