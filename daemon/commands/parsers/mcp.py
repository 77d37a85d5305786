"""Options of `logwarden mcp`."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from logwarden.daemon.commands.parsers.common import EnvFile, log_warnings_only, until_interrupted


def mcp(
    url: Annotated[
        list[str] | None,
        typer.Option("--url", help="Ask the daemon at this address. Repeatable. Default: the address in the settings."),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            "--http", metavar="[HOST:]PORT", help="Serve streamable HTTP there. Default: standard input and output."
        ),
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Serve agents by the Model Context Protocol, read only: incidents, error patterns, services."""
    from logwarden.daemon import logs
    from logwarden.daemon.commands.mcp import serve
    from logwarden.daemon.errors import EXIT_DRAINED
    from logwarden.daemon.process import leave
    from logwarden.daemon.settings.reading import read_settings

    settings = read_settings(env_file=env_file)
    if http is None:
        log_warnings_only(settings)
    else:
        logs.configure(settings.log)

    async def serve_to_the_end() -> NoReturn:
        await serve(url or (), http, settings)
        leave(EXIT_DRAINED)  # inside the loop, whose own end waits for the name look-ups of calls

    until_interrupted(serve_to_the_end())
