"""Mail of an office: a Postfix that takes messages and a second one that keeps the mailboxes.

Messages are sent by `clients` alone. Queue and mailboxes of the second are on a small disk, so that it can be filled.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.postfix import conf
from logwarden.training.faultlab.systems.postfix.clients import PEOPLE, PostfixClients
from logwarden.training.faultlab.systems.postfix.servers import BOTH, RELAY, STORE, PostfixServers

_DISK_MB = 40
# More than the server takes connections from one address.
_SLOW_SENDERS = 30


class Postfix:
    """See the module."""

    name = "postfix"
    never_in_clean = (
        "authentication failed|No space left|Insufficient system storage|fatal:|panic:|Connection refused"
        "|timed out|status=deferred|status=bounced| 451 4|concurrency limit|throttling|unknown smtpd restriction"
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/postfix")
        self._network = Network()
        self._slow: list[subprocess.Popen[str]] = []

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {name: (self._servers.log(name),) for name in BOTH}

    def missing(self) -> Sequence[str]:
        programs = {
            "postfix": "postfix",
            "saslpasswd2": "sasl2-bin",
            "curl": "curl",
            "openssl": "openssl",
        }
        return missing_packages(programs)

    def versions(self) -> Mapping[str, str]:
        return {"postfix": self._workshop.run(["postconf", "-d", "-h", "mail_version"], timeout_s=10).output.strip()}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        self._disk.path.chmod(0o755)
        relay, self._store_port = free_ports(2, self._rng)
        ports = {RELAY: relay, STORE: self._store_port}
        self._servers = PostfixServers(workshop, self._rng, self._disk, ports)
        self._clients = PostfixClients(workshop, relay, self._servers.authority, self._servers.boxes)

    def start(self) -> None:
        for name in (STORE, RELAY):
            self._servers.launch(name)

    def workload(self) -> Sequence[Client]:
        clients, both = self._clients, frozenset(BOTH)
        return (
            Client(name="submit", every_s=6, touches=both, run=clients.submit),
            Client(name="receive", every_s=5, touches=both, run=clients.receive),
            Client(name="attach", every_s=16, touches=both, run=clients.attach),
            Client(name="misaddress", every_s=11, touches=frozenset({RELAY}), run=clients.misaddress),
            Client(name="clear-away", every_s=9, touches=frozenset(), run=clients.clear_away),
        )

    def healthy(self) -> bool:
        return self._clients.served() and not self._servers.waiting()

    def benign(self) -> Sequence[Disturbance]:
        restarts = [
            Disturbance(
                name=name,
                cause="restart",
                what=f"the server that {does} stopped and started, all clients held back",
                services=BOTH,
                inject=lambda server=server: self._servers.stop(server),  # type: ignore[misc]
                clear=lambda server=server: self._servers.launch(server),  # type: ignore[misc]
                hold_s=1.0,
                drained=frozenset(BOTH),
            )
            for server, name, does in (
                (RELAY, "relay_restart", "takes the mail"),
                (STORE, "store_restart", "keeps it"),
            )
        ]
        return (
            *restarts,
            Disturbance(
                name="reload",
                cause="reload",
                what="another max_idle, postfix reload",
                services=BOTH,
                inject=self._servers.retune,
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="the logs of both moved away, postfix logrotate",
                services=BOTH,
                inject=self._rotate,
            ),
            Disturbance(
                name="new_person",
                cause="maintenance",
                what="another person in the maps of both servers",
                services=BOTH,
                inject=self._servers.welcome,
            ),
            Disturbance(
                name="queue_check",
                cause="maintenance",
                what="the queue's files checked and all attempts asked for, postsuper and postqueue",
                services=BOTH,
                inject=lambda: self._servers.tidy(RELAY),
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_the_store(), *self._faults_of_the_relay())

    def _faults_of_the_store(self) -> Sequence[Disturbance]:
        store = self._servers.children[STORE]
        return (
            Disturbance(
                name="store_sigkill",
                cause="process",
                what="SIGKILL to all processes of the server with the mailboxes, started again",
                services=BOTH,
                inject=self._kill_store,
                clear=lambda: self._servers.launch(STORE),
                hold_s=9,
            ),
            Disturbance(
                name="store_frozen",
                cause="process",
                what="SIGSTOP to all processes of the server with the mailboxes",
                services=BOTH,
                inject=lambda: store.send_tree(signal.SIGSTOP),
                clear=lambda: store.send_tree(signal.SIGCONT),
                hold_s=14,
            ),
            Disturbance(
                name="store_cut_off",
                cause="dependency",
                what="all packets between the two servers lost",
                services=BOTH,
                inject=lambda: self._network.drop((self._store_port,)),
                clear=self._network.heal,
                hold_s=13,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the disk of mailboxes and queue filled to the last block",
                services=BOTH,
                inject=lambda: self._disk.fill(self._rng.uniform(10, 13)),
                clear=self._disk.empty,
                impossible=self._disk.impossible,
            ),
        )

    def _faults_of_the_relay(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="password_guessing",
                cause="security",
                what="the messages of the load with guessed passwords",
                services=(RELAY,),
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="bad_config_reload",
                cause="configuration",
                what="a mistyped main.cf, postfix reload",
                services=BOTH,
                inject=self._mistype,
                clear=self._correct,
                hold_s=9,
            ),
            Disturbance(
                name="map_damaged",
                cause="data",
                what="rubbish over the map of all people; made again",
                services=BOTH,
                inject=self._damage_map,
                clear=self._repair_map,
                hold_s=10,
            ),
            Disturbance(
                name="slow_senders",
                cause="resource",
                what="messages sent slowly, more than it takes from one address",
                services=BOTH,
                inject=self._send_slowly,
                clear=self._hang_up,
                hold_s=7,
            ),
        )

    def stop(self) -> None:
        self._hang_up()
        for name in BOTH:
            self._servers.stop(name)

    def _kill_store(self) -> None:
        # Its children would serve on without the main process.
        self._servers.children[STORE].send_tree(signal.SIGKILL)
        self._servers.children[STORE].reap()

    def _rotate(self) -> None:
        for name in BOTH:
            self._servers.rotate(name)

    def _guess_passwords(self) -> None:
        for _ in range(self._rng.randint(11, 15)):
            word = self._rng.choice(list(PEOPLE.values()))
            self._clients.submit(self._rng, f"{word[:-2]}{self._rng.randint(10, 99)}x")
            time.sleep(self._rng.uniform(0.2, 0.9))

    def _mistype(self) -> None:
        self._servers.configure(RELAY, self._rng.choice(conf.MISTAKES))
        self._servers.reload(RELAY)

    def _correct(self) -> None:
        self._servers.configure(RELAY)
        self._servers.reload(RELAY)

    def _damage_map(self) -> None:
        damaged = self._servers.map_file
        size = damaged.stat().st_size
        # The server notices a map by the time of its change.
        damaged.write_bytes(self._rng.randbytes(size))
        now = time.time()
        os.utime(damaged, (now, now))

    def _repair_map(self) -> None:
        self._servers.write_map()
        # A process that has found a map damaged does not open it again.
        self._servers.reload(RELAY)

    def _send_slowly(self) -> None:
        for _ in range(_SLOW_SENDERS):
            self._slow.append(self._clients.linger(self._rng))
            time.sleep(self._rng.uniform(0.2, 0.35))

    def _hang_up(self) -> None:
        for sender in self._slow:
            sender.kill()
            sender.wait()
        self._slow.clear()
