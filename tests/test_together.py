"""Two programs run all tests between them: none is left out, and a failure in either fails `make test`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import together


class Programs:
    """Stands in for the programs: answers with a status each, and keeps their command lines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *statuses: int) -> None:
        self.commands: list[list[str]] = []
        self._statuses = list(statuses)
        monkeypatch.setattr(subprocess, "Popen", self._start)
        monkeypatch.setattr(subprocess, "run", self._run)

    def _start(self, command: list[str], **_: Any) -> Programs:
        self.commands.append(command)
        self._later = self._statuses.pop(0)
        return self

    def wait(self) -> int:
        return self._later

    def _run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(command)
        return subprocess.CompletedProcess(command, self._statuses.pop(0))


def test_every_test_is_in_one_of_two_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one is given, the other ignores; the options are for both, and their coverage becomes one."""
    programs = Programs(monkeypatch, 0, 0, 0)
    assert together.run(["-q"]) == 0
    broker, other, combine = programs.commands
    assert together.BROKER in broker
    assert f"--ignore={together.BROKER}" in other
    assert "-q" in broker
    assert "-q" in other
    assert "combine" in combine
    assert (Path(__file__).parent.parent / together.BROKER).is_dir()


@pytest.mark.parametrize("statuses", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_a_failure_in_either_is_a_failure(statuses: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if coverage cannot be combined."""
    Programs(monkeypatch, *statuses)
    assert together.run([]) == 1


def test_chosen_tests_run_in_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make test ARGS=tests/unit` runs these tests once."""
    programs = Programs(monkeypatch, 5)
    assert together.run(["-q", "tests/unit"]) == 5
    assert len(programs.commands) == 1
