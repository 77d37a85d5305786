"""The client programs of load, probes and attacks on Redis. Knows no server process and no fault.

Clean load and faults both use this module, so that no request betrays a fault: the same
redis-cli and redis-benchmark, one role, the same keys.
"""

import contextlib
import random
import re
import subprocess
from dataclasses import dataclass

from logwarden.training.faultlab.process import Workshop

ROLE, PASSWORD = "app", "plum-harbour-61"
ADMIN, ADMIN_PASSWORD = "admin", "quince-tower-08"
KEYS = 400
_CLIENT_DEADLINE_S = 25.0
# redis-cli that reads its commands from a pipe prints errors and ends with success all the same.
_REFUSED = re.compile(r"^(ERR|NOAUTH|NOPERM|MISCONF|READONLY|LOADING|MASTERDOWN|OOM|AUTH failed|Error|Could not)", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPorts:
    primary: int
    replica: int


class RedisClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, ports: RedisPorts) -> None:
        self._workshop = workshop
        self.ports = ports

    def ask(self, port: int, *words: str, feed: str = "", password: str = PASSWORD) -> str | None:
        """Returns the output of redis-cli for one command, or for those in `feed`; None if a command failed."""
        finished = self._workshop.run(
            [*_cli(port, ROLE), *words], timeout_s=_CLIENT_DEADLINE_S, env={"REDISCLI_AUTH": password}, feed=feed
        )
        return finished.output if finished.ok and not _REFUSED.search(finished.output) else None

    def administer(self, port: int, *words: str) -> str | None:
        """Returns the output of redis-cli for the operator's account, for planned changes only."""
        finished = self._workshop.run(
            [*_cli(port, ADMIN), *words], timeout_s=_CLIENT_DEADLINE_S, env={"REDISCLI_AUTH": ADMIN_PASSWORD}
        )
        return finished.output if finished.ok and not _REFUSED.search(finished.output) else None

    def served(self) -> bool:
        """Returns True if both servers answer, the primary takes writes and the replica follows."""
        primary, replica = self.ports.primary, self.ports.replica
        state = self.ask(primary, feed="SET article:0 here\nINFO replication\n")
        if state is None or "state=online" not in state:
            return False
        state = self.ask(replica, feed="GET article:0\nINFO replication\n")
        return state is not None and "master_link_status:up" in state

    def look_up(self, port: int, rng: random.Random, password: str = PASSWORD) -> bool:
        """Reads an article; some do not exist, which is no failure."""
        return self.ask(port, "GET", f"article:{rng.randint(1, KEYS)}", password=password) is not None

    def basket(self, rng: random.Random) -> bool:
        """Fills a shopping basket with several commands on one connection."""
        key = f"basket:{rng.randint(1, 40)}"
        lines = [f"HINCRBY {key} article:{rng.randint(1, KEYS)} {rng.randint(1, 3)}" for _ in range(rng.randint(2, 6))]
        return (
            self.ask(self.ports.primary, feed="\n".join([*lines, f"EXPIRE {key} 60", f"HGETALL {key}", ""])) is not None
        )

    def edit(self, rng: random.Random) -> bool:
        """Writes articles; sometimes increments a list, which Redis refuses."""
        words = [f"SET article:{rng.randint(1, KEYS)} {'x' * rng.randint(40, 400)}" for _ in range(rng.randint(3, 12))]
        if rng.random() < 0.2:
            words += ["LPUSH pending a", "INCR pending"]
        return self.ask(self.ports.primary, feed="\n".join([*words, ""])) is not None

    def wait_for_work(self, rng: random.Random) -> bool:
        """Takes an order from a queue, or times out after some seconds."""
        if rng.random() < 0.5:
            return self.ask(self.ports.primary, "LPUSH", "orders", str(rng.randint(1, 999))) is not None
        return self.ask(self.ports.primary, "BRPOP", "orders", str(rng.randint(1, 4))) is not None

    def survey(self, rng: random.Random) -> bool:
        """Reads all statistics, as dashboards do."""
        section = rng.choice(("memory", "stats", "clients", "persistence"))
        return self.ask(self.ports.replica, feed=f"INFO {section}\nDBSIZE\nKEYS basket:*\n") is not None

    def batch(self, rng: random.Random) -> bool:
        """Runs redis-benchmark with a few hundred requests; returns False if one is refused."""
        finished = self._workshop.run(
            [
                *("redis-benchmark", "-h", "127.0.0.1", "-p", str(self.ports.primary), "--user", ROLE, "-a", PASSWORD),
                *("-q", "-n", str(rng.randint(60, 300)), "-c", "2", "-r", "300", "-d", str(rng.randint(60, 200))),
                *("-t", rng.choice(("set,get", "set,incr", "get,hset"))),
            ],
            timeout_s=_CLIENT_DEADLINE_S,
        )
        return finished.ok

    def forget(self, rng: random.Random) -> bool:
        """Leaves a session open; after some seconds the server closes it, or the user does."""
        session = self._workshop.open(_cli(self.ports.primary, ROLE), env={"REDISCLI_AUTH": PASSWORD})
        assert session.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            session.stdin.write(f"GET article:{rng.randint(1, KEYS)}\n")
            session.stdin.flush()
        with contextlib.suppress(subprocess.TimeoutExpired):
            session.wait(rng.uniform(3, 8))
        with contextlib.suppress(BrokenPipeError):
            session.stdin.close()
        try:
            return session.wait(_CLIENT_DEADLINE_S) == 0
        except subprocess.TimeoutExpired:
            session.kill()
            session.wait()
            return False


def _cli(port: int, role: str) -> list[str]:
    return ["redis-cli", "-e", "-h", "127.0.0.1", "-p", str(port), "--user", role]
