"""Runs a campaign of faults against real daemons on real brokers, and prints its figures beside their goals.

python -m tests.kafka.chaos --minutes 60 --seed 7 --out FOLDER
python -m tests.kafka.chaos --out FOLDER --resume
python -m tests.kafka.chaos --minutes 5 --faults kill-member,kill-broker --kafka 4.1.1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.kafka.chaos.campaign import run
from tests.kafka.chaos.faults import KINDS
from tests.kafka.chaos.results import GOALS


def main(*, goals: Mapping[str, int] = GOALS, **defaults: object) -> int:
    """Runs the campaign of the command line. Returns 1 if a promise was broken, else 0."""
    wanted = _options(defaults)
    if wanted.list:
        for name, kind in KINDS.items():
            print(f"{name:<16} {kind.meaning}")
        return 0
    return run(wanted, goals)


def _options(defaults: Mapping[str, object]) -> argparse.Namespace:
    options = argparse.ArgumentParser(description="Injects faults into real daemons on real brokers; see --list.")
    options.add_argument("--minutes", type=float, default=60.0, help="end after this time")
    options.add_argument("--rounds", type=int, default=None, help="end after this number of rounds")
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--out", type=Path, default=Path(".cache/chaos"), help="folder of results.jsonl and of logs")
    options.add_argument("--resume", action="store_true", help="continue the results of the folder")
    options.add_argument("--faults", default=",".join(KINDS), help="kinds of faults; a leading minus removes: -reset")
    options.add_argument("--list", action="store_true", help="list the kinds of faults and end")
    options.add_argument("--kafka", default="4.1.1,3.9.1", help="versions of the broker, in turn")
    options.add_argument("--members", type=int, default=3)
    options.add_argument("--lines-per-s", type=float, default=600.0)
    options.add_argument("--episode-rounds", type=int, default=20, help="rounds between two checks of all lines")
    options.add_argument("--whole", action="store_true", help="start every member as a new interpreter")
    options.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the members")
    options.set_defaults(**defaults)
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
