"""Figures match slow definitions, alerts are compared with faults, and the command reports errors in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from logwarden.model.checkpoint import load_checkpoint
from logwarden.training import corpora
from logwarden.training.evaluation import __main__ as command
from logwarden.training.evaluation import session_results, sweeps, tables
from logwarden.training.evaluation.baselines import BASELINES, LineSessions
from logwarden.training.evaluation.fault_results import quiet_threshold, result_of, timeline_of
from logwarden.training.evaluation.replay import ReplayedStream
from logwarden.training.evaluation.session_results import Contest, Examined
from logwarden.training.evaluation.splits import BEFORE, TEST, Trial, hdfs_trial, openstack_vm_trial
from logwarden.training.faultlab.recording import Event, Line, Recording, save_recording
from logwarden.training.metrics import auroc, average_precision, bootstrap_interval, ranking_intervals
from tests.recordings import blocks, fault_rounds, machines

# ------------------------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize("seed", range(4))
def test_fast_intervals_agree_with_the_slow_ones(seed: int) -> None:
    """Resampling counts of distinct scores is resampling sessions; ties between the classes included."""
    labels = np.arange(60) < 20
    scores = np.random.default_rng(seed).integers(0, 8, 60) + 2.0 * labels
    lows, highs = ranking_intervals(labels, scores, rounds=2000, seed=seed)
    for low, high, figure in zip(lows, highs, (auroc, average_precision), strict=True):
        slow = bootstrap_interval(figure, labels, scores, rounds=150, seed=seed)
        assert low == pytest.approx(slow.low, abs=0.06)
        assert high == pytest.approx(slow.high, abs=0.06)


def replayed_of(trial: Trial, margin: np.ndarray, threshold: float = 0.0) -> ReplayedStream:
    """Returns a replayed stream with these margins; every line has another text."""
    n = len(trial.lines)
    return ReplayedStream(
        ids=np.arange(n, dtype=np.int32),
        texts=trial.lines,
        surprise=np.zeros(n),
        new=np.zeros(n, bool),
        learning=np.zeros(n, bool),
        margin=np.where(trial.scored, margin, np.nan),
        threshold=threshold,
        over_budget=np.zeros(n, bool),
    )


def test_a_session_is_as_bad_as_its_worst_line_and_alarms_are_counted_per_line() -> None:
    """Two alerting lines in one normal session of five lines are one false alarm of a session and two of lines."""
    trial = Trial(
        name="x",
        lines=[str(i) for i in range(12)],
        service=np.zeros(12, np.int64),
        group=np.zeros(12, np.int64),
        session=np.array([0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]),
        anomalous=np.array([False, False, True]),
        part=np.array([BEFORE, TEST, TEST], np.int8),
        unit="sessions",
        history="none",
        facts={},
    )
    margin = np.array([9, 9, -1, 2, 1, -1, -1, -1, -1, 3, -1, 4], float)
    replayed = replayed_of(trial, margin)
    ours = session_results.by_model(trial, replayed, method="logwarden")
    assert ours.scores.tolist() == [2.0, 4.0]
    about = session_results.tested(trial, session_results.sessions_of(trial, replayed))
    figures = session_results.row_of(trial, about, ours).figures
    assert figures["false alarms/M"].value == pytest.approx(1e6 / 5)
    assert figures["line alerts/M"].value == pytest.approx(2e6 / 5)
    assert figures["delay"].value == 3
    assert figures["F1"].value == pytest.approx(2 / 3)


def test_the_fence_of_runs_comes_from_the_last_sessions_before_the_split() -> None:
    """Tested sessions that are a thousand times as odd do not move it, and are all above it."""
    trial = hdfs_trial(blocks())
    calm = np.where(trial.scored, 5.0, -9 - trial.session % 3)
    own = session_results.by_runs(trial, replace(replayed_of(trial, calm), margin=calm), method="logwarden")
    louder = np.where(trial.scored, 50.0, calm)
    same = session_results.by_runs(trial, replace(replayed_of(trial, calm), margin=louder), method="logwarden")
    assert own.threshold == same.threshold
    assert (own.scores > own.threshold).all()


def test_a_service_that_is_learning_ranks_no_session() -> None:
    """A line that may not raise an alert does not rank its session either."""
    trial = hdfs_trial(blocks())
    replayed = replace(replayed_of(trial, np.ones(len(trial.lines))), learning=np.ones(len(trial.lines), bool))
    ours = session_results.by_model(trial, replayed, method="logwarden")
    assert ours.line_alerts == 0
    assert (ours.scores < replayed.threshold).all()


def test_a_closed_pipe_causes_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The figures may be piped into `head`."""

    def closed(options: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(command, "evaluate", closed)
    with (tmp_path / "stdout").open("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        assert command.main(["--data", "hdfs"]) == 0


def test_a_sequence_counts_as_unseen_unless_a_session_before_the_split_had_it() -> None:
    """Equal lines in another order are another sequence."""
    trial = openstack_vm_trial(machines(), 0)
    events = np.array([{"started": 0, "running": 1, "crashed": 2}[line.split()[0]] for line in trial.lines], np.int32)
    sessions = LineSessions(
        ids=events,
        session=trial.session.astype(np.int32),
        service=trial.service.astype(np.int32),
        anomalous=trial.anomalous,
        texts=["started", "running", "crashed"],
    )
    about = session_results.tested(trial, sessions)
    known = {tuple(events[trial.session == number]) for number in np.flatnonzero(trial.part == BEFORE)}
    tested = [tuple(events[trial.session == number]) for number in np.flatnonzero(trial.part == TEST)]
    assert about.unseen.tolist() == [sequence not in known for sequence in tested]


def test_a_sweep_reaches_the_shares_it_names() -> None:
    """Anomalous sessions are left out below the natural share, normal ones above it."""
    labels = np.arange(2_000) < 100
    about = Examined(labels, np.ones(2_000, np.int64), np.ones(2_000, bool))
    contest = Contest(method="x", supervision="none", scores=labels + 0.0, threshold=0.5)
    for row, share in zip(sweeps.prevalence_sweep(about, [contest], 2), sweeps.PREVALENCES, strict=True):
        assert row.anomalous / row.units == pytest.approx(share, rel=0.3)
        assert row.figures["F1"].value == 1


def test_rows_over_seeds_are_means_with_deviations() -> None:
    """Deterministic rows have a deviation of 0 and are printed without one."""
    trial = hdfs_trial(blocks())
    replayed = replayed_of(trial, np.arange(len(trial.lines), dtype=float))
    about = session_results.tested(trial, session_results.sessions_of(trial, replayed))
    row = session_results.row_of(trial, about, session_results.by_model(trial, replayed, method="logwarden"))
    assert session_results.over_seeds([row, row]) == row
    assert "±" not in tables.ranked(row.figures["AP"])


def test_the_best_method_is_named() -> None:
    """The remark of a table names a baseline that beats the model."""

    def row(method: str, supervision: str, precision: float) -> session_results.SessionResult:
        figures = {"AP": session_results.Figure(value=precision)}
        return session_results.SessionResult(
            data="x", unit="x", method=method, supervision=supervision, units=2, anomalous=1, figures=figures
        )

    remark = tables.winner([row("logwarden", "none", 0.5), row("1-NN", "normal only", 0.9), row("length", "none", 0.6)])
    assert remark == (
        "Best average precision: 1-NN (normal only), 0.900. Best without any supervision: length, 0.600. "
        "The model: 0.500."
    )


# ----------------------------------------------------------------------------------------------------- recording


def tape() -> Recording:
    """Returns a line per second; a fault from 300 to 310 on service a, and one from 400 to 410 on b without alerts."""
    lines = tuple(Line(t=float(t), service="ab"[t % 2], text=f"LOG:  line {t}") for t in range(500))
    events = (
        Event(
            kind="benign",
            name="reload",
            cause="reload",
            what="",
            services=("a",),
            injected_at=50,
            cleared_at=51,
            recovered_at=51,
        ),
        Event(
            kind="fault",
            name="broken",
            cause="process",
            what="",
            services=("a",),
            injected_at=300,
            cleared_at=305,
            recovered_at=310,
        ),
        Event(
            kind="fault",
            name="quiet",
            cause="process",
            what="",
            services=("b",),
            injected_at=400,
            cleared_at=405,
            recovered_at=410,
        ),
    )
    return Recording(
        system="toy",
        versions={},
        seed=1,
        started="",
        clean_until=250.0,
        events=events,
        lines=lines,
        skipped={},
        dropped={},
    )


def test_a_fault_is_found_by_an_alert_of_a_service_that_it_reaches() -> None:
    """Learning lines raise nothing; alerts of the clean part and of no fault's reach are counted apart."""
    recording = tape()
    timeline = timeline_of(recording)
    alerts, learning = np.zeros(500, bool), np.arange(500) < 100
    alerts[[10, 200, 306, 308, 309, 360, 402]] = True  # 309 is b during the fault of a; 402 is a during that of b
    result = result_of(recording, timeline, alerts, learning, method="x")
    broken, quiet = result.faults
    assert (broken.alerts, broken.delay_s, broken.delay_lines) == (2, 6.0, 4)
    assert (quiet.alerts, quiet.delay_s, result.found) == (0, None, 1)
    assert (result.clean_alerts, result.clean_lines, result.stray_alerts) == (1, 151, 3)
    assert result.alarms_per_million == pytest.approx(1e6 / 151)


def test_the_quiet_threshold_is_just_above_the_clean_part() -> None:
    """The threshold is above every clean line, and learning lines do not raise it."""
    timeline = timeline_of(tape())
    scores, learning = np.arange(500.0), np.arange(500) < 100
    scores[20] = 9_999
    threshold = quiet_threshold(timeline, scores, learning)
    assert scores[250] < threshold < scores[251]


# ------------------------------------------------------------------------------------------------------- command


def test_the_command_measures_a_recording_and_writes_what_it_found(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables on standard output with the seeds and the model named; the same figures as JSON."""
    save_recording(tape(), tmp_path / "toy")
    out = tmp_path / "found.json"
    arguments = ["--data", "recording", "--recording", str(tmp_path / "toy"), "--model", str(tiny_checkpoint)]
    assert command.main([*arguments, "--out", str(out), "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "| broken |" in printed
    assert "seeds 0 to 4" in printed
    found = json.loads(out.read_text())
    assert found["model"] == load_checkpoint(tiny_checkpoint).revision
    assert [fault["fault"] for fault in found["recording"][0]["faults"]] == ["broken", "quiet"]
    assert command.main([*arguments, "--untrained"]) == 0
    printed = capsys.readouterr().out
    assert "model untrained" in printed
    assert "untrained head" in printed


def test_hdfs_is_measured_from_recording_to_tables(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole command on a small stand-in: our rows, every baseline, the unseen part, both sweeps."""
    monkeypatch.setattr(corpora, "hdfs_lines", lambda: blocks(1_500, 150))
    assert command.main(["--data", "hdfs", "--model", str(tiny_checkpoint), "--seeds", "2", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "seeds 0 to 1" in printed
    for name in ("logwarden (grouped by block)", "interleaved", "level word removed", *BASELINES):
        assert f"| {name}" in printed or name in printed
    assert "had not come before" in printed
    assert "| 15.0% |" in printed
    assert "wrong labels" in printed


def test_openstack_is_measured_from_recordings_to_tables(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rounds and windows of one size, each beside the counts that separate them alone; machines over several orders."""
    monkeypatch.setattr(corpora, "openstack_fault_rounds", lambda: iter(fault_rounds(40)))
    monkeypatch.setattr(corpora, "openstack_vm_sessions", machines)
    arguments = ["--model", str(tiny_checkpoint), "--seeds", "2", "--markdown"]
    assert command.main(["--data", "openstack-faults", *arguments]) == 0
    assert command.main(["--data", "openstack-vm", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "32-line windows" in printed
    assert printed.count("| ERROR lines |") == 2
    assert "2 random orders" in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "hfds"], "there is no data called 'hfds'; choose hdfs, "),
        (["--data", "hdfs", "--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--data", "hdfs", "--model", "nowhere"], "nowhere is not a model directory"),
        (["--data", "recording", "--recording", "nowhere"], "nowhere is no recording of the fault lab"),
        (["--data", "hdfs", "--out", "nowhere/file.json"], "cannot write to nowhere/file.json"),
        (["--data", "faultlab", "--faultlab", "nowhere"], "there are no recordings below nowhere"),
    ],
)
def test_an_impossible_measurement_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 before any work is done, and no traceback."""
    assert command.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"logwarden evaluate: {sentence}")
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_absent_data_is_one_sentence(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A caller without the data folder reads the variable that names it."""
    monkeypatch.setenv("LOGWARDEN_DATA", str(tmp_path / "nowhere"))
    assert command.main(["--data", "hdfs", "--model", str(tiny_checkpoint)]) == 2
    assert "LOGWARDEN_DATA" in capsys.readouterr().err
