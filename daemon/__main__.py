"""The command line: names, options, exit codes. What a command does is in `logwarden.daemon.commands` or below.

A command imports only its own needs: `--help`, `--version` and `config` load neither torch nor a Kafka client. They
therefore answer at once, and work on a machine where neither can load.

An error of the tree in `logwarden.daemon.errors` ends as one sentence on standard error, its hint, and an exit code:
0 drained, 1 fatal, 2 configuration, 3 stuck, 4 incidents found. Any other exception is a bug and shows its traceback.

`train` and `evaluate` replace this process by `python -m logwarden.training.…`, so Ctrl-C and the exit code belong to
the other program. An entry point would only hide the import: `daemon` and `training` are two products on one model and
must not import each other, which import-linter checks.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from logwarden.daemon.commands.formats import AlertFormat, ConfigFormat, FailOn, IncidentSeverity
from logwarden.daemon.errors import EXIT_CONFIGURATION, EXIT_FATAL, LogwardenError

if TYPE_CHECKING:
    from rich.console import Console

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells expect."""
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Settings of a command that passes all its arguments to another program, `--help` included."""

app = typer.Typer(
    name="logwarden",
    help="Find anomalies in log streams with BERT and a mixture of experts over windows of lines per service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and log lines are among them
)

EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="PATH", help="Read LOGWARDEN_… variables from this file; the environment wins."),
]


def main() -> NoReturn:
    """Runs the command line."""
    run_command_line(app)


def run_command_line(run: Callable[[], object]) -> NoReturn:
    """Runs one of logwarden's programs. Turns every expected error into a sentence and an exit code."""
    try:
        run()
    except Exception as error:  # a bug of logwarden keeps its traceback
        code = _explained(error)
        if code is None:
            raise
        sys.exit(code)
    sys.exit(0)


def _explained(error: Exception) -> int | None:
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


@app.command()
def run(env_file: EnvFile = None) -> None:
    """Read log lines from Kafka and publish alerts until SIGTERM or Ctrl-C, then drain and exit."""
    from logwarden.daemon.process import StopSignals, leave

    signals = StopSignals.taken()  # first: importing torch takes seconds
    import asyncio
    import gc

    from logwarden.daemon import logs
    from logwarden.daemon.settings.reading import read_settings

    settings = read_settings(env_file=env_file)
    logs.configure(settings.log)
    # While the libraries are imported, collections of garbage cost a fifth of the start. Afterwards their 400,000
    # objects stay for good: frozen, they no longer lengthen every later collection.
    gc.disable()
    from logwarden.daemon.service import run_service

    gc.collect()
    gc.freeze()
    gc.enable()

    async def run_to_the_end() -> NoReturn:
        try:
            code: int | None = await run_service(settings, signals)
        except Exception as error:  # every end of the daemon is an exit code; a bug keeps its traceback
            code = _explained(error)
            if code is None:
                traceback.print_exception(error)
        leave(EXIT_FATAL if code is None else code)  # inside the loop, whose own end waits for threads and tasks

    asyncio.run(run_to_the_end())


@app.command(context_settings=PASS_ON)
def demo(context: typer.Context) -> None:
    """Show the daemon at work on this machine: an embedded broker, a failing service, the alerts."""
    _become("logwarden.demo", context.args)


@app.command()
def scan(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="Scan these log files and folders of log files; - is standard input."),
    ],
    baseline: Annotated[
        list[Path] | None,
        typer.Option(
            "--baseline", metavar="GOOD.log", help="Learn the normal lines from this file or folder first. Repeatable."
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            "--service", help="Treat all lines as this service's. Default: the one that a line states, or its file."
        ),
    ] = None,
    input_format: Annotated[
        str | None,
        typer.Option("--input-format", metavar="NAME", help="Read only lines of this format, such as json or access."),
    ] = None,
    form: Annotated[AlertFormat, typer.Option("--format", help="Print for people, or one JSON object per result.")] = (
        AlertFormat.pretty
    ),
    every: Annotated[bool, typer.Option("--all", help="Print the verdict on every line.")] = False,
    by_line: Annotated[bool, typer.Option("--lines", help="Print each anomalous line, not the incidents.")] = False,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit with code 4 after a scan that found an incident.")
    ] = FailOn.never,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Report lines from this probability on: above 0 and at most 1."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="DIR", help="Use the model in this directory.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Compute on this device: auto, cpu, cuda or cuda:N.")
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Find anomalies in log files, without Kafka. Options override settings.

    Reads plain and compressed files (gzip, xz, zstd, bzip2, lz4) in UTF-8 or UTF-16. Rotated files are one log.
    """
    from rich.console import Console

    from logwarden.daemon import logs
    from logwarden.daemon.commands.scan import ScanOptions
    from logwarden.daemon.commands.scan import scan as scan_files
    from logwarden.daemon.settings.reading import read_settings

    given = {
        "ALERTS__THRESHOLD": threshold,
        "INPUT__FORMAT": input_format,
        "MODEL__PATH": model,
        "MODEL__DEVICE": device,
    }
    settings = read_settings(
        overrides={f"LOGWARDEN_{name}": str(value) for name, value in given.items() if value is not None},
        env_file=env_file,
    )
    logs.configure(settings.log)
    options = ScanOptions(files=files, baseline=baseline or (), service=service, form=form, every_verdict=every)
    options = replace(options, lines=by_line, fail_on_incident=fail_on is FailOn.incident)
    try:
        scan_files(options, settings, _console(), Console(stderr=True, highlight=False))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None  # the anomalies found so far are printed


@app.command()
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
    print_lines(files, anomalous, service, settings, sys.stdout, Console(stderr=True, highlight=False))


@app.command()
def alerts(
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest alert kept, not with the next one.")
    ] = False,
    form: Annotated[AlertFormat, typer.Option("--format", help="Print for people, or one JSON object per line.")] = (
        AlertFormat.pretty
    ),
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Exit after this number of alerts.")] = None,
    env_file: EnvFile = None,
) -> None:
    """Show the alerts of the alerts topic as they arrive."""
    import asyncio

    from logwarden.daemon.commands.alerts import tail_alerts
    from logwarden.daemon.settings.reading import read_settings

    settings = read_settings(env_file=env_file)
    try:
        asyncio.run(tail_alerts(settings, form, from_beginning=from_beginning, limit=limit, console=_console()))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None  # Ctrl-C is the way to end a tail and no error


@app.command()
def incidents(
    service: Annotated[
        list[str] | None, typer.Option("--service", help="Show only incidents of this service. Repeatable.")
    ] = None,
    severity: Annotated[
        list[IncidentSeverity] | None, typer.Option("--severity", help="Show only this severity. Repeatable.")
    ] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Show only incidents that are open.")] = False,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Show only those with an alert since: 30m, 2h, 7d or a date.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue with each change as it arrives.")] = False,
    form: Annotated[AlertFormat, typer.Option("--format", help="Print for people, or one JSON object per line.")] = (
        AlertFormat.pretty
    ),
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Exit after this number of records.")] = None,
    env_file: EnvFile = None,
) -> None:
    """Show the incidents that the daemon folded from its alerts, oldest first."""
    import asyncio

    from logwarden.daemon.clock import SystemClock
    from logwarden.daemon.commands.incidents import IncidentOptions, show_incidents, since_when
    from logwarden.daemon.settings.reading import read_settings

    options = IncidentOptions(
        services=service or (),
        severities=severity or (),
        open_only=open_only,
        since=since_when(since, SystemClock().now_ms()) if since else "",
        follow=follow,
        form=form,
        limit=limit,
    )
    settings = read_settings(env_file=env_file)
    try:
        asyncio.run(show_incidents(options, settings, _console()))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None  # Ctrl-C is the way to end --follow and no error


@app.command()
def config(
    form: Annotated[
        ConfigFormat, typer.Option("--format", help="Print a table, JSON, or the page docs/settings.md.")
    ] = ConfigFormat.table,
    env_file: EnvFile = None,
) -> None:
    """Show every setting with its value, the source of the value, and its meaning."""
    from logwarden.daemon.commands.config import show_config

    show_config(form, env_file, _console())


@app.command(context_settings=PASS_ON)
def train(context: typer.Context) -> None:
    """Adapt the model to labels of your own (all options go to `python -m logwarden.training.head`; try --help)."""
    _become("logwarden.training.head", context.args)


@app.command(context_settings=PASS_ON)
def evaluate(context: typer.Context) -> None:
    """Measure a model (all options go to `python -m logwarden.training.evaluation`; try --help)."""
    _become("logwarden.training.evaluation", context.args)


@app.command(context_settings=PASS_ON)
def faultlab(context: typer.Context) -> None:
    """Record real systems under real faults. All options go to `python -m logwarden.training.faultlab`; try --help."""
    _become("logwarden.training.faultlab", context.args)


def _become(module: str, arguments: list[str]) -> NoReturn:
    sys.stdout.flush()
    # -P: a folder `logwarden` in the current directory, such as a checkout's, must not be taken for this package.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])


def _console() -> Console:
    from rich.console import Console

    # A file or a pipe has no width, and truncating lines at rich's default of 80 would lose what grep looks for.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 1_000)


if __name__ == "__main__":
    main()
