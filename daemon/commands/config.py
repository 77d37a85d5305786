"""`logwarden config`: shows every setting with its value, the source of the value, its default and its meaning."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from logwarden.daemon.commands.formats import ConfigFormat
from logwarden.daemon.settings.describing import SettingRow, describe, settings_markdown
from logwarden.daemon.settings.reading import read_settings

WIDEST = 160
"""Columns of the table. A meaning is a sentence or two, which a wider table would print as one long row."""
SOURCE_STYLES = {"environment": "green", "file": "cyan", "default": "dim"}


def show_config(form: ConfigFormat, env_file: Path | None, console: Console) -> None:
    """Prints the settings as `run` would read them now; `markdown` is docs/settings.md, without values."""
    rows = describe(read_settings(env_file=env_file))
    if form is ConfigFormat.markdown:
        print(settings_markdown(), end="")
    elif form is ConfigFormat.json:
        print(msgspec.json.format(msgspec.json.encode([asdict(row) for row in rows])).decode())
    else:
        console.print(_table(rows), width=min(console.width, WIDEST))


def _table(rows: list[SettingRow]) -> Table:
    table = Table("variable", "value and meaning", box=None, padding=(0, 2, 1, 0))
    table.columns[0].no_wrap = True  # so that it can be copied
    table.columns[1].overflow = "fold"
    for row in rows:
        value = Text.assemble((row.value, "bold"), (f"  {row.source}", SOURCE_STYLES[row.source]))
        meaning = row.description if row.value == row.default else f"{row.description} Default: {row.default}."
        table.add_row(Text(row.variable), Text("\n").join([value, Text(meaning)]))
    return table
