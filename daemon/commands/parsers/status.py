"""Options of `logwarden status`."""

from __future__ import annotations

from typing import Annotated

import typer

from logwarden.daemon.commands.formats import ServiceStateWord
from logwarden.daemon.commands.parsers.common import EnvFile, Services, console, until_interrupted


def status(
    url: Annotated[
        list[str] | None,
        typer.Option("--url", help="Ask the daemon at this address. Repeatable. Default: the address in the settings."),
    ] = None,
    service: Services = None,
    state: Annotated[
        list[ServiceStateWord] | None, typer.Option("--state", help="Show only services in this state. Repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show this number of services; 0: all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per look.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every two seconds.")] = False,
    env_file: EnvFile = None,
) -> None:
    """Show how a running daemon is: its services, who still learns, rates, last alerts, open incidents."""
    from logwarden.daemon.clock import SystemClock
    from logwarden.daemon.commands.status import StatusOptions, show_status
    from logwarden.daemon.settings.reading import read_settings

    options = StatusOptions(
        urls=url or (), services=service or (), states=state or (), limit=limit, as_json=as_json, watch=watch
    )
    until_interrupted(show_status(options, read_settings(env_file=env_file), console(), SystemClock()))
