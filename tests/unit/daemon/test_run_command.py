"""The command `run`: what it gives to the service, and that it ends the process itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import logwarden.daemon.__main__ as cli
from logwarden.daemon.errors import ConfigurationError, FatalError, Stuck
from logwarden.daemon.settings.groups import Settings


class Left(BaseException):
    """The process would have ended here."""


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Replaces the service of `run` by an answer: an exit code or an error. No signal is blocked in this process."""
    state = SimpleNamespace(answer=0, settings=None, signals=object())
    service = ModuleType("logwarden.daemon.service")

    async def run_service(settings: Settings, signals: object) -> int:
        assert signals is state.signals
        state.settings = settings
        if isinstance(state.answer, Exception):
            raise state.answer
        return int(state.answer)

    def leave(code: int) -> None:
        raise Left(code)

    service.run_service = run_service  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "logwarden.daemon.service", service)
    monkeypatch.setattr("logwarden.daemon.process.StopSignals.taken", lambda: state.signals)
    monkeypatch.setattr("logwarden.daemon.process.leave", leave)
    monkeypatch.setattr("logwarden.daemon.logs.configure", lambda settings: None)
    for name in [name for name in os.environ if name.startswith("LOGWARDEN_")]:
        monkeypatch.delenv(name)
    return state


@pytest.mark.parametrize(
    ("answer", "code", "lines"),
    [
        (0, 0, []),
        (FatalError("the sentence", hint="do this"), 1, ["logwarden: the sentence", "  do this"]),
        (Stuck("the sentence"), 3, ["logwarden: the sentence"]),
        (ConfigurationError("the sentence"), 2, ["logwarden: the sentence"]),
    ],
)
def test_run_leaves_with_the_exit_code_of_the_service(
    served: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    answer: object,
    code: int,
    lines: list[str],
) -> None:
    """The command passes the settings on, and ends the process by itself: an ordinary end would wait for threads."""
    served.answer = answer
    env_file = tmp_path / "x.env"
    env_file.write_text("LOGWARDEN_WINDOW__STEP=4\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["logwarden", "run", "--env-file", str(env_file)])
    with pytest.raises(Left) as left:
        cli.main()
    assert left.value.args == (code,)
    assert served.settings.window.step == 4
    assert capsys.readouterr().err.splitlines() == lines


def test_a_bug_in_the_service_keeps_its_traceback_and_ends_the_process(
    served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug must not leave a process behind that waits for its threads."""
    served.answer = ZeroDivisionError("a bug")
    monkeypatch.setattr(sys, "argv", ["logwarden", "run"])
    with pytest.raises(Left) as left:
        cli.main()
    assert left.value.args == (1,)
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback (most recent call last):")
    assert shown.endswith("ZeroDivisionError: a bug\n")
