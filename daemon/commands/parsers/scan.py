"""Options of `logwarden scan`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from logwarden.daemon.commands.formats import AlertFormat, FailOn
from logwarden.daemon.commands.parsers.common import EXIT_INTERRUPTED, EnvFile, console


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
        scan_files(options, settings, console(), Console(stderr=True, highlight=False))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None  # the anomalies found so far are printed
