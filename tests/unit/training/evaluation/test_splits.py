"""What stands on which side of a split, and that lines are judged as the daemon judges them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from logwarden.model import checkpoint
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.training.evaluation import replay as judging
from logwarden.training.evaluation.replay import LEARNING_LINES, judge, log_odds, without_level
from logwarden.training.evaluation.splits import (
    BEFORE,
    NEITHER,
    TEST,
    Trial,
    hdfs_trial,
    in_windows,
    openstack_faults_trial,
    openstack_vm_trial,
)

from tests.recordings import WORDS, blocks, fault_rounds, machines, stream


def trials() -> dict[str, Trial]:
    """A small one of each kind."""
    return {
        "hdfs": hdfs_trial(blocks()),
        "openstack-vm": openstack_vm_trial(machines(), 0),
        "openstack-faults": openstack_faults_trial(fault_rounds(), every=1),
        "windows": in_windows(openstack_faults_trial(fault_rounds(), every=1), 16),
    }


@pytest.mark.parametrize("name", list(trials()))
def test_no_line_stands_on_both_sides_of_a_split(name: str) -> None:
    """A line belongs to one session, a session to one side, and everything learned from came before what is tested."""
    trial = trials()[name]
    before = np.flatnonzero(trial.part[trial.session] == BEFORE)
    test = np.flatnonzero(trial.part[trial.session] == TEST)
    assert len(before)
    assert len(test)
    assert not set(before.tolist()) & set(test.tolist())
    assert not set(trial.session[before].tolist()) & set(trial.session[test].tolist())
    assert before.max() < test.min()
    assert np.array_equal(trial.scored, trial.part[trial.session] == TEST)


def test_a_block_that_lives_across_the_split_is_neither_learned_from_nor_tested() -> None:
    """Its lines are on both sides, so it is only heard."""
    recording = blocks()
    trial = hdfs_trial(recording)
    cut = int(np.flatnonzero(trial.part[trial.session] == TEST).min())
    across = set(recording.block[:cut].tolist()) & set(recording.block[cut:].tolist())
    assert across == set(np.flatnonzero(trial.part == NEITHER).tolist())


def test_both_rounds_of_a_fault_stand_on_one_side() -> None:
    """They share the fault, so whoever learned from one would know the other; time decides which tests come first."""
    trial = openstack_faults_trial(fault_rounds(), every=1)
    side = trial.part[trial.session]
    days = [
        {int(line[8:10]) for line, part in zip(trial.lines, side, strict=True) if part == x} for x in (BEFORE, TEST)
    ]
    assert max(days[0]) < min(days[1])


def test_the_history_of_a_fault_trial_holds_clean_second_rounds_only() -> None:
    """A service that is judged has never been heard failing before the split."""
    trial = openstack_faults_trial(fault_rounds(), every=1)
    judged_services = set(trial.service[trial.scored].tolist())
    heard = (trial.part[trial.session] == BEFORE) & np.isin(trial.service, list(judged_services))
    clocks = {line[11:13] for line, kept in zip(trial.lines, heard, strict=True) if kept}
    assert clocks == {"12"}  # the hour of second rounds
    assert not trial.anomalous[trial.session[heard]].any()


def test_windows_of_one_size_carry_their_rounds_label_and_leave_rests_out() -> None:
    """Each holds lines of one service in one round; a rest shorter than a window is not tested."""
    whole = openstack_faults_trial(fault_rounds(), every=1)
    cut = in_windows(whole, 16)
    for window in np.flatnonzero(cut.part != NEITHER):
        places = np.flatnonzero(cut.session == window)
        assert len(places) == 16
        assert len(set(whole.group[places].tolist())) == 1
        assert cut.anomalous[window] == whole.anomalous[whole.session[places[0]]]
    assert (cut.part == NEITHER).any()


def test_error_lines_count_their_tracebacks() -> None:
    """The figure printed beside every OpenStack result counts the lines of an event, as the data set's note does."""
    trial = openstack_faults_trial(fault_rounds(), every=1)
    errors = np.bincount(trial.session, weights=trial.facts["ERROR lines"])
    assert errors[trial.anomalous].tolist() == [3.0] * int(trial.anomalous.sum())
    assert not errors[~trial.anomalous].any()


def test_a_stream_of_one_service_is_judged_as_the_daemon_judges_it(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measuring lines first and making windows of them later gives the very scores of `logwarden.model.stream`."""
    model = checkpoint.load(tiny_checkpoint)
    monkeypatch.setattr(judging, "CHUNK", 300)
    lines = stream(1_000)
    slots = np.arange(len(lines)) % 2
    scorer = WindowScorer(model, device="cpu")
    log = LogStream(scorer.encode, scorer.store, size=32, max_slots=2)
    batch = log.push(
        LineColumns(
            texts=[line.encode() for line in lines],
            slots=slots,
            offset=np.arange(len(lines)),
            index=np.zeros(len(lines), np.int32),
            timestamp=np.arange(len(lines)),
        )
    )
    logits = scorer.score(batch).logits
    expected = np.empty(len(lines))
    expected[batch.newest("offset")] = 1.5 * (logits[:, 1] - logits[:, 0]) - 0.25  # the calibration of that checkpoint
    judged = judge(model, lines, slots, slots, np.ones(len(lines), bool))
    np.testing.assert_allclose(judged.margin, expected, atol=1e-4)
    assert judged.threshold == pytest.approx(log_odds(0.6))
    assert judged.learning.sum() == 2 * LEARNING_LINES
    assert judged.texts[judged.ids[0]] == f"INFO {lines[0].split()[1]} {lines[0].split()[2]} *"


def test_lines_that_are_only_heard_get_no_score_but_make_history(tiny_checkpoint: Path) -> None:
    """History changes what is said of later lines, and is not judged itself."""
    model = checkpoint.load(tiny_checkpoint)
    lines = stream(300)
    slot, scored = np.zeros(300, np.int64), np.arange(300) >= 250
    judged = judge(model, lines, slot, slot, scored)
    assert np.array_equal(np.isnan(judged.margin), ~scored)
    assert judged.new.sum() == len(WORDS)
    assert not judged.alerts[:250].any()


def test_grouped_windows_hold_lines_of_their_group_only(tiny_checkpoint: Path) -> None:
    """A session's first line is judged alone, whatever others wrote just before it."""
    model = checkpoint.load(tiny_checkpoint)
    lines = [*stream(260), "ERROR disk failure", "INFO request served 1"]
    service = np.zeros(len(lines), np.int64)
    ones = np.ones(len(lines), bool)
    apart = np.r_[np.zeros(261, np.int64), 1]
    alone = judge(model, [*lines[:260], "INFO cache refreshed 5", lines[261]], service, apart, ones).margin[-1]
    grouped = judge(model, lines, service, apart, ones).margin[-1]
    raw = judge(model, lines, service, service, ones).margin[-1]
    # Not equal to the last bit: the history of the two streams differs by one line.
    assert grouped == pytest.approx(alone, abs=0.05)
    assert abs(raw - grouped) > 1e-4


def test_the_level_word_goes_and_prose_stays() -> None:
    """Only the first word of severity in capitals is taken out, with its colon."""
    lines = ["081109 203530 147 INFO dfs: Error in ERROR", "LOG:  checkpoint", "an error, no level"]
    assert without_level(lines) == ["081109 203530 147 dfs: Error in ERROR", "checkpoint", "an error, no level"]
