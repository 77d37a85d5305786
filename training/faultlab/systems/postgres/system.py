"""PostgreSQL with a streaming replica behind pgbouncer: load, faults and planned changes.

Requests are made by `clients` alone, servers belong to `servers`. The primary is on a small tmpfs if the process is
root, so that its disk can be filled and no other.
"""

import os
import random
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
from logwarden.training.faultlab.systems.postgres.clients import (
    DATABASE,
    HOT_ACCOUNTS,
    PASSWORD,
    ROLE,
    PostgresClients,
    PostgresPorts,
    PostgresSession,
)
from logwarden.training.faultlab.systems.postgres.servers import PostgresServers

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
        self._open: list[PostgresSession] = []

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {
            PRIMARY: (self._servers.primary.log,),
            REPLICA: (self._servers.replica.log,),
            POOLER: (self._servers.pooler.log,),
        }

    def missing(self) -> Sequence[str]:
        programs = {
            str(self._programs / "pgbench"): "postgresql",
            str(self._programs / "psql"): "postgresql-client",
            "pgbouncer": "pgbouncer",
            "setpriv": "util-linux",
        }
        return missing_packages(programs)

    def versions(self) -> Mapping[str, str]:
        commands = {
            "postgresql": [str(self._programs / "postgres"), "--version"],
            "pgbouncer": ["pgbouncer", "--version"],
        }
        answers = {name: self._workshop.run(argv, timeout_s=10, user="postgres") for name, argv in commands.items()}
        return {name: answer.output.splitlines()[0] for name, answer in answers.items()}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        ports = PostgresPorts(**dict(zip(("primary", "replica", "pooler"), free_ports(3, self._rng), strict=True)))
        self._clients = PostgresClients(workshop, self._programs, ports)
        self._servers = PostgresServers(workshop, self._programs, self._disk, ports, self._clients, _ACCOUNTS)

    def start(self) -> None:
        self._servers.start()

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
                inject=self._servers.retune,
            ),
            Disturbance(
                name="pooler_reload",
                cause="reload",
                what="RELOAD on the pooler's console",
                services=(POOLER,),
                inject=self._servers.reload_pooler,
            ),
            Disturbance(
                name="replica_restart",
                cause="restart",
                what="the replica stopped and started, its clients held back",
                services=(PRIMARY, REPLICA),
                inject=lambda: self._servers.replica.stop(signal.SIGINT),
                clear=self._servers.start_replica,
                hold_s=1.0,
                drained=frozenset({REPLICA}),
            ),
            Disturbance(
                name="primary_restart",
                cause="restart",
                what="the primary stopped and started, all clients held back",
                services=ALL,
                inject=lambda: self._servers.primary.stop(signal.SIGINT),
                clear=self._servers.start_primary,
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
                inject=self._servers.primary.kill,
                clear=self._servers.start_primary,
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
                inject=lambda: self._servers.replica.send_tree(signal.SIGSTOP),
                clear=lambda: self._servers.replica.send_tree(signal.SIGCONT),
                hold_s=20,
            ),
            Disturbance(
                name="bad_config_reload",
                cause="configuration",
                what="work_mem with a unit that does not exist, SIGHUP",
                services=(PRIMARY,),
                # The capital K is the mistake: PostgreSQL knows kB only.
                inject=lambda: self._servers.reconfigure("256KB"),
                clear=lambda: self._servers.reconfigure(self._servers.work_mem),
                hold_s=7,
            ),
        )

    def stop(self) -> None:
        self._leave_sessions()
        for child in (self._servers.pooler, self._servers.replica, self._servers.primary):
            child.stop(signal.SIGINT)

    def _kill_backend(self) -> None:
        """Kills a backend that serves a client, as the out-of-memory killer does."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            pids = [pid for pid, _ in family(self._servers.primary.pid) if f" {ROLE} {DATABASE} " in command_line(pid)]
            if pids:
                os.kill(self._rng.choice(pids), signal.SIGKILL)
                return
            time.sleep(0.05)
        raise StartFailed("postgres", "no backend that serves a client was found")

    def _exhaust_connections(self) -> None:
        """Opens connections and leaves them open, as a program with a leak does, until none is left and longer."""
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
        """Runs pairs of the transfers of the workload in opposite order."""
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
        # A primary that cannot write its recovery log ends; an operator starts it again.
        if not self._servers.primary.alive:
            self._servers.start_primary()


def _newest_programs() -> Path:
    """Returns the folder of the newest version; the wrappers on the path are slow Perl programs."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    return max(versions, key=lambda path: int(path.parent.name), default=Path("/usr/lib/postgresql/15/bin"))
