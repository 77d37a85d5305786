"""The etcdctl of load, probes and attacks on etcd. Knows no server process and no fault.

Clean load and faults both use this module, so that no request betrays a fault: the same
program, the same keys. There is no login: every login would log its token, and a random word makes a line look new.
"""

import random
from collections.abc import Mapping, Sequence

from logwarden.training.faultlab.process import Finished, Workshop

KEYS = 300
_CLIENT_DEADLINE_S = 25.0


class EtcdClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, ports: Mapping[str, int]) -> None:
        self._workshop = workshop
        self.ports = ports

    def ask(self, nodes: Sequence[str], *arguments: str, feed: str = "") -> Finished:
        """Runs etcdctl against all of `nodes`.

        Every connection leaves lines, so one node is enough for most requests.
        """
        endpoints = ",".join(f"127.0.0.1:{self.ports[node]}" for node in nodes)
        common = [f"--endpoints={endpoints}", "--command-timeout=8s", "--dial-timeout=4s"]
        return self._workshop.run(
            ["etcdctl", *common, *arguments], timeout_s=_CLIENT_DEADLINE_S, env={"ETCDCTL_API": "3"}, feed=feed
        )

    def ask_all(self, *arguments: str) -> Finished:
        return self.ask(tuple(self.ports), *arguments)

    def served(self) -> bool:
        """Returns True if the cluster takes a value and every node is healthy."""
        return self.ask(tuple(self.ports)[:1], "put", "shop/probe", "x").ok and self.ask_all("endpoint", "health").ok

    def leader(self) -> str | None:
        """Returns the node that reports itself as leader, or None."""
        for line in self.ask_all("endpoint", "status").output.splitlines():
            columns = [column.strip() for column in line.split(",")]
            if len(columns) > 5 and columns[4] == "true":
                return next((node for node, port in self.ports.items() if columns[0].endswith(f":{port}")), None)
        return None

    def write(self, rng: random.Random) -> bool:
        """Writes one or two values, rarely a long one."""
        length = rng.randint(20_000, 60_000) if rng.random() < 0.1 else rng.randint(10, 400)
        return all(self.store(rng, length) for _ in range(rng.randint(1, 2)))

    def store(self, rng: random.Random, length: int) -> bool:
        return self.ask(self._one(rng), "put", _basket(rng), feed="x" * length).ok

    def read(self, rng: random.Random) -> bool:
        """Reads one key, which often does not exist."""
        return self.ask(self._one(rng), "get", _basket(rng)).ok

    def list(self, rng: random.Random) -> bool:
        return self.ask(
            self._one(rng), "get", "--prefix", "shop/basket/1", f"--limit={rng.randint(5, 40)}", "--keys-only"
        ).ok

    def lease(self, rng: random.Random) -> bool:
        """Writes a key that expires."""
        node = self._one(rng)
        granted = self.ask(node, "lease", "grant", str(rng.randint(5, 20)))
        words = granted.output.split()
        return (
            granted.ok and len(words) > 1 and self.ask(node, "put", f"--lease={words[1]}", _basket(rng), "soon gone").ok
        )

    def renew(self, rng: random.Random) -> bool:
        """Ends a lease that has expired, or changes a key only if it exists; both are usually refused."""
        node = self._one(rng)
        if rng.random() < 0.5:
            self.ask(node, "lease", "revoke", f"{rng.randint(1 << 40, 1 << 50):x}")
        else:
            self.ask(node, "put", "--ignore-lease", f"shop/draft/{rng.randint(1, KEYS)}", "changed")
        return self.ask(node, "del", _basket(rng)).ok

    def _one(self, rng: random.Random) -> Sequence[str]:
        return (rng.choice(tuple(self.ports)),)


def _basket(rng: random.Random) -> str:
    return f"shop/basket/{rng.randint(1, KEYS)}"
