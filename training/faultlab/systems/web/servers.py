"""The servers of the shop: nginx, HAProxy and two application processes. Knows no fault and no clients' requests."""

import os
import random
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.guard import command_line, family
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.systems.web import app, conf
from logwarden.training.faultlab.systems.web.clients import Console

NGINX, HAPROXY = "nginx", "haproxy"
SHOPS = ("shop-a", "shop-b")
ALL = (NGINX, HAPROXY, *SHOPS)
_START_S = 30.0
# Of its workers; far more descriptors than their 128 connections take.
_NGINX_USER = "www-data"
# The Python of the system, because tracebacks name the files of its library.
PYTHON = "/usr/bin/python3"


class WebServers:
    """All servers with their configuration; the database and nginx's uploads are on `disk`."""

    def __init__(self, workshop: Workshop, rng: random.Random, disk: SmallDisk, ports: Sequence[int]) -> None:
        self._workshop = workshop
        self._disk = disk
        self._keepalive_s = 20
        root, logs = workshop.path, workshop.path / "logs"
        for directory in (logs, root / "nginx", root / "tls"):
            directory.mkdir()
        self._nginx_port, self._haproxy_port, *shops = ports
        self.shop_ports = dict(zip(SHOPS, shops, strict=True))
        conf.certify(workshop, root / "tls")
        self._copy_certificate("valid")
        self._configure()
        self.console = Console(root / "haproxy.sock")
        (root / "haproxy.cfg").write_text(
            conf.HAPROXY.format(root=root, haproxy=self._haproxy_port, a=shops[0], b=shops[1]).lstrip()
        )
        database = disk.path / "shop.db"
        app.create(database, rng.randrange(10**6))
        # A copy, because a traceback names the file: it should look like an application's.
        program = Path(shutil.copy(app.__file__, root / "shop.py"))
        self.shops = {
            name: workshop.child([PYTHON, "-I", str(program), name, str(port), str(database)], logs / f"{name}.log")
            for name, port in self.shop_ports.items()
        }
        self.haproxy = workshop.child(["haproxy", "-W", "-db", "-f", str(root / "haproxy.cfg")], logs / "haproxy.log")
        self.nginx_logs = (logs / "nginx-access.log", logs / "nginx-error.log")
        error_log = str(self.nginx_logs[1])
        # nginx repeats its standard error in the error log, so the first file is not recorded.
        self.nginx = workshop.child(
            ["nginx", "-p", str(root / "nginx"), "-c", str(root / "nginx.conf"), "-e", error_log],
            logs / "nginx-start.log",
        )

    def start(self) -> None:
        """Starts the shops, HAProxy before them and nginx before HAProxy."""
        for name in SHOPS:
            self.launch_shop(name)
        self.launch_haproxy()
        self.launch_nginx()

    def stop(self) -> None:
        """Stops all servers."""
        self.nginx.stop(signal.SIGQUIT)
        self.haproxy.stop(signal.SIGUSR1)
        for shop in self.shops.values():
            shop.stop()

    def launch_nginx(self) -> None:
        self._workshop.launch(self.nginx, self._nginx_port)

    def launch_haproxy(self) -> None:
        self._workshop.launch(self.haproxy, self._haproxy_port)

    def launch_shop(self, name: str) -> None:
        self._workshop.launch(self.shops[name], self.shop_ports[name])

    def kill_haproxy(self) -> None:
        # Its worker would outlive the master for a moment and serve on.
        self.haproxy.send_tree(signal.SIGKILL)
        self.haproxy.reap()

    def nginx_workers(self) -> list[int]:
        return [pid for pid, _ in family(self.nginx.pid)[1:] if "worker process" in command_line(pid)]

    def allow_descriptors(self, pid: int, number: int) -> None:
        # As the user that nginx gives its workers: root without every capability may not do it to others.
        self._workshop.must(["prlimit", f"--pid={pid}", f"--nofile={number}:"], user=_NGINX_USER)

    def retune(self) -> None:
        self._keepalive_s = 45 - self._keepalive_s
        self.reload()

    def reload(self) -> None:
        self._configure()
        self.nginx.send(signal.SIGHUP)

    def rotate(self) -> None:
        for log in self.nginx_logs:
            log.rename(log.with_suffix(".log.1"))
        self.nginx.send(signal.SIGUSR1)

    def _configure(self) -> None:
        (self._workshop.path / "nginx.conf").write_text(self.nginx_conf())

    def nginx_conf(self) -> str:
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

    def take_out(self, name: str) -> None:
        """Takes a shop out of HAProxy, waits until its requests are served, and stops it."""
        self.console.set_state(name, "maint")
        deadline = time.monotonic() + _START_S
        while self.console.server(name)["scur"] != "0":
            if time.monotonic() > deadline:
                raise StartFailed(name, f"the shop still serves requests after {_START_S:g} s")
            time.sleep(0.1)
        self.shops[name].stop()

    def put_back(self, name: str) -> None:
        self.launch_shop(name)
        self.console.set_state(name, "ready")

    def install(self, certificate: str) -> None:
        self._copy_certificate(certificate)
        self.nginx.send(signal.SIGHUP)

    def _copy_certificate(self, certificate: str) -> None:
        tls = self._workshop.path / "tls"
        shutil.copy(tls / f"{certificate}.crt", tls / "server.crt")
