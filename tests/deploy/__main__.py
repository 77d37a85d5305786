"""Runs the checks of what deploys the daemon, each by its real tool, and prints one line a check.

python -m tests.deploy                 all of them; as root it installs the tools that are missing
python -m tests.deploy rules chart     some of them
python -m tests.deploy --require       all; a tool that cannot be had is a failure and not a skip, as CI wants it
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from tests.deploy.chart import check_chart, check_objects
from tests.deploy.compose import check_compose
from tests.deploy.rules import check_rules
from tests.deploy.scraped import check_scraped
from tests.deploy.shippers import check_shippers
from tests.deploy.tools import ToolMissing
from tests.deploy.unit import check_unit
from tests.deploy.workflows import check_workflows

CHECKS: dict[str, Callable[[], list[str]]] = {
    "rules": lambda: [check_rules()],
    "dashboard": lambda: asyncio.run(check_scraped()),
    "unit": check_unit,
    "chart": check_chart,
    "objects": check_objects,
    "compose": check_compose,
    "shippers": lambda: asyncio.run(check_shippers()),
    "workflows": check_workflows,
}

REQUIRE = "--require"


def main(arguments: list[str]) -> int:
    """Runs the named checks, or all. Returns 1 if one failed."""
    names = [each for each in arguments if each != REQUIRE]
    unknown = sorted(set(names) - set(CHECKS))
    if unknown:
        print(f"no check is called {', '.join(unknown)}; there are {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    failed = 0
    for name in names or CHECKS:
        began = time.monotonic()
        try:
            for sentence in CHECKS[name]():
                print(f"ok  {name}: {sentence}", flush=True)
        except ToolMissing as error:
            failed += REQUIRE in arguments
            print(f"SKIPPED  {name}: {error}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"NOT OK  {name}: {error}", flush=True)
        print(f"    {name} took {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
