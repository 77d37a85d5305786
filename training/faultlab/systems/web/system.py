"""A web shop: nginx with TLS before HAProxy before two application processes that share an SQLite file.

Requests are made by `clients` alone, servers belong to `servers`. The database and nginx's file of uploads are on a
small disk, so that it can be filled.
"""

import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.web import conf
from logwarden.training.faultlab.systems.web.clients import WebClients, broken_order
from logwarden.training.faultlab.systems.web.servers import ALL, HAPROXY, NGINX, PYTHON, SHOPS, WebServers

# Some room for orders, and little enough to be filled at once.
_DISK_MB = 16
_DESCRIPTORS = 512


class Web:
    """See the module."""

    name = "web"
    never_in_clean = (
        r'Traceback|\[(?:emerg|alert|crit)\]|is DOWN, reason|has no server available|" 50\d |certificate expired'
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/web")
        self._network = Network()

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        shops = {name: (shop.log,) for name, shop in self._servers.shops.items()}
        return {NGINX: self._servers.nginx_logs, HAPROXY: (self._servers.haproxy.log,), **shops}

    def missing(self) -> Sequence[str]:
        return missing_packages(
            {
                "nginx": "nginx-light",
                "haproxy": "haproxy",
                "curl": "curl",
                "openssl": "openssl",
                PYTHON: "python3",
                "prlimit": "util-linux",
            }
        )

    def versions(self) -> Mapping[str, str]:
        commands = {NGINX: ["nginx", "-v"], HAPROXY: ["haproxy", "-v"], "shop": [PYTHON, "--version"]}
        answers = {name: self._workshop.run(argv, timeout_s=10) for name, argv in commands.items()}
        return {name: answer.output.splitlines()[0] for name, answer in answers.items()}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        ports = free_ports(2 + len(SHOPS), self._rng)
        self._servers = WebServers(workshop, self._rng, self._disk, ports)
        self._clients = WebClients(workshop, ports[0], workshop.path / "tls" / "ca.crt")
        self._clients.prepare(self._rng)

    def start(self) -> None:
        self._servers.start()

    def workload(self) -> Sequence[Client]:
        clients, through = self._clients, frozenset(ALL)
        return (
            Client(name="page", every_s=3, touches=frozenset({NGINX}), run=clients.page),
            Client(name="browse", every_s=2, touches=through, run=clients.browse),
            Client(name="search", every_s=4, touches=through, run=clients.search),
            Client(name="order", every_s=3, touches=through, run=clients.order),
            Client(name="upload", every_s=6, touches=through, run=clients.upload),
            Client(name="report", every_s=9, touches=through, run=lambda rng: clients.report()),
        )

    def healthy(self) -> bool:
        return self._clients.served() and all(self._servers.console.server(name)["status"] == "UP" for name in SHOPS)

    def benign(self) -> Sequence[Disturbance]:
        shop = self._rng.choice(SHOPS)
        return (
            Disturbance(
                name="nginx_reload",
                cause="reload",
                what="another keepalive_timeout, SIGHUP",
                services=(NGINX,),
                inject=self._servers.retune,
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="nginx's logs moved away, SIGUSR1",
                services=(NGINX,),
                inject=self._servers.rotate,
            ),
            Disturbance(
                name="nginx_restart",
                cause="restart",
                what="nginx stopped and started, all clients held back",
                services=ALL,
                inject=lambda: self._servers.nginx.stop(signal.SIGQUIT),
                clear=self._servers.launch_nginx,
                hold_s=1.0,
                drained=frozenset(ALL),
            ),
            Disturbance(
                name="haproxy_restart",
                cause="restart",
                what="HAProxy stopped and started, the clients of the shop held back",
                services=ALL,
                inject=lambda: self._servers.haproxy.stop(signal.SIGUSR1),
                clear=self._servers.launch_haproxy,
                hold_s=1.0,
                drained=frozenset({HAPROXY}),
            ),
            Disturbance(
                name="shop_restart",
                cause="restart",
                what="one shop taken out of HAProxy, stopped, started and put back, the other one serving",
                services=ALL,
                inject=lambda: self._servers.take_out(shop),
                clear=lambda: self._servers.put_back(shop),
                hold_s=1.0,
            ),
            Disturbance(
                name="shop_maintenance",
                cause="maintenance",
                what="one shop taken out of HAProxy for a while and put back",
                services=(HAPROXY, *SHOPS),
                inject=lambda: self._servers.console.set_state(shop, "maint"),
                clear=lambda: self._servers.console.set_state(shop, "ready"),
                hold_s=4.0,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_processes(), *self._faults_of_requests())

    def _faults_of_processes(self) -> Sequence[Disturbance]:
        killed, frozen = self._rng.choice(SHOPS), self._rng.choice(SHOPS)
        return (
            Disturbance(
                name="shop_sigkill",
                cause="process",
                what="SIGKILL to one shop, started again",
                services=ALL,
                inject=self._servers.shops[killed].kill,
                clear=lambda: self._servers.launch_shop(killed),
                hold_s=7,
            ),
            Disturbance(
                name="shop_frozen",
                cause="process",
                what="SIGSTOP to one shop",
                services=ALL,
                inject=lambda: self._servers.shops[frozen].send_tree(signal.SIGSTOP),
                clear=lambda: self._servers.shops[frozen].send_tree(signal.SIGCONT),
                hold_s=11,
            ),
            Disturbance(
                name="haproxy_sigkill",
                cause="process",
                what="SIGKILL to HAProxy, started again",
                services=ALL,
                inject=self._servers.kill_haproxy,
                clear=self._servers.launch_haproxy,
                hold_s=7,
            ),
            Disturbance(
                name="shops_cut_off",
                cause="dependency",
                what="all packets between HAProxy and both shops lost",
                services=ALL,
                inject=lambda: self._network.drop(self._servers.shop_ports.values()),
                clear=self._network.heal,
                hold_s=10,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="descriptor_limit",
                cause="resource",
                what="nginx's workers may open hardly a file more than they have open",
                services=(NGINX, HAPROXY),
                inject=self._limit_descriptors,
                clear=self._lift_limit,
                hold_s=9,
            ),
        )

    def _faults_of_requests(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="expired_certificate",
                cause="security",
                what="a certificate that has expired put in place of the valid one, SIGHUP",
                services=(NGINX,),
                inject=lambda: self._servers.install("expired"),
                clear=lambda: self._servers.install("valid"),
                hold_s=8,
            ),
            Disturbance(
                name="bad_nginx_reload",
                cause="configuration",
                what="a mistyped nginx.conf, SIGHUP, and again",
                services=(NGINX,),
                inject=self._mistype,
                clear=self._servers.reload,
                hold_s=3,
            ),
            Disturbance(
                name="broken_orders",
                cause="data",
                what="orders whose body the application does not expect",
                services=ALL,
                inject=self._send_broken_orders,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the disk of the database and of nginx's uploads filled to the last block",
                services=ALL,
                inject=lambda: self._disk.fill(self._rng.uniform(8, 10)),
                clear=self._disk.empty,
                impossible=self._disk.impossible,
            ),
        )

    def stop(self) -> None:
        self._servers.stop()

    def _limit_descriptors(self) -> None:
        for pid in self._servers.nginx_workers():
            taken = {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
            # The limit is one of numbers, and there are gaps below the highest that is taken.
            free = [number for number in range(len(taken) + 2) if number not in taken]
            self._servers.allow_descriptors(pid, free[self._rng.randint(0, 1)])

    def _lift_limit(self) -> None:
        for pid in self._servers.nginx_workers():
            self._servers.allow_descriptors(pid, _DESCRIPTORS)

    def _mistype(self) -> None:
        for _ in range(self._rng.randint(2, 3)):
            text = self._servers.nginx_conf().replace(*self._rng.choice(conf.NGINX_MISTAKES))
            (self._workshop.path / "nginx.conf").write_text(text)
            self._servers.nginx.send(signal.SIGHUP)
            time.sleep(self._rng.uniform(1.5, 3.0))

    def _send_broken_orders(self) -> None:
        for _ in range(self._rng.randint(10, 14)):
            self._clients.order(self._rng, broken_order)
            time.sleep(self._rng.uniform(0.2, 1.0))
