"""A web shop: nginx with TLS before HAProxy before two application processes that share an SQLite file.

Owns configuration, servers, faults and planned changes. Knows nothing of recording. Requests are made by `clients`
alone. The database and nginx's file of uploads stand on a small disk, so that it can be filled.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.guard import command_line, family
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.web import app, conf
from logwarden.training.faultlab.systems.web.clients import Clients, Console, broken_order

NGINX, HAPROXY = "nginx", "haproxy"
SHOPS = ("shop-a", "shop-b")
ALL = (NGINX, HAPROXY, *SHOPS)
# Some room for orders, and little enough to be filled at once.
_DISK_MB = 16
_START_S = 30.0
# Of its workers; far more descriptors than their 128 connections take.
_NGINX_USER = "www-data"
_DESCRIPTORS = 512

# The system's own, not ours: tracebacks name the files of its library, and where ours lies is nobody's business.
_PYTHON = "/usr/bin/python3"


class Web:
    """See the module."""

    name = "web"
    never_in_clean = (
        r'Traceback|\[(?:emerg|alert|crit)\]|is DOWN, reason|has no server available|" 50\d |certificate expired'
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/web")
        self._network = Network()
        self._keepalive_s = 20
        self._shops: dict[str, Child] = {}

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        shops = {name: (shop.log,) for name, shop in self._shops.items()}
        return {NGINX: self._nginx_logs, HAPROXY: (self._haproxy.log,), **shops}

    def missing(self) -> Sequence[str]:
        return missing_packages(
            {
                "nginx": "nginx-light",
                "haproxy": "haproxy",
                "curl": "curl",
                "openssl": "openssl",
                _PYTHON: "python3",
                "prlimit": "util-linux",
            }
        )

    def versions(self) -> Mapping[str, str]:
        asked = {NGINX: ["nginx", "-v"], HAPROXY: ["haproxy", "-v"], "shop": [_PYTHON, "--version"]}
        answers = {name: self._workshop.run(argv, timeout_s=10) for name, argv in asked.items()}
        return {name: answer.output.splitlines()[0] for name, answer in answers.items()}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        root, logs = workshop.path, workshop.path / "logs"
        for directory in (logs, root / "nginx", root / "tls"):
            directory.mkdir()
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        nginx, haproxy, *shops = free_ports(4, self._rng)
        self._nginx_port, self._haproxy_port = nginx, haproxy
        self._shop_ports = dict(zip(SHOPS, shops, strict=True))
        conf.certify(workshop, root / "tls")
        self._copy_certificate("valid")
        self._configure()
        self._console = Console(root / "haproxy.sock")
        (root / "haproxy.cfg").write_text(
            conf.HAPROXY.format(root=root, haproxy=haproxy, a=shops[0], b=shops[1]).lstrip()
        )
        database = self._disk.path / "shop.db"
        app.create(database, self._rng.randrange(10**6))
        # A copy, because a traceback names the file: it should look like an application's.
        program = Path(shutil.copy(app.__file__, root / "shop.py"))
        for name, port in self._shop_ports.items():
            argv = [_PYTHON, "-I", str(program), name, str(port), str(database)]
            self._shops[name] = workshop.child(argv, logs / f"{name}.log")
        self._haproxy = workshop.child(["haproxy", "-W", "-db", "-f", str(root / "haproxy.cfg")], logs / "haproxy.log")
        self._nginx_logs = (logs / "nginx-access.log", logs / "nginx-error.log")
        nginx_argv = [
            "nginx",
            "-p",
            str(root / "nginx"),
            "-c",
            str(root / "nginx.conf"),
            "-e",
            str(self._nginx_logs[1]),
        ]
        # What it says on standard error stands in its error log as well.
        self._nginx = workshop.child(nginx_argv, logs / "nginx-start.log")
        self._clients = Clients(workshop, nginx, root / "tls" / "ca.crt")
        self._clients.prepare(self._rng)

    def start(self) -> None:
        for name in SHOPS:
            self._launch_shop(name)
        self._launch_haproxy()
        self._launch_nginx()

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
        return self._clients.served() and all(self._console.server(name)["status"] == "UP" for name in SHOPS)

    def benign(self) -> Sequence[Disturbance]:
        shop = self._rng.choice(SHOPS)
        return (
            Disturbance(
                name="nginx_reload",
                cause="reload",
                what="another keepalive_timeout, SIGHUP",
                services=(NGINX,),
                inject=self._retune,
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="nginx's logs moved away, SIGUSR1",
                services=(NGINX,),
                inject=self._rotate,
            ),
            Disturbance(
                name="nginx_restart",
                cause="restart",
                what="nginx stopped and started, all clients held back",
                services=ALL,
                inject=lambda: self._nginx.stop(signal.SIGQUIT),
                clear=self._launch_nginx,
                hold_s=1.0,
                drained=frozenset(ALL),
            ),
            Disturbance(
                name="haproxy_restart",
                cause="restart",
                what="HAProxy stopped and started, the clients of the shop held back",
                services=ALL,
                inject=lambda: self._haproxy.stop(signal.SIGUSR1),
                clear=self._launch_haproxy,
                hold_s=1.0,
                drained=frozenset({HAPROXY}),
            ),
            Disturbance(
                name="shop_restart",
                cause="restart",
                what="one shop taken out of HAProxy, stopped, started and put back, the other one serving",
                services=ALL,
                inject=lambda: self._take_out(shop),
                clear=lambda: self._put_back(shop),
                hold_s=1.0,
            ),
            Disturbance(
                name="shop_maintenance",
                cause="maintenance",
                what="one shop taken out of HAProxy for a while and put back",
                services=(HAPROXY, *SHOPS),
                inject=lambda: self._console.set_state(shop, "maint"),
                clear=lambda: self._console.set_state(shop, "ready"),
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
                inject=self._shops[killed].kill,
                clear=lambda: self._launch_shop(killed),
                hold_s=7,
            ),
            Disturbance(
                name="shop_frozen",
                cause="process",
                what="SIGSTOP to one shop",
                services=ALL,
                inject=lambda: self._shops[frozen].send_tree(signal.SIGSTOP),
                clear=lambda: self._shops[frozen].send_tree(signal.SIGCONT),
                hold_s=11,
            ),
            Disturbance(
                name="haproxy_sigkill",
                cause="process",
                what="SIGKILL to HAProxy, started again",
                services=ALL,
                inject=self._kill_haproxy,
                clear=self._launch_haproxy,
                hold_s=7,
            ),
            Disturbance(
                name="shops_cut_off",
                cause="dependency",
                what="all packets between HAProxy and both shops lost",
                services=ALL,
                inject=lambda: self._network.drop(self._shop_ports.values()),
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
                inject=lambda: self._install("expired"),
                clear=lambda: self._install("valid"),
                hold_s=8,
            ),
            Disturbance(
                name="bad_nginx_reload",
                cause="configuration",
                what="a mistyped nginx.conf, SIGHUP, and again",
                services=(NGINX,),
                inject=self._mistype,
                clear=self._reload,
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
        self._nginx.stop(signal.SIGQUIT)
        self._haproxy.stop(signal.SIGUSR1)
        for shop in self._shops.values():
            shop.stop()

    def _launch_nginx(self) -> None:
        self._workshop.launch(self._nginx, self._nginx_port)

    def _launch_haproxy(self) -> None:
        self._workshop.launch(self._haproxy, self._haproxy_port)

    def _launch_shop(self, name: str) -> None:
        self._workshop.launch(self._shops[name], self._shop_ports[name])

    def _kill_haproxy(self) -> None:
        # Its worker would outlive the master for a moment and serve on.
        self._haproxy.send_tree(signal.SIGKILL)
        self._haproxy.reap()

    def _limit_descriptors(self) -> None:
        for pid in self._nginx_workers():
            taken = {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
            # The limit is one of numbers, and there are gaps below the highest that is taken.
            free = [number for number in range(len(taken) + 2) if number not in taken]
            self._allow_descriptors(pid, free[self._rng.randint(0, 1)])

    def _lift_limit(self) -> None:
        for pid in self._nginx_workers():
            self._allow_descriptors(pid, _DESCRIPTORS)

    def _allow_descriptors(self, pid: int, number: int) -> None:
        # As the user that nginx gives its workers: root without every capability may not do it to others.
        self._workshop.must(["prlimit", f"--pid={pid}", f"--nofile={number}:"], user=_NGINX_USER)

    def _nginx_workers(self) -> list[int]:
        return [pid for pid, _ in family(self._nginx.pid)[1:] if "worker process" in command_line(pid)]

    def _mistype(self) -> None:
        for _ in range(self._rng.randint(2, 3)):
            text = self._nginx_conf().replace(*self._rng.choice(conf.NGINX_MISTAKES))
            (self._workshop.path / "nginx.conf").write_text(text)
            self._nginx.send(signal.SIGHUP)
            time.sleep(self._rng.uniform(1.5, 3.0))

    def _send_broken_orders(self) -> None:
        for _ in range(self._rng.randint(10, 14)):
            self._clients.order(self._rng, broken_order)
            time.sleep(self._rng.uniform(0.2, 1.0))

    def _retune(self) -> None:
        self._keepalive_s = 45 - self._keepalive_s
        self._reload()

    def _reload(self) -> None:
        self._configure()
        self._nginx.send(signal.SIGHUP)

    def _rotate(self) -> None:
        for log in self._nginx_logs:
            log.rename(log.with_suffix(".log.1"))
        self._nginx.send(signal.SIGUSR1)

    def _configure(self) -> None:
        (self._workshop.path / "nginx.conf").write_text(self._nginx_conf())

    def _nginx_conf(self) -> str:
        # For others than root it would be a warning and nothing else.
        user = f"user {_NGINX_USER};\n" if os.geteuid() == 0 else ""
        return (
            user
            + conf.NGINX.format(
                root=self._workshop.path,
                disk=self._disk.path,
                nginx=self._nginx_port,
                haproxy=self._haproxy_port,
                keepalive_s=self._keepalive_s,
            ).lstrip()
        )

    def _take_out(self, name: str) -> None:
        """What it is serving is served to the end before it is stopped."""
        self._console.set_state(name, "maint")
        deadline = time.monotonic() + _START_S
        while self._console.server(name)["scur"] != "0":
            if time.monotonic() > deadline:
                raise StartFailed(f"{name} does not come to rest", "")
            time.sleep(0.1)
        self._shops[name].stop()

    def _put_back(self, name: str) -> None:
        self._launch_shop(name)
        self._console.set_state(name, "ready")

    def _install(self, certificate: str) -> None:
        self._copy_certificate(certificate)
        self._nginx.send(signal.SIGHUP)

    def _copy_certificate(self, certificate: str) -> None:
        tls = self._workshop.path / "tls"
        shutil.copy(tls / f"{certificate}.crt", tls / "server.crt")
