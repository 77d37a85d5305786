"""The client programs of load, probes and attacks on PostgreSQL. Knows no server process and no fault.

Clean load and faults both use this module, so that no request betrays a fault: the same
psql and pgbench, one role, one database, one application name each.
"""

import contextlib
import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from logwarden.training.faultlab.process import Workshop

ROLE = "app"
PASSWORD = "pear-lantern-42"
DATABASE = "shop"
# Few enough that two transfers often want the same one.
HOT_ACCOUNTS = 4
_CLIENT_DEADLINE_S = 25.0

# Sorts in little memory on purpose: it leaves slow statements and temporary files in the log.
REPORT = "SELECT count(*) FROM (SELECT aid FROM pgbench_accounts ORDER BY md5(aid::text)) AS shuffled"
LOOKUP = "SELECT abalance FROM pgbench_accounts WHERE aid = {aid}"
REPLICAS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPorts:
    primary: int
    replica: int
    pooler: int


class PostgresSession:
    """One psql with an open standard input, so that it can be left waiting."""

    def __init__(self, psql: subprocess.Popen[str]) -> None:
        self._psql = psql

    @property
    def alive(self) -> bool:
        return self._psql.poll() is None

    def say(self, sql: str) -> None:
        assert self._psql.stdin is not None
        # The end of a server ends psql too; `leave` reports that.
        with contextlib.suppress(BrokenPipeError):
            self._psql.stdin.write(f"{sql};\n")
            self._psql.stdin.flush()

    def leave(self) -> bool:
        """Ends the input, waits for psql and returns True if all statements succeeded."""
        assert self._psql.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._psql.stdin.close()
        try:
            return self._psql.wait(_CLIENT_DEADLINE_S) == 0
        except subprocess.TimeoutExpired:
            self._psql.kill()
            self._psql.wait()
            return False


class PostgresClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, programs: Path, ports: PostgresPorts) -> None:
        self._workshop = workshop
        self._programs = programs
        self.ports = ports

    def query(self, port: int, *statements: str, password: str = PASSWORD, database: str = DATABASE) -> str | None:
        """Returns the output of psql, or None if a statement failed."""
        commands = [part for sql in statements for part in ("-c", sql)]
        finished = self._workshop.run(
            [*self._psql(port, database), "-At", *commands],
            timeout_s=_CLIENT_DEADLINE_S,
            env=_credentials(password),
        )
        return finished.output if finished.ok else None

    def session(self, port: int) -> PostgresSession:
        return PostgresSession(self._workshop.open(self._psql(port, DATABASE), env=_credentials(PASSWORD)))

    def served(self) -> bool:
        """Returns True if every service answers and the replica follows the primary."""
        streaming = self.query(self.ports.pooler, REPLICAS)
        return streaming is not None and streaming.strip() == "1" and self.look_up(self.ports.replica, 1)

    def look_up(self, port: int, aid: int, password: str = PASSWORD) -> bool:
        return self.query(port, LOOKUP.format(aid=aid), password=password) is not None

    def report(self, port: int) -> bool:
        return self.query(port, REPORT) is not None

    def trade(self, rng: random.Random) -> bool:
        """Runs pgbench's bank through the pooler for some seconds; returns False if a client was cut off."""
        seconds, rate = rng.randint(3, 6), rng.randint(6, 14)
        finished = self._workshop.run(
            [
                *(str(self._programs / "pgbench"), "--no-vacuum", "--client=3", "--jobs=1"),
                *(f"--rate={rate}", f"--time={seconds}", *self._where(self.ports.pooler), DATABASE),
            ],
            timeout_s=_CLIENT_DEADLINE_S,
            env=_credentials(PASSWORD),
        )
        return finished.ok

    def transfer(self, aids: Sequence[int], think_s: float) -> bool:
        """Moves money along `aids` in one transaction with pauses, as people do."""
        session = self.session(self.ports.primary)
        session.say("BEGIN")
        for aid in aids:
            session.say(f"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = {aid}")
            time.sleep(think_s)
        session.say("COMMIT")
        return session.leave()

    def _psql(self, port: int, database: str) -> list[str]:
        program = str(self._programs / "psql")
        return [program, "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", *self._where(port), database]

    def _where(self, port: int) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(port), "-U", ROLE]


def _credentials(password: str) -> Mapping[str, str]:
    return {"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "5"}
