"""Runs a fuzzer: `python -m tests.fuzz decoder --seeds 0..9999`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from tests.fuzz import decoder, ledger, outputs, rebalance

FUZZERS: dict[str, Callable[[int], None]] = {
    "decoder": decoder.fuzz,
    "ledger": ledger.fuzz,
    "outputs": outputs.fuzz,
    "rebalance": rebalance.fuzz,
}
"""Each runs one seed, and raises an error for an answer that its oracle does not give."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the seeds A to B. Prints a line per failed seed; the traceback of a single one. Returns 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("name", choices=[*sorted(FUZZERS), "all"], help="the part under test")
    parser.add_argument("--seeds", metavar="A..B", default="0..999", help="seeds to run; one seed: A..A")
    options = parser.parse_args(arguments)
    first, last = map(int, options.seeds.split(".."))
    failed = 0
    for name in sorted(FUZZERS) if options.name == "all" else [options.name]:
        began = time.process_time()
        for seed in range(first, last + 1):
            try:
                FUZZERS[name](seed)
            except Exception as error:  # any error is a finding, and the next seed must run
                failed += 1
                if first == last:
                    traceback.print_exc()
                print(
                    f"{name} {seed}: {type(error).__name__}: {error}; "
                    f"replay: python -m tests.fuzz {name} --seeds {seed}..{seed}"
                )
        print(f"{name}: {last - first + 1} seeds, {failed} failed so far, {time.process_time() - began:.1f} CPU s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
