"""Kafka's nodes in KRaft mode: their directories, storage and configuration. Knows no request and no fault."""

import base64
import os
import random
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from logwarden.training.faultlab.disk import SmallDisk
from logwarden.training.faultlab.process import Child, Workshop
from logwarden.training.faultlab.systems.kafka import conf
from logwarden.training.faultlab.systems.kafka.clients import (
    PASSWORD,
    USER,
    KafkaPorts,
)
from logwarden.training.faultlab.systems.kafka.jars import copy_jars

ALL = ("kafka-1", "kafka-2", "kafka-3")
# User numbers without an account, so without any special rights.
_FIRST_UID = 5101
_DISK_MB = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaNode:
    uid: int
    ports: KafkaPorts
    disk: SmallDisk
    child: Child

    @property
    def data(self) -> Path:
        return self.disk.path / "data"


class KafkaNodes:
    """Three nodes, each broker and controller, with a small disk of its own."""

    def __init__(self, workshop: Workshop, rng: random.Random, ports: Mapping[str, KafkaPorts]) -> None:
        self._workshop = workshop
        self._rng = rng
        copy_jars(workshop, workshop.path / "libs")
        (workshop.path / "logs").mkdir()
        (workshop.path / "log4j2.xml").write_text(conf.LOG4J)
        voters = ",".join(f"{number}@127.0.0.1:{each.controller}" for number, each in enumerate(ports.values(), 1))
        self.by_name = {name: self._describe(number, name, ports[name], voters) for number, name in enumerate(ports, 1)}
        self._format()

    def start(self) -> None:
        """Starts all nodes; does not wait until they serve."""
        for node in self.by_name.values():
            node.child.start()

    def stop(self) -> None:
        """Stops all nodes at once: the last one alone would wait for a majority that does not return."""
        for node in self.by_name.values():
            node.child.send(signal.SIGTERM)
        for node in self.by_name.values():
            node.child.stop(timeout_s=4)

    def launch(self, name: str) -> None:
        """Starts one node and waits until it listens."""
        node = self.by_name[name]
        self._workshop.launch(node.child, node.ports.client)

    def _describe(self, number: int, name: str, ports: KafkaPorts, voters: str) -> KafkaNode:
        path = self._workshop.path
        uid = _FIRST_UID + number - 1
        disk = SmallDisk(self._workshop, f"disk-{number}", _DISK_MB)
        scratch, properties = path / f"scratch-{number}", path / f"{name}.properties"
        scratch.mkdir()
        properties.write_text(
            conf.NODE.format(
                node=number,
                voters=voters,
                data=disk.path / "data",
                user=USER,
                password=PASSWORD,
                client=ports.client,
                peer=ports.peer,
                controller=ports.controller,
            )
        )
        child = self._workshop.child(
            [
                *conf.JAVA,
                *(f"-Djava.io.tmpdir={scratch}", f"-XX:ErrorFile={scratch}/crash.log"),
                *(f"-Dlog4j2.configurationFile={path}/log4j2.xml", "-cp", f"{path}/libs/*"),
                *("kafka.Kafka", str(properties)),
            ],
            path / "logs" / f"{name}.log",
            user=str(uid),
        )
        if os.geteuid() == 0:
            os.chown(scratch, uid, uid)
        return KafkaNode(uid=uid, ports=ports, disk=disk, child=child)

    def _format(self) -> None:
        """Formats one storage and copies it: a JVM for each would take a third of the start."""
        first, *others = self.by_name.values()
        path = self._workshop.path
        self._workshop.must(
            [
                *(*conf.JAVA, "-cp", f"{path}/libs/*", "kafka.tools.StorageTool", "format"),
                *("-t", self._identifier(), "-c", str(path / f"{ALL[0]}.properties")),
            ]
        )
        for number, node in enumerate(others, 2):
            shutil.copytree(first.data, node.data)
            about = node.data / "meta.properties"
            kept = [line for line in about.read_text().splitlines() if not line.startswith(("node.id", "directory.id"))]
            about.write_text("\n".join([*kept, f"node.id={number}", f"directory.id={self._identifier()}", ""]))
        if os.geteuid() == 0:
            for node in self.by_name.values():
                for place in (node.data, *node.data.rglob("*")):
                    os.chown(place, node.uid, node.uid)

    def _identifier(self) -> str:
        """Returns 16 bytes in Kafka's form, URL-safe base 64, never with a leading dash, which would be an option."""
        return "k" + base64.urlsafe_b64encode(self._rng.randbytes(16)).decode().rstrip("=")[1:]
