"""The client programs of load, probes and attacks on MariaDB. Knows no server process and no fault.

Clean load and faults both use this module, so that no request betrays a fault: the same
mariadb and mariadb-slap, the same two roles, one database.
"""

import contextlib
import random
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from logwarden.training.faultlab.process import Workshop

APP, APP_PASSWORD = "app", "pear-lantern-42"
OPS, OPS_PASSWORD = "ops", "copper-kettle-17"
DATABASE = "shop"
ACCOUNTS = 5_000
CATALOG = 4_000
# Few enough that two transfers often want the same one.
HOT_ACCOUNTS = 6
_CLIENT_DEADLINE_S = 25.0
# mariadb alone of the programs knows this option.
_PATIENCE = "--connect-timeout=8"

# Sorts in little memory on purpose: it is slow, and its temporary files lie on the disk of the server.
REPORT = "SELECT MAX(t) FROM (SELECT title AS t FROM catalog ORDER BY MD5(CONCAT(title, price)) LIMIT 3900) AS x"
COUNT = "SELECT COUNT(title), SUM(price) FROM catalog"
BROWSE = "SELECT title FROM catalog WHERE id BETWEEN {first} AND {first} + 20"
LOOK_UP = "SELECT balance FROM accounts WHERE id = {account}"
_ORDER = "INSERT INTO orders (account, note) VALUES ({account}, REPEAT('please ring twice, ', {length}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class MariaDBPorts:
    primary: int
    replica: int


class MariaDBSession:
    """One mariadb with an open standard input, so that it can be left waiting."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    @property
    def alive(self) -> bool:
        return self._program.poll() is None

    def say(self, sql: str) -> None:
        assert self._program.stdin is not None
        # The end of a server ends the program too; `leave` reports that.
        with contextlib.suppress(BrokenPipeError):
            self._program.stdin.write(f"{sql};\n")
            self._program.stdin.flush()

    def leave(self) -> bool:
        """Ends the input, waits for the program and returns True if all statements succeeded."""
        assert self._program.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._program.stdin.close()
        try:
            return self._program.wait(_CLIENT_DEADLINE_S) == 0
        except subprocess.TimeoutExpired:
            self.vanish()
            return False

    def vanish(self) -> None:
        """Kills the program, as a closed terminal does."""
        self._program.kill()
        self._program.wait()


class MariaDBClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, ports: MariaDBPorts) -> None:
        self._workshop = workshop
        self.ports = ports

    def query(self, port: int, *statements: str, password: str = APP_PASSWORD) -> str | None:
        """Returns the output of mariadb for the shop's account, or None if a statement failed."""
        return self._ask(port, statements, APP, password)

    def operate(self, port: int, *statements: str) -> str | None:
        """Returns the output of mariadb for the operator's account, or None if a statement failed."""
        return self._ask(port, statements, OPS, OPS_PASSWORD)

    def session(self, port: int) -> MariaDBSession:
        argv = ["mariadb", *self._where(port, APP), _PATIENCE, "--batch", DATABASE]
        return MariaDBSession(self._workshop.open(argv, env={"MYSQL_PWD": APP_PASSWORD}))

    def served(self) -> bool:
        """Returns True if both servers answer, the catalogue can be read to its end and the replica follows."""
        status = self.operate(self.ports.replica, "SHOW SLAVE STATUS")
        # The columns before these two hold no bare word Yes.
        following = status is not None and status.split("\t").count("Yes") >= 2
        answers = (self.query(port, COUNT) for port in (self.ports.primary, self.ports.replica))
        return following and all((answer or "").startswith(f"{CATALOG}\t") for answer in answers)

    def look_up(self, port: int, account: int, password: str = APP_PASSWORD) -> bool:
        return self.query(port, LOOK_UP.format(account=account), password=password) is not None

    def browse(self, rng: random.Random, port: int) -> bool:
        return self.query(port, BROWSE.format(first=rng.randint(1, CATALOG - 20))) is not None

    def report(self, port: int) -> bool:
        return self.query(port, REPORT) is not None

    def order(self, rng: random.Random) -> bool:
        """Sends an order, sometimes with a duplicate that is ignored or a price that is no number."""
        account = rng.randint(1, ACCOUNTS)
        statements = [order(rng)]
        if rng.random() < 0.4:
            statements.append(f"INSERT IGNORE INTO accounts VALUES ({account}, 100)")
        if rng.random() < 0.2:
            statements.append(f"SELECT title FROM catalog WHERE price = '{rng.randint(1, 90)} EUR' LIMIT 3")
        return self.query(self.ports.primary, *statements) is not None

    def trade(self, rng: random.Random) -> bool:
        """Runs clients of mariadb-slap in parallel; returns False if one was cut off."""
        statements = (LOOK_UP.format(account=rng.randint(1, ACCOUNTS)), order(rng))
        finished = self._workshop.run(
            [
                *("mariadb-slap", *self._where(self.ports.primary, APP), f"--create-schema={DATABASE}", "--no-drop"),
                *("--concurrency=2", "--iterations=1", f"--number-of-queries={rng.choice((8, 12, 16))}"),
                *("--delimiter=;", f"--query={';'.join(statements)}"),
            ],
            timeout_s=_CLIENT_DEADLINE_S,
            env={"MYSQL_PWD": APP_PASSWORD},
        )
        return finished.ok

    def transfer(self, accounts: Sequence[int], think_s: float) -> bool:
        """Moves money along `accounts` in one transaction with pauses, as people do."""
        session = self.session(self.ports.primary)
        session.say("START TRANSACTION")
        for account in accounts:
            session.say(f"UPDATE accounts SET balance = balance + 1 WHERE id = {account}")
            time.sleep(think_s)
        session.say("COMMIT")
        return session.leave()

    def glance(self, rng: random.Random) -> bool:
        """Reads some rows; sometimes disconnects without closing the session."""
        session = self.session(self.ports.primary)
        session.say(LOOK_UP.format(account=rng.randint(1, ACCOUNTS)))
        if rng.random() < 0.8:
            return session.leave()
        time.sleep(rng.uniform(0.5, 1.5))
        alive = session.alive
        session.vanish()
        return alive

    def dump(self) -> str:
        """Dumps the catalogue with mariadb-dump."""
        # In short statements: the slow log quotes a long one in full, a line for every row.
        short = "--net-buffer-length=16384"
        argv = ["mariadb-dump", *self._where(self.ports.primary, OPS), short, DATABASE, "catalog"]
        return self._workshop.must(argv, env={"MYSQL_PWD": OPS_PASSWORD})

    def restore(self, dump: str) -> None:
        argv = ["mariadb", *self._where(self.ports.primary, OPS), DATABASE]
        self._workshop.run(argv, timeout_s=_CLIENT_DEADLINE_S, env={"MYSQL_PWD": OPS_PASSWORD}, feed=dump)

    def _ask(self, port: int, statements: Sequence[str], user: str, password: str) -> str | None:
        finished = self._workshop.run(
            [
                "mariadb",
                *self._where(port, user),
                _PATIENCE,
                "--batch",
                "--skip-column-names",
                DATABASE,
                "-e",
                ";".join(statements),
            ],
            timeout_s=_CLIENT_DEADLINE_S,
            env={"MYSQL_PWD": password},
        )
        return finished.output if finished.ok else None

    def _where(self, port: int, user: str) -> list[str]:
        return ["--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-u", user]


def order(rng: random.Random) -> str:
    """Returns the statement of one order."""
    return _ORDER.format(account=rng.randint(1, ACCOUNTS), length=rng.randint(1, 18))
