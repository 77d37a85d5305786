"""A real Alertmanager as a plain process on loopback, from Debian's package `prometheus-alertmanager`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.ports import free_ports

PROGRAM = "prometheus-alertmanager"
MISSING = f"Alertmanager is missing: apt-get install {PROGRAM}"
_CONFIGURATION = """\
route: {receiver: none, group_by: [incident], group_wait: 1s, group_interval: 1s}
receivers: [{name: none}]
"""
_START_S = 20.0


class RunningAlertmanager:
    """The process and its API."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def alerts(self) -> list[dict[str, Any]]:
        """Returns the alerts that are active."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts?active=true", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def incidents(self) -> dict[str, str]:
        """Returns the severity of each incident that is active, by its id."""
        return {alert["labels"]["incident"]: alert["labels"]["severity"] for alert in self.alerts()}


@contextmanager
def alertmanager(directory: Path, port: int | None = None) -> Iterator[RunningAlertmanager]:
    """Yields a running Alertmanager. Skips the test where the program is missing, unless CI requires everything."""
    if shutil.which(PROGRAM) is None:
        if os.environ.get("LOGWARDEN_REQUIRE_KAFKA") == "1":
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)  # Debian's package; CI sets the variable and fails above
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "alertmanager.yml"
    configuration.write_text(_CONFIGURATION, encoding="utf-8")
    port = port or free_ports(1)[0]
    command = [
        PROGRAM,
        f"--config.file={configuration}",
        f"--storage.path={directory}/data",
        "--cluster.listen-address=",
    ]
    with (directory / "alertmanager.log").open("ab") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        running = RunningAlertmanager(port)
        _wait_until_ready(running, process)
        yield running
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_ready(running: RunningAlertmanager, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(f"{running.url}/-/ready", timeout=2):
                return
        except OSError:
            assert process.poll() is None, "Alertmanager ended at once"
            assert time.monotonic() < deadline, "Alertmanager is not ready"
            time.sleep(0.05)
