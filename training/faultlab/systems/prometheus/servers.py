"""Prometheus, Alertmanager, an exporter and the receiver of notifications, with their configuration. Knows no fault."""

import random
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.systems.prometheus import conf

PROMETHEUS, ALERTMANAGER, EXPORTER = "prometheus", "alertmanager", "node-exporter"
RECEIVER = "receiver"
ALL = (PROMETHEUS, ALERTMANAGER, EXPORTER)
PASSWORD = "alder-window-29"
_USER = "prometheus"


class PrometheusServers:
    """The servers of one run; the samples of Prometheus are on `disk`. The receiver writes no log."""

    def __init__(self, workshop: Workshop, rng: random.Random, disk: SmallDisk, ports: Mapping[str, int]) -> None:
        self._workshop = workshop
        self._rng = rng
        self._ports = ports
        self._root = workshop.path
        self._evaluation_s, self._group_s = 2, 4
        self._more = ""
        self._store = disk.path / "samples"
        self.logs, self.numbers = self._root / "logs", self._root / "numbers" / "shop.prom"
        for directory in (self.logs, self._store, self.numbers.parent, self._root / "state", self._root / "receiver"):
            directory.mkdir(parents=True)
            shutil.chown(directory, _USER, _USER)
        self.configure_prometheus()
        self.configure_alertmanager()
        self.write_rules()
        self.write_password(PASSWORD)
        self.write_receiver(200)
        arguments = self._arguments()
        self.children = {name: self._describe(name, argv) for name, argv in arguments.items()}

    @property
    def newest_samples(self) -> Path:
        """Returns the newest segment of the write-ahead log that contains anything."""
        segments = (path for path in (self._store / "wal").iterdir() if path.name.isdigit() and path.stat().st_size)
        return max(segments, key=lambda path: path.name)

    @property
    def queries(self) -> Path:
        return self.logs / "queries.log"

    def launch(self, name: str) -> None:
        self._workshop.launch(self.children[name], self._ports[name])

    def stop(self, name: str) -> None:
        self.children[name].stop(signal.SIGTERM)

    def reload(self, name: str) -> None:
        self.children[name].send(signal.SIGHUP)

    def rotate(self) -> None:
        """Copies the logs of all and empties them: none of the servers opens its standard error again."""
        for log in (*(self.children[name].log for name in ALL), self.queries):
            shutil.copy(log, log.with_suffix(".log.1"))
            with log.open("r+b") as file:
                file.truncate()

    def retune_prometheus(self) -> None:
        self._evaluation_s = 5 - self._evaluation_s
        self.configure_prometheus()
        self.reload(PROMETHEUS)

    def retune_alertmanager(self) -> None:
        self._group_s = 9 - self._group_s
        self.configure_alertmanager()
        self.reload(ALERTMANAGER)

    def add_rule(self) -> None:
        self._more += conf.MORE_RULES.format(number=self._rng.randint(10, 99))
        self.write_rules()
        self.reload(PROMETHEUS)

    def configure_prometheus(self) -> None:
        text = conf.PROMETHEUS.format(
            root=self._root, evaluation_s=self._evaluation_s, password=PASSWORD, **self._names()
        )
        (self._root / "prometheus.yml").write_text(text)

    def configure_alertmanager(self) -> None:
        text = conf.ALERTMANAGER.format(group_s=self._group_s, receiver=self._ports[RECEIVER])
        (self._root / "alertmanager.yml").write_text(text)

    def write_rules(self, mistake: tuple[str, str] = ("", "")) -> None:
        right, wrong = mistake
        text = conf.RULES.format(more=self._more)
        (self._root / "rules.yml").write_text(text.replace(right, wrong) if right else text)

    def write_password(self, password: str) -> None:
        """Sets the password that the exporter wants; it reads the file at every request."""
        row = self._workshop.must(["htpasswd", "-nbBC", "4", "scraper", password])
        text = conf.EXPORTER.format(digest=row.strip().partition(":")[2])
        (self._root / "exporter.yml").write_text(text)

    def write_receiver(self, status: int) -> None:
        """Sets what the receiver of notifications answers."""
        text = conf.RECEIVER.format(root=self._root, receiver=self._ports[RECEIVER], status=status)
        (self._root / "receiver.conf").write_text(text)

    def _names(self) -> dict[str, int]:
        return {
            "prometheus": self._ports[PROMETHEUS],
            "alertmanager": self._ports[ALERTMANAGER],
            "exporter": self._ports[EXPORTER],
        }

    def _arguments(self) -> dict[str, list[str]]:
        root, ports = self._root, self._ports
        # Blocks of a minute: a run contains compactions, checkpoints and expired blocks.
        return {
            PROMETHEUS: [
                "prometheus",
                f"--config.file={root}/prometheus.yml",
                f"--storage.tsdb.path={self._store}",
                "--storage.tsdb.min-block-duration=1m",
                "--storage.tsdb.max-block-duration=3m",
                "--storage.tsdb.retention.time=5m",
                # They are allocated as a whole, and the disk is small.
                "--storage.tsdb.max-block-chunk-segment-size=1MB",
                "--rules.alert.resend-delay=5s",
                f"--web.listen-address=127.0.0.1:{ports[PROMETHEUS]}",
                "--log.level=debug",
            ],
            ALERTMANAGER: [
                "prometheus-alertmanager",
                f"--config.file={root}/alertmanager.yml",
                f"--storage.path={root}/state",
                "--data.maintenance-interval=40s",
                "--cluster.listen-address=",
                f"--web.listen-address=127.0.0.1:{ports[ALERTMANAGER]}",
                "--log.level=debug",
            ],
            EXPORTER: [
                "prometheus-node-exporter",
                "--collector.disable-defaults",
                "--collector.loadavg",
                "--collector.textfile",
                f"--collector.textfile.directory={self.numbers.parent}",
                f"--web.config.file={root}/exporter.yml",
                f"--web.listen-address=127.0.0.1:{ports[EXPORTER]}",
                "--log.level=debug",
            ],
            RECEIVER: ["nginx", "-c", f"{root}/receiver.conf", "-p", f"{root}/receiver"],
        }

    def _describe(self, name: str, argv: list[str]) -> Child:
        user = None if name == RECEIVER else _USER
        return self._workshop.child(argv, self.logs / f"{name}.log", user=user)
