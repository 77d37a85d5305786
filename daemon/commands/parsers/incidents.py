"""Options of `logwarden incidents`."""

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
    log_warnings_only,
    until_interrupted,
)


def incidents(
    service: Services = None,
    severity: Severities = None,
    kind: Kinds = None,
    open_only: Annotated[bool, typer.Option("--open", help="Show only incidents that are open.")] = False,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Show only those with an alert since: 30m, 2h, 7d or a date.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue with each change as it arrives.")] = False,
    form: OutputForm = AlertFormat.pretty,
    limit: Limit = None,
    env_file: EnvFile = None,
) -> None:
    """Show the incidents that the daemon folded from its alerts, oldest first."""
    from logwarden.daemon.clock import SystemClock
    from logwarden.daemon.commands.choosing import since_when
    from logwarden.daemon.commands.incidents import IncidentOptions, show_incidents
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
    until_interrupted(show_incidents(options, settings, console()))
