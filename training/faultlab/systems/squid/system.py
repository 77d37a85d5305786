"""The web proxy of an office: squid with passwords, before an origin that apache serves.

Owns configuration, servers, faults and planned changes. Requests are made by `clients` alone. The cache is on a small
disk, so that it can be filled.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.squid import conf
from logwarden.training.faultlab.systems.squid.clients import STAFF, SquidClients, write_passwords

SQUID, APACHE = "squid", "apache"
BOTH = (SQUID, APACHE)
# Neither serves as root.
_SQUID_USER, _APACHE_USER = "proxy", "www-data"
_MODULES = "/usr/lib/apache2/modules"
# The cache's 16 MB and as much to spare.
_DISK_MB = 32
# More than the descriptors that squid has left for clients.
_CRAWLERS = 40


class Squid:
    """See the module."""

    name = "squid"
    never_in_clean = (
        r"FATAL|DEAD Parent|TCP connection to|Password Mismatch|user \w+ not found|running out of filedescriptors"
        r'|write error|No space left|" 50\d |Syntax error'
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/squid")
        self._network = Network()
        self._connect_s, self._keepalive_s = 4, 5
        self._crawling: list[subprocess.Popen[str]] = []

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {SQUID: self._squid_logs, APACHE: self._apache_logs}

    def missing(self) -> Sequence[str]:
        programs = {
            "squid": "squid",
            "apache2": "apache2-bin",
            "htpasswd": "apache2-utils",
            "curl": "curl",
            "setpriv": "util-linux",
        }
        return missing_packages(programs)

    def versions(self) -> Mapping[str, str]:
        commands = {SQUID: ["squid", "-v"], APACHE: ["apache2", "-v"]}
        answers = {name: self._workshop.run(argv, timeout_s=10) for name, argv in commands.items()}
        return {name: answer.output.splitlines()[0] for name, answer in answers.items()}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        root, logs = workshop.path, workshop.path / "logs"
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        # Writable for two users: each renames, and opens again, its own files only.
        for directory in (logs, root / "squid", root / "apache", self._disk.path):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o777)
        self._squid_port, self._apache_port = free_ports(2, self._rng)
        self._squid_conf, self._apache_conf = root / "squid.conf", root / "apache.conf"
        self._squid_logs = (logs / "squid-access.log", logs / "squid-cache.log")
        self._apache_logs = (logs / "apache-access.log", logs / "apache-error.log")
        (root / "apache" / "mime.types").write_text("text/html html\napplication/octet-stream bin\n")
        # No name server is here, and squid resolves a name sometimes although it has a peer for all requests.
        (root / "squid" / "hosts").write_text("127.0.0.1 intranet.example\n")
        self._passwords = root / "apache" / "users"
        write_passwords(workshop, self._passwords)
        shutil.copy(self._passwords, root / "squid" / "users")
        self._configure()
        # Named for the run: its shared memory has this name, and the machine has one list of such names.
        squid = ["squid", "-N", "-n", f"squid{root.name.rpartition('-')[2]}", "-f", str(self._squid_conf)]
        workshop.must([*squid, "-z"], user=_SQUID_USER)
        # What both say on standard error stands in their logs as well.
        self._squid = workshop.child(squid, logs / "squid-start.log", user=_SQUID_USER)
        self._apache = workshop.child(
            ["apache2", "-DFOREGROUND", "-f", str(self._apache_conf)], logs / "apache-start.log", user=_APACHE_USER
        )
        self._clients = SquidClients(workshop, self._squid_port)
        self._clients.prepare(self._rng)

    def start(self) -> None:
        self._launch_apache()
        self._launch_squid()

    def workload(self) -> Sequence[Client]:
        clients, both = self._clients, frozenset(BOTH)
        return (
            Client(name="read", every_s=2, touches=both, run=clients.read),
            Client(name="read-too", every_s=2, touches=both, run=clients.read),
            Client(name="news", every_s=3, touches=both, run=clients.news),
            Client(name="report", every_s=4, touches=both, run=clients.report),
            Client(name="download", every_s=7, touches=both, run=clients.download),
            Client(name="advertisement", every_s=9, touches=frozenset({SQUID}), run=clients.advertisement),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="squid_reload",
                cause="reload",
                what="another connect_timeout, SIGHUP to squid, all clients held back",
                services=(SQUID,),
                inject=self._retune_squid,
                # It closes its port and opens it again.
                drained=frozenset(BOTH),
            ),
            Disturbance(
                name="apache_reload",
                cause="reload",
                what="another KeepAliveTimeout, SIGUSR1 to apache",
                services=BOTH,
                inject=self._retune_apache,
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="the logs of both moved away, SIGUSR1",
                services=BOTH,
                inject=self._rotate,
            ),
            Disturbance(
                name="apache_restart",
                cause="restart",
                what="apache stopped and started, the clients of the origin held back",
                services=BOTH,
                inject=lambda: self._apache.stop(signal.SIGWINCH),
                clear=self._launch_apache,
                hold_s=1.0,
                drained=frozenset({APACHE}),
            ),
            Disturbance(
                name="squid_restart",
                cause="restart",
                what="squid stopped and started, all clients held back",
                services=BOTH,
                inject=lambda: self._squid.stop(signal.SIGTERM),
                clear=self._launch_squid,
                hold_s=1.0,
                drained=frozenset(BOTH),
            ),
            Disturbance(
                name="purge",
                cause="maintenance",
                what="some articles taken out of the cache",
                services=(SQUID,),
                inject=self._purge,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_the_origin(), *self._faults_of_the_proxy())

    def _faults_of_the_origin(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="origin_sigkill",
                cause="process",
                what="SIGKILL to all processes of apache, started again",
                services=BOTH,
                inject=self._kill_apache,
                clear=self._launch_apache,
                hold_s=9,
            ),
            Disturbance(
                name="origin_frozen",
                cause="process",
                what="SIGSTOP to all processes of apache",
                services=BOTH,
                inject=lambda: self._apache.send_tree(signal.SIGSTOP),
                clear=lambda: self._apache.send_tree(signal.SIGCONT),
                hold_s=12,
            ),
            Disturbance(
                name="origin_cut_off",
                cause="dependency",
                what="all packets between squid and apache lost",
                services=BOTH,
                inject=lambda: self._network.drop((self._apache_port,)),
                clear=self._network.heal,
                hold_s=10,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="origin_passwords_guessed",
                cause="security",
                what="the reports of the load with guessed passwords for the origin",
                services=BOTH,
                inject=lambda: self._guess(self._clients.report),
            ),
            Disturbance(
                name="password_file_truncated",
                cause="data",
                what="apache's password file cut off after a few bytes",
                services=BOTH,
                inject=self._truncate_passwords,
                clear=self._restore_passwords,
                hold_s=11,
            ),
        )

    def _faults_of_the_proxy(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="proxy_passwords_guessed",
                cause="security",
                what="the articles of the load with guessed passwords for squid",
                services=(SQUID,),
                inject=lambda: self._guess(self._clients.log_in),
            ),
            Disturbance(
                name="descriptors_exhausted",
                cause="resource",
                what="downloads on slow lines, more than squid has descriptors for",
                services=BOTH,
                inject=self._crawl,
                clear=self._hang_up,
                hold_s=5,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the disk of squid's cache filled to the last block",
                services=BOTH,
                inject=lambda: self._disk.fill(self._rng.uniform(9, 11)),
                clear=self._empty_disk,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="bad_squid_reload",
                cause="configuration",
                what="a mistyped squid.conf, SIGHUP",
                services=BOTH,
                inject=self._mistype,
                clear=self._correct,
                hold_s=8,
            ),
        )

    def stop(self) -> None:
        self._hang_up()
        self._squid.stop(signal.SIGTERM)
        self._apache.stop(signal.SIGWINCH)

    def _launch_apache(self) -> None:
        self._workshop.launch(self._apache, self._apache_port)

    def _launch_squid(self) -> None:
        self._workshop.launch(self._squid, self._squid_port)

    def _kill_apache(self) -> None:
        # Its children would hold the port and serve on without the main process.
        self._apache.send_tree(signal.SIGKILL)
        self._apache.reap()

    def _guess(self, ask: Callable[[random.Random, str], bool]) -> None:
        for _ in range(self._rng.randint(11, 15)):
            word = self._rng.choice(list(STAFF.values()))
            ask(self._rng, f"{word[:-2]}{self._rng.randint(10, 99)}x")
            time.sleep(self._rng.uniform(0.2, 0.9))

    def _truncate_passwords(self) -> None:
        os.truncate(self._passwords, self._rng.randint(2, 4))

    def _restore_passwords(self) -> None:
        shutil.copy(self._workshop.path / "squid" / "users", self._passwords)

    def _crawl(self) -> None:
        for _ in range(_CRAWLERS):
            self._crawling.append(self._clients.crawl(self._rng))
            time.sleep(self._rng.uniform(0.2, 0.35))

    def _hang_up(self) -> None:
        for crawler in self._crawling:
            crawler.kill()
            crawler.wait()
        self._crawling.clear()

    def _empty_disk(self) -> None:
        self._disk.empty()
        # After a failed write squid keeps a smaller cache until its size is configured again.
        if self._squid.alive:
            self._squid.send(signal.SIGHUP)
        else:
            self._launch_squid()

    def _mistype(self) -> None:
        right, wrong = self._rng.choice(conf.SQUID_MISTAKES)
        self._configure(conf.SQUID.replace(right, wrong))
        self._squid.send(signal.SIGHUP)

    def _correct(self) -> None:
        self._configure()
        if self._squid.alive:
            self._squid.send(signal.SIGHUP)
        else:
            self._launch_squid()

    def _retune_squid(self) -> None:
        self._connect_s = 9 - self._connect_s
        self._configure()
        self._squid.send(signal.SIGHUP)

    def _retune_apache(self) -> None:
        self._keepalive_s = 11 - self._keepalive_s
        self._configure()
        self._apache.send(signal.SIGUSR1)

    def _rotate(self) -> None:
        for log in (*self._squid_logs, *self._apache_logs):
            log.rename(log.with_suffix(".log.1"))
        self._squid.send(signal.SIGUSR1)
        self._apache.send(signal.SIGUSR1)

    def _purge(self) -> None:
        for _ in range(self._rng.randint(2, 4)):
            if not self._clients.purge(self._rng):
                raise StartFailed("squid", "squid refuses PURGE")

    def _configure(self, squid: str = conf.SQUID) -> None:
        root = self._workshop.path
        ports = {"squid": self._squid_port, "apache": self._apache_port}
        self._squid_conf.write_text(
            squid.format(root=root, disk=self._disk.path, connect_s=self._connect_s, **ports).lstrip()
        )
        self._apache_conf.write_text(
            conf.APACHE.format(root=root, modules=_MODULES, keepalive_s=self._keepalive_s, **ports).lstrip()
        )
