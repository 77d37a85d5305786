"""Errors of the lab's own threads and of its set-up end a run, and figures without a basis are not invented."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from logwarden.training.faultlab.confounds import facts_of, shortcuts, windows_of
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.labels import forms_of, label
from logwarden.training.faultlab.load import Load
from logwarden.training.faultlab.recorder import Recorder
from logwarden.training.faultlab.runner import record
from logwarden.training.faultlab.scenario import Client, missing_packages
from tests.echo import SCRIPT, Echo, until
from tests.tapes import fault, recording


class _OwnClients(Echo):
    """The toy system with another client."""

    def __init__(self, run: Callable[[random.Random], bool] | None) -> None:
        super().__init__()
        self._run = run

    def workload(self) -> Sequence[Client]:
        if self._run is None:
            return []
        return [Client(name="own", every_s=0.02, touches=frozenset({"echo"}), run=self._run)]


def test_a_bug_in_a_client_ends_the_run() -> None:
    """An exception of a client's code is the run's own error, and the run leaves no directory behind."""

    def run(rng: random.Random) -> bool:
        raise LookupError("a bug in the client")

    system = _OwnClients(run)
    with pytest.raises(LookupError, match="a bug in the client"):
        record(system, SCRIPT, lambda text: None)
    assert not system.path.exists()


def test_a_run_without_a_single_client_is_no_recording() -> None:
    """A fault-free part in which no client ended a run proves nothing."""
    with pytest.raises(StartFailed, match="no client has ended a single run"):
        record(_OwnClients(None), replace(SCRIPT, clean_s=0.3), lambda text: None)


def test_a_log_that_cannot_be_read_is_the_recorders_failure(tmp_path: Path) -> None:
    """The thread of the recorder keeps its error for the runner instead of ending in silence."""
    recorder = Recorder({"db": (tmp_path / "log",)}, lambda: 0.0, cap=9)
    recorder.start()
    (tmp_path / "log").mkdir()
    until(lambda: recorder.failure is not None)
    assert isinstance(recorder.failure, IsADirectoryError)
    recorder.stop()


def test_a_load_that_never_started_can_be_stopped() -> None:
    """A set-up that fails before the clients start stops the load too."""
    load = Load([Client(name="c", every_s=1.0, touches=frozenset(), run=lambda rng: True)], 1, lambda: 0.0)
    load.stop()
    assert load.runs.total() == 0


def test_missing_programs_are_named_by_package_once(tmp_path: Path) -> None:
    """Two programs of one package are one line of the remedy; an installed program is none."""
    absent = str(tmp_path / "absent")
    programs = {"sh": "dash", absent: "slapd", f"{absent}-too": "slapd", f"{absent}-three": "bind9"}
    assert missing_packages(programs) == ["slapd", "bind9"]


def test_shortcuts_of_one_kind_of_window_are_no_figures() -> None:
    """Without evidence, or without a line, there is nothing to rank: the areas are NaN instead of 0.5."""
    quiet = recording([], (1, "db", "served 1"), (2, "db", "served 2"))
    empty = recording([])
    loud = recording([fault("loud", 10, 20)], (1, "db", "served 1"), (12, "db", "ERROR lost it"), (30, "db", "served"))
    for tapes in ([quiet], [empty], [empty, quiet]):
        windows = windows_of(facts_of(tapes, label(tapes)))
        assert not windows.evidence.any()
        assert np.isnan(list(shortcuts(windows).values())).all()
    windows = windows_of(facts_of([quiet, loud], label([quiet, loud])))
    assert shortcuts(windows)["level word"] == 1.0


def test_no_lines_have_no_forms() -> None:
    """The forms of an empty run are an empty list."""
    assert forms_of([]) == []
