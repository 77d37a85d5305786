"""A member that was forked is a process of its own: environment, log, signals, exit code, and no survivors."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.kafka.member import POLL_S, environment
from tests.kafka.preloaded import Forked, Preloaded

SOON_S = 30.0


def forever(preloaded: Preloaded, log: Path) -> Forked:
    """Returns a member that waits for a broker that is not there."""
    nowhere = {"LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "LOGWARDEN_HTTP__PORT": "0"}
    return preloaded.launch(environment(nowhere | {"LOGWARDEN_HTTP__HOST": "127.0.0.1"}), log)


def written(log: Path, words: str) -> bool:
    """Returns True once these words are in the log."""
    deadline = time.monotonic() + SOON_S
    while not (log.exists() and words in log.read_text(encoding="utf-8")):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def test_members_have_their_own_settings_logs_and_exit_codes(preloaded: Preloaded, tmp_path: Path) -> None:
    """Two members at once: one ends by its own wrong setting with code 2, the other works until SIGTERM or SIGKILL."""
    waiting = forever(preloaded, tmp_path / "waiting.log")
    wrong = preloaded.launch(environment({"LOGWARDEN_NO_SUCH_SETTING": "1"}), tmp_path / "wrong.log")
    assert wrong.wait(SOON_S) == 2
    assert "LOGWARDEN_NO_SUCH_SETTING" in (tmp_path / "wrong.log").read_text(encoding="utf-8")
    assert written(tmp_path / "waiting.log", "broker_unavailable")
    assert "NO_SUCH" not in (tmp_path / "waiting.log").read_text(encoding="utf-8")
    assert waiting.poll() is None
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(SOON_S) == 0
    killed = forever(preloaded, tmp_path / "killed.log")
    killed.kill()
    assert killed.wait(SOON_S) == -signal.SIGKILL
    killed.kill()  # of a process that is gone: its number may be another's


def test_members_die_with_the_process_that_forked_them(tmp_path: Path) -> None:
    """No member outlives the process that it was forked from, as a test that is killed must leave nothing behind."""
    with Preloaded() as preloaded:
        member = forever(preloaded, tmp_path / "member.log")
        assert written(tmp_path / "member.log", "broker_unavailable")
    deadline = time.monotonic() + SOON_S
    while Path(f"/proc/{member.pid}").exists():
        assert time.monotonic() < deadline, "the member outlived the process that forked it"
        time.sleep(POLL_S)
