"""The tutorial, followed step by step: its commands, a real broker with its own tools, real logs with real faults."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.broker import LIGHT, Broker
from tests.kafka.jars import fetch_jars
from tests.kafka.ports import free_ports
from tests.test_readme import blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
PROMISED_S = 600
"""The page's name promises ten minutes."""
FAULTS = 8
MARK = "--- the block ended"
LEFT_OUT = ("pip install .", "docker run", "tail -F")
"""Blocks that a test cannot run: the installation, another way to a broker, and a command without an end."""
TOOLS = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
}


def record_of_a_deploy_job() -> str:
    """Returns the block of docs/feedback.md that announces a maintenance by Kafka's own tool, dated tomorrow."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    found = blocks((ROOT / "docs" / "feedback.md").read_text(encoding="utf-8"))
    [block] = [block.text for block in found if "kafka-console-producer" in block.text]
    return re.sub(r"\d{4}-\d\d-\d\d(?=T)", tomorrow, block)


def documented_requests() -> list[str]:
    """Returns the paths that documents read by `curl`, without those that write."""
    found = set()
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for block in blocks(page.read_text(encoding="utf-8")):
            for line in block.text.replace("\\\n", " ").splitlines():
                if "curl" in line and not re.search(r" -(?:d|X|H) ", line):
                    found |= set(re.findall(r":8080(/[^\s'\"`]*)", line))
    return sorted(found)


class Terminal:
    """One shell in which a reader types block after block."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.run("set -o pipefail; trap 'echo FAILED: $BASH_COMMAND' ERR")

    def run(self, block: str) -> str:
        """Types a block and waits for its end. Returns what it printed."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{block}\necho '{MARK}'\n")
        self._shell.stdin.flush()
        printed = []
        while (line := self._shell.stdout.readline()) and line.rstrip() != MARK:
            printed.append(line)
        text = "".join(printed)
        assert line, f"the shell ended:\n{text}"
        assert "FAILED: " not in text, text
        return text

    def close(self) -> None:
        """Ends the shell and what it left running."""
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()


@pytest.fixture
def terminal(broker: Broker, tmp_path: Path) -> Iterator[Terminal]:
    """Yields a shell in a folder with the recordings, which finds logwarden and Kafka's tools on its PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {
        name: f'exec java -Xmx256m {" ".join(LIGHT)} -cp "{fetch_jars()}/*" {tool} "$@"' for name, tool in TOOLS.items()
    }
    scripts["logwarden"] = f'exec "{sys.executable}" -m logwarden "$@"'
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    (tmp_path / "training").symlink_to(ROOT / "training")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LOGWARDEN_")}
    variables["PATH"] = f"{programs}:{variables['PATH']}"
    shell = Terminal(tmp_path, variables)
    yield shell
    shell.close()


def wait(condition: Callable[[], bool]) -> None:
    """Waits as a reader does who looks again."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "nothing came within two minutes"
        time.sleep(0.5)


def _words(text: str) -> str:
    """Returns the words of a text, without what differs in each run: ages, and ids, which know the topic's own."""
    return " ".join(re.sub(r"\d+ d ago|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", text).split())


@pytest.mark.skipif(shutil.which("jq") is None, reason="the tutorial uses jq; apt-get install jq")
def test_a_newcomer_who_follows_the_tutorial_sees_the_incidents(broker: Broker, terminal: Terminal) -> None:
    """Each command of the page works as printed, the service is known, and its faults become incidents."""
    [port] = free_ports(1)

    def get(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return json.load(answer)

    def known() -> bool:
        return [one["state"] for one in get("/api/v1/services")["services"]] == ["known"]

    def broken() -> bool:
        read = get("/readyz")["facts"]["lag"] == 0
        return bool(read and get("/api/v1/incidents")["total"] == FAULTS)

    def requests_answer() -> bool:
        paths = documented_requests()
        assert len(paths) >= 4
        announced = any(one["key"] == "maintenance/deploy-7" for one in get("/api/v1/feedback")["feedback"])
        return announced and all(isinstance(get(path), dict) for path in paths)

    before: dict[str, Callable[[], bool]] = {
        "logwarden status\n": known,
        "logwarden incidents\n": broken,
        "kill %1\nwait %1\n": requests_answer,
    }
    typed = [block.text for block in blocks(PAGE.read_text(encoding="utf-8")) if block.tag == "sh"]
    assert [sum(text in block for block in typed) for text in LEFT_OUT] == [1, 1, 1]

    terminal.run(f"export LOGWARDEN_HTTP__PORT={port}")
    begin = time.monotonic()
    printed = {}
    typed.insert(-1, record_of_a_deploy_job())
    for block in typed:
        if not any(text in block for text in LEFT_OUT):
            wait(before.get(block, lambda: True))
            here = block.replace("localhost:9092", broker.bootstrap).replace("localhost:8080", f"localhost:{port}")
            printed[block.splitlines()[0]] = terminal.run(here)
    assert time.monotonic() - begin < PROMISED_S

    assert "No space left on device" in printed["logwarden scan after.log --baseline before.log"]
    assert "1 service: 0 learning, 0 noisy, 1 known" in printed["logwarden status"]
    incidents = printed["logwarden incidents"]
    assert incidents.count("●") == FAULTS
    assert "not_compacted" not in "".join(printed.values())
    everything = _words("".join(printed.values()))
    for example in blocks(PAGE.read_text(encoding="utf-8")):
        if example.tag == "text":
            shown = [line.partition("…")[0] for line in example.text.splitlines()]
            missing = [line for line in shown if _words(line) not in everything]
            assert not missing, f"the tutorial shows what is not printed: {missing}"
    assert all(words in incidents for words in ("No space left on device", "deadlock detected", "signal 9"))
    assert "password authentication failed" in printed['logwarden mute "password authentication failed" --for 2h']
