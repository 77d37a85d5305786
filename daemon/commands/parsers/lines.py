"""Options of `logwarden lines`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from logwarden.daemon.commands.parsers.common import EnvFile, output


def lines(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Read these log files and folders of log files.")
    ],
    anomalous: Annotated[
        Path | None,
        typer.Option("--anomalous", metavar="NUMBERS", help="Label the lines whose numbers are in this file with 1."),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option("--service", help="Treat all lines as this service's. Default: as `logwarden scan` does."),
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Print the lines of log files as the daemon reads them, as JSON with a label, for `logwarden train --lines`."""
    from rich.console import Console

    from logwarden.daemon import logs
    from logwarden.daemon.commands.lines import print_lines
    from logwarden.daemon.settings.reading import read_settings

    settings = read_settings(env_file=env_file)
    logs.configure(settings.log)
    print_lines(files, anomalous, service, settings, output(), Console(stderr=True, highlight=False))
