"""MariaDB with a replica that follows its binary log: load, faults and planned changes.

Requests are made by `clients` alone, servers belong to `servers`. The primary is on a small tmpfs if the process is
root, so that its disk can be filled and no other.
"""

import pwd
import random
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.mariadb.clients import (
    ACCOUNTS,
    APP,
    APP_PASSWORD,
    DATABASE,
    HOT_ACCOUNTS,
    OPS,
    OPS_PASSWORD,
    MariaDBClients,
    MariaDBPorts,
    MariaDBSession,
    order,
)
from logwarden.training.faultlab.systems.mariadb.servers import (
    ALL,
    PRIMARY,
    PROGRAM,
    REPLICA,
    USER,
    MariaDBServers,
)

# The empty server takes 50 MB, its tables and temporary files a few more.
_DISK_MB = 110


class MariaDB:
    """See the module."""

    name = "mariadb"
    never_in_clean = (
        "Access denied|[Dd]eadlock|Lock wait timeout|Too many conn|corrupt|No space left|got signal|Slave SQL: Err"
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/mariadb")
        self._network = Network()
        self._open: list[MariaDBSession] = []

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {service: self._servers.logs(service) for service in ALL}

    def missing(self) -> Sequence[str]:
        programs = {
            PROGRAM: "mariadb-server",
            "mariadb-install-db": "mariadb-server",
            "mariadb": "mariadb-client",
            "mariadb-slap": "mariadb-client",
            "mariadb-dump": "mariadb-client",
            "setpriv": "util-linux",
        }
        return missing_packages(programs)

    def versions(self) -> Mapping[str, str]:
        answer = self._workshop.run([PROGRAM, "--no-defaults", "--version"], timeout_s=10, user=USER)
        return {"mariadb": answer.output.splitlines()[-1]}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        one, other = free_ports(2, self._rng)
        self._servers = MariaDBServers(workshop, self._disk, (one, other))
        self._clients = MariaDBClients(workshop, MariaDBPorts(primary=one, replica=other))

    def start(self) -> None:
        words = {
            "app": APP,
            "app_password": APP_PASSWORD,
            "ops": OPS,
            "ops_password": OPS_PASSWORD,
            "database": DATABASE,
        }
        self._servers.start(words)
        self._dump = self._clients.dump()

    def workload(self) -> Sequence[Client]:
        ports, clients = self._clients.ports, self._clients

        def transfer(rng: random.Random) -> bool:
            # In order of number, so that two of them can wait for one another but never in a circle.
            return clients.transfer(sorted(rng.sample(range(1, HOT_ACCOUNTS + 1), 2)), rng.uniform(0.15, 0.5))

        primary, replica = frozenset({PRIMARY}), frozenset({REPLICA})
        return (
            Client(name="trade", every_s=12, touches=primary, run=clients.trade),
            Client(name="order", every_s=6, touches=primary, run=clients.order),
            Client(name="transfer", every_s=7, touches=primary, run=transfer),
            Client(name="transfer-too", every_s=7, touches=primary, run=transfer),
            Client(name="glance", every_s=9, touches=primary, run=clients.glance),
            Client(name="report", every_s=8, touches=primary, run=lambda rng: clients.report(ports.primary)),
            Client(name="browse", every_s=5, touches=replica, run=lambda rng: clients.browse(rng, ports.replica)),
            Client(name="report-too", every_s=11, touches=replica, run=lambda rng: clients.report(ports.replica)),
            Client(name="probe", every_s=10, touches=frozenset(ALL), run=lambda rng: clients.served()),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="the slow logs moved away, FLUSH SLOW LOGS",
                services=ALL,
                inject=self._rotate,
            ),
            Disturbance(
                name="catalog_reload",
                cause="maintenance",
                what="a table restored from a dump, old orders and binary logs purged",
                services=ALL,
                inject=self._maintain,
                drained=frozenset(ALL),
            ),
            Disturbance(
                name="replica_restart",
                cause="restart",
                what="the replica stopped and started, its clients held back",
                services=ALL,
                inject=self._servers.child[REPLICA].stop,
                clear=lambda: self._servers.launch(REPLICA),
                hold_s=1.0,
                drained=frozenset({REPLICA}),
            ),
            Disturbance(
                name="primary_restart",
                cause="restart",
                what="replication paused, the primary stopped and started, all clients held back",
                services=ALL,
                inject=self._stop_primary,
                clear=self._start_primary,
                hold_s=1.0,
                drained=frozenset(ALL),
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_the_primary(), *self._faults_of_replication())

    def _faults_of_the_primary(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="primary_sigkill",
                cause="process",
                what="SIGKILL to the primary, started again",
                services=ALL,
                inject=self._servers.child[PRIMARY].kill,
                clear=lambda: self._servers.launch(PRIMARY),
                hold_s=7,
            ),
            Disturbance(
                name="password_guessing",
                cause="security",
                what="the look-up of the load with guessed passwords",
                services=ALL,
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="deadlock",
                cause="data",
                what="pairs of transfers in opposite order",
                services=(PRIMARY,),
                inject=self._deadlock,
            ),
            Disturbance(
                name="connection_exhaustion",
                cause="resource",
                what="sessions opened and left idle, more than there is room for",
                services=ALL,
                inject=self._exhaust_connections,
                clear=self._leave_sessions,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of the primary filled to the last block",
                services=ALL,
                inject=lambda: self._disk.fill(self._rng.uniform(13, 16)),
                clear=self._empty_disk,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="corrupted_table",
                cause="data",
                what="pages of a table overwritten while the primary was down, the table restored from a dump",
                services=ALL,
                inject=self._corrupt_catalog,
                clear=lambda: self._clients.restore(self._dump),
                hold_s=8,
            ),
        )

    def _faults_of_replication(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="replica_cut_off",
                cause="dependency",
                what="packets from the replica to the primary dropped",
                services=ALL,
                inject=self._cut_replica_off,
                clear=self._network.heal,
                hold_s=16,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="replication_conflict",
                cause="data",
                what="orders written to the replica, whose numbers the primary gives away next",
                services=ALL,
                inject=self._write_to_replica,
                clear=self._resolve_conflict,
                hold_s=10,
            ),
            Disturbance(
                name="bad_config_restart",
                cause="configuration",
                what="the replica restarted with a mistake in its configuration",
                services=ALL,
                inject=self._restart_misconfigured,
                clear=lambda: self._servers.restart(REPLICA),
                hold_s=7,
            ),
        )

    def stop(self) -> None:
        self._leave_sessions()
        for service in (REPLICA, PRIMARY):
            self._servers.child[service].stop()

    def _guess_passwords(self) -> None:
        for _ in range(self._rng.randint(20, 28)):
            port = self._servers.port[REPLICA if self._rng.random() < 0.3 else PRIMARY]
            guess = f"{APP_PASSWORD[:-2]}{self._rng.randint(43, 99)}"
            self._clients.look_up(port, self._rng.randint(1, ACCOUNTS), password=guess)
            time.sleep(self._rng.uniform(0.1, 0.7))

    def _deadlock(self) -> None:
        """Runs pairs of the transfers of the workload in opposite order."""
        for _ in range(self._rng.randint(3, 4)):
            one, other = self._rng.sample(range(1, HOT_ACCOUNTS + 1), 2)
            pair = [
                threading.Thread(target=self._clients.transfer, args=(accounts, 0.6), name="transfer")
                for accounts in ((one, other), (other, one))
            ]
            for thread in pair:
                thread.start()
            for thread in pair:
                thread.join()
            time.sleep(self._rng.uniform(0.5, 1.5))

    def _exhaust_connections(self) -> None:
        """Opens connections and leaves them open, as a program with a leak does, until none is left and longer."""
        deadline = time.monotonic() + self._rng.uniform(12, 16)
        while time.monotonic() < deadline:
            for refused in [session for session in self._open if not session.alive]:
                refused.leave()
                self._open.remove(refused)
            self._open.append(self._clients.session(self._servers.port[PRIMARY]))
            time.sleep(0.15)

    def _leave_sessions(self) -> None:
        for session in self._open:
            session.leave()
        self._open.clear()

    def _empty_disk(self) -> None:
        self._disk.empty()
        time.sleep(1.0)
        # A server that cannot write its redo log ends; an operator starts it again.
        self._servers.revive(PRIMARY)

    def _cut_replica_off(self) -> None:
        # Both servers run as one user, and only the replica connects to the primary's port.
        self._network.isolate(pwd.getpwnam(USER).pw_uid, (), (self._servers.port[PRIMARY],))

    def _write_to_replica(self) -> None:
        """Sends the orders of the load to the replica, as a wrongly configured program does."""
        replica = self._servers.port[REPLICA]
        highest = (self._clients.query(replica, "SELECT COALESCE(MAX(id), 0) FROM orders") or "0").strip()
        for _ in range(self._rng.randint(5, 9)):
            self._clients.query(replica, order(self._rng))
        # The primary gives these numbers away next.
        self._strays = f"id BETWEEN {int(highest) + 1} AND {int(highest) + 9}"

    def _resolve_conflict(self) -> None:
        # Without a trace in the replica's own binary log, which would otherwise run ahead of the primary's.
        delete = f"DELETE FROM {DATABASE}.orders WHERE {self._strays}"
        self._clients.operate(self._servers.port[REPLICA], "SET sql_log_bin = 0", delete, "START SLAVE")

    def _corrupt_catalog(self) -> None:
        self._servers.child[PRIMARY].stop()
        self._servers.damage(DATABASE, "catalog", self._rng)
        self._servers.launch(PRIMARY)

    def _restart_misconfigured(self) -> None:
        self._servers.child[REPLICA].stop()
        # A space before the unit, and a letter too few.
        mistakes: tuple[dict[str, str], ...] = (
            {"buffer_pool": "24 M"},
            {"slave_net_timeout": "6\nslave_conections = 4"},
        )
        self._servers.configure(REPLICA, **self._rng.choice(mistakes))
        self._servers.child[REPLICA].start()

    def _rotate(self) -> None:
        for service in ALL:
            self._servers.set_slow_log_aside(service)
            if self._clients.operate(self._servers.port[service], "FLUSH LOCAL SLOW LOGS") is None:
                raise StartFailed(service, "the server does not open its slow log again")

    def _maintain(self) -> None:
        self._clients.restore(self._dump)
        purge = f"DELETE FROM {DATABASE}.orders ORDER BY id LIMIT 20"
        self._clients.operate(self._servers.port[PRIMARY], purge, "FLUSH BINARY LOGS", "PURGE BINARY LOGS BEFORE NOW()")

    def _stop_primary(self) -> None:
        self._clients.operate(self._servers.port[REPLICA], "STOP SLAVE")
        self._servers.child[PRIMARY].stop()

    def _start_primary(self) -> None:
        self._servers.launch(PRIMARY)
        self._clients.operate(self._servers.port[REPLICA], "START SLAVE")
