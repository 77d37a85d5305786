"""Measures reading beside the code of another version, in one run: `python -m tests.bench.beside CHECKOUT [...]`.

A checkout is a folder with another commit (`git worktree add CHECKOUT COMMIT`). Each version reads the same records in
a process of its own, and the processes take turns, so that a busy moment hits all of them. Version 1 of the masking,
before events were joined and levels read, is commit b8dbe86. Figures are CPU time per line. Prints; asserts nothing.
"""

from __future__ import annotations

import os
import pickle
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from logwarden.training.corpora import hdfs_lines
from tests.bench.reading import filebeat, real_lines

ROUNDS = 9
HERE = Path(__file__).resolve().parents[2]
STAGES = ("decode", "mask", "join")


def main(checkouts: Sequence[str]) -> None:
    lines = real_lines()
    kinds = {
        "raw lines": lines,
        "raw lines of HDFS": [("hdfs", line.encode()) for line in hdfs_lines().lines[: len(lines)]],
        "JSON of Filebeat": [(name, filebeat(name, line)) for name, line in lines],
    }
    with tempfile.NamedTemporaryFile() as file:
        pickle.dump(kinds, file)
        file.flush()
        workers = {tree: _start(Path(tree).resolve(), file.name) for tree in (*checkouts, str(HERE))}
        for title in kinds:
            spent: dict[str, list[list[float]]] = {tree: [] for tree in workers}
            for _ in range(ROUNDS):
                for tree, worker in workers.items():
                    spent[tree].append(_turn(worker, title))
            _print(title, spent)
        for worker in workers.values():
            assert worker.stdin is not None, "the worker was started with a pipe"
            worker.stdin.close()
            worker.wait()


def _start(tree: Path, records: str) -> subprocess.Popen[str]:
    """Starts a process that measures with the code of a checkout."""
    source = tree / ".cache" / "src"
    path = os.pathsep.join(map(str, (source, tree)))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    subprocess.run([sys.executable, "-m", "tests.layout", str(source)], cwd=tree, env=environment, check=True)
    command = [sys.executable, str(HERE / "tests" / "bench" / "stages.py"), records]
    return subprocess.Popen(
        command, cwd=tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _turn(worker: subprocess.Popen[str], title: str) -> list[float]:
    """Returns the times of all stages of one pass over the records."""
    assert worker.stdin is not None, "the worker was started with pipes"
    assert worker.stdout is not None, "the worker was started with pipes"
    worker.stdin.write(title + "\n")
    worker.stdin.flush()
    return [float(word) for word in worker.stdout.readline().split()]


def _print(title: str, spent: dict[str, list[list[float]]]) -> None:
    load = os.getloadavg()[0]
    print(f"\n{title}, µs per line, least of {ROUNDS} passes; load of the machine {load:.1f}")
    totals: dict[str, list[float]] = {}
    for tree, passes in spent.items():
        least = [min(times) for times in zip(*passes, strict=True)]
        totals[tree] = [sum(times) for times in passes]
        first = next(iter(totals.values()))
        share = statistics.median(before / now for before, now in zip(first, totals[tree], strict=True))
        stages = "  ".join(f"{name} {us:5.2f}" for name, us in zip(STAGES, least, strict=True))
        print(f"  {tree[-40:]:<40}  {stages}  all {min(totals[tree]):5.2f}  {share:.0%} of the first's throughput")


if __name__ == "__main__":
    main(sys.argv[1:])
