"""Compares the throughput of a daemon when nothing is an alert and when every line is, through a real broker.

    python -m tests.kafka.storm --lines 60000 --pairs 3

Calm and storm alternate on one broker, each with topics of its own that are full before the daemon starts. Prints lines
per second of wall clock and of CPU, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kafka.broker import Broker
from tests.kafka.evidence import EVERY_LINE, produce
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, until
from tests.kafka.topics import fresh_topics

FORMS = (
    b"session opened for user %d by uid %d from console tty",
    b"GET /api/orders/%d took %d ms and returned two hundred",
    b"connection from 10.0.0.7 port %d closed after %d s ok",
    b"block blk_%d received from node %d in the rack number",
)
"""Four kinds of line of about 60 bytes: BERT reads four lines, and everything else is the daemon's own work."""
SERVICES, PARTITIONS = 6, 3
QUIET = {"ALERTS__THRESHOLD": "none", "ALERTS__LEARNING_LINES": 10_000}


def lines(count: int) -> Iterator[tuple[bytes, bytes, int]]:
    """Yields (key, value, partition) of each line."""
    for number in range(count):
        value = FORMS[number % len(FORMS)] % (number * 7919 % 1_000_003, number % 97)
        yield b"svc-%d" % (number % SERVICES), value.ljust(60, b"."), number % PARTITIONS


def measure(broker: Broker, folder: Path, count: int, *, storm: bool) -> tuple[float, float]:
    """Returns lines per second of wall clock, and per second of CPU."""
    topics = asyncio.run(fresh_topics(broker.bootstrap))
    asyncio.run(produce(broker.bootstrap, topics.logs, list(lines(count))))
    with Fleet(topics, folder, "none", quiet=True) as fleet:
        member = fleet.start(WINDOW__SIZE=32, **(EVERY_LINE if storm else QUIET))
        until(lambda: member.metric("logwarden_records_total"), READY_S, "the first records")
        began, cpu_s = time.monotonic(), member.cpu_seconds()
        metric = "logwarden_alerts_total" if storm else "logwarden_scored_lines_total"
        until(lambda: member.metric(metric) >= count, 600, "all lines are through")
        wall_s, cpu_s = time.monotonic() - began, member.cpu_seconds() - cpu_s
        rates = (count / wall_s, count / cpu_s)
        print(f"{'storm' if storm else 'calm':5} {rates[0]:7,.0f} lines/s, {rates[1]:7,.0f} per s of CPU", flush=True)
        return rates


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=60_000)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Broker.create(folder) as broker:
        pairs = [
            [measure(broker, Path(folder), options.lines, storm=storm) for storm in (False, True)]
            for _ in range(options.pairs)
        ]
    for place, unit in enumerate(("s", "s of CPU")):
        calm, storm = (statistics.median(pair[kind][place] for pair in pairs) for kind in (0, 1))
        print(
            f"medians: calm {calm:,.0f}, storm {storm:,.0f} lines per {unit}: a storm is slower by {calm / storm:.2f}"
        )


if __name__ == "__main__":
    _main()
