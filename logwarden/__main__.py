"""The program: `logwarden`, or `python -m logwarden` where it is not on the PATH.

Blocks the signals of `run` and `bridge` before the command line is imported, so that they wait. A process with pid 1
would lose them until then.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from logwarden.daemon.process import hold_back_signals


def main() -> NoReturn:
    """Runs the command line."""
    if sys.argv[1:2] in (["run"], ["bridge"]):
        hold_back_signals()
    from logwarden.daemon.__main__ import main

    main()


if __name__ == "__main__":
    main()
