"""Simulated worlds with faults, and the invariants of each. A failure prints the command that replays it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from tests.sim.scenarios import SCENARIOS
from tests.sim.world import simulate

SEEDS = range(4)
"""Seeds of a test run of half a minute; `python -m tests.sim --seeds 0..999` runs many more."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_invariant_holds(name: str, seed: int) -> None:
    """No invariant breaks in any scenario, whatever its faults."""
    simulate(SCENARIOS[name], seed)


def test_the_storms_are_storms() -> None:
    """The worlds with every fault contain rebalances, fenced commits, duplicate alerts and dead letters."""
    seen: dict[str, int] = {}
    for seed in SEEDS:
        evidence = simulate(SCENARIOS["everything"], seed).evidence
        for line in evidence.trace:
            event = line.split()[2]
            seen[event] = seen.get(event, 0) + 1
        seen["duplicates"] = seen.get("duplicates", 0) + len(evidence.alerts) - len({a.id for a in evidence.alerts})
        seen["buried"] = seen.get("buried", 0) + len(evidence.buried)
        seen["scored again"] = seen.get("scored again", 0) + sum(len(who) > 1 for who in evidence.scored.values())
    assert all(
        seen.get(event, 0) > 0
        for event in (
            "assigned",
            "revoked",
            "fenced",
            "kill",
            "cut",
            "truncate",
            "duplicates",
            "buried",
            "scored again",
        )
    ), seen


def test_a_seed_is_a_history() -> None:
    """A seed gives the same history in another process, whatever the hashes of its strings."""
    digests = set()
    for hash_seed in ("1", "2"):
        code = (
            "from tests.sim.scenarios import SCENARIOS; from tests.sim.world import simulate\n"
            "print('\\n'.join(simulate(SCENARIOS['everything'], 3).evidence.trace))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            timeout=60,
        )
        digests.add(hashlib.sha256(done.stdout).hexdigest())
    assert len(digests) == 1


def test_the_pipeline_needs_neither_torch_nor_a_kafka_client() -> None:
    """Importing the data path and the whole simulation leaves torch and aiokafka out of the process."""
    code = (
        "import sys, logwarden.daemon.pipeline.pipeline, tests.sim.world\n"
        "sys.exit(str([name for name in ('torch', 'transformers', 'aiokafka') if name in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip() == ""
