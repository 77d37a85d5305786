"""BIND as primary and as secondary that also forwards: load, faults and planned changes.

Requests are made by `clients` alone, servers belong to `servers`. A third server plays the provider's name server, to
which the secondary forwards; it is no part of the system, so its log is not recorded. The primary's zones and journals
are on a small tmpfs if the process is root, so that its disk can be filled and no other.
"""

import base64
import random
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.bind import conf
from logwarden.training.faultlab.systems.bind.clients import BindClients, BindPorts
from logwarden.training.faultlab.systems.bind.conf import DYNAMIC, LINK, STATIC
from logwarden.training.faultlab.systems.bind.servers import ALL, PRIMARY, SECONDARY, UPSTREAM, BindServers

_DISK_MB = 4


class Bind:
    """See the module."""

    name = "bind"
    never_in_clean = "BADSIG|expired|no space|disc full|not loaded due|near '|unknown option|rollforward failed"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/bind")
        self._network = Network()
        self._serial = self._rng.randint(2_024_010_100, 2_024_120_100)

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {service: (self._servers.log(service),) for service in ALL}

    def missing(self) -> Sequence[str]:
        return missing_packages(
            {"named": "bind9", "rndc": "bind9-utils", "dig": "bind9-dnsutils", "nsupdate": "bind9-dnsutils"}
        )

    def versions(self) -> Mapping[str, str]:
        return {"bind": self._workshop.run(["named", "-v"], timeout_s=10).output.strip()}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        names = ("primary", "primary_control", "secondary", "secondary_control", "upstream")
        self._ports = BindPorts(**dict(zip(names, free_ports(len(names), self._rng), strict=True)))
        secrets = {
            name: base64.b64encode(self._rng.randbytes(32)).decode()
            for name in (conf.TRANSFER_KEY, conf.UPDATE_KEY, conf.CONTROL_KEY)
        }
        self._clients = BindClients(workshop, self._ports, secrets)
        self._servers = BindServers(workshop, self._disk, self._ports, self._clients, secrets, self._serial)

    def start(self) -> None:
        for service in (UPSTREAM, PRIMARY, SECONDARY):
            self._servers.launch(service)

    def workload(self) -> Sequence[Client]:
        ports, clients = self._ports, self._clients
        primary, secondary, both = frozenset({PRIMARY}), frozenset({SECONDARY}), frozenset(ALL)

        def look_up_at(port: int) -> Client:
            touches = primary if port == ports.primary else secondary
            name = "look-up" if port == ports.primary else "look-up-too"
            return Client(name=name, every_s=4, touches=touches, run=lambda rng: clients.look_up(port, rng))

        return (
            look_up_at(ports.primary),
            look_up_at(ports.secondary),
            Client(name="resolve", every_s=3, touches=secondary, run=clients.resolve),
            Client(name="lease", every_s=4, touches=primary, run=clients.lease),
            Client(name="stray", every_s=14, touches=primary, run=clients.stray),
            Client(name="copy", every_s=16, touches=primary, run=lambda rng: clients.copy_zone(STATIC)),
            Client(
                name="save", every_s=10, touches=primary, run=lambda rng: clients.control(ports.primary_control, "sync")
            ),
            Client(name="check", every_s=12, touches=both, run=lambda rng: clients.check()),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        restarts = [
            Disturbance(
                name=f"{service.removeprefix('named-')}_restart",
                cause="restart",
                what=f"the {service.removeprefix('named-')} stopped and started, its clients held back",
                services=ALL,
                inject=self._servers.children[service].stop,
                clear=lambda service=service: self._servers.launch(service),  # type: ignore[misc]
                hold_s=0.5,
                drained=frozenset({service}),
            )
            for service in ALL
        ]
        return (
            *restarts,
            Disturbance(
                name="config_reload",
                cause="reload",
                what="another lifetime of cached answers and another length of answers, rndc reconfig",
                services=ALL,
                inject=self._servers.retune,
            ),
            Disturbance(
                name="zone_reload",
                cause="reload",
                what="a zone file with a new serial, rndc reload",
                services=ALL,
                inject=self._servers.publish,
            ),
            Disturbance(
                name="log_rotation",
                cause="rotation",
                what="log files moved away, rndc reconfig",
                services=ALL,
                inject=self._servers.rotate,
            ),
            Disturbance(
                name="flush",
                cause="maintenance",
                what="the journal written into its zone and removed, the cache emptied, all zones transferred again",
                services=ALL,
                inject=self._servers.maintain,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_people(), *self._faults_of_servers())

    def _faults_of_people(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="forged_requests",
                cause="security",
                what="the updates and transfers of the load, signed with guessed keys",
                services=(PRIMARY,),
                inject=self._forge,
            ),
            Disturbance(
                name="bad_reload",
                cause="configuration",
                what="a mistake in a zone file or in the configuration, loaded by rndc",
                services=ALL,
                inject=self._load_mistake,
                clear=self._undo_mistake,
                hold_s=7,
            ),
            Disturbance(
                name="corrupted_journal",
                cause="data",
                what="a journal overwritten while the primary was down; removed, and a higher serial set",
                services=ALL,
                inject=self._corrupt_journal,
                clear=self._remove_journal,
                hold_s=9,
            ),
        )

    def _faults_of_servers(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="primary_killed",
                cause="process",
                what="SIGKILL to the primary, started again",
                services=ALL,
                inject=self._servers.children[PRIMARY].kill,
                clear=lambda: self._servers.launch(PRIMARY),
                hold_s=15,
            ),
            Disturbance(
                name="secondary_cut_off",
                cause="dependency",
                what="every packet between primary and secondary lost; both keep their clients",
                services=ALL,
                inject=self._cut_link,
                clear=self._network.heal,
                hold_s=24,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="forwarder_dead",
                cause="dependency",
                what="SIGKILL to the name server that the secondary forwards to, started again",
                services=(SECONDARY,),
                inject=self._servers.children[UPSTREAM].kill,
                clear=lambda: self._servers.launch(UPSTREAM),
                hold_s=15,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of the primary's zones filled to the last block",
                services=ALL,
                inject=lambda: self._disk.fill(self._rng.uniform(13, 17)),
                clear=self._disk.empty,
                impossible=self._disk.impossible,
            ),
        )

    def stop(self) -> None:
        for service in (SECONDARY, PRIMARY, UPSTREAM):
            self._servers.children[service].stop()

    def _forge(self) -> None:
        for _ in range(self._rng.randint(12, 16)):
            guess = base64.b64encode(self._rng.randbytes(32)).decode()
            if self._rng.random() < 0.3:
                self._clients.copy_zone(STATIC, secret=guess)
            else:
                self._clients.lease(self._rng, secret=guess)
            time.sleep(self._rng.uniform(0.2, 1.2))

    def _load_mistake(self) -> None:
        # An address out of range, a type that does not exist, a mail server without its preference.
        rows = ("host61 IN A 10.20.1.610", "host61 IN AA 10.20.1.61", "@ IN MX mail")
        words = ("alow-query { any; };", "max-cache-size 8x;", "allow-query { offices; };")
        if self._rng.random() < 0.5:
            self._servers.write_static_zone(self._rng.choice(rows) + "\n")
            self._clients.control(self._ports.primary_control, "reload", STATIC)
        else:
            self._servers.configure(SECONDARY, self._rng.choice(words))
            self._clients.control(self._ports.secondary_control, "reconfig")

    def _undo_mistake(self) -> None:
        self._servers.configure(SECONDARY)
        self._clients.control(self._ports.secondary_control, "reconfig")
        self._servers.publish()

    def _corrupt_journal(self) -> None:
        self._servers.children[PRIMARY].stop()
        journal = self._disk.path / f"{DYNAMIC}.zone.jnl"
        size = journal.stat().st_size if journal.exists() else 0
        with journal.open("r+b" if size else "w+b") as file:
            # Past the header, whose loss would only make it an unknown file, and to the end: the last changes are those
            # that the zone's own file does not have yet, and the only ones that are read.
            start = file.seek(self._rng.randint(600, 700))
            file.write(self._rng.randbytes(max(400, size - start)))
        self._servers.launch(PRIMARY)

    def _remove_journal(self) -> None:
        self._servers.children[PRIMARY].stop()
        (self._disk.path / f"{DYNAMIC}.zone.jnl").unlink(missing_ok=True)
        zone = self._disk.path / f"{DYNAMIC}.zone"
        # Higher than any serial that the secondary may have seen, or it would take its own copy for the newer one.
        zone.write_text(re.sub(r"\d{10}", lambda found: str(int(found[0]) + 1000), zone.read_text(), count=1))
        self._servers.launch(PRIMARY)

    def _cut_link(self) -> None:
        for address in LINK:
            self._network.drop_address(address)
