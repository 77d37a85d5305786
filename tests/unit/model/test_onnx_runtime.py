"""ONNX Runtime's telemetry: off in every process of logwarden."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def files_after(statement: str, home: Path) -> list[str]:
    """Returns the files in the home folder of a process that ran a statement."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    command = [sys.executable, "-P", "-c", statement]
    subprocess.run(command, env=kept | {"HOME": str(home)}, check=True, timeout=100, cwd=ROOT / "tests")
    return [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("statement", "keeps_an_identifier"),
    [("import logwarden.model.onnx_graph", False), ("import onnxruntime", True)],
    ids=["by logwarden", "by itself"],
)
def test_no_identifier_of_the_machine_is_kept(tmp_path: Path, statement: str, keeps_an_identifier: bool) -> None:
    """The library alone writes an identifier, which it sends to its maker; logwarden's import of it writes nothing."""
    found = files_after(statement, tmp_path)
    assert any(path.endswith("deviceid") for path in found) is keeps_an_identifier, found
    assert keeps_an_identifier or not found


def test_one_module_imports_the_library() -> None:
    """An import beside that module could be the first one, with telemetry on."""
    files = [path for folder in ("daemon", "demo", "model", "training") for path in (ROOT / folder).rglob("*.py")]
    importing = [
        path.name for path in files if re.search(r"^\s*(import|from) onnxruntime", path.read_text("utf-8"), re.M)
    ]
    assert importing == ["onnx_runtime.py"]
