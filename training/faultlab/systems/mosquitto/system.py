"""Mosquitto with a second broker at the edge that is bridged to it: load, servers, faults and planned changes.

Requests are made by `clients` alone.
"""

import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.mosquitto import conf
from logwarden.training.faultlab.systems.mosquitto.clients import LINK, PASSWORD, ROLE, MosquittoClients, MosquittoPorts

BROKER, EDGE = "mosquitto", "mosquitto-edge"
BOTH = (BROKER, EDGE)
_PROGRAM = "/usr/sbin/mosquitto"
_LINK_PASSWORD = "rowan-ferry-72"
_LINK_ADDRESS = "127.0.0.2"
# The user that Debian makes for it; as root mosquitto would change to it by itself, but only after it has read keys.
_USER = "mosquitto"
_VALID_DAYS, _EXPIRED_DAYS = 90, -1


class Mosquitto:
    """See the module."""

    name = "mosquitto"
    never_in_clean = (
        "not authorised|certificate expired|OpenSSL Error|Unknown configuration|Unable to accept|Error saving|"
        "Couldn't open database|Protocol error|Unable to restore|Denied|denied access|socket count"
    )

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/mosquitto")
        self._network = Network()
        self._autosave = 20
        # Servers inherit our own limit.
        self._descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {BROKER: (self._log(BROKER), self._broker.log), EDGE: (self._log(EDGE), self._edge.log)}

    def missing(self) -> Sequence[str]:
        return missing_packages(
            {
                _PROGRAM: "mosquitto",
                "mosquitto_passwd": "mosquitto",
                "mosquitto_pub": "mosquitto-clients",
                "mosquitto_sub": "mosquitto-clients",
                "openssl": "openssl",
                "setpriv": "util-linux",
                "prlimit": "util-linux",
            }
        )

    def versions(self) -> Mapping[str, str]:
        # It has no option for its version; help begins with it, and ends with a code of its own.
        return {"mosquitto": self._workshop.run([_PROGRAM, "-h"], timeout_s=10).output.splitlines()[0]}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._settings = workshop.path / "settings"
        for directory in (self._settings, workshop.path / "logs", *map(self._store, BOTH)):
            directory.mkdir()
            if os.geteuid() == 0:
                shutil.chown(directory, _USER, _USER)
        ports = MosquittoPorts(**dict(zip(("broker", "tls", "edge"), free_ports(3, self._rng), strict=True)))
        self._clients = MosquittoClients(workshop, ports, self._settings / "ca.crt")
        (self._settings / "access").write_text(conf.ACCESS.format(role=ROLE, link=LINK))
        passwords = str(self._settings / "passwords")
        self._command("mosquitto_passwd", "-b", "-c", passwords, ROLE, PASSWORD)
        self._command("mosquitto_passwd", "-b", passwords, LINK, _LINK_PASSWORD)
        self._found_authority()
        self._certify(_VALID_DAYS)
        self._configure(BROKER, conf.BROKER, ports.broker)
        self._configure(EDGE, conf.EDGE, ports.edge)
        self._broker, self._edge = self._server(BROKER), self._server(EDGE)

    def start(self) -> None:
        self._start_broker()
        self._start_edge()

    def workload(self) -> Sequence[Client]:
        ports, clients = self._clients.ports, self._clients
        broker, edge = frozenset({BROKER}), frozenset({EDGE})
        return (
            Client(name="measure", every_s=4, touches=edge, run=lambda rng: clients.measure(ports.edge, rng)),
            Client(name="measure-tls", every_s=4, touches=broker, run=lambda rng: clients.measure(ports.tls, rng)),
            Client(name="burst", every_s=8, touches=edge, run=lambda rng: clients.burst(ports.edge, rng)),
            Client(name="steer", every_s=8, touches=broker, run=clients.steer),
            Client(name="settings", every_s=7, touches=edge, run=lambda rng: clients.read_settings(ports.edge, rng)),
            Client(name="watch", every_s=9, touches=broker, run=lambda rng: clients.watch(ports.broker, rng)),
            Client(name="watch-tls", every_s=12, touches=broker, run=lambda rng: clients.watch(ports.tls, rng)),
            Client(name="vanish", every_s=13, touches=broker, run=clients.vanish),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="config_reload",
                cause="reload",
                what="another interval between saves, SIGHUP",
                services=(BROKER,),
                inject=self._retune,
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="both logs moved away and opened anew, SIGHUP",
                services=BOTH,
                inject=self._rotate,
            ),
            Disturbance(
                name="certificate_renewal",
                cause="maintenance",
                what="a new certificate in place of the old, SIGHUP",
                services=(BROKER,),
                inject=lambda: self._present(_VALID_DAYS),
            ),
            Disturbance(
                name="edge_restart",
                cause="restart",
                what="the broker at the edge stopped and started, its clients held back",
                services=BOTH,
                inject=lambda: self._edge.stop(signal.SIGTERM),
                clear=self._start_edge,
                hold_s=1.0,
                drained=frozenset({EDGE}),
            ),
            Disturbance(
                name="broker_restart",
                cause="restart",
                what="the broker stopped and started, its clients held back",
                services=BOTH,
                inject=lambda: self._broker.stop(signal.SIGTERM),
                clear=self._start_broker,
                hold_s=1.0,
                drained=frozenset({BROKER}),
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="broker_sigkill",
                cause="process",
                what="SIGKILL to the broker, started again",
                services=BOTH,
                inject=self._broker.kill,
                clear=self._start_broker,
                hold_s=8,
            ),
            Disturbance(
                name="bridge_cut_off",
                cause="dependency",
                what="all packets between the brokers lost",
                services=BOTH,
                inject=lambda: self._network.drop_address(_LINK_ADDRESS),
                clear=self._network.heal,
                hold_s=18,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="descriptors_exhausted",
                cause="resource",
                what="the broker's limit of open files lowered to those that it has open between requests",
                services=BOTH,
                inject=self._limit_descriptors,
                clear=self._restore_descriptors,
                hold_s=12,
            ),
            Disturbance(
                name="store_damaged",
                cause="data",
                what="power loss that leaves zeros in the broker's store, then a start",
                services=BOTH,
                inject=self._damage,
                clear=self._discard_store,
                hold_s=4,
            ),
            Disturbance(
                name="wrong_password_burst",
                cause="security",
                what="the measurement of the load with guessed passwords",
                services=BOTH,
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="expired_certificate",
                cause="security",
                what="a certificate that ended yesterday in place of the valid one, SIGHUP",
                services=(BROKER,),
                inject=lambda: self._present(_EXPIRED_DAYS),
                clear=lambda: self._present(_VALID_DAYS),
                hold_s=14,
            ),
            Disturbance(
                name="bad_config_reload",
                cause="configuration",
                what="a setting with its last letter missing, SIGHUP",
                services=(BROKER,),
                inject=lambda: self._reconfigure("max_queued_message 500\n"),
                clear=self._reconfigure,
                hold_s=6,
            ),
        )

    def stop(self) -> None:
        for child in (self._edge, self._broker):
            child.stop(signal.SIGTERM)

    def _start_broker(self) -> None:
        self._workshop.launch(self._broker, self._clients.ports.broker)

    def _start_edge(self) -> None:
        self._workshop.launch(self._edge, self._clients.ports.edge)

    def _limit_descriptors(self) -> None:
        """Limits the descriptors to the lowest number in use within two seconds."""
        descriptors = Path(f"/proc/{self._broker.pid}/fd")
        counts = []
        for _ in range(40):
            counts.append(len(list(descriptors.iterdir())))
            time.sleep(0.05)
        self._limit_to(min(counts))

    def _restore_descriptors(self) -> None:
        if self._broker.alive:
            self._limit_to(self._descriptors)
        else:
            self._start_broker()

    def _limit_to(self, number: int) -> None:
        # As the broker's own user: root in a container may not have the right to do it to others. The hard limit stays.
        self._command("prlimit", "--pid", str(self._broker.pid), f"--nofile={number}:")

    def _damage(self) -> None:
        """Kills the broker and writes zeros into the head of its store, like blocks that were never written."""
        self._broker.kill()
        with (self._store(BROKER) / "mosquitto.db").open("r+b") as file:
            file.seek(self._rng.randint(0, 20))
            file.write(bytes(self._rng.randint(64, 256)))
        self._broker.start()
        time.sleep(self._rng.uniform(1.5, 4))
        # Someone tries once more before looking for the reason.
        if not self._broker.alive:
            self._broker.start()

    def _discard_store(self) -> None:
        self._broker.stop(signal.SIGTERM)
        (self._store(BROKER) / "mosquitto.db").rename(self._store(BROKER) / "mosquitto.db.damaged")
        self._start_broker()

    def _guess_passwords(self) -> None:
        ports = self._clients.ports
        for _ in range(self._rng.randint(20, 30)):
            port = self._rng.choice((ports.broker, ports.tls, ports.edge))
            self._clients.measure(port, self._rng, password=f"{PASSWORD[:-2]}{self._rng.randint(36, 99)}")
            time.sleep(self._rng.uniform(0.2, 0.8))

    def _retune(self) -> None:
        self._autosave = 15 if self._autosave == 20 else 20
        self._reconfigure()

    def _reconfigure(self, more: str = "") -> None:
        self._configure(BROKER, conf.BROKER, self._clients.ports.broker, more)
        self._broker.send(signal.SIGHUP)

    def _rotate(self) -> None:
        for service, child in ((BROKER, self._broker), (EDGE, self._edge)):
            log = self._log(service)
            log.replace(log.with_suffix(".log.1"))
            child.send(signal.SIGHUP)

    def _present(self, days: int) -> None:
        """Gives the broker a certificate that is valid for `days` from now."""
        self._certify(days)
        self._broker.send(signal.SIGHUP)

    def _found_authority(self) -> None:
        new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        at = self._settings
        self._command(
            *("openssl", "req", "-x509", *new_key, "-subj", "/CN=plant authority", "-days", "3650"),
            *("-keyout", str(at / "ca.key"), "-out", str(at / "ca.crt")),
        )
        self._command(
            *("openssl", "req", *new_key, "-subj", "/CN=broker"),
            *("-keyout", str(at / "server.key"), "-out", str(at / "server.csr")),
        )
        (at / "names").write_text("subjectAltName=IP:127.0.0.1\n")

    def _certify(self, days: int) -> None:
        at = self._settings
        self._command(
            *("openssl", "x509", "-req", "-in", str(at / "server.csr"), "-CA", str(at / "ca.crt")),
            *("-CAkey", str(at / "ca.key"), "-CAcreateserial", "-days", str(days), "-extfile", str(at / "names")),
            *("-out", str(at / "server.crt.new")),
        )
        # At once, because the broker may be reading it.
        (at / "server.crt.new").replace(at / "server.crt")

    def _command(self, *argv: str) -> None:
        self._workshop.must(argv, user=_USER)

    def _log(self, service: str) -> Path:
        return self._workshop.path / "logs" / f"{service}.log"

    def _store(self, service: str) -> Path:
        return self._workshop.path / f"store-{service}"

    def _configure(self, service: str, template: str, port: int, more: str = "") -> None:
        text = template.format(
            port=port,
            tls_port=self._clients.ports.tls,
            broker_port=self._clients.ports.broker,
            directory=self._settings,
            store=self._store(service),
            log=self._log(service),
            autosave=self._autosave,
            link=LINK,
            link_password=_LINK_PASSWORD,
            link_address=_LINK_ADDRESS,
        )
        (self._settings / f"{service}.conf").write_text(text + more)

    def _server(self, service: str) -> Child:
        argv = [_PROGRAM, "-c", str(self._settings / f"{service}.conf")]
        return self._workshop.child(argv, self._workshop.path / "logs" / f"{service}.err", user=_USER)
