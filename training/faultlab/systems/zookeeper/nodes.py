"""The nodes of a ZooKeeper ensemble: directories, stores, configuration, start and stop. Knows no fault."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.systems.zookeeper import conf
from logwarden.training.faultlab.systems.zookeeper.clients import ZooKeeperClients

_NODES = 3
ALL = tuple(f"zookeeper-{number}" for number in range(1, _NODES + 1))
_CONNECTIONS = 30
_FIRST_UID = 5201
_JARS = Path("/usr/share/java")
CLASSPATH = [str(_JARS / jar) for jar in ("zookeeper.jar", "log4j-1.2.jar", "slf4j-log4j12.jar")]
# A small heap and the cheap compiler: three servers share two cores with others. Without its performance data a JVM
# writes nothing outside the directory of the run.
_JAVA = (
    *("java", "-Xms24m", "-Xmx64m", "-Xss256k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    *("-Djava.net.preferIPv4Stack=true", "-Dzookeeper.jmx.log4j.disable=true"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooKeeperNode:
    """One server with its ports and directories."""

    name: str
    number: int
    uid: int
    client: int
    peers: tuple[int, int]
    data: Path
    journal: Path
    config: Path
    child: Child


class ZooKeeperNodes:
    """Three nodes, each run as a user of its own; the third writes its transactions to `disk`."""

    def __init__(self, workshop: Workshop, disk: SmallDisk, ports: Sequence[int], clients: ZooKeeperClients) -> None:
        self._workshop = workshop
        self._disk = disk
        self._clients = clients
        client, quorum, election = (ports[place::3] for place in range(3))
        self._peers = list(zip(quorum, election, strict=True))
        self.down: list[ZooKeeperNode] = []
        self.write(workshop.path / "log4j.properties", conf.LOGGING)
        self.all = [self._node(number, client[number - 1]) for number in range(1, _NODES + 1)]

    def leader(self) -> ZooKeeperNode:
        """Returns the node that leads. Raises StartFailed if none does."""
        port = self._clients.leader()
        for node in self.all:
            if node.client == port:
                return node
        raise StartFailed("zookeeper", "no node leads the ensemble")

    def stop_all(self) -> None:
        """Stops every node."""
        for node in self.all:
            node.child.stop()

    def start(self, node: ZooKeeperNode) -> None:
        """Starts a node and waits until it listens."""
        self._workshop.launch(node.child, node.client)

    def stop(self, node: ZooKeeperNode) -> None:
        """Stops a node and remembers it for `start_again`."""
        self.down.append(node)
        node.child.stop()

    def start_again(self) -> None:
        """Starts the nodes that were stopped."""
        while self.down:
            self.start(self.down.pop())

    def restore(self) -> None:
        """Deletes the store of every stopped node, as an operator does: the node fetches all data from the leader."""
        for node in self.down:
            node.child.stop()
            for store in (node.data, node.journal):
                shutil.rmtree(store / "version-2")
        self.start_again()

    def _node(self, number: int, client: int) -> ZooKeeperNode:
        home, uid = self._workshop.path, _FIRST_UID + number - 1
        data, config = home / f"node-{number}", home / f"node-{number}.cfg"
        journal = (home if number < _NODES else self._disk.path) / f"journal-{number}"
        for directory in (data, journal):
            directory.mkdir()
            if os.geteuid() == 0:
                os.chown(directory, uid, uid)
        argv = [*_JAVA, "-cp", ":".join([str(home), *CLASSPATH])]
        node = ZooKeeperNode(
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
        self.write(data / "myid", f"{number}\n")
        self.write(config, self.settings(node))
        return node

    def settings(self, node: ZooKeeperNode) -> str:
        return conf.server(node.data, node.journal, node.client, _CONNECTIONS, self._peers)

    def write(self, path: Path, text: str) -> None:
        """Writes a file that the user of a node can read."""
        path.write_text(text)
        path.chmod(0o644)
