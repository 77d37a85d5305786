"""Three nodes of Apache Kafka, each broker and controller (KRaft): load, faults and planned changes.

Requests of clients are made by `clients`, those of an operator by `admin`; servers belong to `nodes`. If the process is
root, each node runs under a user number of its own, so that it can be cut off alone. Its small tmpfs can be filled
without filling another disk.
"""

import random
import signal
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.kafka.admin import Operator
from logwarden.training.faultlab.systems.kafka.clients import (
    ORDERS,
    PARTITIONS,
    PASSWORD,
    PAYMENTS,
    PRICES,
    RETURNS,
    KafkaClients,
    KafkaPorts,
)
from logwarden.training.faultlab.systems.kafka.jars import CACHE, VERSION
from logwarden.training.faultlab.systems.kafka.nodes import ALL, KafkaNode, KafkaNodes

_START_S = 90.0
# Clients that need every node, or one certain node; a planned restart pauses these and no others.
_WHOLE = "kafka-whole"
_AGE_LIMIT, _NO_LIMIT = "message.timestamp.before.max.ms", str(2**63 - 1)


class Kafka:
    """See the module."""

    name = "kafka"
    never_in_clean = (
        "[Ff]ailed authentication|InvalidTimestamp|log dirs? .*(failed|offline)|No space left"
        "|[Cc]orrupt|invalid messages|FATAL|OutOfMemory"
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/kafka")
        self._network = Network()
        self._retention_ms = 30_000
        self._struck = ALL[0]
        self._misset = ORDERS

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {name: (node.child.log,) for name, node in self._nodes.by_name.items()}

    def missing(self) -> Sequence[str]:
        programs = {"java": "openjdk-17-jre-headless", "kcat": "kcat", "setpriv": "util-linux", "timeout": "coreutils"}
        if not CACHE.is_dir():
            programs |= {"mvn": "maven", "nsenter": "util-linux"}
        return missing_packages(programs)

    def versions(self) -> Mapping[str, str]:
        java = self._workshop.run(["java", "-version"], timeout_s=20)
        kcat = self._workshop.run(["kcat", "-V"], timeout_s=10)
        return {
            "kafka": VERSION,
            "java": java.output.splitlines()[0],
            "kcat": next(line for line in kcat.output.splitlines() if line.startswith("Version")),
        }

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        numbers = iter(free_ports(3 * len(ALL), self._rng))
        ports = {name: KafkaPorts(client=next(numbers), peer=next(numbers), controller=next(numbers)) for name in ALL}
        self._nodes = KafkaNodes(workshop, self._rng, ports)
        self._clients = KafkaClients(workshop, ports)

    def start(self) -> None:
        self._nodes.start()
        self._wait_settled()
        for topic in (ORDERS, PAYMENTS):
            self._operator().create_topic(topic, PARTITIONS, {})
        self._operator().create_topic(PRICES, PARTITIONS, {"cleanup.policy": "compact"})
        self._wait_settled()

    def workload(self) -> Sequence[Client]:
        clients, every = self._clients, frozenset(ALL)
        # These need one certain node, which a planned restart may stop: a group has its coordinator, `look` has a
        # random node, and a job needs all of them.
        certain = frozenset({_WHOLE})

        def follow(name: str, every_s: float, topic: str) -> Client:
            return Client(name=name, every_s=every_s, touches=certain, run=lambda rng: clients.follow(rng, name, topic))

        return (
            Client(name="order", every_s=3, touches=every, run=clients.order),
            Client(name="pay", every_s=6, touches=every, run=clients.pay),
            Client(name="price", every_s=5, touches=every, run=clients.price),
            follow("billing", 7, ORDERS),
            follow("ledger", 9, PAYMENTS),
            Client(name="tail", every_s=4, touches=every, run=clients.tail),
            Client(name="look", every_s=5, touches=certain, run=clients.look),
            # Creates and deletes leaders and logs in fault-free time too, as often as the loss of a node does.
            Client(name="job", every_s=14, touches=certain, run=self._job),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="broker_restart",
                cause="restart",
                what="a node stopped and started while the others go on",
                services=ALL,
                inject=lambda: self._strike(lambda node: node.child.stop(timeout_s=20)),
                clear=self._start_again,
                drained=frozenset({_WHOLE}),
            ),
            Disturbance(
                name="config_reload",
                cause="reload",
                what="another retention time, set for all brokers and for a topic as they run",
                services=ALL,
                inject=self._retune,
                hold_s=1.0,
            ),
            Disturbance(
                name="topic_made_and_dropped",
                cause="maintenance",
                what="a topic created and, soon after, deleted",
                services=ALL,
                inject=lambda: self._operator().create_topic(RETURNS, PARTITIONS, {}),
                clear=lambda: self._operator().delete_topic(RETURNS),
                hold_s=3.0,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="broker_sigkill",
                cause="process",
                what="SIGKILL to a node, started again",
                services=ALL,
                inject=lambda: self._strike(lambda node: node.child.kill()),
                clear=self._start_again,
                hold_s=7,
            ),
            Disturbance(
                name="broker_frozen",
                cause="process",
                what="SIGSTOP to a node",
                services=ALL,
                inject=lambda: self._strike(lambda node: node.child.send_tree(signal.SIGSTOP)),
                clear=lambda: self._nodes.by_name[self._struck].child.send_tree(signal.SIGCONT),
                hold_s=14,
            ),
            Disturbance(
                name="node_isolated",
                cause="dependency",
                what="a node cut off from its peers, but not from clients",
                services=ALL,
                inject=lambda: self._strike(self._isolate),
                clear=self._network.heal,
                hold_s=15,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of a node filled to the last block",
                services=ALL,
                inject=lambda: self._strike(lambda node: node.disk.fill(self._rng.uniform(10, 13))),
                clear=self._empty_disk,
                impossible=self._nodes.by_name[ALL[0]].disk.impossible,
            ),
            Disturbance(
                name="segment_damaged",
                cause="data",
                what="a node crashes, bytes within its newest segments change, it starts again",
                services=ALL,
                inject=lambda: self._strike(self._damage),
                clear=self._start_again,
                hold_s=2,
            ),
            Disturbance(
                name="wrong_password_burst",
                cause="security",
                what="the orders of the load with guessed passwords",
                services=ALL,
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="record_age_limit_wrong",
                cause="configuration",
                what="a topic's limit for the age of records set in seconds where milliseconds are meant",
                services=ALL,
                inject=self._misconfigure,
                clear=lambda: self._operator().set_topic(self._misset, _AGE_LIMIT, _NO_LIMIT),
                hold_s=10,
            ),
        )

    def stop(self) -> None:
        if self._network.impossible is None:
            self._network.heal()
        self._nodes.stop()

    def _wait_settled(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            for name, node in self._nodes.by_name.items():
                if not node.child.alive:
                    raise StartFailed(name, node.child.log.read_text(errors="replace"))
            if self._clients.settled():
                return
            time.sleep(0.5)
        raise StartFailed(
            "the nodes did not find together", self._nodes.by_name[ALL[0]].child.log.read_text(errors="replace")
        )

    def _job(self, rng: random.Random) -> bool:
        """Creates a topic for intermediate results and deletes it, as a stream processor does."""
        name = f"job-{rng.randint(1, 99_999)}-repartition"
        operator = Operator(rng.choice(list(self._nodes.by_name.values())).ports.peer)
        try:
            operator.create_topic(name, rng.randint(3, 8), {})
            time.sleep(rng.uniform(1, 3))
            operator.delete_topic(name)
        except (OSError, struct.error, StartFailed):
            # No answer, half an answer, or a refusal.
            return False
        return True

    def _operator(self) -> Operator:
        return Operator(self._rng.choice(list(self._nodes.by_name.values())).ports.peer)

    def _strike(self, blow: Callable[[KafkaNode], None]) -> None:
        """Injects a fault into a random node, because a node's part in the cluster decides the effect."""
        self._struck = self._rng.choice(ALL)
        blow(self._nodes.by_name[self._struck])

    def _start_again(self) -> None:
        self._nodes.launch(self._struck)

    def _isolate(self, node: KafkaNode) -> None:
        others = [other.ports for other in self._nodes.by_name.values() if other is not node]
        self._network.isolate(
            node.uid,
            (node.ports.peer, node.ports.controller),
            [port for ports in others for port in (ports.peer, ports.controller)],
        )

    def _empty_disk(self) -> None:
        node = self._nodes.by_name[self._struck]
        node.disk.empty()
        time.sleep(1.0)
        # A node that cannot write its metadata ends; an operator starts it again.
        if not node.child.alive:
            self._start_again()

    def _damage(self, node: KafkaNode) -> None:
        """Kills a node and damages its newest segments, as a disk does that acknowledges writes and loses its power."""
        node.child.kill()
        topics = (ORDERS, PAYMENTS)
        newest = [max(node.data.glob(f"{topic}-{place}/*.log")) for topic in topics for place in range(PARTITIONS)]
        for segment in self._rng.sample([path for path in newest if path.stat().st_size > 200], 2):
            size = segment.stat().st_size
            with segment.open("r+b") as stream:
                # Behind the head of a batch, so that its length still leads to the next one.
                stream.seek(self._rng.randint(70, size - 60))
                stream.write(self._rng.randbytes(40))

    def _guess_passwords(self) -> None:
        for _ in range(self._rng.randint(10, 14)):
            self._clients.order(self._rng, password=f"{PASSWORD[:-2]}{self._rng.randint(43, 99)}")
            time.sleep(self._rng.uniform(0.1, 0.6))

    def _misconfigure(self) -> None:
        self._misset = self._rng.choice((ORDERS, PAYMENTS))
        # Records are older than that before they leave their sender.
        self._operator().set_topic(self._misset, _AGE_LIMIT, "10")

    def _retune(self) -> None:
        self._retention_ms = 25_000 if self._retention_ms == 30_000 else 30_000
        self._operator().set_all_brokers("log.retention.ms", str(self._retention_ms))
        self._operator().set_topic(self._rng.choice((ORDERS, PAYMENTS)), "retention.ms", str(self._retention_ms))
