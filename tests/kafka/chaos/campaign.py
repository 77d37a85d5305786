"""A campaign: episodes one after the other until the time is over, and the figures at the end.

The seed fixes the faults of every round, their moments and their victims, but not the operating system's scheduling.
SIGTERM and Ctrl-C end a campaign after the running round, with the check of its lines.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace

import structlog

from tests.kafka.chaos.episode import Episode, Terms
from tests.kafka.chaos.faults import KINDS
from tests.kafka.chaos.results import Results
from tests.kafka.preloaded import Preloaded

MOST_BROKEN_OFF = 3
"""Episodes in a row that may break off by a failure of the campaign itself."""
CHECK_MINUTES = 1.0
"""Time that the check of the last episode may need: no episode begins later than that before the end."""


def kinds_of(text: str) -> list[str]:
    """Returns the kinds that an option names. Raises SystemExit for an unknown one."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name.removeprefix("-") not in KINDS]:
        raise SystemExit(f"unknown faults {', '.join(unknown)}; known are {', '.join(KINDS)}")
    removed = {name[1:] for name in names if name.startswith("-")}
    return [name for name in KINDS if name not in removed and (name in names or len(removed) == len(names))]


async def _run(wanted: argparse.Namespace, results: Results, preloaded: Preloaded) -> None:
    from tests.models import save_tiny

    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    out = wanted.out.resolve()
    terms = Terms(
        seed=wanted.seed,
        kinds=kinds_of(wanted.faults),
        members=wanted.members,
        lines_per_s=wanted.lines_per_s,
        rounds=wanted.episode_rounds,
        directory=out,
        model=save_tiny(out / "model"),
        launch=preloaded.launch,
        whole=wanted.whole,
        settings=dict(entry.split("=", 1) for entry in wanted.set),
    )
    versions = wanted.kafka.split(",")
    last_round = None if wanted.rounds is None else results.next_round + wanted.rounds
    asyncio.get_running_loop().call_later(max(0.0, wanted.minutes - CHECK_MINUTES) * 60, stop.set)
    while not stop.is_set() and (last_round is None or results.next_round < last_round):
        number = results.next_episode
        if last_round is not None:
            terms = replace(terms, rounds=min(terms.rounds, last_round - results.next_round))
        try:
            await Episode(number, versions[number % len(versions)], terms, results, stop).run(_say)
        except Exception:  # of the campaign's own parts, on a machine that is too busy: the next episode begins anew
            _say(traceback.format_exc())
            results.add("broken off", episode=number, error=traceback.format_exc())
            if results.broken_off_in_a_row() >= MOST_BROKEN_OFF:
                return
        else:
            _say(f"episode {number} checked: {results.checks[-1]['findings']}")


def _say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def run(wanted: argparse.Namespace, goals: Mapping[str, int]) -> int:
    """Runs the campaign of some options and prints its figures. Returns 1 if a promise was broken, else 0."""
    results = Results(wanted.out / "results.jsonl", resume=wanted.resume)
    # The clients of the campaign itself see every outage too, and retry.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with Preloaded() as preloaded:
        asyncio.run(_run(wanted, results, preloaded))
    print(results.summary(goals))
    return 1 if results.faults() else 0
