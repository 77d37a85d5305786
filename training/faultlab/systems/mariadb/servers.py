"""The two MariaDB servers: their directories, their configuration, their start. Knows no clients and no fault."""

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.network import listening
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.systems.mariadb import conf

PRIMARY, REPLICA = "mariadb-primary", "mariadb-replica"
ALL = (PRIMARY, REPLICA)
PROGRAM = "/usr/sbin/mariadbd"
USER = "mysql"
_PAGE = 16_384
_LOGS = ("error.log", "slow.log", "audit.log", "sql_errors.log")
_SETTINGS = {"buffer_pool": "16M", "slave_net_timeout": "6"}


class MariaDBServers:
    """A primary on `disk` and a replica beside it, each with an empty store."""

    def __init__(self, workshop: Workshop, disk: SmallDisk, ports: tuple[int, int]) -> None:
        self._workshop = workshop
        self._stores = {PRIMARY: disk.path, REPLICA: workshop.path / "replica"}
        self._logs = {service: workshop.path / "logs" / service for service in ALL}
        self._binlogs = {service: workshop.path / "binlogs" / service for service in ALL}
        self.port = dict(zip(ALL, ports, strict=True))
        self.child: dict[str, Child] = {}
        for service in ALL:
            self._install(service)
            self.configure(service)
            self.child[service] = workshop.child(
                [PROGRAM, f"--defaults-file={self._ini(service)}"], self._logs[service] / "error.log", user=USER
            )

    def logs(self, service: str) -> tuple[Path, ...]:
        return tuple(self._logs[service] / log for log in _LOGS)

    def damage(self, database: str, table: str, rng: random.Random) -> None:
        """Overwrites some pages of a table of the primary."""
        with (self._stores[PRIMARY] / "data" / database / f"{table}.ibd").open("r+b") as pages:
            # The first four pages are the table's administration and its root, without which it is missing, not broken.
            pages.seek(_PAGE * rng.randint(5, 9))
            pages.write(rng.randbytes(_PAGE * rng.randint(3, 8)))

    def start(self, words: Mapping[str, str]) -> None:
        """Starts both servers, lets the replica follow, and creates accounts and tables; `words` fill the templates."""
        for service in ALL:
            self.launch(service)
        self.as_root(REPLICA, *(line.format(primary=self.port[PRIMARY]) for line in conf.FOLLOW))
        self.as_root(PRIMARY, *(line.format(**words) for line in conf.ACCOUNTS))
        database = words["database"]
        self.as_root(PRIMARY, f"CREATE DATABASE {database}", f"USE {database}", *conf.TABLES)

    def restart(self, service: str) -> None:
        """Stops a server and starts it with the correct configuration."""
        self.child[service].stop()
        self.configure(service)
        self.launch(service)

    def launch(self, service: str) -> None:
        self._workshop.launch(self.child[service], self.port[service])

    def revive(self, service: str) -> None:
        """Starts a server that has ended; leaves a running one alone."""
        if not self.child[service].alive or not listening(self.port[service]):
            self.child[service].stop()
            self.launch(service)

    def configure(self, service: str, **settings: str) -> None:
        text = conf.SERVER.format(
            number=ALL.index(service) + 1,
            data=self._stores[service] / "data",
            temporary=self._stores[service] / "temporary",
            binlog=self._binlogs[service],
            logs=self._logs[service],
            port=self.port[service],
            **(_SETTINGS | settings),
        )
        self._ini(service).write_text(text)

    def set_slow_log_aside(self, service: str) -> None:
        """Renames the slow log, as a log rotation does first."""
        current = self._logs[service] / "slow.log"
        current.rename(current.with_suffix(".log.1"))

    def as_root(self, service: str, *statements: str) -> None:
        """Runs statements of the set-up; the recording never contains this account."""
        where = ["--no-defaults", "-h", "127.0.0.1", "-P", str(self.port[service]), "-u", "root"]
        self._workshop.must(["mariadb", *where, "-e", ";".join(statements)])

    def _ini(self, service: str) -> Path:
        return self._workshop.path / f"{service}.cnf"

    def _install(self, service: str) -> None:
        temporary = self._stores[service] / "temporary"
        for directory in (self._stores[service], temporary, self._logs[service], self._binlogs[service]):
            directory.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(directory, USER, USER)
        self._workshop.must(
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={self._stores[service] / 'data'}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"),
                *("--innodb-log-file-size=8M", "--cross-bootstrap"),
            ],
            user=USER,
        )
