"""Options of `logwarden incidents`."""

from __future__ import annotations

from typing import Annotated

import typer

from logwarden.daemon.commands.formats import AlertFormat, IncidentSeverity
from logwarden.daemon.commands.parsers.common import EXIT_INTERRUPTED, EnvFile, console, log_warnings_only
from logwarden.model.schema import AlertKind


def incidents(
    service: Annotated[
        list[str] | None,
        typer.Option("--service", metavar="PATTERN", help="Show only services such as this, or web-*. Repeatable."),
    ] = None,
    severity: Annotated[
        list[IncidentSeverity] | None, typer.Option("--severity", help="Show only this severity. Repeatable.")
    ] = None,
    kind: Annotated[
        list[AlertKind] | None,
        typer.Option("--kind", help="Show only those with an alert of this kind. Repeatable."),
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
    from logwarden.daemon.commands.incidents import IncidentOptions, show_incidents
    from logwarden.daemon.commands.since import since_when
    from logwarden.daemon.settings.reading import read_settings

    options = IncidentOptions(
        services=service or (),
        severities=severity or (),
        kinds=kind or (),
        open_only=open_only,
        since_ms=since_when(since, SystemClock().now_ms()) if since else None,
        follow=follow,
        form=form,
        limit=limit,
    )
    settings = read_settings(env_file=env_file)
    log_warnings_only(settings)
    try:
        asyncio.run(show_incidents(options, settings, console()))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None  # Ctrl-C is the way to end --follow and no error
