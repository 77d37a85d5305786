"""Many runs side by side: order, resumption, second tries, and an end that leaves nothing running."""

import sys
import threading
import time
from pathlib import Path

import pytest

from logwarden.training.faultlab import campaign
from logwarden.training.faultlab.campaign import TRIES, Campaign, Job

# Replaces the recorder of one run: it notes its start and its end, then behaves as its name describes.
PROGRAM = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True, exist_ok=True)
began = time.monotonic()
with (out / "tries").open("a") as tries: tries.write("x")
print("50% on its way", flush=True)
if "slow" in sys.argv: time.sleep(60)
time.sleep(0.2)
if "broken" in sys.argv: sys.exit(1)
(out / "manifest.json").write_text(f"{began} {time.monotonic()}")
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are made by a program that takes a fraction of a second instead of minutes."""
    script = tmp_path / "recorder"
    script.write_text(f"#!{sys.executable}\n{PROGRAM}")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def job(root: Path, system: str, repetition: int) -> Job:
    return Job(system=system, repetition=repetition, arguments=(), directory=root / system / str(repetition))


def span(job: Job) -> tuple[float, float]:
    began, ended = map(float, (job.directory / "manifest.json").read_text().split())
    return began, ended


@pytest.mark.usefixtures("program")
def test_runs_of_a_system_follow_each_other(tmp_path: Path) -> None:
    """Systems are recorded side by side, the runs of one system one after the other."""
    jobs = [job(tmp_path, system, repetition) for repetition in (1, 2) for system in ("a", "b")]
    assert Campaign(jobs, 4, lambda job, message: None).record() == []
    spans = {each.name: span(each) for each in jobs}
    assert spans["a/1"][1] <= spans["a/2"][0]
    assert spans["b/1"][0] < spans["a/1"][1]


@pytest.mark.usefixtures("program")
def test_what_is_there_is_not_recorded_again(tmp_path: Path) -> None:
    """A campaign that was broken off goes on with what is missing."""
    jobs = [job(tmp_path, "a", 1), job(tmp_path, "b", 1)]
    jobs[0].directory.mkdir(parents=True)
    (jobs[0].directory / "manifest.json").write_text("kept")
    Campaign(jobs, 1, lambda job, message: None).record()
    assert (jobs[0].directory / "manifest.json").read_text() == "kept"
    assert jobs[1].there


@pytest.mark.usefixtures("program")
def test_broken_run_is_tried_again_and_then_reported(tmp_path: Path) -> None:
    """A failed run gets more tries, delays no other run, and is named at the end."""
    messages: list[tuple[str, str]] = []
    broken, fine = job(tmp_path, "broken", 1), job(tmp_path, "fine", 1)
    assert Campaign([broken, fine], 2, lambda job, text: messages.append((job.name, text))).record() == [broken]
    assert (broken.directory / "tries").read_text() == "x" * TRIES
    assert fine.there
    assert ("fine/1", "50% on its way") in messages


@pytest.mark.usefixtures("program")
def test_interrupted_campaign_ends_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the campaign ends the runs that it has started, at once."""
    work = Campaign([job(tmp_path, "slow", 1)], 1, lambda job, message: started.set())
    started = threading.Event()

    def interrupted(*_: object, **__: object) -> None:
        assert started.wait(10)
        raise KeyboardInterrupt

    began = time.monotonic()
    monkeypatch.setattr(campaign, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        work.record()
    assert time.monotonic() - began < 15
