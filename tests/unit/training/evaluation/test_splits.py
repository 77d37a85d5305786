"""Every line stands on one side of a split, and history comes before the test."""

from __future__ import annotations

import numpy as np
import pytest

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
from tests.recordings import blocks, fault_rounds, machines


def trials() -> dict[str, Trial]:
    """Returns a small trial of each kind."""
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
    """Its lines are on both sides, so they only count in the history."""
    recording = blocks()
    trial = hdfs_trial(recording)
    cut = int(np.flatnonzero(trial.part[trial.session] == TEST).min())
    across = set(recording.block[:cut].tolist()) & set(recording.block[cut:].tolist())
    assert across == set(np.flatnonzero(trial.part == NEITHER).tolist())


def test_both_rounds_of_a_fault_stand_on_one_side() -> None:
    """Both rounds share the fault, so a method that learned from one would know the other; time decides the side."""
    trial = openstack_faults_trial(fault_rounds(), every=1)
    side = trial.part[trial.session]
    days = [
        {int(line[8:10]) for line, part in zip(trial.lines, side, strict=True) if part == x} for x in (BEFORE, TEST)
    ]
    assert max(days[0]) < min(days[1])


def test_the_history_of_a_fault_trial_holds_clean_second_rounds_only() -> None:
    """No service of the test has a failed round in its history."""
    trial = openstack_faults_trial(fault_rounds(), every=1)
    judged_services = set(trial.service[trial.scored].tolist())
    history = (trial.part[trial.session] == BEFORE) & np.isin(trial.service, list(judged_services))
    clocks = {line[11:13] for line, kept in zip(trial.lines, history, strict=True) if kept}
    assert clocks == {"12"}  # the hour of second rounds
    assert not trial.anomalous[trial.session[history]].any()


def test_windows_of_one_size_carry_their_rounds_label_and_leave_rests_out() -> None:
    """Each window has lines of one service in one round; a rest shorter than a window is not tested."""
    whole = openstack_faults_trial(fault_rounds(), every=1)
    cut = in_windows(whole, 16)
    for window in np.flatnonzero(cut.part != NEITHER):
        places = np.flatnonzero(cut.session == window)
        assert len(places) == 16
        assert len(set(whole.group[places].tolist())) == 1
        assert cut.anomalous[window] == whole.anomalous[whole.session[places[0]]]
    assert (cut.part == NEITHER).any()


def test_error_lines_count_their_tracebacks() -> None:
    """The count printed beside every OpenStack result has the lines of an event, as the data set's note has."""
    trial = openstack_faults_trial(fault_rounds(), every=1)
    errors = np.bincount(trial.session, weights=trial.facts["ERROR lines"])
    assert errors[trial.anomalous].tolist() == [3.0] * int(trial.anomalous.sum())
    assert not errors[~trial.anomalous].any()
