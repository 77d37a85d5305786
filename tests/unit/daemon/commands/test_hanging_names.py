"""Every command ends by a signal while a name look-up hangs for ever, as with a name server that never answers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PATIENCE_S = 60
"""Seconds for an end that comes at once or never."""
RESOLVER = """
import os, signal, socket, threading

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
resolve = socket.getaddrinfo

def hang(host, *arguments, **options):
    if str(host).endswith("hangs.example"):
        os.write(2, b"RESOLVING\\n")
        threading.Event().wait()
    return resolve(host, *arguments, **options)

socket.getaddrinfo = hang
"""
SETTINGS = {
    "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": "kafka.hangs.example:9092",
    "LOGWARDEN_HTTP__PORT": "0",
    "LOGWARDEN_BRIDGE__HTTP_PORT": "none",
    "LOGWARDEN_BRIDGE__WEBHOOK_URL": "http://hook.hangs.example/",
    "LOGWARDEN_SHUTDOWN__DRAIN_TIMEOUT_S": "1",
    "LOGWARDEN_LOG__FORMAT": "json",
}
MEMBER = ("--url", "http://member.hangs.example:8080")
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "list_incidents", "arguments": {}},
}


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Starts a command whose look-ups hang, with its standard error in a pipe."""
    (folder / "sitecustomize.py").write_text(RESOLVER)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGWARDEN_")} | SETTINGS
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), environment.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-m", "logwarden", *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def reads(process: subprocess.Popen[str], word: str) -> str:
    """Returns the line of standard error that has a word."""
    assert process.stderr is not None
    return next(line for line in process.stderr if word in line)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("bridge",),
        ("bridge", "--check"),
        ("alerts", "--follow"),
        ("incidents",),
        ("mute", "out of memory"),
        ("status", *MEMBER),
    ],
    ids=" ".join,
)
def test_ctrl_c_ends_a_command_whose_look_up_hangs(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """An ordinary end of Python waits for the thread of the look-up, which nothing can interrupt."""
    with started(tmp_path, *arguments) as process:
        reads(process, "RESOLVING")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == (0 if arguments[0] in ("run", "bridge") else 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_for_agents_ends_while_a_call_hangs(tmp_path: Path, number: signal.Signals) -> None:
    """Over HTTP the call has a moment to end, then the process leaves it behind."""
    with started(tmp_path, "mcp", "--http", "0", *MEMBER) as process:
        url = json.loads(reads(process, "mcp_listens"))["url"]
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(CALL).encode(), headers)
        with ThreadPoolExecutor(1) as client:
            answer = client.submit(urllib.request.urlopen, request, timeout=PATIENCE_S)
            reads(process, "RESOLVING")
            process.send_signal(number)
            assert process.wait(PATIENCE_S) in (0, -number)
            assert isinstance(answer.exception(PATIENCE_S), OSError)


def test_the_end_of_the_input_ends_a_server_for_agents(tmp_path: Path) -> None:
    """A client that goes away closes the input, and waits for no answer."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    first = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
    with started(tmp_path, "mcp", *MEMBER) as process:
        assert process.stdin is not None
        for message in (first, {"jsonrpc": "2.0", "method": "notifications/initialized"}, CALL):
            print(json.dumps(message), file=process.stdin, flush=True)
        reads(process, "RESOLVING")
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
