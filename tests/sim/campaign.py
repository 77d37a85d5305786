"""Runs thousands of worlds on several cores: `python -m tests.sim.campaign --worlds 5000 --workers 2`.

A run continues where an earlier one stopped: each world's result is a line of the results file, with a digest of the
code. Results of other code stay in the file and do not count. Each broken world prints the command that replays it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from tests.sim.scenarios import SCENARIOS
from tests.sim.world import Violation, simulate

ROOT = Path(__file__).parents[2]
CODE = ("daemon", "model", "tests/sim")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One world: how long it took, and the first breach of its invariants."""

    scenario: str
    seed: int
    cpu_s: float
    violation: str | None
    code: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the worlds that are missing, prints a table. Returns 1 if an invariant was broken in any of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.campaign", description=__doc__)
    parser.add_argument("--worlds", type=int, default=5000, help="number of worlds over all scenarios")
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="only these; default: all")
    parser.add_argument("--first", type=int, default=0, help="first seed of each scenario")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache/sim-campaign.jsonl", help="results file")
    options = parser.parse_args(arguments)
    code = digest()
    wanted = worlds(options.scenario or list(SCENARIOS), options.worlds, options.first)
    known = {(r.scenario, r.seed): r for r in read(options.out) if r.code == code}
    missing = [world for world in wanted if world not in known]
    print(f"{len(wanted)} worlds, {len(missing)} to run", flush=True)
    began = time.monotonic()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("ab") as file:
        for result in run(missing, code, options.workers):
            known[result.scenario, result.seed] = result
            file.write(msgspec.json.encode(result) + b"\n")
            file.flush()
            if result.violation:
                print(f"{result.scenario} {result.seed}: {result.violation}", flush=True)
    results = [known[world] for world in wanted]
    print(table(results))
    print(f"{len(missing)} worlds in {time.monotonic() - began:.0f} s on {options.workers} workers")
    return 1 if any(result.violation for result in results) else 0


def worlds(scenarios: Sequence[str], count: int, first: int) -> list[tuple[str, int]]:
    """Returns `count` worlds, one seed of every scenario after the other."""
    every = ((name, seed) for seed in itertools.count(first) for name in scenarios)
    return list(itertools.islice(every, count))


def digest() -> str:
    """Returns a digest of the code that a world's history depends on."""
    total = hashlib.sha256()
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def read(path: Path) -> Iterator[Result]:
    """Yields the results of a file. Skips a line that an interrupted run left unfinished."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            yield msgspec.json.decode(line, type=Result)


def run(missing: Sequence[tuple[str, int]], code: str, workers: int) -> Iterator[Result]:
    """Yields the results of worlds as they end."""
    tasks = [(name, seed, code) for name, seed in missing]
    if workers <= 1:
        yield from itertools.starmap(one, tasks)
        return
    # Spawned: a fork copies the threads' locks of numpy. A new process now and then gives its memory back.
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=500) as pool:
        yield from pool.imap_unordered(_one, tasks, chunksize=4)


def _one(task: tuple[str, int, str]) -> Result:
    return one(*task)


def one(name: str, seed: int, code: str) -> Result:
    """Runs one world. An error of any kind counts as a violation: a world that hangs or fails is broken as well."""
    began = time.process_time()
    try:
        simulate(SCENARIOS[name], seed)
        violation = None
    except Violation as broken:
        violation = str(broken)
    except Exception as error:  # a hang, a deadlock, a mistake of the simulation: the next world must run
        violation = f"{type(error).__name__}: {error}; replay: python -m tests.sim --scenario {name} --seed {seed}"
    return Result(scenario=name, seed=seed, cpu_s=time.process_time() - began, violation=violation, code=code)


def table(results: Iterable[Result]) -> str:
    """Returns a row per scenario: worlds, broken worlds, CPU seconds a world."""
    by_scenario: dict[str, list[Result]] = {}
    for result in results:
        by_scenario.setdefault(result.scenario, []).append(result)
    rows = [f"{'scenario':<24}{'worlds':>8}{'broken':>8}{'CPU s':>9}"]
    for name, group in [*sorted(by_scenario.items()), ("all", [r for rs in by_scenario.values() for r in rs])]:
        broken = sum(result.violation is not None for result in group)
        cpu_s = sum(result.cpu_s for result in group) / max(1, len(group))
        rows.append(f"{name:<24}{len(group):>8}{broken:>8}{cpu_s:>9.3f}")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
