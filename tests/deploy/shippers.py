"""Runs the snippets of docs/shippers.md in the shippers that Debian has, and reads what they write as the daemon does.

syslog-ng is unpacked and not installed: Debian allows one syslog daemon at a time.
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.deploy.tools import ROOT, install, run, tool, unpacked
from tests.deploy.world import until
from tests.kafka.broker import Broker
from tests.kafka.evidence import read_all
from tests.kafka.ports import free_ports
from tests.kafka.topics import LOG_PARTITIONS, Topics, fresh_topics
from tests.oracles import default_decoder

PAGE = ROOT / "docs" / "shippers.md"
LINES = {
    "billing": 'cannot charge "card" of Zoë: C:\\tmp is full',
    "web": 'ready for {"a": 1}',
    "odd-name.1": "ends with a backslash \\",
}
"""What is logged, by service: signs that a careless template would break."""
AT = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)
SYSLOG_NG = ("syslog-ng-core", "syslog-ng-mod-rdkafka", "libivykis0", "libnet1", "libpcre3", "libwrap0")


def snippets() -> dict[str, tuple[str, str]]:
    """Returns language and text of the first block below each heading of the page."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    found = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        block = re.search(r"^```(\w[\w-]*)\n(.*?)^```$", text, re.M | re.S)
        assert block, name
        found[name] = (block[1], block[2])
    return found


async def check_shippers() -> list[str]:
    """Runs the checks. Returns a sentence for each."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(await asyncio.to_thread(Broker.create, folder))
        found = []
        for name, start in (("rsyslog", _start_rsyslog), ("syslog-ng", _start_syslog_ng)):
            topics = await fresh_topics(broker.bootstrap)
            home = folder / name
            home.mkdir()
            [port] = free_ports(1)
            text = snippets()[name][1].replace("kafka-1:9092", broker.bootstrap).replace('"logs"', f'"{topics.logs}"')
            process = start(home, port, text)
            try:
                await until(partial(_listens, port), f"{name} listens", 20)
                await asyncio.to_thread(_log, port)
                await _arrived(topics, name, process, home)
            finally:
                process.terminate()
                process.wait(20)
            found.append(f"{name} with the page's snippet: service, level, time and text of {len(LINES)} lines arrive")
        return found


def _start_rsyslog(home: Path, port: int, text: str) -> subprocess.Popen[bytes]:
    program = tool("rsyslogd")
    if not Path("/usr/lib/x86_64-linux-gnu/rsyslog/omkafka.so").exists():
        install("rsyslog-kafka")
    configuration = home / "rsyslog.conf"
    listen = f'module(load="imtcp")\ninput(type="imtcp" port="{port}" address="127.0.0.1")\n'
    receive = f'global(workDirectory="{home}")\n{listen}'
    configuration.write_text(receive + text)
    run([program, "-N1", "-f", str(configuration)])
    return _started([program, "-n", "-f", str(configuration), "-i", str(home / "pid")], home, {})


def _start_syslog_ng(home: Path, port: int, text: str) -> subprocess.Popen[bytes]:
    root = unpacked("syslog-ng", SYSLOG_NG)
    libraries = (root / "usr/lib/syslog-ng", root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu")
    environment = {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    configuration = home / "syslog-ng.conf"
    receive = f'@version: 3.38\nsource s_src {{ network(ip("127.0.0.1") port({port}) transport("tcp")); }};\n'
    configuration.write_text(receive + text)
    options = (
        *("--no-caps", f"--cfgfile={configuration}", f"--module-path={root}/usr/lib/syslog-ng/3.38"),
        *(f"--persist-file={home}/persist", f"--control={home}/control", f"--pidfile={home}/pid"),
    )
    program = str(root / "usr/sbin/syslog-ng")
    run([program, "--syntax-only", *options], env=environment)
    return _started([program, "--foreground", *options], home, environment)


def _started(command: list[str], home: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (home / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment or None, cwd=home)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _log(port: int) -> None:
    """Sends each line as syslog of RFC 3164 with an RFC 3339 time, of facility daemon and severity error."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        for service, line in LINES.items():
            connection.sendall(f"<27>{AT.isoformat()} host-1 {service}[71]: {line}\n".encode())


async def _arrived(topics: Topics, name: str, process: subprocess.Popen[bytes], home: Path) -> None:
    records: list[Any] = []
    for _ in range(60):
        assert process.poll() is None, f"{name} ended: {(home / 'log').read_text(errors='replace')[-2000:]}"
        records = await read_all(topics.bootstrap, topics.logs, partitions=LOG_PARTITIONS)
        if len(records) >= len(LINES):
            break
        await asyncio.sleep(0.5)
    assert len(records) == len(LINES), f"{name} wrote {records}: {(home / 'log').read_text(errors='replace')[-2000:]}"
    assert {record.key.decode() for record in records} == set(LINES), name
    decoded = default_decoder().decode(records)
    lines = {service: line.decode() for service, line in zip(decoded.services, decoded.lines, strict=True)}
    assert lines == {service: f"ERROR {line}" for service, line in LINES.items()}, lines
    assert set(decoded.timestamps) == {round(1000 * AT.timestamp())}, f"{name}: {decoded.timestamps}"
