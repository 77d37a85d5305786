"""Two clustered RabbitMQ nodes with mirrored queues: load, nodes, faults and planned changes.

Requests are made by `clients` alone. The first node is on a small tmpfs if the process is root, so that its disk can be
filled and no other.
"""

import os
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.rabbitmq import conf
from logwarden.training.faultlab.systems.rabbitmq.clients import ORDERS, PASSWORD, PROBE, QUEUES, USER, RabbitMQClients

SERVICES = ("rabbitmq-1", "rabbitmq-2")
_NODES = ("rabbit-1@localhost", "rabbit-2@localhost")
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
_START_S = 90.0
_STOP_S = 25.0
# A wrong setting is found in the first seconds of a start.
_REFUSAL_S = 20.0


class RabbitMQ:
    """See the module."""

    name = "rabbitmq"
    never_in_clean = (
        "login refused|resource limit alarm set|bad_header|precondition_failed|is reached|BOOT FAILED"
        "|running_partitioned_network|net_tick_timeout"
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/rabbitmq")
        self._network = Network()
        self._leaked: list[subprocess.Popen[str]] = []
        self._nodes: list[Child] = []
        self._logs: list[Path] = []
        self._max_length = 2000
        # The node that the disturbance in progress has chosen.
        self._target = 0

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        # Before its log file is open and when it cannot start at all, a node writes to its standard output.
        return {service: (log, node.log) for service, log, node in zip(SERVICES, self._logs, self._nodes, strict=True)}

    def missing(self) -> Sequence[str]:
        return missing_packages(
            {
                str(_PROGRAMS / "rabbitmq-server"): "rabbitmq-server",
                "epmd": "erlang-base",
                "amqp-publish": "amqp-tools",
            }
        )

    def versions(self) -> Mapping[str, str]:
        return {"rabbitmq": self._operate("rabbitmqctl", "version").split()[-1]}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", conf.DISK_MB)
        epmd, *rest = free_ports(5, self._rng)
        self._ports, self._peer_ports = rest[:2], rest[2:]
        self._clients = RabbitMQClients(workshop, self._ports)
        self._environment = conf.environment(epmd)
        self._write_definitions()
        (workshop.path / "enabled_plugins").write_text("[].\n")
        logs = workshop.path / "logs"
        logs.mkdir()
        self._epmd = workshop.child(["epmd", "-port", str(epmd), "-address", "127.0.0.1"], logs / "epmd.log")
        self._epmd_port = epmd
        for number, store in enumerate((self._disk.path / "store", workshop.path / "store")):
            store.mkdir()
            self._logs.append(logs / f"{SERVICES[number]}.log")
            self._configure(number)
            own = conf.node_environment(_NODES[number], self._peer_ports[number], self._config(number), store, logs)
            node = workshop.child(
                [str(_PROGRAMS / "rabbitmq-server")],
                logs / f"{SERVICES[number]}.out",
                env={**self._environment, **own},
            )
            self._nodes.append(node)

    def start(self) -> None:
        self._workshop.launch(self._epmd, self._epmd_port)
        for number in range(len(_NODES)):
            self._launch(number)

    def workload(self) -> Sequence[Client]:
        clients = self._clients

        def client(name: str, node: int, every_s: float, run: Callable[[int, random.Random], bool]) -> Client:
            touches = frozenset({SERVICES[node]})
            return Client(name=name, every_s=every_s, touches=touches, run=lambda rng: run(node, rng))

        return (
            client("order", 0, 4, clients.order),
            client("order-too", 1, 5, clients.order),
            client("work", 0, 4, clients.work),
            client("work-too", 1, 4, clients.work),
            client("peek", 0, 7, clients.peek),
            client("peek-too", 1, 7, clients.peek),
            client("report", self._rng.randrange(2), 9, clients.report),
            Client(name="probe", every_s=10, touches=frozenset(SERVICES), run=lambda rng: clients.served()),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        restarted, rotated = self._rng.sample(range(len(_NODES)), 2)
        return (
            Disturbance(
                name="node_restart",
                cause="restart",
                what="a node stopped and started, its clients held back",
                services=SERVICES,
                inject=lambda: self._nodes[restarted].stop(timeout_s=_STOP_S),
                clear=lambda: self._launch(restarted),
                hold_s=1.0,
                drained=frozenset({SERVICES[restarted]}),
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="a node's log renamed, which it notices",
                services=(SERVICES[rotated],),
                inject=lambda: self._rotate(rotated),
            ),
            Disturbance(
                name="definitions_import",
                cause="reload",
                what="another greatest length of queues, rabbitmqctl import_definitions",
                services=SERVICES,
                inject=self._import_definitions,
                hold_s=1.0,
            ),
            Disturbance(
                name="rebalance",
                cause="maintenance",
                what="leaders of queues moved between the nodes, rabbitmq-queues rebalance",
                services=SERVICES,
                inject=self._rebalance,
                hold_s=1.0,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_clients(), *self._faults_of_nodes())

    def _faults_of_clients(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="wrong_password_burst",
                cause="security",
                what="the orders of the load with guessed passwords",
                services=SERVICES,
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="wrong_release",
                cause="data",
                what="clients that speak TLS to a plain port and declare a durable queue as a transient one",
                services=SERVICES,
                inject=self._release_wrongly,
            ),
            Disturbance(
                name="connection_leak",
                cause="resource",
                what="consumers started and never ended, more than there is room for",
                services=SERVICES,
                inject=self._leak_connections,
                clear=self._end_leaked,
            ),
        )

    def _faults_of_nodes(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="disk_alarm",
                cause="resource",
                what="the file system of the first node filled until less than the free limit is left",
                services=SERVICES,
                inject=self._crowd_disk,
                clear=self._disk.empty,
                hold_s=12,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="node_sigkill",
                cause="process",
                what="SIGKILL to a node, started again",
                services=SERVICES,
                inject=self._kill_node,
                clear=lambda: self._launch(self._target),
                hold_s=6,
            ),
            Disturbance(
                name="link_cut",
                cause="dependency",
                what="all packets between the two nodes lost",
                services=SERVICES,
                inject=lambda: self._network.drop(self._peer_ports),
                clear=self._network.heal,
                hold_s=15,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="bad_config_restart",
                cause="configuration",
                what="a node restarted with a misspelt setting, which it refuses",
                services=SERVICES,
                inject=self._restart_misspelt,
                clear=self._correct,
                hold_s=3,
            ),
        )

    def stop(self) -> None:
        self._end_leaked()
        for node in self._nodes:
            node.stop(timeout_s=_STOP_S)
        self._epmd.stop()

    def _guess_passwords(self) -> None:
        for _ in range(self._rng.randint(20, 28)):
            guess = f"{PASSWORD[:-2]}{self._rng.randint(43, 99)}"
            self._clients.order(self._rng.randrange(2), self._rng, password=guess)
            time.sleep(self._rng.uniform(0.1, 0.6))

    def _release_wrongly(self) -> None:
        for _ in range(self._rng.randint(14, 20)):
            node = self._rng.randrange(2)
            if self._rng.random() < 0.5:
                self._clients.order(node, self._rng, scheme="amqps")
            else:
                self._clients.declare(node, ORDERS)
            time.sleep(self._rng.uniform(0.2, 0.8))

    def _leak_connections(self) -> None:
        """Opens connections and leaves them open, as a growing pool does, until none is left and longer."""
        deadline = time.monotonic() + self._rng.uniform(14, 17)
        while time.monotonic() < deadline:
            self._leaked.append(self._clients.wait_for_refund(self._rng.randrange(2)))
            time.sleep(0.2)

    def _end_leaked(self) -> None:
        for consumer in self._leaked:
            if consumer.poll() is None:
                consumer.terminate()
                time.sleep(0.05)
            consumer.communicate()
        self._leaked.clear()

    def _crowd_disk(self) -> None:
        """Fills the disk up to some rest: publishers are blocked before the last block, and the store stays whole."""
        room = os.statvfs(self._disk.path)
        left = int(conf.DISK_LIMIT_MB * self._rng.uniform(0.5, 0.9)) << 20
        with (self._disk.path / "archive").open("wb") as archive:
            os.posix_fallocate(archive.fileno(), 0, room.f_bavail * room.f_frsize - left)

    def _kill_node(self) -> None:
        self._target = self._rng.randrange(2)
        self._nodes[self._target].kill()

    def _restart_misspelt(self) -> None:
        self._target = self._rng.randrange(2)
        node = self._nodes[self._target]
        node.stop(timeout_s=_STOP_S)
        self._configure(self._target, conf.MISSPELT)
        node.start()
        deadline = time.monotonic() + _REFUSAL_S
        while node.alive and time.monotonic() < deadline:
            time.sleep(0.1)

    def _correct(self) -> None:
        self._configure(self._target)
        node = self._nodes[self._target]
        if node.alive:
            raise StartFailed(
                "rabbitmq-server took a setting that does not exist", node.log.read_text(errors="replace")
            )
        self._launch(self._target)

    def _rotate(self, number: int) -> None:
        """Renames the log: the node opens a new one before its next write, and rotate_logs no longer exists."""
        log = self._logs[number]
        log.rename(log.with_suffix(".log.1"))

    def _import_definitions(self) -> None:
        self._max_length = 1500 if self._max_length == 2000 else 2000
        self._operate("rabbitmqctl", "-n", _NODES[0], "import_definitions", str(self._write_definitions()))

    def _rebalance(self) -> None:
        self._operate("rabbitmq-queues", "-n", _NODES[0], "rebalance", "all")

    def _operate(self, program: str, *arguments: str) -> str:
        return self._workshop.must([str(_PROGRAMS / program), *arguments], env=self._environment)

    def _launch(self, number: int) -> None:
        self._workshop.launch(self._nodes[number], self._ports[number], _START_S)

    def _write_definitions(self) -> Path:
        path = self._workshop.path / "definitions.json"
        path.write_text(conf.definitions(USER, PASSWORD, QUEUES, self._max_length, PROBE))
        return path

    def _config(self, number: int) -> Path:
        return self._workshop.path / f"{SERVICES[number]}.conf"

    def _configure(self, number: int, disk_free_limit: str = conf.DISK_FREE_LIMIT) -> None:
        text = conf.SERVER.format(
            client=self._ports[number],
            logs=self._logs[number].parent,
            log=self._logs[number].name,
            disk_free_limit=disk_free_limit,
            limit=conf.DISK_LIMIT_MB,
            first=_NODES[0],
            definitions=self._workshop.path / "definitions.json",
        )
        self._config(number).write_text(text)
