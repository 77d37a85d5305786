"""Plays HDFS_2pct through a real broker and a real daemon: `make replay-hdfs`. Exits 1 if a line is left.

Service = the component that wrote the line. The figure is from the daemon's first fetched record to lag 0, with the
model loaded; the broker shares the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import lzma
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import Group, produce
from tests.kafka.member import READY_S, Member, until

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Figures of a replay."""

    lines: int
    left: int
    scored: int
    seconds: float
    cpu_seconds: float
    peak_rss_mib: float
    anomalies: int
    new_lines: int
    exit_code: int


def done_lines(member: Member) -> int:
    """Returns the lines that were scored, or that belong to the event of a scored one."""
    return int(member.metric("logwarden_scored_lines_total") + member.metric("logwarden_joined_lines_total"))


def hdfs_path() -> Path:
    """Returns the path of the recording in the data folder, which may be missing."""
    return Path(os.environ.get("LOGWARDEN_DATA", ROOT.parent / "shared" / "data")) / "hdfs" / "HDFS_2pct.log.xz"


def read_lines(count: int | None) -> list[bytes]:
    """Returns the first `count` raw lines, or all of them."""
    with lzma.open(hdfs_path()) as stream:
        return [line.rstrip(b"\n") for line in itertools.islice(stream, count)]


def component(line: bytes) -> bytes:
    """Returns the component: `081109 203615 148 INFO dfs.DataNode$PacketResponder: …` →
    `dfs.DataNode$PacketResponder`."""
    return line.split(b" ", 5)[4].rstrip(b":")


def replay(
    broker: Broker,
    lines: list[bytes],
    log_path: Path,
    *,
    prefix: str = "hdfs",
    settings: dict[str, object] | None = None,
) -> Replay:
    """Produces the lines, then starts a daemon and waits until the group has committed all of them."""
    logs, alerts, dead = f"{prefix}.logs", f"{prefix}.alerts", f"{prefix}.dead"
    asyncio.run(create_topics(broker.bootstrap, {logs: PARTITIONS, alerts: 1, dead: 1}))
    asyncio.run(produce(broker.bootstrap, logs, [(component(line), line, None) for line in lines]))
    group = Group(broker.bootstrap, prefix, logs, PARTITIONS)
    member = Member(
        log_path,
        {
            "KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap,
            "KAFKA__INPUT_TOPICS": logs,
            "KAFKA__ALERTS_TOPIC": alerts,
            "KAFKA__DEAD_LETTER_TOPIC": dead,
            "KAFKA__GROUP_ID": prefix,
            "KAFKA__FIRST_START": "earliest",
            **(settings or {}),
        },
    )
    with member:
        until(member.ready, READY_S, "partitions")
        until(lambda: member.metric("logwarden_records_total") > 0, 30, "the first record")
        started = time.monotonic()
        until(lambda: done_lines(member) >= len(lines), 600, "every line scored")
        seconds = time.monotonic() - started
        until(lambda: asyncio.run(group.lag()) == 0, 30, "lag 0")
        return Replay(
            lines=len(lines),
            left=asyncio.run(group.lag()),
            scored=done_lines(member),
            seconds=seconds,
            cpu_seconds=member.cpu_seconds(),
            peak_rss_mib=member.peak_rss_mib(),
            anomalies=int(member.metric("logwarden_anomalous_windows_total")),
            new_lines=int(member.metric("logwarden_new_lines_total")),
            exit_code=member.terminate(),
        )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lines", type=int, default=None, help="only so many lines from the start")
    wanted = options.parse_args()
    if not hdfs_path().is_file():
        print(f"replay-hdfs: {hdfs_path()} is missing; set LOGWARDEN_DATA to the data folder", file=sys.stderr)
        return 2
    lines = read_lines(wanted.lines)
    with tempfile.TemporaryDirectory() as directory, Broker.create(directory) as broker:
        result = replay(broker, lines, Path(directory) / "member.log")
    print(f"lines           {result.lines:>9,}   scored {result.scored:,}   left {result.left}")
    print(f"end to end      {result.lines / result.seconds:>9,.0f} lines/s   ({result.seconds:.1f} s wall)")
    print(f"daemon          {result.cpu_seconds:>9.1f} s CPU   peak RSS {result.peak_rss_mib:,.0f} MiB")
    print(f"anomalies       {result.anomalies:>9,}   distinct masked lines {result.new_lines}")
    print(f"exit code       {result.exit_code:>9}")
    return 0 if result.left == 0 and result.exit_code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
