"""The three nodes of an etcd cluster: their stores, their configuration, their start. Knows no clients and no fault."""

import os
import shutil
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.network import listening
from logwarden.training.faultlab.process import Child, Workshop

NODES = ("etcd-1", "etcd-2", "etcd-3")
# This one stands on the small disk.
SMALL = "etcd-3"
# A user for each, by which the network can tell their packets apart.
_FIRST_UID = 5_001

# Debug is the only level at which requests leave a line. Heart beats are slower than usual, so that a busy machine does
# not elect leaders; snapshots and compactions come often enough to fit many into some minutes (a full disk is noticed
# by the next snapshot, since the write-ahead log has its room set aside); the quota can be used up in seconds.
_SETTINGS = {
    "heartbeat-interval": "250",
    "election-timeout": "2500",
    "snapshot-count": "15",
    "auto-compaction-mode": "periodic",
    "auto-compaction-retention": "'20s'",
    "quota-backend-bytes": str(12 << 20),
    "logger": "zap",
    "log-level": "debug",
    "log-outputs": "[stderr]",
    "initial-cluster-token": "shop",
    "initial-cluster-state": "new",
    "strict-reconfig-check": "true",
}


class EtcdNodes:
    """Three nodes with empty stores, each with a port for clients and one for its peers."""

    def __init__(self, workshop: Workshop, disk: SmallDisk, ports: list[int]) -> None:
        self._workshop = workshop
        self._stores = {node: workshop.path / f"{node}-store" for node in NODES} | {SMALL: disk.path}
        self.client_port = dict(zip(NODES, ports[:3], strict=True))
        self.peer_port = dict(zip(NODES, ports[3:], strict=True))
        self.uid = {node: _FIRST_UID + place for place, node in enumerate(NODES)}
        logs = workshop.path / "logs"
        logs.mkdir()
        self.child: dict[str, Child] = {}
        for node in NODES:
            self._stores[node].mkdir(exist_ok=True)
            self._stores[node].chmod(0o700)
            if os.geteuid() == 0:
                shutil.chown(self._stores[node], self.uid[node], self.uid[node])
            self.configure(node)
            self.child[node] = workshop.child(
                ["etcd", f"--config-file={self._ini(node)}"], logs / f"{node}.log", user=str(self.uid[node])
            )

    def launch(self, node: str) -> None:
        self._workshop.launch(self.child[node], self.client_port[node])

    def revive(self, node: str) -> None:
        """Starts a node that has ended; leaves a running one alone."""
        if not self.child[node].alive or not listening(self.client_port[node]):
            self.child[node].stop()
            self.launch(node)

    def configure(self, node: str, **settings: str) -> None:
        """Writes the configuration; `settings` replace the correct ones, with underscores for hyphens."""
        client, peer = (f"http://127.0.0.1:{port[node]}" for port in (self.client_port, self.peer_port))
        own = {
            "name": node,
            "data-dir": str(self._stores[node] / "data"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": self.cluster(NODES),
        }
        mistakes = {name.replace("_", "-"): value for name, value in settings.items()}
        text = "".join(f"{name}: {value}\n" for name, value in (_SETTINGS | own | mistakes).items())
        self._ini(node).write_text(text)

    def cluster(self, members: tuple[str, ...]) -> str:
        return ",".join(f"{node}=http://127.0.0.1:{self.peer_port[node]}" for node in members)

    def store(self, node: str) -> Path:
        return self._stores[node]

    def newest_log(self, node: str) -> Path:
        """Returns the part of the write-ahead log that is read first after a restart."""
        return max((self._stores[node] / "data" / "member" / "wal").glob("*.wal"))

    def _ini(self, node: str) -> Path:
        return self._workshop.path / f"{node}.yaml"
