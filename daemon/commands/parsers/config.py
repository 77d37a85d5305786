"""Options of `logwarden config`."""

from __future__ import annotations

from typing import Annotated

import typer

from logwarden.daemon.commands.formats import ConfigFormat
from logwarden.daemon.commands.parsers.common import EnvFile, console


def config(
    form: Annotated[
        ConfigFormat, typer.Option("--format", help="Print a table, JSON, or the page docs/settings.md.")
    ] = ConfigFormat.table,
    env_file: EnvFile = None,
) -> None:
    """Show every setting with its value, the source of the value, and its meaning."""
    from logwarden.daemon.commands.config import show_config

    show_config(form, env_file, console())
