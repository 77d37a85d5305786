"""PostgreSQL's primary and replica and the pooler of one run: stores, configuration, start. Knows no fault."""

import shutil
import signal
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.systems.postgres import conf
from logwarden.training.faultlab.systems.postgres.clients import (
    DATABASE,
    PASSWORD,
    ROLE,
    PostgresClients,
    PostgresPorts,
)


class PostgresServers:
    """A primary with its store on `disk`, a replica, and pgbouncer before the primary."""

    def __init__(
        self,
        workshop: Workshop,
        programs: Path,
        disk: SmallDisk,
        ports: PostgresPorts,
        clients: PostgresClients,
        accounts: int,
    ) -> None:
        self._workshop = workshop
        self._programs = programs
        self._ports = ports
        self._clients = clients
        self._accounts = accounts
        self.work_mem = "320kB"
        self._primary_dir, self._replica_dir = disk.path / "primary", workshop.path / "replica"
        logs = workshop.path / "logs"
        for directory in (self._primary_dir, self._replica_dir, logs):
            directory.mkdir()
            directory.chmod(0o700)
            if disk.impossible is None:
                shutil.chown(directory, "postgres", "postgres")
        self._command(
            "initdb", "-D", str(self._primary_dir), "-U", "postgres", "-A", "trust", "--data-checksums",
            "--locale=C.UTF-8",
        )  # fmt: skip
        (self._primary_dir / "pg_hba.conf").write_text(conf.ACCESS)
        self._configure(self.work_mem)
        server = str(programs / "postgres")
        pooler_ini = self._write_pooler_ini()
        child = workshop.child
        self.primary = child([server, "-D", str(self._primary_dir)], logs / "primary.log", user="postgres")
        self.replica = child(
            [server, "-D", str(self._replica_dir), "-c", f"port={ports.replica}"], logs / "replica.log", user="postgres"
        )
        self.pooler = child(["pgbouncer", str(pooler_ini)], logs / "pgbouncer.log", user="postgres")

    def start(self) -> None:
        """Starts all three servers; the replica begins as a copy of the primary."""
        ports = self._ports
        self.start_primary()
        superuser = ["-h", "127.0.0.1", "-p", str(ports.primary), "-U", "postgres"]
        for sql in (
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
            f"GRANT pg_read_all_stats TO {ROLE}",
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        ):
            self._command("psql", "-X", *superuser, "-c", sql)
        self._command("pgbench", "-i", "-q", "-s", str(self._accounts // 100_000), *superuser, DATABASE)
        tables = "pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers"
        self._command("psql", "-X", *superuser, "-c", f"GRANT ALL ON {tables} TO {ROLE}", DATABASE)
        self._command("pg_basebackup", *superuser, "-D", str(self._replica_dir), "-R", "-X", "stream", "-c", "fast")
        self.start_replica()
        self._workshop.launch(self.pooler, ports.pooler)

    def start_replica(self) -> None:
        """Starts the replica and waits until it listens."""
        self._workshop.launch(self.replica, self._ports.replica)

    def start_primary(self) -> None:
        """Starts the primary and waits until it listens."""
        self._workshop.launch(self.primary, self._ports.primary)

    def retune(self) -> None:
        self.work_mem = "256kB" if self.work_mem == "320kB" else "320kB"
        self.reconfigure(self.work_mem)

    def reconfigure(self, work_mem: str) -> None:
        self._configure(work_mem)
        self.primary.send(signal.SIGHUP)

    def reload_pooler(self) -> None:
        if self._clients.query(self._ports.pooler, "RELOAD", database="pgbouncer") is None:
            raise StartFailed("pgbouncer", "the console refuses RELOAD")

    def _configure(self, work_mem: str) -> None:
        text = conf.SERVER.format(port=self._ports.primary, work_mem=work_mem)
        (self._primary_dir / "postgresql.conf").write_text(text)

    def _write_pooler_ini(self) -> Path:
        ports = self._ports
        users, ini = self._workshop.path / "users.txt", self._workshop.path / "pgbouncer.ini"
        users.write_text(f'"{ROLE}" "{PASSWORD}"\n')
        ini.write_text(
            conf.POOLER.format(database=DATABASE, primary=ports.primary, pooler=ports.pooler, users=users, role=ROLE)
        )
        return ini

    def _command(self, program: str, *arguments: str) -> None:
        self._workshop.must([str(self._programs / program), *arguments], user="postgres")
