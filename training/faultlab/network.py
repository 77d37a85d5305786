"""Owns ports and cuts: who listens where, and what the kernel lets through between them. Knows no system.

Cuts are firewall rules in a network that belongs to the run alone (see isolation), so that nothing outside the run can
be touched and nothing has to be undone for others.
Packets are dropped silently, as a broken link does; a refused connection is what a dead server looks like.
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
    """The cuts of one run. Rules are added by one method and all taken back by `heal`."""

    @property
    def impossible(self) -> str | None:
        """Why nothing can be cut here; None if it can."""
        if not isolated():
            return "only root in a private network namespace can cut connections"
        return None if shutil.which("iptables", path=PROGRAMS) else "iptables is not installed"

    def drop(self, ports: Iterable[int], *, share: float = 1.0) -> None:
        """Loses packets to and from servers on `ports`: all of them, or a random `share`."""
        some = [] if share >= 1 else ["-m", "statistic", "--mode", "random", "--probability", f"{share:g}"]
        for port in ports:
            self._rule("INPUT", "-p", "tcp", "--dport", str(port), *some)
            self._rule("INPUT", "-p", "tcp", "--sport", str(port), *some)

    def drop_address(self, address: str) -> None:
        """Loses all that is sent to `address` or comes from it: one of 127.0.0.0/8 that stands for a link."""
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
        """Lets everything through again."""
        for chain in ("INPUT", "OUTPUT"):
            _iptables("-F", chain)

    def _rule(self, chain: str, *match: str) -> None:
        assert self.impossible is None, "a fault that cannot be injected says so beforehand"
        _iptables("-A", chain, *match, "-j", "DROP")


def free_ports(count: int, rng: random.Random) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, drawn at random."""
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
    """Looked up in the kernel's table: a trial connection would leave a line in the log that no client writes."""
    wanted = f":{port:04X}"
    tables = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
    rows = [row.split() for table in tables if table.exists() for row in table.read_text().splitlines()[1:]]
    return any(row[1].endswith(wanted) and row[3] == "0A" for row in rows)


def _iptables(*arguments: str) -> None:
    command: Sequence[str] = ("iptables", "-w", *arguments)
    subprocess.run(command, check=True, env={"PATH": PROGRAMS}, stdout=subprocess.DEVNULL)
