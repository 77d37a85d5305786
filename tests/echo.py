"""A toy system for the fault lab's tests: one real server, one real client, real faults."""

import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, Script

SCRIPT = Script(
    seed=3,
    clean_s=2.0,
    warm_up_s=0.1,
    breath_s=0.05,
    spike_s=0.05,
    idle_s=0.05,
    ramp_s=0.05,
    long_s=1.0,
    probe_every_s=0.05,
    recovery_deadline_s=5,
)

# Answers every byte on its socket with one and says so in its log, through a child of its own, as real servers do.
SERVER = """
import os, socket, sys, time
listener = socket.socket(socket.AF_UNIX)
if os.path.exists("socket"): os.unlink("socket")
listener.bind("socket"); listener.listen()
print("ready to serve", flush=True)
if os.fork() == 0:
    os.setsid()
    while True: time.sleep(60)
while True:
    peer, _ = listener.accept()
    try: peer.recv(1); peer.sendall(b"y")
    except OSError: continue  # the caller lost patience while we were frozen
    print("served one client", flush=True)
"""


def until(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, "the world did not become as expected in time"
        time.sleep(0.01)


class Echo:
    """One real server, one real client, two real faults; on request a clean part that is not clean."""

    name = "echo"
    never_in_clean = "Traceback"

    def __init__(self, *, broken_clean: bool = False, for_good: bool = False, broken_later: bool = False) -> None:
        self._broken_clean = broken_clean
        self._for_good = for_good
        self._broken_later = broken_later
        self._cleared_at = float("inf")
        self.packages: Sequence[str] = ()

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {"echo": (self.server.log,)}

    def missing(self) -> Sequence[str]:
        return self.packages

    def setup(self, workshop: Workshop) -> None:
        self.path = workshop.path
        self.server = workshop.child([sys.executable, "-I", "-u", "-c", SERVER], workshop.path / "echo.log")

    def start(self) -> None:
        self.server.start()
        until(self.healthy)

    def versions(self) -> Mapping[str, str]:
        return {"python": sys.version.split()[0]}

    def workload(self) -> Sequence[Client]:
        def run(rng: random.Random) -> bool:
            late = self._broken_later and time.monotonic() > self._cleared_at + 0.4
            return self.healthy() and not self._broken_clean and not late

        return [Client(name="caller", every_s=0.05, touches=frozenset({"echo"}), run=run)]

    def healthy(self) -> bool:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(0.2)
            try:
                caller.connect(str(self.path / "socket"))
                caller.sendall(b"x")
                return caller.recv(1) == b"y"
            except OSError:
                return False

    def faults(self) -> Sequence[Disturbance]:
        def start() -> None:
            self._cleared_at = time.monotonic()
            if not self._for_good:
                self.server.start()

        return [
            Disturbance(
                name="sigkill",
                cause="process",
                what="SIGKILL",
                services=("echo",),
                inject=self.server.kill,
                clear=start,
                hold_s=0.1,
            ),
            Disturbance(
                name="frozen",
                cause="process",
                what="SIGSTOP",
                services=("echo",),
                inject=lambda: self.server.send_tree(signal.SIGSTOP),
                clear=lambda: self.server.send_tree(signal.SIGCONT),
                hold_s=0.25,
            ),
            Disturbance(name="flood", cause="resource", what="water", services=("echo",), impossible="no water here"),
        ]

    def benign(self) -> Sequence[Disturbance]:
        if self._for_good:
            return []
        return [
            Disturbance(
                name="restart",
                cause="restart",
                what="stopped and started",
                services=("echo",),
                inject=self.server.stop,
                clear=self.server.start,
                drained=frozenset({"echo"}),
            )
        ]

    def stop(self) -> None:
        self.server.stop()
