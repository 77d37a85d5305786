"""What several commands share: options, the console, the end of a process."""

from __future__ import annotations

import errno
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from logwarden.daemon.commands.formats import AlertFormat, IncidentSeverity
from logwarden.daemon.errors import EXIT_CONFIGURATION, EXIT_FATAL, ConfigurationError, LogwardenError
from logwarden.model.schema import AlertKind

if TYPE_CHECKING:
    from rich.console import Console

    from logwarden.daemon.settings.groups import Settings


EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells expect."""
_CLEANUP_S = 2.0
"""Seconds after Ctrl-C that a command has to leave nothing behind, such as an open transaction."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a file that a shell opened, and that has no name here, answers to a write that it has no room for."""

EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="PATH", help="Read LOGWARDEN_… variables from this file; the environment wins."),
]

Services = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="PATTERN", help="Show only services such as this, or web-*. Repeatable."),
]
Severities = Annotated[
    list[IncidentSeverity] | None, typer.Option("--severity", help="Show only this severity. Repeatable.")
]
Kinds = Annotated[
    list[AlertKind] | None, typer.Option("--kind", help="Show only what has an alert of this kind. Repeatable.")
]
OutputForm = Annotated[AlertFormat, typer.Option("--format", help="Print for people, or one JSON object per line.")]
Limit = Annotated[int | None, typer.Option("--limit", min=0, help="Exit after this number of records.")]


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
    if isinstance(error, OSError) and error.errno in _FULL:
        typer.echo(f"logwarden: the output could not be written whole: {error.strerror}", err=True)
        typer.echo("  free some space, or write it to another place", err=True)
        return EXIT_FATAL
    return None


def log_warnings_only(settings: Settings) -> None:
    """Sends the log to standard error, without what only a daemon's operator reads: the output is for programs too."""
    from logwarden.daemon import logs

    logs.configure(settings.log.model_copy(update={"level": "warning"}))


def until_interrupted(task: Coroutine[Any, Any, None]) -> None:
    """Runs a task that Ctrl-C may end. That is the way to end it, and no error.

    The process ends then, also while a name look-up hangs on another thread, for which an ordinary end would wait.
    """
    import asyncio
    import signal

    from logwarden.daemon.process import leave

    async def run() -> None:
        work = asyncio.create_task(task)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.done():
                raise  # nothing hangs
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends the process at once
            work.cancel()
            await asyncio.wait([work], timeout=_CLEANUP_S)
            leave(EXIT_INTERRUPTED)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def console() -> Console:
    """Returns the console of standard output. Raises ConfigurationError if that is closed."""
    from rich.console import Console

    # A file or a pipe has no width, and truncating lines at rich's default of 80 would lose what grep looks for.
    return Console(highlight=False, width=None if output().isatty() else 1_000)


def output() -> TextIO:
    """Returns standard output. Raises ConfigurationError if that is closed: Python has no stream after `>&-`."""
    found: TextIO | None = sys.stdout
    if found is None:
        raise ConfigurationError("standard output is closed", hint="write it to a file, to a pipe or to /dev/null")
    return found
