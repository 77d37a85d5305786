"""An operator's mistakes that are found before any broker is contacted: exit code 2 and one sentence with the
setting to change."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.kafka.member import READY_S, REPOSITORY, command, environment

CASES = {
    "a window of one line": ({"WINDOW__SIZE": "1"}, ["LOGWARDEN_WINDOW__SIZE", "'1'", "2", "512"]),
    "a window of 513 lines": ({"WINDOW__SIZE": "513"}, ["LOGWARDEN_WINDOW__SIZE", "'513'", "2", "512"]),
    "a misspelt variable": ({"KAFKA__BOOTSTRAP": "x:1"}, ["LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS"]),
    "a port too large": (
        {"KAFKA__BOOTSTRAP_SERVERS": "[::1]:9999999"},
        ["LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS", "65535"],
    ),
    "a scheme": ({"KAFKA__BOOTSTRAP_SERVERS": "http://a:1"}, ["LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS", "scheme"]),
    "an empty secret": (
        {
            "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA__SASL_USERNAME": "u",
            "KAFKA__SASL_PASSWORD_FILE": "{tmp}/file",
        },
        ["LOGWARDEN_KAFKA__SASL_PASSWORD_FILE", "{tmp}/file", "empty"],
    ),
    "no model directory": ({"MODEL__PATH": "/no/such/model"}, ["LOGWARDEN_MODEL__PATH", "'/no/such/model'"]),
    "an empty model directory": ({"MODEL__PATH": "{tmp}/empty"}, ["{tmp}/empty", "config.json"]),
    "corrupt weights": ({"MODEL__PATH": "{tmp}/corrupt"}, ["{tmp}/corrupt"]),
    "a file in place of the directory": ({"MODEL__PATH": "{tmp}/file"}, ["LOGWARDEN_MODEL__PATH", "directory"]),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """Returns a folder with the model directories of the cases."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "empty").mkdir()
    (folder / "file").touch()
    corrupt = folder / "corrupt"
    corrupt.mkdir()
    for path in tiny_checkpoint.iterdir():
        if path.is_file():
            (corrupt / path.name).write_bytes(path.read_bytes())
    (corrupt / "model.safetensors").write_bytes(b"these are no weights")
    return folder


@pytest.fixture(scope="module")
def daemons(places: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Starts the daemons of all cases at once, as some import torch before they find the mistake."""
    with ExitStack() as ending:
        yield {case: ending.enter_context(_started(settings, places)) for case, (settings, _) in CASES.items()}


@contextmanager
def _started(settings: Mapping[str, str], places: Path) -> Iterator[subprocess.Popen[str]]:
    variables = {f"LOGWARDEN_{name}": value.format(tmp=places) for name, value in settings.items()}
    with subprocess.Popen(
        command("run"),
        env=environment({"LOGWARDEN_HTTP__PORT": "none", "LOGWARDEN_LOG__LEVEL": "error"} | variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as daemon:
        try:
            yield daemon
        finally:
            daemon.kill()


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_one_sentence(case: str, daemons: dict[str, subprocess.Popen[str]], places: Path) -> None:
    """The daemon ends with 2; standard error names the variable or the path, and contains no traceback."""
    _, errors = daemons[case].communicate(timeout=READY_S)
    sentence, *hint = errors.splitlines()
    assert daemons[case].returncode == 2, errors
    assert sentence.startswith("logwarden: ")
    assert len(hint) <= 1, errors
    for word in CASES[case][1]:
        assert word.format(tmp=places) in sentence
