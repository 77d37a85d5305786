"""Tomcat with a small shop that keeps its stock in memcached: load, servers, faults and planned changes.

Requests are made by `clients` alone. The receipts are on a small tmpfs if the process is root, so that their disk can
be filled and no other."""

import random
import shutil
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.tomcat import conf
from logwarden.training.faultlab.systems.tomcat.clients import ITEMS, PASSWORDS, TomcatClients

TOMCAT, STOCK = "tomcat", "memcached"
BOTH = (TOMCAT, STOCK)
_HOME = Path("/usr/share/tomcat10")
_DISK_MB = 4
_START_S = 40.0
# The options of Tomcat's own start script; without them Java warns at every stop.
_OPENED = [
    f"--add-opens=java.{package}=ALL-UNNAMED"
    for package in (
        "base/java.lang",
        "base/java.io",
        "base/java.util",
        "base/java.util.concurrent",
        "rmi/sun.rmi.transport",
    )
]
# More text than fits into the heap of 64 MiB; a thousandth of it is a usual report.
_TOO_MANY_ROWS = 6_000_000


class Tomcat:
    """See the module."""

    name = "tomcat"
    never_in_clean = "SEVERE|OutOfMemoryError|locked user|Connection refused|No space left|Read timed out"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/tomcat")

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {TOMCAT: (self._tomcat.log, self._base / "logs" / "access.log"), STOCK: (self._stock.log,)}

    def missing(self) -> Sequence[str]:
        programs = {
            str(_HOME / "bin" / "catalina.sh"): "tomcat10",
            "java": "openjdk-17-jre-headless",
            "memcached": "memcached",
            "curl": "curl",
            "setpriv": "util-linux",
        }
        return missing_packages(programs)

    def versions(self) -> Mapping[str, str]:
        jars = str(_HOME / "lib" / "catalina.jar")
        about = self._workshop.run(["java", "-cp", jars, "org.apache.catalina.util.ServerInfo"], timeout_s=30).output
        found = [line.split(":", 1)[1].strip() for line in about.splitlines() if line.startswith("Server version")]
        memcached = self._workshop.run(["memcached", "--version"], timeout_s=10).output.strip()
        return {"tomcat": found[0] if found else about.strip()[-80:], "memcached": memcached}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "receipts", _DISK_MB)
        self._port, self._stock_port = free_ports(2, self._rng)
        self._clients = TomcatClients(workshop, self._port)
        self._base = workshop.path / "base"
        self._shop = self._base / "webapps" / "ROOT"
        for part in ("conf", "logs", "temp", "work", "webapps/ROOT/WEB-INF"):
            (self._base / part).mkdir(parents=True)
        self._configure()
        command = [
            *("java", "-Xms64m", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
            # Of the forty frames of a request the upper ones tell where; all of them would make a fault a matter of
            # counting lines.
            "-XX:MaxJavaStackTraceDepth=6",
            *_OPENED,
            *("-cp", f"{_HOME / 'bin' / 'bootstrap.jar'}:{_HOME / 'bin' / 'tomcat-juli.jar'}"),
            f"-Djava.util.logging.config.file={self._base / 'conf' / 'logging.properties'}",
            "-Djava.util.logging.manager=org.apache.juli.ClassLoaderLogManager",
            *(f"-Dcatalina.base={self._base}", f"-Dcatalina.home={_HOME}", f"-Djava.io.tmpdir={self._base / 'temp'}"),
            *("org.apache.catalina.startup.Bootstrap", "start"),
        ]
        self._tomcat = workshop.child(command, workshop.path / "catalina.log")
        # It refuses to run as root, hence this user number; two -v make it log every request.
        memcached = ["memcached", "-l", "127.0.0.1", "-p", str(self._stock_port), "-U", "0", "-m", "16", "-t", "2"]
        self._stock = workshop.child([*memcached, "-vv"], workshop.path / "memcached.log", user="65534")

    def start(self) -> None:
        self._launch_stock()
        self._launch_tomcat()

    def workload(self) -> Sequence[Client]:
        clients = self._clients

        def order(rng: random.Random) -> bool:
            return clients.order(str(rng.randint(1, ITEMS)), str(rng.randint(1, 12)))

        stock, alone = frozenset(BOTH), frozenset({TOMCAT})
        return (
            Client(name="browse", every_s=5, touches=stock, run=clients.browse),
            Client(name="browse-too", every_s=7, touches=stock, run=clients.browse),
            Client(name="order", every_s=7, touches=stock, run=order),
            Client(name="order-too", every_s=9, touches=stock, run=order),
            Client(name="count", every_s=5, touches=alone, run=clients.count),
            Client(name="report", every_s=5, touches=alone, run=lambda rng: clients.report(rng.randint(200, 6000))),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="tomcat_restart",
                cause="restart",
                what="Tomcat stopped and started, all clients held back",
                services=BOTH,
                inject=self._tomcat.stop,
                clear=self._launch_tomcat,
                hold_s=1.0,
                drained=frozenset({TOMCAT}),
            ),
            Disturbance(
                name="memcached_restart",
                cause="restart",
                what="memcached stopped and started empty, its clients held back",
                services=BOTH,
                inject=lambda: self._stock.stop(signal.SIGINT),
                clear=self._launch_stock,
                hold_s=1.0,
                drained=frozenset({STOCK}),
            ),
            Disturbance(
                name="shop_reload",
                cause="reload",
                what="web.xml touched, the shop reloaded by itself, all clients held back",
                services=BOTH,
                inject=self._web_xml.touch,
                hold_s=6.0,
                drained=frozenset({TOMCAT}),
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="the access log moved away; it is opened anew",
                services=(TOMCAT,),
                inject=self._rotate,
            ),
            Disturbance(
                name="stock_taking",
                cause="maintenance",
                what="flush_all in memcached",
                services=BOTH,
                inject=self._flush,
                hold_s=1.0,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="memcached_sigkill",
                cause="process",
                what="SIGKILL to memcached, started again empty",
                services=BOTH,
                inject=self._stock.kill,
                clear=self._launch_stock,
                hold_s=9,
            ),
            Disturbance(
                name="memcached_frozen",
                cause="dependency",
                what="SIGSTOP to memcached under twice the load, until threads wait for it",
                services=BOTH,
                inject=lambda: self._stock.send_tree(signal.SIGSTOP),
                clear=lambda: self._stock.send_tree(signal.SIGCONT),
                hold_s=15,
                lanes=(2,),
            ),
            Disturbance(
                name="out_of_memory",
                cause="resource",
                what="reports of more rows than the heap can hold",
                services=BOTH,
                inject=self._ask_too_much,
                clear=self._revive,
            ),
            Disturbance(
                name="malformed_orders",
                cause="data",
                what="orders whose numbers are none",
                services=(TOMCAT,),
                inject=self._order_nonsense,
            ),
            Disturbance(
                name="password_guessing",
                cause="security",
                what="the staff's page with guessed passwords, until accounts are locked",
                services=(TOMCAT,),
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="bad_redeploy",
                cause="configuration",
                what="a web.xml with a mistake, taken up by autoDeploy",
                services=BOTH,
                inject=self._break_web_xml,
                clear=self._mend_web_xml,
                hold_s=10,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of the receipts filled to the last block",
                services=BOTH,
                inject=lambda: self._disk.fill(self._rng.uniform(10, 14)),
                clear=self._disk.empty,
                impossible=self._disk.impossible,
            ),
        )

    def stop(self) -> None:
        self._tomcat.stop()
        self._stock.stop(signal.SIGINT)

    @property
    def _web_xml(self) -> Path:
        return self._shop / "WEB-INF" / "web.xml"

    def _ask_too_much(self) -> None:
        for _ in range(self._rng.randint(5, 8)):
            self._clients.report(_TOO_MANY_ROWS + self._rng.randint(0, 10**6))
            time.sleep(self._rng.uniform(0.5, 1.5))

    def _revive(self) -> None:
        """Restarts Tomcat unless it serves: a thread that it needs may have ended for lack of memory."""
        if not self._tomcat.alive or not self._clients.served():
            self._tomcat.kill()
            self._launch_tomcat()

    def _order_nonsense(self) -> None:
        for _ in range(self._rng.randint(6, 8)):
            item, quantity = str(self._rng.randint(1, ITEMS)), str(self._rng.randint(1, 12))
            wrong = self._rng.choice(("", "two", "1O", "3.5", "99999999999", "null", "4kg"))
            if self._rng.random() < 0.3:
                self._clients.order(wrong, quantity)
            else:
                self._clients.order(item, wrong)
            time.sleep(self._rng.uniform(0.8, 2.0))

    def _guess_passwords(self) -> None:
        users = (*PASSWORDS, "admin", "tomcat")
        for _ in range(self._rng.randint(24, 32)):
            user = self._rng.choice(users)
            guess = f"{PASSWORDS.get(user, 'pear-lantern-42')[:-2]}{self._rng.randint(60, 99)}"
            self._clients.desk(self._rng.randint(1, ITEMS), user, guess)
            time.sleep(self._rng.uniform(0.1, 0.5))

    def _break_web_xml(self) -> None:
        right, wrong = self._rng.choice(conf.MISTAKES)
        self._web_xml.write_text(self._shop_xml().replace(right, wrong))

    def _mend_web_xml(self) -> None:
        """Corrects the file; a background thread of Tomcat loads it without a restart."""
        self._web_xml.write_text(self._shop_xml())

    def _rotate(self) -> None:
        log = self._base / "logs" / "access.log"
        log.replace(log.with_suffix(".log.1"))

    def _flush(self) -> None:
        with socket.create_connection(("127.0.0.1", self._stock_port), timeout=10) as connection:
            connection.sendall(b"flush_all\r\n")
            if not connection.recv(16).startswith(b"OK"):
                raise StartFailed("memcached", "memcached refuses flush_all")

    def _launch_stock(self) -> None:
        self._workshop.launch(self._stock, self._stock_port)

    def _launch_tomcat(self) -> None:
        """Starts Tomcat and reads pages until all are served, so that their first compilation is not recorded."""
        self._workshop.launch(self._tomcat, self._port)
        deadline = time.monotonic() + _START_S
        while not (self._clients.served() and self._clients.show(1) and self._clients.report(100)):
            if time.monotonic() > deadline:
                raise StartFailed("tomcat", self._tomcat.log.read_text(errors="replace"))
            time.sleep(0.5)

    def _configure(self) -> None:
        folder = self._base / "conf"
        for name in ("context.xml", "catalina.properties"):
            shutil.copy(_HOME / "etc" / name, folder / name)
        defaults = (_HOME / "etc" / "web.xml").read_text()
        settings = conf.JSP_SERVLET + conf.JSP_SETTINGS
        (folder / "web.xml").write_text(defaults.replace(conf.JSP_SERVLET, settings))
        (folder / "server.xml").write_text(conf.SERVER.format(port=self._port))
        (folder / "logging.properties").write_text(conf.LOGGING)
        users = [conf.USER.format(user=user, password=password) for user, password in PASSWORDS.items()]
        (folder / "tomcat-users.xml").write_text(conf.USERS.format(users="\n".join(users)))
        self._web_xml.write_text(self._shop_xml())
        for name, text in conf.PAGES.items():
            (self._shop / name).write_text(text)

    def _shop_xml(self) -> str:
        return conf.SHOP.format(memcached=self._stock_port, receipts=self._disk.path)
