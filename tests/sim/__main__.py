"""Replays simulated worlds: `python -m tests.sim --seed 7`, `--seeds 0..99 --scenario crashes`."""

from __future__ import annotations

import argparse
import sys

from tests.sim.scenarios import SCENARIOS
from tests.sim.world import Violation, simulate


def main() -> int:
    """Prints the trace of one seed, or a line per broken world of many. Returns 1 if an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help="run this scenario; default: all scenarios")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="run one seed and print its trace")
    which.add_argument("--seeds", metavar="A..B", help="run the seeds A to B and print a line per broken world")
    arguments = parser.parse_args()
    names = [arguments.scenario] if arguments.scenario else list(SCENARIOS)
    first, last = (arguments.seed,) * 2 if arguments.seed is not None else map(int, arguments.seeds.split(".."))
    broken = 0
    for name in names:
        for seed in range(first, last + 1):
            try:
                outcome = simulate(SCENARIOS[name], seed, print if arguments.seed is not None else None)
            except Violation as violation:
                broken += 1
                print(f"{name} {seed}: {violation}")
            else:
                if arguments.seed is not None:
                    print(f"{name} {seed}: held, {outcome.ended_at_s:.1f} s, {len(outcome.evidence.alerts)} alerts")
    print(f"{(last - first + 1) * len(names)} worlds, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
