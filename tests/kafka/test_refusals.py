"""What an operator gets wrong before any broker is asked: exit code 2 and one sentence that says what to change."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kafka.member import READY_S, REPOSITORY, command, environment

CASES = {
    "a window of one line": ({"WINDOW__SIZE": "1"}, ["LOGWARDEN_WINDOW__SIZE", "'1'", "2", "512"]),
    "a window of 513 lines": ({"WINDOW__SIZE": "513"}, ["LOGWARDEN_WINDOW__SIZE", "'513'", "2", "512"]),
    "a misspelt variable": ({"KAFKA__BOOTSTRAP": "x:1"}, ["LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS"]),
    "no model directory": ({"MODEL__PATH": "/no/such/model"}, ["LOGWARDEN_MODEL__PATH", "'/no/such/model'"]),
    "an empty model directory": ({"MODEL__PATH": "{tmp}/empty"}, ["{tmp}/empty", "config.json"]),
    "corrupt weights": ({"MODEL__PATH": "{tmp}/corrupt"}, ["{tmp}/corrupt"]),
    "a file in place of the directory": ({"MODEL__PATH": "{tmp}/file"}, ["LOGWARDEN_MODEL__PATH", "directory"]),
}


@pytest.fixture
def places(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    corrupt = tmp_path / "corrupt"
    corrupt.mkdir()
    for path in tiny_checkpoint.iterdir():
        if path.is_file():
            (corrupt / path.name).write_bytes(path.read_bytes())
    (corrupt / "model.safetensors").write_bytes(b"these are no weights")
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_one_sentence(case: str, places: Path) -> None:
    """The daemon ends with 2; standard error names the variable or the path, and holds no traceback."""
    settings, words = CASES[case]
    variables = {f"LOGWARDEN_{name}": value.format(tmp=places) for name, value in settings.items()}
    ended = subprocess.run(
        command("run"),
        env=environment({"LOGWARDEN_HTTP__PORT": "none", "LOGWARDEN_LOG__LEVEL": "error"} | variables),
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
        cwd=REPOSITORY,
    )
    sentence, *hint = ended.stderr.splitlines()
    assert ended.returncode == 2, ended.stderr
    assert sentence.startswith("logwarden: ")
    assert len(hint) <= 1, ended.stderr
    for word in words:
        assert word.format(tmp=places) in sentence
