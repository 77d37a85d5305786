"""Options of `logwarden alerts`."""

from __future__ import annotations

from typing import Annotated

import typer

from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.parsers.common import (
    EnvFile,
    Kinds,
    Limit,
    OutputForm,
    Services,
    Severities,
    console,
    until_interrupted,
)


def alerts(
    service: Services = None,
    severity: Severities = None,
    kind: Kinds = None,
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
    form: OutputForm = AlertFormat.pretty,
    limit: Limit = None,
    env_file: EnvFile = None,
) -> None:
    """Show the alerts of the alerts topic as they arrive."""
    from logwarden.daemon.clock import SystemClock
    from logwarden.daemon.commands.alerts import AlertOptions, tail_alerts
    from logwarden.daemon.commands.choosing import since_when
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
    until_interrupted(tail_alerts(options, read_settings(env_file=env_file), console()))
