"""Options of `logwarden alerts`."""

from __future__ import annotations

from typing import Annotated

import typer

from logwarden.daemon.commands.formats import AlertFormat, IncidentSeverity
from logwarden.daemon.commands.parsers.common import EXIT_INTERRUPTED, EnvFile, console
from logwarden.model.schema import AlertKind


def alerts(
    service: Annotated[
        list[str] | None,
        typer.Option("--service", metavar="PATTERN", help="Show only services such as this, or web-*. Repeatable."),
    ] = None,
    severity: Annotated[
        list[IncidentSeverity] | None, typer.Option("--severity", help="Show only this severity. Repeatable.")
    ] = None,
    kind: Annotated[
        list[AlertKind] | None, typer.Option("--kind", help="Show only alerts of this kind. Repeatable.")
    ] = None,
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="Begin with those published since: 30m, 2h, 7d or a date."),
    ] = "",
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest alert kept, not with the next one.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", "-f", help="Wait for more, or exit after those that are there.")
    ] = True,
    form: Annotated[AlertFormat, typer.Option("--format", help="Print for people, or one JSON object per line.")] = (
        AlertFormat.pretty
    ),
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Exit after this number of alerts.")] = None,
    env_file: EnvFile = None,
) -> None:
    """Show the alerts of the alerts topic as they arrive."""
    import asyncio

    from logwarden.daemon.clock import SystemClock
    from logwarden.daemon.commands.alerts import AlertOptions, tail_alerts
    from logwarden.daemon.commands.since import since_when
    from logwarden.daemon.settings.reading import read_settings

    options = AlertOptions(
        services=service or (),
        severities=severity or (),
        kinds=kind or (),
        since_ms=since_when(since, SystemClock().now_ms()) if since else None,
        from_beginning=from_beginning,
        follow=follow,
        form=form,
        limit=limit,
    )
    settings = read_settings(env_file=env_file)
    try:
        asyncio.run(tail_alerts(options, settings, console()))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None  # Ctrl-C is the way to end a tail and no error
