"""The example of docs/training.md, as it stands there, on recordings of a real system under real faults."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from logwarden.training.faultlab.release import RECORDINGS
from logwarden.training.head import __main__ as command

PAGE = Path(__file__).parents[4] / "docs" / "training.md"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not (RECORDINGS / "etcd").is_dir(), reason="an installation has the demo's recording only")
def test_the_example_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trees that have not seen etcd learn from two runs, and on the third they rank better, with fewer false alarms."""
    text = PAGE.read_text(encoding="utf-8")
    example = text[text.index("## An example to repeat") :]
    code, words = re.search(r"```python no-run\n(.*?)```", example, re.S), re.search(r"```sh\n(.*?)```", example, re.S)
    assert code is not None
    assert words is not None
    monkeypatch.chdir(tmp_path)
    exec(compile(code[1], PAGE.name, "exec"), {"__name__": "example"})
    program, name, *options = shlex.split(words[1])
    assert (program, name) == ("logwarden", "train")
    assert command.main(options) == 0
    shown = capsys.readouterr().out
    precision = re.search(r"average precision +│ +([\d.]+) │ +([\d.]+)", shown)
    alarms = re.search(r"false alarms at 0\.50.*?│ +([\d,]+) .*?│ +([\d,]+)", shown)
    assert precision is not None
    assert alarms is not None
    # The page states both rounded, and the false alarms as they are.
    told = re.search(r"rises from (\.\d+) to (\.\d+), with (\d+) false alarms before and (\d+) after", example)
    assert told is not None
    assert [f"{float(value):.2f}"[1:] for value in precision.groups()] == list(told.groups()[:2])
    assert alarms.groups() == told.groups()[2:]
