"""The monitoring of a shop: Prometheus, Alertmanager and an exporter whose numbers raise alerts now and then.

Requests are made by `clients` alone. The samples are on a small disk, so that it can be filled.
"""

import random
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.prometheus import conf
from logwarden.training.faultlab.systems.prometheus.clients import PrometheusClients
from logwarden.training.faultlab.systems.prometheus.servers import (
    ALERTMANAGER,
    ALL,
    EXPORTER,
    PASSWORD,
    PROMETHEUS,
    RECEIVER,
    PrometheusServers,
)

_DISK_MB = 48


class Prometheus:
    """See the module."""

    name = "prometheus"
    never_in_clean = (
        "no space left|context deadline exceeded|Error reloading config|loading groups failed|corruption"
        "|WAL read error|textfile data|401 Unauthorized|status code 503|panic"
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/prometheus")
        self._network = Network()

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        logs = {name: (self._servers.children[name].log,) for name in ALL}
        return logs | {PROMETHEUS: (*logs[PROMETHEUS], self._servers.queries)}

    def missing(self) -> Sequence[str]:
        programs = {
            "prometheus": "prometheus",
            "prometheus-alertmanager": "prometheus-alertmanager",
            "prometheus-node-exporter": "prometheus-node-exporter",
            "htpasswd": "apache2-utils",
            "nginx": "nginx-light",
            "setpriv": "util-linux",
        }
        return missing_packages(programs)

    def versions(self) -> Mapping[str, str]:
        programs = {
            PROMETHEUS: "prometheus",
            ALERTMANAGER: "prometheus-alertmanager",
            EXPORTER: "prometheus-node-exporter",
        }
        answers = {name: self._workshop.run([program, "--version"], timeout_s=10) for name, program in programs.items()}
        return {name: answer.output.splitlines()[0].partition(" (")[0] for name, answer in answers.items()}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        self._disk.path.chmod(0o755)
        names = (*ALL, RECEIVER)
        self._ports = dict(zip(names, free_ports(len(names), self._rng), strict=True))
        self._servers = PrometheusServers(workshop, self._rng, self._disk, self._ports)
        self._clients = PrometheusClients(
            workshop, self._ports[PROMETHEUS], self._ports[ALERTMANAGER], self._servers.numbers
        )
        self._clients.write_numbers(self._rng)

    def start(self) -> None:
        for name in (RECEIVER, EXPORTER, ALERTMANAGER, PROMETHEUS):
            self._servers.launch(name)

    def workload(self) -> Sequence[Client]:
        clients = self._clients
        prometheus, alertmanager = frozenset({PROMETHEUS, EXPORTER}), frozenset({ALERTMANAGER})
        everything = frozenset(ALL)
        return (
            Client(name="overview", every_s=9, touches=everything, run=clients.overview),
            Client(name="query", every_s=4, touches=prometheus, run=clients.query),
            Client(name="chart", every_s=6, touches=prometheus, run=clients.chart),
            Client(name="list-alerts", every_s=10, touches=alertmanager, run=clients.list_alerts),
            Client(name="report", every_s=9, touches=alertmanager, run=clients.report),
            Client(name="silence", every_s=25, touches=alertmanager, run=clients.silence),
            Client(name="numbers", every_s=7, touches=frozenset(), run=clients.write_numbers),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        restarts = [
            Disturbance(
                name=f"{name.replace('-', '_')}_restart",
                cause="restart",
                what=f"{name} stopped and started, its clients held back",
                services=ALL,
                inject=lambda server=name: self._servers.stop(server),  # type: ignore[misc]
                clear=lambda server=name: self._servers.launch(server),  # type: ignore[misc]
                hold_s=0.5,
                drained=frozenset({name}),
            )
            for name in ALL
        ]
        return (
            *restarts,
            Disturbance(
                name="prometheus_reload",
                cause="reload",
                what="another evaluation_interval, SIGHUP",
                services=ALL,
                inject=self._servers.retune_prometheus,
            ),
            Disturbance(
                name="alertmanager_reload",
                cause="reload",
                what="another group_interval, SIGHUP",
                services=ALL,
                inject=self._servers.retune_alertmanager,
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="the logs of all copied and emptied",
                services=ALL,
                inject=self._servers.rotate,
            ),
            Disturbance(
                name="rule_added",
                cause="maintenance",
                what="another recording rule, SIGHUP",
                services=ALL,
                inject=self._servers.add_rule,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_the_neighbours(), *self._faults_of_prometheus())

    def _faults_of_the_neighbours(self) -> Sequence[Disturbance]:
        children = self._servers.children
        return (
            Disturbance(
                name="exporter_sigkill",
                cause="process",
                what="SIGKILL to the exporter, started again",
                services=ALL,
                inject=children[EXPORTER].kill,
                clear=lambda: self._servers.launch(EXPORTER),
                hold_s=10,
            ),
            Disturbance(
                name="alertmanager_frozen",
                cause="process",
                what="SIGSTOP to Alertmanager",
                services=ALL,
                inject=lambda: children[ALERTMANAGER].send(signal.SIGSTOP),
                clear=lambda: children[ALERTMANAGER].send(signal.SIGCONT),
                hold_s=13,
            ),
            Disturbance(
                name="alertmanager_cut_off",
                cause="dependency",
                what="all packets to and from Alertmanager lost",
                services=ALL,
                inject=lambda: self._network.drop((self._ports[ALERTMANAGER],)),
                clear=self._network.heal,
                hold_s=13,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="receiver_failing",
                cause="dependency",
                what="the receiver of notifications answers 503",
                services=ALL,
                inject=lambda: self._answer(503),
                clear=lambda: self._answer(200),
                hold_s=14,
            ),
            Disturbance(
                name="exporter_password_changed",
                cause="security",
                what="another password for the exporter than Prometheus has",
                services=ALL,
                inject=lambda: self._servers.write_password(f"{PASSWORD[:-2]}{self._rng.randint(30, 99)}"),
                clear=lambda: self._servers.write_password(PASSWORD),
                hold_s=10,
            ),
        )

    def _faults_of_prometheus(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="bad_rules_reload",
                cause="configuration",
                what="a mistyped rule file, SIGHUP",
                services=ALL,
                inject=self._mistype,
                clear=self._correct,
                hold_s=7,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the disk of the samples filled to the last block",
                services=ALL,
                inject=lambda: self._disk.fill(self._rng.uniform(10, 13)),
                clear=self._empty_disk,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="samples_damaged",
                cause="data",
                what="Prometheus killed, bytes of its newest samples changed, started again",
                services=ALL,
                inject=self._damage_samples,
                clear=lambda: self._servers.launch(PROMETHEUS),
                hold_s=4,
            ),
            Disturbance(
                name="numbers_malformed",
                cause="data",
                what="a line of the shop's numbers that is none, in a file of its own",
                services=ALL,
                inject=self._malform,
                clear=self._odd.unlink,
                hold_s=9,
            ),
        )

    def stop(self) -> None:
        for name in (PROMETHEUS, ALERTMANAGER, EXPORTER, RECEIVER):
            self._servers.stop(name)

    @property
    def _odd(self) -> Path:
        return self._servers.numbers.with_name("stock.prom")

    def _answer(self, status: int) -> None:
        self._servers.write_receiver(status)
        self._servers.reload(RECEIVER)

    def _mistype(self) -> None:
        self._servers.write_rules(self._rng.choice(conf.MISTAKES))
        self._servers.reload(PROMETHEUS)

    def _correct(self) -> None:
        self._servers.write_rules()
        self._servers.reload(PROMETHEUS)

    def _empty_disk(self) -> None:
        self._disk.empty()
        if not self._servers.children[PROMETHEUS].alive:
            self._servers.launch(PROMETHEUS)

    def _damage_samples(self) -> None:
        self._servers.children[PROMETHEUS].kill()
        with self._servers.newest_samples.open("r+b") as file:
            size = file.seek(0, 2)
            file.seek(int(size * self._rng.uniform(0.3, 0.7)))
            file.write(self._rng.randbytes(self._rng.randint(200, 600)))

    def _malform(self) -> None:
        row = self._rng.choice(
            ("shop_stock{shelf=} 4", "shop_stock four", 'shop_stock{shelf="a" 4', "shop_stock 4 4 4")
        )
        self._odd.write_text(f"{row}\n")
