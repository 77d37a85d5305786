"""Options of `logwarden alerts`."""

from __future__ import annotations

from typing import Annotated

import typer

from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.parsers.common import EXIT_INTERRUPTED, EnvFile, console


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
        asyncio.run(tail_alerts(settings, form, from_beginning=from_beginning, limit=limit, console=console()))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None  # Ctrl-C is the way to end a tail and no error
