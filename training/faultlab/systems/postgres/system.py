"""PostgreSQL with a streaming replica behind pgbouncer: configuration, servers, faults and planned changes.

Knows nothing of recording. Requests are made by `clients` alone. The primary stands on a small tmpfs when we are
root, so that its disk can be filled without filling anyone else's.
"""

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.guard import command_line, family
from logwarden.training.faultlab.network import free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.postgres import conf
from logwarden.training.faultlab.systems.postgres.clients import (
    DATABASE,
    HOT_ACCOUNTS,
    PASSWORD,
    ROLE,
    Clients,
    Ports,
    Session,
)

PRIMARY, REPLICA, POOLER = "postgres-primary", "postgres-replica", "pgbouncer"
ALL = (PRIMARY, REPLICA, POOLER)
_DISK_MB = 300
_START_S = 30.0
_ACCOUNTS = 200_000


class Postgres:
    """See the module."""

    name = "postgres"
    never_in_clean = "authentication failed|login failed|no such user|pg_hba.conf rejects|deadlock|PANIC|signal 9"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/postgres")
        self._programs = _newest_programs()
        self._open: list[Session] = []
        self._work_mem = "320kB"

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {PRIMARY: (self._primary.log,), REPLICA: (self._replica.log,), POOLER: (self._pooler.log,)}

    def missing(self) -> Sequence[str]:
        programs = {
            str(self._programs / "pgbench"): "postgresql",
            str(self._programs / "psql"): "postgresql-client",
            "pgbouncer": "pgbouncer",
            "setpriv": "util-linux",
        }
        return missing_packages(programs)

    def versions(self) -> Mapping[str, str]:
        asked = {
            "postgresql": [str(self._programs / "postgres"), "--version"],
            "pgbouncer": ["pgbouncer", "--version"],
        }
        answers = {name: self._workshop.run(argv, timeout_s=10, user="postgres") for name, argv in asked.items()}
        return {name: answer.output.splitlines()[0] for name, answer in answers.items()}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        self._primary_dir, self._replica_dir = self._disk.path / "primary", workshop.path / "replica"
        logs = workshop.path / "logs"
        for directory in (self._primary_dir, self._replica_dir, logs):
            directory.mkdir()
            directory.chmod(0o700)
            if self._disk.impossible is None:
                shutil.chown(directory, "postgres", "postgres")
        ports = Ports(**dict(zip(("primary", "replica", "pooler"), free_ports(3, self._rng), strict=True)))
        self._clients = Clients(workshop, self._programs, ports)
        self._command(
            "initdb", "-D", str(self._primary_dir), "-U", "postgres", "-A", "trust", "--data-checksums",
            "--locale=C.UTF-8",
        )  # fmt: skip
        (self._primary_dir / "pg_hba.conf").write_text(conf.ACCESS)
        self._configure(self._work_mem)
        server = str(self._programs / "postgres")
        pooler_ini = self._write_pooler_ini()
        child = workshop.child
        self._primary = child([server, "-D", str(self._primary_dir)], logs / "primary.log", user="postgres")
        self._replica = child(
            [server, "-D", str(self._replica_dir), "-c", f"port={ports.replica}"], logs / "replica.log", user="postgres"
        )
        self._pooler = child(["pgbouncer", str(pooler_ini)], logs / "pgbouncer.log", user="postgres")

    def start(self) -> None:
        ports = self._clients.ports
        self._start_primary()
        superuser = ["-h", "127.0.0.1", "-p", str(ports.primary), "-U", "postgres"]
        for sql in (
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
            f"GRANT pg_read_all_stats TO {ROLE}",
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        ):
            self._command("psql", "-X", *superuser, "-c", sql)
        self._command("pgbench", "-i", "-q", "-s", str(_ACCOUNTS // 100_000), *superuser, DATABASE)
        tables = "pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers"
        self._command("psql", "-X", *superuser, "-c", f"GRANT ALL ON {tables} TO {ROLE}", DATABASE)
        self._command("pg_basebackup", *superuser, "-D", str(self._replica_dir), "-R", "-X", "stream", "-c", "fast")
        self._workshop.launch(self._replica, ports.replica)
        self._workshop.launch(self._pooler, ports.pooler)

    def workload(self) -> Sequence[Client]:
        ports, clients = self._clients.ports, self._clients

        def account(rng: random.Random) -> int:
            return rng.randint(1, _ACCOUNTS)

        def transfer(rng: random.Random) -> bool:
            # In order of number, so that two of them can wait for one another but never in a circle.
            return clients.transfer(sorted(rng.sample(range(1, HOT_ACCOUNTS + 1), 2)), rng.uniform(0.6, 1.6))

        primary, replica, pooler = frozenset({PRIMARY}), frozenset({REPLICA}), frozenset({PRIMARY, POOLER})
        return (
            Client(name="trade", every_s=5, touches=pooler, run=clients.trade),
            Client(name="transfer", every_s=4, touches=primary, run=transfer),
            Client(name="transfer-too", every_s=4, touches=primary, run=transfer),
            Client(
                name="look-up", every_s=8, touches=primary, run=lambda rng: clients.look_up(ports.primary, account(rng))
            ),
            Client(name="report", every_s=9, touches=primary, run=lambda rng: clients.report(ports.primary)),
            Client(
                name="read", every_s=7, touches=replica, run=lambda rng: clients.look_up(ports.replica, account(rng))
            ),
            Client(name="report-too", every_s=15, touches=replica, run=lambda rng: clients.report(ports.replica)),
            Client(name="probe", every_s=8, touches=frozenset(ALL), run=lambda rng: clients.served()),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="config_reload",
                cause="reload",
                what="another work_mem, SIGHUP",
                services=(PRIMARY,),
                inject=self._retune,
            ),
            Disturbance(
                name="pooler_reload",
                cause="reload",
                what="RELOAD on the pooler's console",
                services=(POOLER,),
                inject=self._reload_pooler,
            ),
            Disturbance(
                name="replica_restart",
                cause="restart",
                what="the replica stopped and started, its clients held back",
                services=(PRIMARY, REPLICA),
                inject=lambda: self._replica.stop(signal.SIGINT),
                clear=lambda: self._workshop.launch(self._replica, self._clients.ports.replica),
                hold_s=1.0,
                drained=frozenset({REPLICA}),
            ),
            Disturbance(
                name="primary_restart",
                cause="restart",
                what="the primary stopped and started, all clients held back",
                services=ALL,
                inject=lambda: self._primary.stop(signal.SIGINT),
                clear=self._start_primary,
                hold_s=1.0,
                drained=frozenset(ALL),
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_clients(), *self._faults_of_servers())

    def _faults_of_clients(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="connection_exhaustion",
                cause="resource",
                what="psql sessions opened and left idle, more than there is room for",
                services=(PRIMARY, POOLER),
                inject=self._exhaust_connections,
                clear=self._leave_sessions,
            ),
            Disturbance(
                name="wrong_password_burst",
                cause="security",
                what="the look-up of the load with guessed passwords",
                services=(PRIMARY, POOLER),
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="deadlock",
                cause="data",
                what="pairs of transfers in opposite order",
                services=(PRIMARY,),
                inject=self._deadlock,
                hold_s=1,
            ),
        )

    def _faults_of_servers(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="backend_sigkill",
                cause="process",
                what="SIGKILL to one backend that serves a client",
                services=ALL,
                inject=self._kill_backend,
                hold_s=8,
            ),
            Disturbance(
                name="primary_sigkill",
                cause="process",
                what="SIGKILL to the primary, started again",
                services=ALL,
                inject=self._primary.kill,
                clear=self._start_primary,
                hold_s=10,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of the primary filled to the last block",
                services=ALL,
                inject=lambda: self._disk.fill(self._rng.uniform(16, 20)),
                clear=self._empty_disk,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="replica_frozen",
                cause="process",
                what="SIGSTOP to all processes of the replica",
                services=(PRIMARY, REPLICA),
                inject=lambda: self._replica.send_tree(signal.SIGSTOP),
                clear=lambda: self._replica.send_tree(signal.SIGCONT),
                hold_s=20,
            ),
            Disturbance(
                name="bad_config_reload",
                cause="configuration",
                what="work_mem with a unit that does not exist, SIGHUP",
                services=(PRIMARY,),
                # The capital K is the mistake: PostgreSQL knows kB only.
                inject=lambda: self._reconfigure("256KB"),
                clear=lambda: self._reconfigure(self._work_mem),
                hold_s=7,
            ),
        )

    def stop(self) -> None:
        self._leave_sessions()
        for child in (self._pooler, self._replica, self._primary):
            child.stop(signal.SIGINT)

    def _start_primary(self) -> None:
        self._workshop.launch(self._primary, self._clients.ports.primary)

    def _kill_backend(self) -> None:
        """A backend that serves a client, as the out-of-memory killer would pick one."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            pids = [pid for pid, _ in family(self._primary.pid) if f" {ROLE} {DATABASE} " in command_line(pid)]
            if pids:
                os.kill(self._rng.choice(pids), signal.SIGKILL)
                return
            time.sleep(0.05)
        raise StartFailed("no client was connected that could be killed", "")

    def _exhaust_connections(self) -> None:
        """A program that leaks its connections, and asks for more when it gets none."""
        deadline = time.monotonic() + self._rng.uniform(15, 20)
        while time.monotonic() < deadline:
            for refused in [session for session in self._open if not session.alive]:
                refused.leave()
                self._open.remove(refused)
            self._open.append(self._clients.session(self._clients.ports.primary))
            time.sleep(0.25)

    def _leave_sessions(self) -> None:
        for session in self._open:
            session.leave()
        self._open.clear()

    def _guess_passwords(self) -> None:
        ports = self._clients.ports
        for _ in range(self._rng.randint(25, 35)):
            port = ports.pooler if self._rng.random() < 0.25 else ports.primary
            guess = f"{PASSWORD[:-2]}{self._rng.randint(43, 99)}"
            self._clients.look_up(port, self._rng.randint(1, _ACCOUNTS), password=guess)
            time.sleep(self._rng.uniform(0.1, 0.6))

    def _deadlock(self) -> None:
        """The transfers of the workload, without its care for the order."""
        for _ in range(4):
            one, other = self._rng.sample(range(1, HOT_ACCOUNTS + 1), 2)
            pair = [
                threading.Thread(target=self._clients.transfer, args=(aids, 1.0), name="transfer")
                for aids in ((one, other), (other, one))
            ]
            for thread in pair:
                thread.start()
            for thread in pair:
                thread.join()
            time.sleep(self._rng.uniform(0.5, 2.0))

    def _empty_disk(self) -> None:
        self._disk.empty()
        time.sleep(1.0)
        # It gives up for good when it cannot even write the log it would recover from; an operator starts it then.
        if not self._primary.alive:
            self._start_primary()

    def _retune(self) -> None:
        self._work_mem = "256kB" if self._work_mem == "320kB" else "320kB"
        self._reconfigure(self._work_mem)

    def _reconfigure(self, work_mem: str) -> None:
        self._configure(work_mem)
        self._primary.send(signal.SIGHUP)

    def _reload_pooler(self) -> None:
        if self._clients.query(self._clients.ports.pooler, "RELOAD", database="pgbouncer") is None:
            raise StartFailed("pgbouncer does not take RELOAD", "")

    def _configure(self, work_mem: str) -> None:
        text = conf.SERVER.format(port=self._clients.ports.primary, work_mem=work_mem)
        (self._primary_dir / "postgresql.conf").write_text(text)

    def _write_pooler_ini(self) -> Path:
        ports = self._clients.ports
        users, ini = self._workshop.path / "users.txt", self._workshop.path / "pgbouncer.ini"
        users.write_text(f'"{ROLE}" "{PASSWORD}"\n')
        ini.write_text(
            conf.POOLER.format(database=DATABASE, primary=ports.primary, pooler=ports.pooler, users=users, role=ROLE)
        )
        return ini

    def _command(self, program: str, *arguments: str) -> None:
        self._workshop.must([str(self._programs / program), *arguments], user="postgres")


def _newest_programs() -> Path:
    """Debian keeps every major version apart and puts only wrappers on the path; those are slow Perl."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    return max(versions, key=lambda path: int(path.parent.name), default=Path("/usr/lib/postgresql/15/bin"))
