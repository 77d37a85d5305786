"""Commands whose standard output cannot be written."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("place", "code", "sentence"),
    [
        ("> /dev/full", 1, "the output could not be written whole: No space left on device"),
        (">&-", 2, "standard output is closed"),
    ],
)
@pytest.mark.parametrize("command", ["config", "lines"])
def test_an_output_that_takes_nothing_is_named(
    command: str, place: str, code: int, sentence: str, tmp_path: Path
) -> None:
    """A full disk or a closed output is no bug of logwarden: one sentence, the action to take and no traceback."""
    log = tmp_path / "app.log"
    log.write_text("2026-11-23T00:00:00Z served\n" * 200, encoding="utf-8")
    arguments = f"{command} {shlex.quote(str(log))}" if command == "lines" else command
    ended = subprocess.run(
        ["sh", "-c", f"{shlex.quote(sys.executable)} -m logwarden {arguments} {place}"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code
    assert f"logwarden: {sentence}\n  " in ended.stderr
    assert "Traceback" not in ended.stderr
