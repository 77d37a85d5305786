"""An etcd cluster of three nodes: load, faults and planned changes.

Requests are made by `clients` alone, servers belong to `nodes`. One node is on a small tmpfs if the process is root, so
that its disk can be filled and no other.
"""

import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.etcd.clients import EtcdClients
from logwarden.training.faultlab.systems.etcd.nodes import NODES, SMALL, EtcdNodes

# Two parts of the write-ahead log are set aside at once, of 64 MB each.
_DISK_MB = 180
_START_S = 30.0


class Etcd:
    """See the module."""

    name = "etcd"
    never_in_clean = "panic|fatal|NOSPACE|no space left|database space exceeded|crc mismatch"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/etcd")
        self._network = Network()
        self._victim = NODES[0]

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {node: (self._nodes.child[node].log,) for node in NODES}

    def missing(self) -> Sequence[str]:
        return missing_packages({"etcd": "etcd-server", "etcdctl": "etcd-client", "setpriv": "util-linux"})

    def versions(self) -> Mapping[str, str]:
        answer = self._workshop.run(["etcd", "--version"], timeout_s=10)
        return {"etcd": answer.output.splitlines()[0]}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        self._nodes = EtcdNodes(workshop, self._disk, free_ports(6, self._rng))
        self._clients = EtcdClients(workshop, self._nodes.client_port)

    def start(self) -> None:
        for node in NODES:
            self._nodes.child[node].start()
        deadline = time.monotonic() + _START_S
        while not self._clients.ask_all("endpoint", "health").ok:
            if time.monotonic() > deadline:
                raise StartFailed("etcd", self._nodes.child[SMALL].log.read_text(errors="replace"))
            time.sleep(0.5)

    def workload(self) -> Sequence[Client]:
        clients, every = self._clients, frozenset(NODES)
        return (
            Client(name="write", every_s=3, touches=every, run=clients.write),
            Client(name="write-too", every_s=4, touches=every, run=clients.write),
            Client(name="read", every_s=3, touches=every, run=clients.read),
            Client(name="list", every_s=7, touches=every, run=clients.list),
            Client(name="lease", every_s=9, touches=every, run=clients.lease),
            Client(name="renew", every_s=10, touches=every, run=clients.renew),
            Client(name="probe", every_s=12, touches=every, run=lambda rng: clients.served()),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        return (
            self._restart("follower_restart", "a node that follows stopped and started", self._pick_follower),
            self._restart("leader_restart", "the node that leads stopped and started", self._pick_leader),
            Disturbance(
                name="leader_change",
                cause="maintenance",
                what="the lead handed to another node, all clients held back",
                services=NODES,
                inject=self._hand_over,
                hold_s=1.0,
                # A request between two leaders is refused.
                drained=frozenset(NODES),
            ),
            Disturbance(
                name="defragmentation",
                cause="maintenance",
                what="history compacted, all nodes defragmented",
                services=NODES,
                inject=self._compact,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_a_node(), *self._faults_of_the_cluster())

    def _faults_of_a_node(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="leader_sigkill",
                cause="process",
                what="SIGKILL to the node that leads, started again",
                services=NODES,
                inject=self._kill_leader,
                clear=lambda: self._nodes.launch(self._victim),
                hold_s=9,
            ),
            Disturbance(
                name="leader_frozen",
                cause="process",
                what="SIGSTOP to the node that leads",
                services=NODES,
                inject=self._freeze_leader,
                clear=lambda: self._nodes.child[self._victim].send_tree(signal.SIGCONT),
                hold_s=12,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of one node filled to the last block",
                services=NODES,
                inject=lambda: self._disk.fill(self._rng.uniform(16, 19)),
                clear=self._empty_disk,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="corrupted_log",
                cause="data",
                what="a node restarted with rubbish in its write-ahead log, then with a copy of the log",
                services=NODES,
                inject=self._corrupt_log,
                clear=self._restore_log,
                hold_s=8,
            ),
            Disturbance(
                name="bad_config_restart",
                cause="configuration",
                what="a node restarted with a mistake in its configuration",
                services=NODES,
                inject=self._restart_misconfigured,
                clear=self._restart_configured,
                hold_s=8,
            ),
        )

    def _faults_of_the_cluster(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="leader_isolated",
                cause="dependency",
                what="the node that leads cut off from its peers",
                services=NODES,
                inject=self._isolate_leader,
                clear=self._network.heal,
                hold_s=14,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="packet_loss",
                cause="dependency",
                what="a share of the packets between peers dropped",
                services=NODES,
                inject=lambda: self._network.drop(self._nodes.peer_port.values(), share=self._rng.uniform(0.10, 0.18)),
                clear=self._heal,
                hold_s=15,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="quota_used_up",
                cause="resource",
                what="long values written until the quota is used up",
                services=NODES,
                inject=self._use_quota_up,
                clear=self._make_room,
                hold_s=4,
            ),
        )

    def stop(self) -> None:
        for node in NODES:
            self._nodes.child[node].stop()

    def _restart(self, name: str, what: str, pick: Callable[[], str]) -> Disturbance:
        def stop() -> None:
            self._victim = pick()
            self._nodes.child[self._victim].stop(signal.SIGTERM)

        return Disturbance(
            name=name,
            cause="restart",
            what=f"{what}, all clients held back",
            services=NODES,
            inject=stop,
            clear=lambda: self._nodes.launch(self._victim),
            # Long enough for its peers to complain as long as they do when it is lost: that alone is no fault.
            hold_s=8,
            # Every client may be in conversation with any node.
            drained=frozenset(NODES),
        )

    def _pick_leader(self) -> str:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            leader = self._clients.leader()
            if leader is not None:
                return leader
            time.sleep(0.5)
        raise StartFailed("etcd", "no node reports itself as leader")

    def _pick_follower(self) -> str:
        leader = self._pick_leader()
        return self._rng.choice([node for node in NODES if node != leader])

    def _kill_leader(self) -> None:
        self._victim = self._pick_leader()
        self._nodes.child[self._victim].kill()

    def _freeze_leader(self) -> None:
        self._victim = self._pick_leader()
        self._nodes.child[self._victim].send_tree(signal.SIGSTOP)

    def _isolate_leader(self) -> None:
        node = self._pick_leader()
        ports = self._nodes.peer_port
        self._network.isolate(self._nodes.uid[node], (ports[node],), (ports[peer] for peer in NODES if peer != node))

    def _heal(self) -> None:
        self._network.heal()
        # A connection that lost several packets in a row sends again only after seconds, and a cluster that answers
        # meanwhile may yet lose its leader.
        time.sleep(5.0)

    def _hand_over(self) -> None:
        leader, heir = self._pick_leader(), self._pick_follower()
        status = self._clients.ask((heir,), "endpoint", "status").output.split(",")
        if len(status) < 2 or not self._clients.ask((leader,), "move-leader", status[1].strip()).ok:
            raise StartFailed("etcd", f"the leadership cannot be moved: {','.join(status)}")

    def _compact(self) -> None:
        status = self._clients.ask_all("get", "shop/probe", "--write-out=fields").output
        revision = next((line.split(":")[1].strip() for line in status.splitlines() if '"Revision"' in line), "1")
        self._clients.ask_all("compact", revision)
        self._clients.ask_all("defrag")

    def _use_quota_up(self) -> None:
        for _ in range(60):
            if not self._clients.store(self._rng, self._rng.randint(500_000, 900_000)):
                break
            time.sleep(self._rng.uniform(0.05, 0.3))

    def _make_room(self) -> None:
        # The long values are the cause: compaction alone frees too little room, which lasts for minutes only.
        self._clients.ask_all("del", "--prefix", "shop/basket/")
        self._compact()
        self._clients.ask_all("alarm", "disarm")

    def _empty_disk(self) -> None:
        self._disk.empty()
        time.sleep(1.0)
        self._nodes.revive(SMALL)

    def _corrupt_log(self) -> None:
        self._victim = self._pick_follower()
        self._nodes.child[self._victim].stop()
        log = self._nodes.newest_log(self._victim)
        self._log, self._copy = log, self._workshop.path / "copy.wal"
        # The rest of the file is room set aside, all zeros.
        used = len(log.read_bytes().rstrip(b"\0"))
        shutil.copy2(log, self._copy)
        with log.open("r+b") as pages:
            pages.seek(used // 2)
            pages.write(self._rng.randbytes(min(512, used // 4)))
        self._nodes.child[self._victim].start()

    def _restore_log(self) -> None:
        self._nodes.child[self._victim].stop()
        # Written over, not replaced, so that it stays the node's own.
        with self._log.open("r+b") as pages:
            pages.write(self._copy.read_bytes())
        self._nodes.launch(self._victim)

    def _restart_misconfigured(self) -> None:
        self._victim = node = self._pick_follower()
        self._nodes.child[node].stop()
        some = (node, self._rng.choice([member for member in NODES if member != node]))
        mistakes: tuple[dict[str, str], ...] = (
            # Another directory, and a member forgotten.
            {
                "data_dir": str(self._nodes.store(node) / "date"),
                "initial_cluster": self._nodes.cluster(some),
                "initial_cluster_state": "existing",
            },
            # Milliseconds taken for hundredths of a second.
            {"election_timeout": "250"},
        )
        self._nodes.configure(node, **self._rng.choice(mistakes))
        self._nodes.child[node].start()

    def _restart_configured(self) -> None:
        self._nodes.child[self._victim].stop()
        shutil.rmtree(self._nodes.store(self._victim) / "date", ignore_errors=True)
        self._nodes.configure(self._victim)
        self._nodes.launch(self._victim)
