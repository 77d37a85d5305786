"""The command line: the list of commands, and their exit codes. Options are in `logwarden.daemon.commands.parsers`.

A command imports only its own needs: `--help`, `--version` and `config` load neither torch nor a Kafka client. They
therefore answer at once, and work on a machine where neither can load.

An error of the tree in `logwarden.daemon.errors` ends as one sentence on standard error, its hint, and an exit code:
0 drained, 1 fatal, 2 configuration, 3 stuck, 4 incidents found. Any other exception is a bug and shows its traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from logwarden.daemon.commands.parsers.alerts import alerts
from logwarden.daemon.commands.parsers.bridge import bridge
from logwarden.daemon.commands.parsers.common import explained
from logwarden.daemon.commands.parsers.config import config
from logwarden.daemon.commands.parsers.feedback import feedback, maintenance, mute
from logwarden.daemon.commands.parsers.incidents import incidents
from logwarden.daemon.commands.parsers.lines import lines
from logwarden.daemon.commands.parsers.mcp import mcp
from logwarden.daemon.commands.parsers.programs import OTHER_PROGRAMS, PASS_ON, demo, evaluate, faultlab, train
from logwarden.daemon.commands.parsers.run import run
from logwarden.daemon.commands.parsers.scan import scan
from logwarden.daemon.commands.parsers.status import status

COMMANDS: tuple[Callable[..., None], ...] = (
    *(run, demo, scan, lines, status, alerts, incidents, bridge, mcp),
    *(feedback, mute, maintenance),
    *(config, train, evaluate, faultlab),
)
"""The commands in the order of `--help`. The name of a command is its function's, its help the docstring."""

app = typer.Typer(
    name="logwarden",
    help="Find anomalies in log streams with BERT and a mixture of experts over windows of lines per service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and log lines are among them
)


def main() -> NoReturn:
    """Runs the command line."""
    run_command_line(app)


def run_command_line(run: Callable[[], object]) -> NoReturn:
    """Runs one of logwarden's programs. Turns every expected error into a sentence and an exit code."""
    try:
        run()
    except Exception as error:  # a bug of logwarden keeps its traceback
        code = explained(error)
        if code is None:
            raise
        sys.exit(code)
    sys.exit(0)


def _version(wanted: bool) -> None:
    if wanted:
        from logwarden.model.version import __version__

        typer.echo(f"logwarden {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Declares the options before the command."""


for _command in COMMANDS:
    app.command(context_settings=PASS_ON if _command in OTHER_PROGRAMS else None)(_command)


if __name__ == "__main__":
    main()
