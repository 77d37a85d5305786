"""Owns ports and cuts: finds free ports and drops packets between servers. Knows no system.

Cuts are firewall rules in the network of the run (see isolation), so they affect nothing outside and end with it.
Packets are dropped silently, as by a broken link; a refused connection would look like a dead server.
"""

import random
import shutil
import socket
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from logwarden.training.faultlab.isolation import PROGRAMS, isolated

# Outgoing connections take their ports from 32768 upwards and would clash with a server that restarts.
_PORTS = range(20_000, 32_000)


class Network:
    """The cuts of one run. `_rule` adds every rule, and `heal` removes all."""

    @property
    def impossible(self) -> str | None:
        """Returns the reason why no link can be cut here, or None."""
        if not isolated():
            return "only root in a private network namespace can cut connections"
        return None if shutil.which("iptables", path=PROGRAMS) else "iptables is not installed"

    def drop(self, ports: Iterable[int], *, share: float = 1.0) -> None:
        """Drops packets to and from servers on `ports`: all of them, or a random `share`."""
        some = [] if share >= 1 else ["-m", "statistic", "--mode", "random", "--probability", f"{share:g}"]
        for port in ports:
            self._rule("INPUT", "-p", "tcp", "--dport", str(port), *some)
            self._rule("INPUT", "-p", "tcp", "--sport", str(port), *some)

    def drop_address(self, address: str) -> None:
        """Drops all packets to and from `address`, one of 127.0.0.0/8 that stands for a link."""
        self._rule("INPUT", "-d", address)
        self._rule("INPUT", "-s", address)

    def isolate(self, uid: int, own_ports: Iterable[int], other_ports: Iterable[int]) -> None:
        """Cuts off the node that runs as `uid` and listens on `own_ports` from peers that listen on `other_ports`."""
        for port in own_ports:
            self._rule("OUTPUT", "-p", "tcp", "--dport", str(port))
            self._rule("OUTPUT", "-p", "tcp", "--sport", str(port))
        for port in other_ports:
            self._rule("OUTPUT", "-p", "tcp", "--dport", str(port), "-m", "owner", "--uid-owner", str(uid))

    def heal(self) -> None:
        """Removes all cuts."""
        for chain in ("INPUT", "OUTPUT"):
            _iptables("-F", chain)

    def _rule(self, chain: str, *match: str) -> None:
        assert self.impossible is None, "the caller checks `impossible` before it injects a fault"
        _iptables("-A", chain, *match, "-j", "DROP")


def free_ports(count: int, rng: random.Random) -> list[int]:
    """Returns random ports of 127.0.0.1 without a listener."""
    found: list[int] = []
    while len(found) < count:
        port = rng.choice(_PORTS)
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def listening(port: int) -> bool:
    """Returns True if a server listens on `port`, by the tables of the kernel: a connection would leave a log line."""
    wanted = f":{port:04X}"
    tables = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
    rows = [row.split() for table in tables if table.exists() for row in table.read_text().splitlines()[1:]]
    return any(row[1].endswith(wanted) and row[3] == "0A" for row in rows)


def _iptables(*arguments: str) -> None:
    command: Sequence[str] = ("iptables", "-w", *arguments)
    subprocess.run(command, check=True, env={"PATH": PROGRAMS}, stdout=subprocess.DEVNULL)
