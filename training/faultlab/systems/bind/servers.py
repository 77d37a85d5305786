"""The name servers of one run: their directories, keys, zones and configuration, their start. Knows no fault."""

from collections.abc import Mapping
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.systems.bind import conf
from logwarden.training.faultlab.systems.bind.clients import BindClients, BindPorts
from logwarden.training.faultlab.systems.bind.conf import DYNAMIC, STATIC

PRIMARY, SECONDARY = "named-primary", "named-secondary"
ALL = (PRIMARY, SECONDARY)
UPSTREAM = "upstream"


class BindServers:
    """A primary with its zones on `disk`, a secondary that also forwards, and the provider's name server."""

    def __init__(
        self,
        workshop: Workshop,
        disk: SmallDisk,
        ports: BindPorts,
        clients: BindClients,
        secrets: Mapping[str, str],
        serial: int,
    ) -> None:
        self._workshop = workshop
        self._disk = disk
        self._ports = ports
        self._clients = clients
        self._serial = serial
        self._cache_s = 4
        self._minimal = "yes"
        self._homes = {PRIMARY: disk.path, SECONDARY: workshop.path / "secondary", UPSTREAM: workshop.path / "up"}
        (workshop.path / "logs").mkdir()
        for home in self._homes.values():
            home.mkdir(exist_ok=True)
        self._keys = {name: conf.KEY.format(name=name, secret=secret) for name, secret in secrets.items()}
        (workshop.path / "control.key").write_text(self._keys[conf.CONTROL_KEY])
        self.write_static_zone()
        (disk.path / f"{conf.REVERSE}.zone").write_text(conf.reverse_zone(self._serial))
        (disk.path / f"{DYNAMIC}.zone").write_text(conf.dynamic_zone(self._serial))
        (self._homes[UPSTREAM] / "outside.zone").write_text(conf.outside_zone())
        for service in (PRIMARY, SECONDARY, UPSTREAM):
            self.configure(service)
        self.children = {service: self._describe(service) for service in (PRIMARY, SECONDARY, UPSTREAM)}

    def launch(self, service: str) -> None:
        ports = {PRIMARY: self._ports.primary, SECONDARY: self._ports.secondary, UPSTREAM: self._ports.upstream}
        self._workshop.launch(self.children[service], ports[service])

    def _operate(self, service: str, *command: str) -> None:
        port = self._ports.primary_control if service == PRIMARY else self._ports.secondary_control
        if not self._clients.control(port, *command):
            raise StartFailed(service, f"the server refuses rndc {command[0]}")

    def configure(self, service: str, mistake: str = "") -> None:
        ports = self._ports
        template, port, options = {
            PRIMARY: (
                conf.PRIMARY,
                ports.primary,
                conf.PRIMARY_OPTIONS.format(minimal=self._minimal, secondary=ports.secondary),
            ),
            SECONDARY: (
                conf.SECONDARY,
                ports.secondary,
                conf.SECONDARY_OPTIONS.format(upstream=ports.upstream, cache_s=self._cache_s),
            ),
            UPSTREAM: (conf.UPSTREAM, ports.upstream, conf.UPSTREAM_OPTIONS),
        }[service]
        text = template.format(
            log=self.log(service),
            keys="".join(self._keys.values()),
            directory=self._homes[service],
            port=port,
            options=options + mistake,
            control=ports.primary_control if service == PRIMARY else ports.secondary_control,
            primary=ports.primary,
        )
        self._conf(service).write_text(text)

    def write_static_zone(self, rows: str = "") -> None:
        self._serial += 1
        (self._disk.path / f"{STATIC}.zone").write_text(conf.static_zone(self._serial) + rows)

    def retune(self) -> None:
        self._cache_s = 6 if self._cache_s == 4 else 4
        self._minimal = "no" if self._minimal == "yes" else "yes"
        for service in ALL:
            self.configure(service)
            self._operate(service, "reconfig")

    def publish(self) -> None:
        self.write_static_zone()
        self._operate(PRIMARY, "reload", STATIC)

    def rotate(self) -> None:
        for service in ALL:
            log = self.log(service)
            log.rename(log.with_suffix(".log.0"))
            self._operate(service, "reconfig")

    def maintain(self) -> None:
        self._operate(PRIMARY, "sync", "-clean", DYNAMIC)
        self._operate(SECONDARY, "flush")
        for zone in conf.ZONES:
            self._operate(SECONDARY, "retransfer", zone)

    def log(self, service: str) -> Path:
        return self._workshop.path / "logs" / f"{service}.log"

    def _conf(self, service: str) -> Path:
        return self._workshop.path / f"{service}.conf"

    def _describe(self, service: str) -> Child:
        # One worker: the default is one for every processor. What comes before the configuration goes to the log too.
        argv = ["named", "-f", "-n", "1", "-L", str(self.log(service)), "-c", str(self._conf(service))]
        return self._workshop.child(argv, self._workshop.path / "logs" / f"{service}.out")
