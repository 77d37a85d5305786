"""Options of `logwarden bridge`."""

from __future__ import annotations

import traceback
from typing import Annotated, NoReturn

import typer

from logwarden.daemon.commands.parsers.common import EnvFile, console, explained, log_warnings_only
from logwarden.daemon.errors import EXIT_FATAL


def bridge(
    check: Annotated[
        bool, typer.Option("--check", help="Send a test incident to each destination, report each, and exit.")
    ] = False,
    env_file: EnvFile = None,
) -> None:
    """Send incidents to Alertmanager, pagers, chats, mail and collectors until SIGTERM or Ctrl-C."""
    from logwarden.daemon.process import StopSignals, leave

    signals = StopSignals.taken()
    import asyncio

    from logwarden.daemon import logs
    from logwarden.daemon.settings.reading import read_settings

    settings = read_settings(env_file=env_file)
    if check:
        from logwarden.daemon.commands.bridge import check_destinations

        log_warnings_only(settings)
        asyncio.run(check_destinations(settings, console()))
        return
    logs.configure(settings.log)
    from logwarden.daemon.commands.bridge import run_bridge

    async def run_to_the_end() -> NoReturn:
        try:
            code: int | None = await run_bridge(settings, signals)
        except Exception as error:  # every end of the bridge is an exit code; a bug keeps its traceback
            code = explained(error)
            if code is None:
                traceback.print_exception(error)
        leave(EXIT_FATAL if code is None else code)  # inside the loop, whose own end waits for threads and tasks

    asyncio.run(run_to_the_end())
