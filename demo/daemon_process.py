"""Runs the real daemon in a process of its own, beside an embedded broker.

Knows the daemon as an operator does: environment, HTTP port, log, signals. Knows nothing of recordings.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.reading import own_environment

LOGS, ALERTS, DEAD = "demo.logs", "demo.alerts", "demo.dead-letters"


class DaemonProcess:
    """`logwarden run` in a process of its own, connected to the embedded broker."""

    def __init__(self, bootstrap: str, log_path: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._log_path = log_path
        self._variables = {
            "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "LOGWARDEN_KAFKA__INPUT_TOPICS": LOGS,
            "LOGWARDEN_KAFKA__ALERTS_TOPIC": ALERTS,
            "LOGWARDEN_KAFKA__DEAD_LETTER_TOPIC": DEAD,
            "LOGWARDEN_KAFKA__FIRST_START": "earliest",  # every line of the recording is judged
            "LOGWARDEN_KAFKA__INCIDENTS_TOPIC": "none",  # the demo folds, because its clock is the recording's
            "LOGWARDEN_KAFKA__STATE_TOPIC": "none",  # the demo is over before anything could be forgotten
            "LOGWARDEN_KAFKA__FEEDBACK_TOPIC": "none",
            "LOGWARDEN_HTTP__HOST": "127.0.0.1",
            "LOGWARDEN_HTTP__PORT": str(self._port),
        }

    def __enter__(self) -> DaemonProcess:
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "logwarden", "run"],  # this package, whatever the current directory
                env=own_environment() | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_running:
            self._process.kill()
        self._process.wait()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def ready(self) -> bool:
        return self._get("/readyz") is not None

    def metric(self, name: str) -> float:
        """Returns a counter's value, or 0 while the daemon does not answer."""
        text = self._get("/metrics")
        if text is None:
            return 0.0
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        assert found, f"the daemon has a metric {name}"
        return sum(map(float, found))

    def nap(self) -> None:
        """Waits for a moment, and ends early if the daemon ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)

    def stop(self) -> int:
        """Sends SIGTERM, as an orchestrator would, and waits for the drain. Returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(45)

    def last_line(self) -> str:
        lines = self._log_path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its log is empty"

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return None


def require_confluent() -> Any:
    """Returns the module of librdkafka's client. Raises ConfigurationError where it is not installed."""
    try:
        import confluent_kafka
    except ImportError:
        raise ConfigurationError(
            "the demo's embedded broker is not installed", hint="run `pip install 'logwarden[demo]'` or `make demo`"
        ) from None
    return confluent_kafka


def broker_address(producer: Any) -> str:
    """Returns the address of the broker inside a client."""
    brokers: Sequence[Any] = list(producer.list_topics(timeout=10).brokers.values())
    return ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
