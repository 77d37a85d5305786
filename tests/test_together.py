"""Several programs run all tests between them: none is left out, and a failure in any fails `make test`."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests import together

ROOT = Path(__file__).parent.parent


class Programs:
    """Stands in for the programs: answers with the status of a part, and keeps the command lines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **statuses: int) -> None:
        self.commands: list[list[str]] = []
        self.threads: set[int] = set()
        self._statuses = statuses
        self._foreground = threading.Event()
        monkeypatch.setattr(subprocess, "run", self._run)

    def _run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(command)
        self.threads.add(threading.get_ident())
        name = "combine" if "combine" in command else options["env"]["COVERAGE_FILE"].rpartition(".")[2]
        if log := options.get("stdout"):
            self._foreground.wait(10)
            log.write(f"output of {name}\n".encode())
        else:
            self._foreground.set()
        return subprocess.CompletedProcess(command, self._statuses.get(name, 0))


def test_every_test_is_in_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one is given, the last ignores; the options are for all, and their coverage becomes one."""
    programs = Programs(monkeypatch)
    assert together.run(["-q"]) == 0
    *parts, combine = programs.commands
    assert "combine" in combine
    assert len(parts) == len(together.APART) + 1
    assert all("-q" in part for part in parts)
    given = {argument for part in parts for argument in part if argument.startswith("tests/")}
    [other] = [part for part in parts if not given & set(part)]
    assert {f"--ignore={folder}" for folder in given} == {one for one in other if one.startswith("--ignore")}
    assert given == {folder for folders in together.APART for folder in folders}
    assert all((ROOT / folder).is_dir() for folder in given)


@pytest.mark.parametrize("name", ["kafka", "sim", "other", "combine"])
def test_a_failure_in_any_is_a_failure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if coverage cannot be combined."""
    Programs(monkeypatch, **{name: 1})
    assert together.run([]) == 1


def test_a_part_without_a_chosen_test_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-k` may leave parts without tests, but not all of them."""
    Programs(monkeypatch, kafka=5, page=5)
    assert together.run(["-k=ledger"]) == 0
    Programs(monkeypatch, kafka=5, page=5, sim=5, properties=5, other=5)
    assert together.run(["-k=ledger"]) == 5


def test_what_the_background_printed_is_shown(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Two lanes work at a time, and no output is lost."""
    programs = Programs(monkeypatch)
    assert together.run([]) == 0
    assert capfdbinary.readouterr().out.count(b"output of ") >= 1
    assert len(programs.threads) == 2


def test_chosen_tests_run_in_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make test ARGS=tests/unit` runs these tests once."""
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 5)

    monkeypatch.setattr(subprocess, "run", run)
    assert together.run(["-q", "tests/unit"]) == 5
    assert len(ran) == 1
