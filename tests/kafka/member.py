"""A real daemon in a process of its own, as an operator runs it: environment in, metrics, log and exit code out.

Knows the command line and the HTTP port only; refuses to reach into the daemon's objects.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

POLL_S = 0.05


class Member:
    """One `logwarden run`. Leaving its context kills it if it still runs."""

    def __init__(self, log_path: Path, settings: Mapping[str, object]) -> None:
        self.log_path = log_path
        self._settings = {f"LOGWARDEN_{name}": str(value) for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def start(self) -> Self:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOGWARDEN_")}
        ours = {"LOGWARDEN_HTTP__HOST": "127.0.0.1", "LOGWARDEN_HTTP__PORT": str(self.port)}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "daemon", "run"],
                env=inherited | {"LOGWARDEN_LOG__FORMAT": "json"} | ours | self._settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None, "started before"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and reap. Nothing to do if it has ended."""
        if self._process is not None:
            if self.is_running:
                self._process.kill()
            self._process.wait(10)

    def terminate(self, timeout_s: float = 45) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None, "started before"
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def wait(self, timeout_s: float) -> int:
        """Waits for it to end by itself; returns the exit code."""
        assert self._process is not None, "started before"
        return self._process.wait(timeout_s)

    def log(self) -> str:
        """What it has said so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def ready(self) -> bool:
        """What `/readyz` says."""
        return self._get("/readyz") is not None

    def metric(self, name: str) -> float:
        """A metric's value, summed over its labels; 0 while it has none or the port does not answer."""
        text = self._get("/metrics") or ""
        found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? ([0-9.e+-]+)$", text, re.MULTILINE)
        return sum(map(float, found))

    def peak_rss_mib(self) -> float:
        """The largest resident set so far, in MiB."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _get(self, path: str) -> str | None:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer,
        ):
            return str(answer.read().decode())
        return None


def until(condition, timeout_s: float, what: str) -> None:  # type: ignore[no-untyped-def]
    """Polls until the condition holds; an AssertionError that says what was awaited otherwise."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(POLL_S)


async def produce(bootstrap: str, topic: str, records: list[tuple[bytes | None, bytes, int | None]]) -> None:
    """Sends (key, value, partition) in order and waits for all of them."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=262_144)
    await producer.start()
    try:
        pending = [
            await producer.send(topic, key=key, value=value, partition=partition) for key, value, partition in records
        ]
        for future in pending:
            await future
    finally:
        await producer.stop()


async def read_all(bootstrap: str, topic: str) -> list[object]:
    """Every record of a topic as it stands now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_poll_records=10_000)
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or await _known(consumer, topic)
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        records: list[object] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records.extend(batch)
        return records
    finally:
        await consumer.stop()


async def _known(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.fetch_all_metadata()  # the public API has no call that asks for one topic now
    return set(consumer.partitions_for_topic(topic) or ())


async def lag(bootstrap: str, group: str, topic: str, partitions: int) -> int:
    """Records of the topic that the group has not committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await admin.start()
    await consumer.start()
    try:
        wanted = [TopicPartition(topic, p) for p in range(partitions)]
        ends = await consumer.end_offsets(wanted)
        committed = await admin.list_consumer_group_offsets(group, partitions=wanted)
        return sum(ends[p] - max(0, committed[p].offset if p in committed else 0) for p in wanted)
    finally:
        await consumer.stop()
        await admin.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
