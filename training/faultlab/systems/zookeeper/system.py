"""A ZooKeeper ensemble of three nodes: configuration, servers, faults and planned changes. Knows nothing of recording.

Requests are made by `clients` alone. Every node runs as a user of its own, so that one can be cut off from the
others; the third writes its transactions to a small tmpfs when we are root, so that this can be filled.
"""

import os
import random
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.zookeeper import conf
from logwarden.training.faultlab.systems.zookeeper.clients import PASSWORD, Clients, Session

_NODES = 3
ALL = tuple(f"zookeeper-{number}" for number in range(1, _NODES + 1))
# What no restart of a single node takes away: clients that go to whichever node serves need only this.
ENSEMBLE = "ensemble"
_DISK_MB = 48
_CONNECTIONS = 30
_START_S = 60.0
_FIRST_UID = 5201
_JARS = Path("/usr/share/java")
_CLASSPATH = [str(_JARS / jar) for jar in ("zookeeper.jar", "log4j-1.2.jar", "slf4j-log4j12.jar")]
# A small heap and the cheap compiler: three servers share two cores with others. Without its performance data a JVM
# writes nothing outside the directory of the run.
_JAVA = (
    *("java", "-Xms24m", "-Xmx64m", "-Xss256k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    *("-Djava.net.preferIPv4Stack=true", "-Dzookeeper.jmx.log4j.disable=true"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """One server, with what it stands on."""

    name: str
    number: int
    uid: int
    client: int
    peers: tuple[int, int]
    data: Path
    journal: Path
    config: Path
    child: Child


class ZooKeeper:
    """See the module."""

    name = "zookeeper"
    never_in_clean = "NoAuth|Too many connections|CRC|No space left|Invalid config|exiting abnormally|unrecoverable"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/zookeeper")
        self._network = Network()
        self._nodes: list[_Node] = []
        self._open: list[Session] = []
        self._down: list[_Node] = []

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {node.name: (node.child.log,) for node in self._nodes}

    def missing(self) -> Sequence[str]:
        programs = {
            "java": "default-jre-headless",
            "setpriv": "util-linux",
            "/usr/share/zookeeper/bin/zkServer.sh": "zookeeper",
        }
        jars = [] if all(Path(jar).exists() for jar in _CLASSPATH) else ["libslf4j-java", "liblog4j1.2-java"]
        return [*missing_packages(programs), *jars]

    def versions(self) -> Mapping[str, str]:
        java = self._workshop.must(["java", "-version"]).splitlines()[0]
        # Debian's build left a placeholder behind the number.
        server = self._clients.state(self._nodes[0].client).get("zk_version", "unknown").split("-")[0]
        return {"zookeeper": server, "java": java}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        ports = free_ports(3 * _NODES, self._rng)
        clients, quorum, election = (ports[place::3] for place in range(3))
        self._peers = list(zip(quorum, election, strict=True))
        self._clients = Clients(clients)
        self._write(workshop.path / "log4j.properties", conf.LOGGING)
        for number in range(1, _NODES + 1):
            self._nodes.append(self._node(number, clients[number - 1]))

    def _node(self, number: int, client: int) -> _Node:
        home, uid = self._workshop.path, _FIRST_UID + number - 1
        data, config = home / f"node-{number}", home / f"node-{number}.cfg"
        journal = (home if number < _NODES else self._disk.path) / f"journal-{number}"
        for directory in (data, journal):
            directory.mkdir()
            if os.geteuid() == 0:
                os.chown(directory, uid, uid)
        argv = [*_JAVA, "-cp", ":".join([str(home), *_CLASSPATH])]
        node = _Node(
            name=ALL[number - 1],
            number=number,
            uid=uid,
            client=client,
            peers=self._peers[number - 1],
            data=data,
            journal=journal,
            config=config,
            child=self._workshop.child(
                [*argv, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)],
                home / f"node-{number}.log",
                user=str(uid),
            ),
        )
        self._write(data / "myid", f"{number}\n")
        self._write(config, self._settings(node))
        return node

    def start(self) -> None:
        for node in self._nodes:
            self._start(node)
        deadline = time.monotonic() + _START_S
        while not self._clients.joined():
            if time.monotonic() > deadline:
                raise StartFailed("zookeeper", self._nodes[0].child.log.read_text(errors="replace"))
            time.sleep(0.5)
        if not self._clients.prepare():
            raise StartFailed("zookeeper takes no keys", "")

    def workload(self) -> Sequence[Client]:
        clients, anywhere = self._clients, frozenset({ENSEMBLE})

        def monitor(node: _Node) -> Client:
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
            *map(monitor, self._nodes),
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
                inject=lambda: self._stop(self._follower()),
                clear=self._start_again,
                hold_s=1.0,
                drained=frozenset(ALL),
            ),
            Disturbance(
                name="leader_change",
                cause="maintenance",
                what="the leader stopped and started, all clients held back, so that another one leads",
                services=ALL,
                inject=lambda: self._stop(self._leader()),
                clear=self._start_again,
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
                clear=self._start_again,
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
                clear=self._restore,
                hold_s=9,
            ),
        )

    def _faults_of_clients(self) -> Sequence[Disturbance]:
        crowded = self._rng.choice(self._nodes)
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
        for node in self._nodes:
            node.child.stop()

    def _start(self, node: _Node) -> None:
        self._workshop.launch(node.child, node.client)

    def _start_again(self) -> None:
        while self._down:
            self._start(self._down.pop())

    def _stop(self, node: _Node) -> None:
        self._down.append(node)
        node.child.stop()

    def _leader(self) -> _Node:
        port = self._clients.leader()
        for node in self._nodes:
            if node.client == port:
                return node
        raise StartFailed("nobody leads the ensemble", "")

    def _follower(self) -> _Node:
        leader = self._leader()
        return self._rng.choice([node for node in self._nodes if node is not leader])

    def _kill_leader(self) -> None:
        leader = self._leader()
        self._down.append(leader)
        leader.child.kill()

    def _isolate_leader(self) -> None:
        leader = self._leader()
        others = [port for node in self._nodes if node is not leader for port in node.peers]
        self._network.isolate(leader.uid, leader.peers, others)

    def _restart_with_mistake(self) -> None:
        node = self._follower()
        self._stop(node)
        if self._rng.random() < 1 / (1 + len(conf.MISTAKES)):
            self._write(node.data / "myid", f"{_NODES + 1}\n")
        else:
            right, wrong = self._rng.choice(conf.MISTAKES)
            right = right.format(election=node.peers[1])
            self._write(node.config, self._settings(node).replace(right, wrong))
        node.child.start()

    def _undo_mistake(self) -> None:
        for node in self._down:
            node.child.stop()
            self._write(node.data / "myid", f"{node.number}\n")
            self._write(node.config, self._settings(node))
        self._start_again()

    def _empty_disk(self) -> None:
        """Restarts the node without its store: a log that had no room for its first bytes keeps it from starting."""
        self._disk.empty()
        self._stop(self._nodes[-1])
        self._restore()

    def _corrupt(self) -> None:
        node = self._follower()
        self._stop(node)
        for store, kind in ((node.journal, "log"), (node.data, "snapshot")):
            self._flip(max((store / "version-2").glob(f"{kind}.*"), key=lambda path: path.stat().st_mtime_ns))
        node.child.start()

    def _flip(self, file: Path) -> None:
        """Eight bytes within the first record, behind the sixteen of the file's head and its own sum and length."""
        with file.open("r+b") as store:
            store.seek(self._rng.randint(28, 36))
            old = store.read(8)
            store.seek(-len(old), os.SEEK_CUR)
            store.write(bytes(byte ^ 0xFF for byte in old))

    def _restore(self) -> None:
        """An operator throws the store away: the node fetches all from the leader."""
        for node in self._down:
            node.child.stop()
            for store in (node.data, node.journal):
                shutil.rmtree(store / "version-2")
        self._start_again()

    def _exhaust_connections(self, node: _Node) -> None:
        """A program that leaks its sessions, and asks for more when it gets none."""
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

    def _settings(self, node: _Node) -> str:
        return conf.server(node.data, node.journal, node.client, _CONNECTIONS, self._peers)

    def _write(self, path: Path, text: str) -> None:
        """Readable for the node, which runs as somebody else."""
        path.write_text(text)
        path.chmod(0o644)
