"""`logwarden run`: the daemon."""

from __future__ import annotations

import traceback
from typing import NoReturn

from logwarden.daemon.commands.parsers.common import EnvFile, explained
from logwarden.daemon.errors import EXIT_FATAL


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
            code = explained(error)
            if code is None:
                traceback.print_exception(error)
        leave(EXIT_FATAL if code is None else code)  # inside the loop, whose own end waits for threads and tasks

    asyncio.run(run_to_the_end())
