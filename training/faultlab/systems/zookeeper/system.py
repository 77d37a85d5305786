"""A ZooKeeper ensemble of three nodes: load, faults and planned changes.

Requests are made by `clients` alone, servers belong to `nodes`. Every node runs as a user of its own, so that one can
be cut off from the others. The third writes its transactions to a small tmpfs if the process is root, so that it can be
filled."""

import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.zookeeper import conf
from logwarden.training.faultlab.systems.zookeeper.clients import PASSWORD, ZooKeeperClients, ZooKeeperSession
from logwarden.training.faultlab.systems.zookeeper.nodes import ALL, CLASSPATH, ZooKeeperNode, ZooKeeperNodes

# What no restart of a single node takes away: clients that go to whichever node serves need only this.
ENSEMBLE = "ensemble"
_DISK_MB = 48
_START_S = 60.0


class ZooKeeper:
    """See the module."""

    name = "zookeeper"
    never_in_clean = "NoAuth|Too many connections|CRC|No space left|Invalid config|exiting abnormally|unrecoverable"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/zookeeper")
        self._network = Network()
        self._open: list[ZooKeeperSession] = []

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {node.name: (node.child.log,) for node in self._nodes.all}

    def missing(self) -> Sequence[str]:
        programs = {
            "java": "default-jre-headless",
            "setpriv": "util-linux",
            "/usr/share/zookeeper/bin/zkServer.sh": "zookeeper",
        }
        jars = [] if all(Path(jar).exists() for jar in CLASSPATH) else ["libslf4j-java", "liblog4j1.2-java"]
        return [*missing_packages(programs), *jars]

    def versions(self) -> Mapping[str, str]:
        java = self._workshop.must(["java", "-version"]).splitlines()[0]
        # Debian's build left a placeholder behind the number.
        server = self._clients.state(self._nodes.all[0].client).get("zk_version", "unknown").split("-")[0]
        return {"zookeeper": server, "java": java}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        ports = free_ports(3 * len(ALL), self._rng)
        self._clients = ZooKeeperClients(ports[0::3])
        self._nodes = ZooKeeperNodes(workshop, self._disk, ports, self._clients)

    def start(self) -> None:
        for node in self._nodes.all:
            self._nodes.start(node)
        deadline = time.monotonic() + _START_S
        while not self._clients.joined():
            if time.monotonic() > deadline:
                raise StartFailed("zookeeper", self._nodes.all[0].child.log.read_text(errors="replace"))
            time.sleep(0.5)
        if not self._clients.prepare():
            raise StartFailed("zookeeper", "the ensemble accepts no new paths")

    def workload(self) -> Sequence[Client]:
        clients, anywhere = self._clients, frozenset({ENSEMBLE})

        def monitor(node: ZooKeeperNode) -> Client:
            return Client(
                name=f"monitor-{node.number}",
                every_s=9,
                touches=frozenset({node.name}),
                run=lambda rng: clients.watch(rng, node.client),
            )

        return (
            Client(name="work", every_s=6, touches=anywhere, run=clients.work),
            Client(name="configure", every_s=5, touches=anywhere, run=clients.configure),
            Client(name="queue", every_s=5, touches=anywhere, run=clients.queue),
            Client(name="lock", every_s=5, touches=anywhere, run=clients.lock),
            Client(name="vault", every_s=7, touches=anywhere, run=clients.vault),
            # An ensemble is as loud when jobs come at once as when it has to find a leader.
            Client(name="batch", every_s=16, touches=anywhere, run=lambda rng: all(map(clients.queue, [rng] * 9))),
            *map(monitor, self._nodes.all),
        )

    def healthy(self) -> bool:
        return self._clients.joined()

    def benign(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="node_restart",
                cause="restart",
                what="a node that does not lead stopped and started, its monitor held back",
                services=ALL,
                inject=lambda: self._nodes.stop(self._follower()),
                clear=self._nodes.start_again,
                hold_s=1.0,
                drained=frozenset(ALL),
            ),
            Disturbance(
                name="leader_change",
                cause="maintenance",
                what="the leader stopped and started, all clients held back, so that another one leads",
                services=ALL,
                inject=lambda: self._nodes.stop(self._nodes.leader()),
                clear=self._nodes.start_again,
                hold_s=1.0,
                drained=frozenset({*ALL, ENSEMBLE}),
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_nodes(), *self._faults_of_stores(), *self._faults_of_clients())

    def _faults_of_nodes(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="leader_sigkill",
                cause="process",
                what="SIGKILL to the leader, started again",
                services=ALL,
                inject=self._kill_leader,
                clear=self._nodes.start_again,
                hold_s=12,
            ),
            Disturbance(
                name="leader_isolated",
                cause="dependency",
                what="all packets between the leader and its peers lost",
                services=ALL,
                inject=self._isolate_leader,
                clear=self._network.heal,
                hold_s=14,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="bad_config_restart",
                cause="configuration",
                what="a node restarted with a mistake in zoo.cfg or with a number that is not its own",
                services=ALL,
                inject=self._restart_with_mistake,
                clear=self._undo_mistake,
                hold_s=9,
            ),
        )

    def _faults_of_stores(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of the third node's transactions filled to the last block",
                services=ALL,
                inject=lambda: self._disk.fill(self._rng.uniform(9, 12)),
                clear=self._empty_disk,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="corrupt_store",
                cause="data",
                what="a node restarted with flipped bytes in its newest transaction log and snapshot",
                services=ALL,
                inject=self._corrupt,
                clear=self._nodes.restore,
                hold_s=9,
            ),
        )

    def _faults_of_clients(self) -> Sequence[Disturbance]:
        crowded = self._rng.choice(self._nodes.all)
        return (
            Disturbance(
                name="connection_exhaustion",
                cause="resource",
                what="sessions opened at one node and left idle, more than it takes from one address",
                services=(crowded.name,),
                inject=lambda: self._exhaust_connections(crowded),
                clear=self._leave_sessions,
            ),
            Disturbance(
                name="wrong_password_burst",
                cause="security",
                what="writes to the nodes of one user with guessed passwords",
                services=ALL,
                inject=self._guess_passwords,
            ),
        )

    def stop(self) -> None:
        self._leave_sessions()
        self._nodes.stop_all()

    def _follower(self) -> ZooKeeperNode:
        leader = self._nodes.leader()
        return self._rng.choice([node for node in self._nodes.all if node is not leader])

    def _kill_leader(self) -> None:
        leader = self._nodes.leader()
        self._nodes.down.append(leader)
        leader.child.kill()

    def _isolate_leader(self) -> None:
        leader = self._nodes.leader()
        others = [port for node in self._nodes.all if node is not leader for port in node.peers]
        self._network.isolate(leader.uid, leader.peers, others)

    def _restart_with_mistake(self) -> None:
        node = self._follower()
        self._nodes.stop(node)
        if self._rng.random() < 1 / (1 + len(conf.MISTAKES)):
            self._nodes.write(node.data / "myid", f"{len(ALL) + 1}\n")
        else:
            right, wrong = self._rng.choice(conf.MISTAKES)
            right = right.format(election=node.peers[1])
            self._nodes.write(node.config, self._nodes.settings(node).replace(right, wrong))
        node.child.start()

    def _undo_mistake(self) -> None:
        for node in self._nodes.down:
            node.child.stop()
            self._nodes.write(node.data / "myid", f"{node.number}\n")
            self._nodes.write(node.config, self._nodes.settings(node))
        self._nodes.start_again()

    def _empty_disk(self) -> None:
        """Restarts the node without its store: a log without room for its first bytes prevents a start."""
        self._disk.empty()
        self._nodes.stop(self._nodes.all[-1])
        self._nodes.restore()

    def _corrupt(self) -> None:
        node = self._follower()
        self._nodes.stop(node)
        for store, kind in ((node.journal, "log"), (node.data, "snapshot")):
            self._flip(max((store / "version-2").glob(f"{kind}.*"), key=lambda path: path.stat().st_mtime_ns))
        node.child.start()

    def _flip(self, file: Path) -> None:
        """Flips eight bytes of the first record, behind the file's header and the record's sum and length."""
        with file.open("r+b") as store:
            store.seek(self._rng.randint(28, 36))
            old = store.read(8)
            store.seek(-len(old), os.SEEK_CUR)
            store.write(bytes(byte ^ 0xFF for byte in old))

    def _exhaust_connections(self, node: ZooKeeperNode) -> None:
        """Opens sessions and leaves them open, as a program with a leak does, until none is left and longer."""
        deadline = time.monotonic() + self._rng.uniform(14, 17)
        while time.monotonic() < deadline:
            try:
                # As long as a session may last at all, so that none ends by itself meanwhile.
                self._open.append(self._clients.session(node.client, timeout_s=20))
            except OSError:
                time.sleep(self._rng.uniform(0.2, 0.6))
            time.sleep(0.25)

    def _leave_sessions(self) -> None:
        for session in self._open:
            session.close()
        self._open.clear()

    def _guess_passwords(self) -> None:
        for _ in range(self._rng.randint(22, 30)):
            self._clients.vault(self._rng, password=f"{PASSWORD[:-2]}{self._rng.randint(43, 99)}")
            time.sleep(self._rng.uniform(0.1, 0.7))
