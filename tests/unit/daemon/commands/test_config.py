"""`logwarden config` in this process: the table, JSON and the page of the documentation."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from logwarden.daemon.commands.config import WIDEST, show_config
from logwarden.daemon.commands.formats import ConfigFormat
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.describing import settings_markdown


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Removes every setting of the machine, and any .env file of the current directory."""
    for name in list(os.environ):
        if name.startswith("LOGWARDEN_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _table(env_file: Path | None = None, *, width: int = 120, colour: bool = False) -> str:
    stream = io.StringIO()
    system = "truecolor" if colour else None
    console = Console(file=stream, width=width, force_terminal=colour, color_system=system)  # type: ignore[arg-type]
    show_config(ConfigFormat.table, env_file, console)
    return stream.getvalue()


def test_the_table_names_value_source_meaning_and_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A changed setting shows its value, the source of the value and its default; an unchanged one no default."""
    monkeypatch.setenv("LOGWARDEN_HTTP__PORT", "9999")
    (tmp_path / "own.env").write_text("LOGWARDEN_KAFKA__GROUP_ID=mine\n")
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", _table(tmp_path / "own.env"))]
    shown = {block.split()[0]: block for block in blocks if block}
    assert " 9999 environment " in shown["LOGWARDEN_HTTP__PORT"]
    assert "Default: " in shown["LOGWARDEN_HTTP__PORT"]
    assert " mine file " in shown["LOGWARDEN_KAFKA__GROUP_ID"]
    unchanged = [text for name, text in shown.items() if " default " in text]
    assert len(unchanged) > 10
    assert not any("Default: " in text for text in unchanged)


def test_the_table_never_exceeds_its_width() -> None:
    """A wide terminal gets no endless rows, and a narrow one folds the values but never a variable."""
    assert max(map(len, _table(width=400).splitlines())) <= WIDEST
    narrow = _table(width=80)
    assert max(len(line.rstrip()) for line in narrow.splitlines()) <= 80
    assert "LOGWARDEN_HTTP__PORT " in narrow


def test_sources_have_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value from the environment is marked green on a terminal; a file gets no escape sequences."""
    monkeypatch.setenv("LOGWARDEN_HTTP__PORT", "9999")
    assert "\x1b[32m  environment" in _table(colour=True)
    assert "\x1b[" not in _table()


def test_json_has_one_object_for_each_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON goes to standard output, one object for each row of the table, with value, source and default."""
    monkeypatch.setenv("LOGWARDEN_HTTP__PORT", "9999")
    show_config(ConfigFormat.json, None, Console(file=io.StringIO()))
    rows = {row["variable"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["LOGWARDEN_HTTP__PORT"]["value"] == "9999"
    assert rows["LOGWARDEN_HTTP__PORT"]["source"] == "environment"
    assert rows["LOGWARDEN_HTTP__PORT"]["default"] != "9999"
    table = _table()
    assert all(name in table for name in rows)


def test_markdown_is_the_page_without_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page of the documentation does not depend on the machine that prints it."""
    monkeypatch.setenv("LOGWARDEN_HTTP__PORT", "9999")
    show_config(ConfigFormat.markdown, None, Console(file=io.StringIO()))
    page = capsys.readouterr().out
    assert page == settings_markdown()
    assert "9999" not in page


@pytest.mark.parametrize("form", list(ConfigFormat))
def test_a_wrong_setting_ends_every_format(form: ConfigFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    """No format prints settings that `run` would refuse."""
    monkeypatch.setenv("LOGWARDEN_HTTP__PORT", "many")
    with pytest.raises(ConfigurationError, match="LOGWARDEN_HTTP__PORT"):
        show_config(form, None, Console(file=io.StringIO()))
