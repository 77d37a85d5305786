"""A real schema registry for tests: Apicurio's, in memory, one JVM on loopback; Maven fetches it once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kafka.jars import FETCH_TIMEOUT_S, REPOSITORY, FetchFailed, tail
from tests.kafka.ports import free_ports

VERSION = "2.6.13.Final"
"""Its class files need Java 17, as the broker's do."""
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_START_S = 90.0
_POLL_S = 0.1


def fetch_registry() -> Path:
    """Returns the folder with the registry's program. A folder of that name is always complete."""
    folder = REPOSITORY / ".cache" / f"apicurio-{VERSION}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="apicurio.part-", dir=folder.parent) as part:
        artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
        command = ["mvn", "-q", "-B", _COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={part}"]
        fetched = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
        archives = list(Path(part).glob("*.tar.gz"))
        if fetched.returncode or not archives:
            raise FetchFailed(f"Maven could not fetch the registry:\n{tail(fetched.stdout + fetched.stderr)}")
        whole = Path(part, "whole")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(whole, filter="data")
        whole.rename(folder)
    return folder


class Registry:
    """A registry that runs. Its schemas end with it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def register(self, subject: str, schema: str, kind: str = "AVRO", references: Sequence[Any] = ()) -> int:
        """Registers a schema; returns its number."""
        body = {"schema": schema, "schemaType": kind, "references": list(references)}
        request = urllib.request.Request(
            f"{self.url}/subjects/{subject}/versions",
            json.dumps(body).encode(),
            {"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(json.load(answer)["id"])

    def serves(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def running_registry(folder: Path, port: int = 0) -> Iterator[Registry]:
    """Yields a registry that serves. `port` 0: any free one."""
    port = port or free_ports(1)[0]
    program = fetch_registry()
    options = ["-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Dquarkus.http.port={port}"]
    command = ["java", *options, "-Dquarkus.http.host=127.0.0.1", "-cp", f"{program}/*:{program}/lib/*"]
    log = folder / "registry.log"
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "io.quarkus.runner.GeneratedMain"], stdout=out, stderr=out, cwd=program)
        try:
            registry = Registry(f"http://127.0.0.1:{port}/apis/ccompat/v7")
            deadline = time.monotonic() + _START_S
            while not registry.serves():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the registry does not start:\n{tail(log.read_text(errors='replace'))}")
                time.sleep(_POLL_S)
            yield registry
        finally:
            process.kill()
            process.wait()


async def until_it_serves(registry: Registry) -> None:
    """Waits until a registry answers."""
    while not await asyncio.to_thread(registry.serves):  # noqa: ASYNC110 - no event to await
        await asyncio.sleep(_POLL_S)
