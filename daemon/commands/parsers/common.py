"""What several commands share: options, the console, the end of a process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from logwarden.daemon.errors import EXIT_CONFIGURATION, LogwardenError

if TYPE_CHECKING:
    from rich.console import Console

    from logwarden.daemon.settings.groups import Settings


EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells expect."""

EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="PATH", help="Read LOGWARDEN_… variables from this file; the environment wins."),
]


def explained(error: Exception) -> int | None:
    """Prints the sentence of an expected error and returns its exit code. Returns None for any other error."""
    if isinstance(error, LogwardenError):
        typer.echo(f"logwarden: {error}", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        return error.exit_code
    if isinstance(error, OSError) and error.filename is not None:  # without a path it is not the operator's mistake
        typer.echo(f"logwarden: {error.filename}: {error.strerror}", err=True)
        return EXIT_CONFIGURATION
    return None


def log_warnings_only(settings: Settings) -> None:
    """Sends the log to standard error, without what only a daemon's operator reads: the output is for programs too."""
    from logwarden.daemon import logs

    logs.configure(settings.log.model_copy(update={"level": "warning"}))


def console() -> Console:
    """Returns the console of standard output."""
    from rich.console import Console

    # A file or a pipe has no width, and truncating lines at rich's default of 80 would lose what grep looks for.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 1_000)
