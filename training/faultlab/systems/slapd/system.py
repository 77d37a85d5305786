"""OpenLDAP as provider and as replica that follows it: load, servers, faults and planned changes.

Requests are made by `clients` alone. The provider's database is on a small tmpfs if the process is root, so that its
disk can be filled and no other.
"""

import random
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.network import Network, free_ports
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.scenario import Client, Disturbance, missing_packages
from logwarden.training.faultlab.systems.slapd import conf
from logwarden.training.faultlab.systems.slapd.clients import SlapdClients

PROVIDER, REPLICA = "slapd", "slapd-replica"
ALL = (PROVIDER, REPLICA)
_DISK_MB = 24
_MAP_MB = 16
_PAGE = 4096


class Slapd:
    """See the module."""

    name = "slapd"
    never_in_clean = "err=(49|50|80) |MDB_|No space left|unknown directive|no write access"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/slapd")
        self._network = Network()
        self._idle_s = 60

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {service: (child.log,) for service, child in self._children.items()}

    def missing(self) -> Sequence[str]:
        return missing_packages({"slapd": "slapd", "slapadd": "slapd", "ldapsearch": "ldap-utils"})

    def versions(self) -> Mapping[str, str]:
        # It logs the error and ends with code 1.
        words = self._workshop.run(["slapd", "-VV"], timeout_s=10).output.split()
        return {"openldap": next(word for word in words if word[:1].isdigit())}

    def setup(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._disk = SmallDisk(workshop, "disk", _DISK_MB)
        self._stores = {PROVIDER: self._disk.path / "store", REPLICA: workshop.path / "replica"}
        (workshop.path / "logs").mkdir()
        for store in self._stores.values():
            store.mkdir()
        provider, self._link, replica = free_ports(3, self._rng)
        self._ports = {PROVIDER: provider, REPLICA: replica}
        self._clients = SlapdClients(workshop, provider, replica)
        self._children = {service: self._describe(service) for service in ALL}
        for service in ALL:
            self._configure(service)
        ldif = workshop.path / "first.ldif"
        ldif.write_text(conf.first_entries())
        workshop.must(["slapadd", "-q", "-w", "-f", str(self._conf(PROVIDER)), "-b", conf.SUFFIX, "-l", str(ldif)])

    def start(self) -> None:
        if self._network.impossible is None:
            # In the run's own network: the provider finds a lost link within seconds and not only in minutes, when the
            # next fault may be there.
            Path("/proc/sys/net/ipv4/tcp_retries2").write_text("4")
        for service in ALL:
            self._launch(service)

    def workload(self) -> Sequence[Client]:
        clients, at = self._clients, self._ports
        provider, replica = frozenset({PROVIDER}), frozenset({REPLICA})
        return (
            Client(name="log-in", every_s=9, touches=provider, run=lambda rng: clients.log_in(at[PROVIDER], rng)),
            Client(name="log-in-too", every_s=8, touches=replica, run=lambda rng: clients.log_in(at[REPLICA], rng)),
            Client(name="look-up", every_s=10, touches=provider, run=lambda rng: clients.look_up(at[PROVIDER], rng)),
            Client(name="look-up-too", every_s=8, touches=replica, run=lambda rng: clients.look_up(at[REPLICA], rng)),
            Client(name="teams", every_s=10, touches=replica, run=lambda rng: clients.teams(at[REPLICA], rng)),
            Client(name="add", every_s=6, touches=provider, run=clients.add_asset),
            Client(name="drop", every_s=18, touches=provider, run=clients.drop_asset),
            Client(name="change", every_s=10, touches=provider, run=clients.change_telephone),
        )

    def healthy(self) -> bool:
        return self._clients.served()

    def benign(self) -> Sequence[Disturbance]:
        restarts = [
            Disturbance(
                name=name,
                cause="restart",
                what=f"the {name.removesuffix('_restart')} stopped and started, its clients held back",
                services=ALL,
                inject=self._children[service].stop,
                clear=lambda service=service: self._launch(service),  # type: ignore[misc]
                hold_s=0.5,
                drained=frozenset({service}),
            )
            for service, name in ((PROVIDER, "provider_restart"), (REPLICA, "replica_restart"))
        ]
        return (
            *restarts,
            Disturbance(
                name="config_change",
                cause="reload",
                what="another idle time-out, set in cn=config of both servers",
                services=ALL,
                inject=self._retune,
            ),
            Disturbance(
                name="import_and_backup",
                cause="maintenance",
                what="a dozen entries over one connection, the database dumped by slapcat",
                services=ALL,
                inject=self._maintain,
            ),
        )

    def faults(self) -> Sequence[Disturbance]:
        return (*self._faults_of_people(), *self._faults_of_servers())

    def _faults_of_people(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="password_guessing",
                cause="security",
                what="the log-ins of the load with guessed passwords, at both servers",
                services=ALL,
                inject=self._guess_passwords,
            ),
            Disturbance(
                name="forbidden_writes",
                cause="security",
                what="the writes of the load by people without the right to",
                services=(PROVIDER,),
                inject=self._trespass,
            ),
            Disturbance(
                name="bad_config_restart",
                cause="configuration",
                what="the replica restarted with a mistake in its configuration",
                services=ALL,
                inject=self._restart_misconfigured,
                clear=self._restart_configured,
                hold_s=9,
            ),
        )

    def _faults_of_servers(self) -> Sequence[Disturbance]:
        return (
            Disturbance(
                name="provider_killed",
                cause="process",
                what="SIGKILL to the provider, started again",
                services=ALL,
                inject=self._children[PROVIDER].kill,
                clear=lambda: self._launch(PROVIDER),
                hold_s=11,
            ),
            Disturbance(
                name="replica_cut_off",
                cause="dependency",
                what="every packet between provider and replica lost; both keep their clients",
                services=ALL,
                inject=lambda: self._network.drop([self._link]),
                clear=self._network.heal,
                hold_s=18,
                impossible=self._network.impossible,
            ),
            Disturbance(
                name="disk_full",
                cause="resource",
                what="the file system of the provider's database filled to the last block",
                services=ALL,
                inject=lambda: self._disk.fill(self._rng.uniform(15, 19)),
                clear=self._empty_disk,
                impossible=self._disk.impossible,
            ),
            Disturbance(
                name="corrupted_database",
                cause="data",
                what="the first pages of the provider's database overwritten while it was down; restored from a copy",
                services=ALL,
                inject=self._corrupt_database,
                clear=self._restore_database,
                hold_s=9,
            ),
        )

    def stop(self) -> None:
        for service in (REPLICA, PROVIDER):
            self._children[service].stop()

    def _guess_passwords(self) -> None:
        for _ in range(self._rng.randint(16, 22)):
            port = self._ports[REPLICA if self._rng.random() < 0.4 else PROVIDER]
            guess = conf.PASSWORD.format(number=self._rng.randint(100, 999))
            self._clients.log_in(port, self._rng, password=guess)
            time.sleep(self._rng.uniform(0.2, 1.0))

    def _trespass(self) -> None:
        for _ in range(self._rng.randint(10, 14)):
            self._clients.trespass(self._rng)
            time.sleep(self._rng.uniform(0.3, 1.3))

    def _restart_misconfigured(self) -> None:
        mistakes = ("idletimout 60", "sizelimit many", "moduleload pppolicy", "loglevel statistics")
        self._children[REPLICA].stop()
        self._configure(REPLICA, self._rng.choice(mistakes))
        # It ends at once.
        self._children[REPLICA].start()

    def _restart_configured(self) -> None:
        self._children[REPLICA].stop()
        self._configure(REPLICA)
        self._launch(REPLICA)

    def _empty_disk(self) -> None:
        self._disk.empty()
        time.sleep(0.5)
        if not self._children[PROVIDER].alive:
            self._launch(PROVIDER)

    def _corrupt_database(self) -> None:
        self._children[PROVIDER].stop()
        data = self._stores[PROVIDER] / "data.mdb"
        # Where the copy is read from later: a database on its disk twice would not leave room to grow.
        shutil.copyfile(data, self._copy)
        with data.open("r+b") as file:
            # The two pages that all others are found by, and some of those after them.
            file.write(self._rng.randbytes(_PAGE * self._rng.randint(2, 5)))
        self._children[PROVIDER].start()

    def _restore_database(self) -> None:
        self._children[PROVIDER].stop()
        shutil.copyfile(self._copy, self._stores[PROVIDER] / "data.mdb")
        self._launch(PROVIDER)

    def _retune(self) -> None:
        self._idle_s = 90 if self._idle_s == 60 else 60
        for service in ALL:
            self._configure(service)
            if not self._clients.set_idle_time(self._ports[service], self._idle_s):
                raise StartFailed(f"{service} does not take another idle time-out", "")

    def _maintain(self) -> None:
        if not self._clients.import_assets(self._rng, 12):
            raise StartFailed("slapd", "the provider refuses new entries")
        backup = [
            "-f",
            str(self._conf(PROVIDER)),
            "-b",
            conf.SUFFIX,
            "-l",
            str(self._workshop.path / "backup.ldif"),
        ]
        self._workshop.must(["slapcat", *backup])

    @property
    def _copy(self) -> Path:
        return self._workshop.path / "copy.mdb"

    def _launch(self, service: str) -> None:
        self._workshop.launch(self._children[service], self._ports[service])

    def _describe(self, service: str) -> Child:
        # The replica connects to a port of its own, so that its link can be cut and no client's.
        ports = (self._ports[service], self._link) if service == PROVIDER else (self._ports[service],)
        urls = " ".join(f"ldap://127.0.0.1:{port}" for port in ports)
        # Lines about every replicated change would outnumber all others.
        level = "stats" if service == PROVIDER else "stats,sync"
        argv = ["slapd", "-d", level, "-h", urls, "-f", str(self._conf(service))]
        return self._workshop.child(argv, self._workshop.path / "logs" / f"{service}.log")

    def _conf(self, service: str) -> Path:
        return self._workshop.path / f"{service}.conf"

    def _configure(self, service: str, mistake: str = "") -> None:
        template = conf.PROVIDER if service == PROVIDER else conf.REPLICA
        text = template.format(
            home=self._stores[service],
            store=self._stores[service],
            idle_s=self._idle_s,
            mistake=mistake,
            map_bytes=_MAP_MB * 2**20,
            link=self._link,
            provider=self._ports[PROVIDER],
        )
        self._conf(service).write_text(text)
