"""Redis with a replica: load, servers, faults and planned changes.

Requests are made by `clients` alone. The primary is on a small tmpfs if the process is root, so that its disk can be
filled and no other.
"""

import random
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.redis import conf
from logwarden.training.faultlab.systems.redis.clients import (
    ADMIN,
    ADMIN_PASSWORD,
    PASSWORD,
    ROLE,
    RedisClients,
    RedisPorts,
)

PRIMARY, REPLICA = "redis-primary", "redis-replica"
BOTH = (PRIMARY, REPLICA)
_DISK_MB = 48
_LINK, _LINK_PASSWORD = "link", "fig-causeway-27"
_LINK_ADDRESS = "127.0.0.2"


class Redis:
    """See the module."""

    name = "redis"
    never_in_clean = (
        "FATAL|Bad file format|Error writing to the AOF|WRONGPASS|MISCONF|No space left|MASTER timeout|"
        "Disconnecting timedout replica|saving error|crashed by signal|cmd=(get|auth) user=default"
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/redis")
        self._network = Network()
        self._snapshot = "25 60"

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {
            PRIMARY: (self._log(PRIMARY), self._primary.log),
            REPLICA: (self._log(REPLICA), self._replica.log),
        }

    def missing(self) -> Sequence[str]:
        return missing_packages(
            {
                "redis-server": "redis-server",
                "redis-cli": "redis-tools",
                "redis-benchmark": "redis-tools",
                "redis-check-aof": "redis-tools",
            }
        )

    def versions(self) -> Mapping[str, str]:
        answer = self._workshop.run(["redis-server", "--version"], timeout_s=10)
        return {"redis": answer.output.splitlines()[0]}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        self._directories = {PRIMARY: self._disk.path / "primary", REPLICA: workshop.path / "replica"}
        for directory in (workshop.path / "logs", *self._directories.values()):
            directory.mkdir()
        ports = RedisPorts(**dict(zip(("primary", "replica"), free_ports(2, self._rng), strict=True)))
        self._clients = RedisClients(workshop, ports)
        self._configure(PRIMARY, ports.primary, conf.PRIMARY)
        self._configure(REPLICA, ports.replica, conf.REPLICA)
        self._primary, self._replica = self._server(PRIMARY), self._server(REPLICA)

    def start(self) -> None:
        self._start_primary()
        self._start_replica()
        articles = "".join(f"SET article:{number} {'x' * 60}\n" for number in range(300))
        if self._clients.ask(self._clients.ports.primary, feed=articles) is None:
            raise StartFailed("redis-cli", "the articles could not be written")

    def workload(self) -> Sequence[Client]:
        ports, clients = self._clients.ports, self._clients
        primary, replica = frozenset({PRIMARY}), frozenset({REPLICA})
        return (
            Client(name="look-up", every_s=2.5, touches=primary, run=lambda rng: clients.look_up(ports.primary, rng)),
            Client(name="read", every_s=3, touches=replica, run=lambda rng: clients.look_up(ports.replica, rng)),
            Client(name="basket", every_s=4, touches=primary, run=clients.basket),
            Client(name="edit", every_s=5, touches=primary, run=clients.edit),
            Client(name="work", every_s=4, touches=primary, run=clients.wait_for_work),
            Client(name="survey", every_s=7, touches=replica, run=clients.survey),
            Client(name="batch", every_s=12, touches=primary, run=clients.batch),
            Client(name="forget", every_s=15, touches=primary, run=clients.forget),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="config_reload",
                cause="reload",
                what="another pace of snapshots, CONFIG SET and REWRITE",
                services=(PRIMARY,),
                inject=self._retune,
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="both logs moved away, and begun anew by the servers",
                services=BOTH,
                inject=self._rotate,
            ),
            Disturbance(
                name="backup",
                cause="maintenance",
                what="a copy of the data fetched from the primary, and its append-only file rewritten",
                services=(PRIMARY,),
                inject=self._back_up,
            ),
            Disturbance(
                name="replica_restart",
                cause="restart",
                what="the replica stopped and started, its clients held back",
                services=BOTH,
                inject=lambda: self._replica.stop(signal.SIGTERM),
                clear=self._start_replica,
                hold_s=1.0,
                drained=frozenset({REPLICA}),
            ),
            Disturbance(
                name="primary_restart",
                cause="restart",
                what="the primary stopped and started, all clients held back",
                services=BOTH,
                inject=lambda: self._primary.stop(signal.SIGTERM),
                clear=self._start_primary,
                hold_s=1.0,
                drained=frozenset(BOTH),
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="primary_sigkill",
                cause="process",
                what="SIGKILL to the primary, started again",
                services=BOTH,
                inject=self._primary.kill,
                clear=self._start_primary,
                hold_s=8,
            ),
            Disturbance(
                name="primary_frozen",
                cause="process",
                what="SIGSTOP to the primary",
                services=BOTH,
                inject=lambda: self._primary.send_tree(signal.SIGSTOP),
                clear=lambda: self._primary.send_tree(signal.SIGCONT),
                hold_s=14,
            ),
            Disturbance(
                name="replica_cut_off",
                cause="dependency",
                what="all packets between primary and replica lost",
                services=BOTH,
                inject=lambda: self._network.drop_address(_LINK_ADDRESS),
                clear=self._network.heal,
                hold_s=18,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of the primary filled to the last block",
                services=BOTH,
                inject=lambda: self._disk.fill(self._rng.uniform(14, 18)),
                clear=self._empty_disk,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="append_only_file_damaged",
                cause="data",
                what="power loss that leaves zeros at the end of the append-only file, then a start",
                services=BOTH,
                inject=self._damage,
                clear=self._repair,
                hold_s=5,
            ),
            Disturbance(
                name="wrong_password_burst",
                cause="security",
                what="the look-up of the load with guessed passwords",
                services=BOTH,
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="old_link_password",
                cause="configuration",
                what="the replica restarted with a masterauth that is no longer right",
                services=BOTH,
                inject=lambda: self._restart_replica(f"{_LINK_PASSWORD[:-2]}{self._rng.randint(10, 26)}"),
                clear=lambda: self._restart_replica(_LINK_PASSWORD),
                hold_s=9,
            ),
        )

    def stop(self) -> None:
        for child in (self._replica, self._primary):
            child.stop(signal.SIGTERM)

    def _start_primary(self) -> None:
        self._workshop.launch(self._primary, self._clients.ports.primary)

    def _start_replica(self) -> None:
        self._workshop.launch(self._replica, self._clients.ports.replica)

    def _empty_disk(self) -> None:
        self._disk.empty()
        # A server that cannot create an append-only file ends; an operator starts it again.
        if not self._primary.alive:
            self._start_primary()
        # The file has a hole where the disk was full, and the next start would refuse it.
        time.sleep(2.0)
        self._clients.administer(self._clients.ports.primary, "BGREWRITEAOF")
        time.sleep(1.0)

    def _damage(self) -> None:
        """Kills the primary and appends zeros to its file of changes, like blocks that were never written."""
        self._primary.kill()
        with self._append_only_file().open("ab") as file:
            file.write(bytes(self._rng.randint(1, 16) * 256))
        self._primary.start()
        time.sleep(self._rng.uniform(2, 4))
        # Someone tries once more before looking for the reason.
        if not self._primary.alive:
            self._primary.start()

    def _repair(self) -> None:
        self._primary.stop(signal.SIGTERM)
        manifest = self._append_only_file().parent / "appendonly.aof.manifest"
        finished = self._workshop.run(["redis-check-aof", "--fix", str(manifest)], timeout_s=30, feed="y\n")
        if not finished.ok:
            raise StartFailed("redis-check-aof", finished.output)
        self._start_primary()

    def _append_only_file(self) -> Path:
        """Returns the newest of the files that changes are appended to."""
        files = (self._directories[PRIMARY] / "appendonlydir").glob("*.incr.aof")
        return max(files, key=lambda path: int(path.name.split(".")[-3]))

    def _guess_passwords(self) -> None:
        ports = self._clients.ports
        for _ in range(self._rng.randint(22, 32)):
            port = ports.replica if self._rng.random() < 0.3 else ports.primary
            self._clients.look_up(port, self._rng, password=f"{PASSWORD[:-2]}{self._rng.randint(62, 99)}")
            time.sleep(self._rng.uniform(0.2, 0.7))

    def _restart_replica(self, link_secret: str) -> None:
        self._replica.stop(signal.SIGTERM)
        self._configure(REPLICA, self._clients.ports.replica, conf.REPLICA, link_secret)
        self._start_replica()

    def _retune(self) -> None:
        self._snapshot = "20 50" if self._snapshot == "25 60" else "25 60"
        for words in (("CONFIG", "SET", "save", self._snapshot), ("CONFIG", "REWRITE")):
            self._administer(*words)

    def _rotate(self) -> None:
        for service in BOTH:
            log = self._log(service)
            log.replace(log.with_suffix(".log.1"))

    def _back_up(self) -> None:
        self._administer("--rdb", str(self._workshop.path / "backup.rdb"))
        self._administer("BGREWRITEAOF")
        time.sleep(1.0)

    def _administer(self, *words: str) -> None:
        if self._clients.administer(self._clients.ports.primary, *words) is None:
            raise StartFailed(f"redis-cli {words[0]}", "the server refused it")

    def _log(self, service: str) -> Path:
        return self._workshop.path / "logs" / f"{service}.log"

    def _configure(self, service: str, port: int, template: str, link_secret: str = _LINK_PASSWORD) -> None:
        text = template.format(
            port=port,
            primary=self._clients.ports.primary,
            directory=self._directories[service],
            log=self._log(service),
            snapshot=self._snapshot,
            role=ROLE,
            password=PASSWORD,
            admin=ADMIN,
            admin_password=ADMIN_PASSWORD,
            link=_LINK,
            link_password=_LINK_PASSWORD,
            link_secret=link_secret,
            link_address=_LINK_ADDRESS,
        )
        (self._workshop.path / f"{service}.conf").write_text(text)

    def _server(self, service: str) -> Child:
        configuration = str(self._workshop.path / f"{service}.conf")
        return self._workshop.child(["redis-server", configuration], self._workshop.path / "logs" / f"{service}.err")
