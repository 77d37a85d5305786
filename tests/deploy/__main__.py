"""Runs the checks of what deploys the daemon, each by its real tool, and prints one line a check.

python -m tests.deploy                 all of them; as root it installs the tools that are missing
python -m tests.deploy rules chart     some of them
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from tests.deploy.chart import check_chart
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
    "compose": check_compose,
    "shippers": lambda: asyncio.run(check_shippers()),
    "workflows": check_workflows,
}


def main(names: list[str]) -> int:
    """Runs the named checks, or all. Returns 1 if one failed."""
    unknown = sorted(set(names) - set(CHECKS))
    if unknown:
        print(f"no check is called {', '.join(unknown)}; there are {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    failed = 0
    for name in names or CHECKS:
        began = time.monotonic()
        try:
            sentences = CHECKS[name]()
        except (AssertionError, ToolMissing) as error:
            failed += 1
            sentences = []
            print(f"NOT OK  {name}: {error}", flush=True)
        for sentence in sentences:
            print(f"ok  {name}: {sentence}", flush=True)
        print(f"    {name} took {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
