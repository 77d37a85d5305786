"""The command line of the demo: `logwarden demo` runs `python -m logwarden.demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from logwarden.daemon.__main__ import run_command_line
from logwarden.demo.playback import run_demo


def demo(fast: Annotated[bool, typer.Option("--fast", help="Play without pauses.")] = False) -> None:
    """Show the daemon at work on this machine: an embedded broker, a failing service, the alerts."""
    raise typer.Exit(run_demo(fast))


if __name__ == "__main__":
    run_command_line(lambda: typer.run(demo))
