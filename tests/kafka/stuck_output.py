"""Measures a daemon's memory while an output topic is missing and lines keep coming.

    python -m tests.kafka.stuck_output --minutes 10 --lines-per-s 10000 --stuck dead-letters
    python -m tests.kafka.stuck_output --minutes 10 --lines-per-s 10000 --stuck alerts

`dead-letters`: the first record is bad, and its dead letter can go nowhere; every line after it is calm. `alerts`:
every line raises an alert, and the alerts topic is missing. Prints a line a minute: memory above idle, lines scored,
readiness.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.kafka.broker import Broker, create_topics
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member, until
from tests.kafka.topics import Topics, fresh_topics

WARM_UP_LINES = 50_000
"""Calm lines before the measurement: allocators, caches and windows of all services are then at their size."""
SERVICES = 200
REPORT_S = 60.0


def rss_mib(member: Member) -> float:
    """Returns the resident set now, in MiB."""
    text = Path(f"/proc/{member.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+)", text)
    assert found is not None
    return int(found[1]) / 1024


def value_of(number: int) -> bytes:
    return b"request %d of user %d took %d ms on shard %d" % (number, number % 977, number % 313, number % 7)


async def flow(producer: AIOKafkaProducer, topic: str, first: int, lines: int, per_s: int | None = None) -> None:
    """Sends lines at a rate, in slices of a tenth of a second; None: as fast as the broker takes them."""
    started, slice_ = time.monotonic(), (per_s or 50_000) // 10
    for start in range(0, lines, slice_):
        sent = [
            await producer.send(topic, value_of(first + n), key=b"svc-%d" % (n % SERVICES), partition=n % 4)
            for n in range(start, min(start + slice_, lines))
        ]
        await asyncio.gather(*sent)
        if per_s:
            await asyncio.sleep(max(0.0, started + (start + slice_) / per_s - time.monotonic()))


def report(member: Member, idle_mib: float, minute: int) -> float:
    above = rss_mib(member) - idle_mib
    scored, lag = member.metric("logwarden_scored_lines_total"), member.metric("logwarden_lag_records")
    reasons = json.loads(member.body("/readyz")).get("reasons", [])
    print(f"minute {minute}: {above:+.0f} MiB, {scored:,.0f} lines scored, lag {lag:,.0f}, {reasons}", flush=True)
    return above


async def measure(topics: Topics, member: Member, *, minutes: float, per_s: int, bad: bool) -> float:
    """Returns the most memory above idle, in MiB."""
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap, linger_ms=5, max_batch_size=1 << 18) as producer:
        if bad:  # with all alerts stuck, nothing would ever be scored for a warm-up
            await flow(producer, topics.logs, 0, WARM_UP_LINES)
            await asyncio.to_thread(
                until, lambda: member.metric("logwarden_scored_lines_total") >= WARM_UP_LINES, 120, "warm"
            )
        idle, most, sent = rss_mib(member), 0.0, WARM_UP_LINES
        print(f"idle: {idle:.0f} MiB", flush=True)
        if bad:
            await producer.send_and_wait(topics.logs, b'{"broken', partition=0)
        minute, left_s = 0, minutes * 60
        while left_s > 0:
            part_s = min(REPORT_S, left_s)
            await flow(producer, topics.logs, sent, int(part_s * per_s), per_s)
            sent, left_s, minute = sent + int(part_s * per_s), left_s - part_s, minute + 1
            most = max(most, await asyncio.to_thread(report, member, idle, minute))
        return most


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--lines-per-s", type=int, default=10_000)
    parser.add_argument("--stuck", choices=("alerts", "dead-letters"), default="dead-letters")
    options = parser.parse_args()
    bad = options.stuck == "dead-letters"
    with tempfile.TemporaryDirectory() as folder, Broker.create(folder) as broker:
        topics = asyncio.run(fresh_topics(broker.bootstrap))
        missing = topics.named("missing")
        topics = replace(topics, dead_letters=missing) if bad else replace(topics, alerts=missing)
        with Fleet(topics, Path(folder), "none", quiet=True) as fleet:
            calm = {"ALERTS__THRESHOLD": "none", "ALERTS__LEARNING_LINES": 10_000} if bad else {}
            member = fleet.start(
                MODEL__TABLE_ROWS=32_768,
                WINDOW__SIZE=32,
                LIMITS__MAX_SERVICES=20_000,
                KAFKA__COMMIT_INTERVAL_MS=1_000,
                **calm,
            )
            until(lambda: member.metric("logwarden_partitions"), READY_S, "partitions are assigned")
            most = asyncio.run(measure(topics, member, minutes=options.minutes, per_s=options.lines_per_s, bad=bad))
            print(f"at most {most:.0f} MiB above idle; {member.cpu_seconds():.0f} s of CPU")
            asyncio.run(create_topics(broker.bootstrap, {missing: 1}))
            until(lambda: member.status("/readyz") == 200, 60, "ready again, once the topic exists")


if __name__ == "__main__":
    _main()
