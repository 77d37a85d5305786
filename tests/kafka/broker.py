"""A real Apache Kafka broker for tests, without containers: one JVM, KRaft, loopback only.

Owns the storage format, the ports and the JVM; the jars are those of `tests/kafka/jars.py`.
Offers SIGKILL and restart on the same data, SIGSTOP and SIGCONT. Refuses to know logwarden's topics and settings.

Every method of `Broker` blocks; an async test whose event loop must keep running calls it by `asyncio.to_thread`.

    python -m tests.kafka.broker --dir DIR      runs a broker until SIGINT or SIGTERM, prints its bootstrap address
    python -m tests.kafka.broker --fetch        only fetches the jars
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from tests.kafka.jars import VERSION, FetchFailed, fetch_jars, missing_requirements, tail
from tests.kafka.ports import free_ports, serves
from tests.kafka.properties import Stores, server_properties

PORT_TRIES = 5
PORT_NAMES = ("plain", "controller", "sasl", "tls", "mtls", "proxied", "front")

FORMAT_TIMEOUT_S = 60.0
START_TIMEOUT_S = 60.0  # about 4 s on two idle cores; CI shares them with the rest of the suite
STOP_TIMEOUT_S = 20.0
POLL_S = 0.05
# Saves a third of the start: the tests end before a better compiler and collector would pay.
LIGHT = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")

# Kills the JVM when the process that started it has ended: `read` then returns at the end of the pipe. A word on the
# pipe releases it. PR_SET_PDEATHSIG would not do: it fires when the *thread* that forked ends, as to_thread's do.
WATCHDOG = 'read -r released || kill -KILL "$1"'


class BrokerFailed(RuntimeError):
    """The broker could not be started or stopped. The message ends with the end of the JVM's log."""


class PortTaken(BrokerFailed):
    """Another process bound the port between its choice and the bind. A retry chooses another port."""


async def create_topics(
    bootstrap: str, topics: Mapping[str, int], *, configs: Mapping[str, str] | None = None, deadline_s: float = 30.0
) -> None:
    """Creates topics, name → partitions, and returns when every partition has a leader. `configs` go to all of them."""
    new = [NewTopic(name, partitions, 1, topic_configs=dict(configs or {})) for name, partitions in topics.items()]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(deadline_s):
            await admin.start()
            answer = await admin.create_topics(new)
            for name, code, message in answer.topic_errors:
                if code:
                    raise for_code(code)(f"{name}: {message}")
            while not _all_led(await admin.describe_topics(list(topics)), topics):  # noqa: ASYNC110 - no event to await
                await asyncio.sleep(POLL_S)
    finally:
        await admin.close()


class Broker:
    """One broker with its own data. `Broker.create` starts it; leaving its context stops it.

    The JVM ends with the process that started it, also when that process is killed (see WATCHDOG).
    """

    sasl_user = "logwarden"
    sasl_password = "right-password"

    def __init__(self, directory: Path, *, libs: Path, sasl: bool, stores: Stores | None) -> None:
        self.directory = directory
        self.log_path = directory / "jvm.log"
        self._libs = libs
        self._sasl = sasl
        self._stores = stores
        self._ports: dict[str, int] = {}
        self._properties = directory / "server.properties"
        self._jvm: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(
        cls, directory: Path | str, *, sasl: bool = False, stores: Stores | None = None, version: str = VERSION
    ) -> Self:
        """Returns a running broker with empty storage in a new folder under `directory`.

        With `sasl` it also listens at `sasl_bootstrap` (SASL_PLAINTEXT; PLAIN and SCRAM-SHA-256 for `sasl_user` and
        `sasl_password`, OAUTHBEARER for unsecured tokens); with `stores` also at `tls_bootstrap` and `mtls_bootstrap`.
        Raises BrokerFailed when Java or Maven is missing or the start fails, FetchFailed when Maven cannot fetch the
        jars.
        """
        missing = missing_requirements(version)
        if missing:
            raise BrokerFailed(missing)
        libs = fetch_jars(version)
        Path(directory).mkdir(parents=True, exist_ok=True)
        for tries_left in reversed(range(PORT_TRIES)):
            # Ports are part of the formatted storage (the controller's own address): other ports, other storage.
            home = Path(tempfile.mkdtemp(prefix="broker-", dir=directory)).resolve()
            broker = cls(home, libs=libs, sasl=sasl, stores=stores)
            broker._format()
            try:
                broker.start()
            except PortTaken:
                if not tries_left:
                    raise
            else:
                return broker
        raise AssertionError("the last try returns or raises")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """host:port for clients without authentication; stays the same over restarts."""
        return f"127.0.0.1:{self._ports['plain']}"

    @property
    def sasl_bootstrap(self) -> str:
        """host:port of the SASL_PLAINTEXT listener."""
        assert self._sasl, "made without sasl=True"
        return f"127.0.0.1:{self._ports['sasl']}"

    @property
    def tls_bootstrap(self) -> str:
        """host:port of the SSL listener."""
        return f"localhost:{self._ports['tls']}"

    @property
    def mtls_bootstrap(self) -> str:
        """host:port of the SSL listener that requires a client's certificate."""
        return f"localhost:{self._ports['mtls']}"

    @property
    def front_port(self) -> int:
        """The port that the listener for a proxy advertises; the test's proxy binds it (tests/kafka/proxy.py)."""
        return self._ports["front"]

    @property
    def proxied_port(self) -> int:
        """The port to which a proxy forwards. Clients that connect to it directly are sent to `front_port`."""
        return self._ports["proxied"]

    @property
    def data(self) -> Path:
        """The folder of the partitions' segments, `log.dirs`."""
        return self.directory / "data"

    @property
    def is_running(self) -> bool:
        """True while the JVM runs, also while it is suspended."""
        return self._jvm is not None and self._jvm.poll() is None

    def start(self) -> None:
        """Starts the JVM and waits until it serves. Does nothing when it already runs."""
        if self.is_running:
            return
        self._release()
        command = ["java", "-Xmx512m", *LIGHT, "-Dorg.apache.logging.log4j.level=INFO", "-cp", f"{self._libs}/*"]
        with self.log_path.open("ab") as log:
            log_start = log.tell()
            self._jvm = subprocess.Popen(
                [*command, "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C in the terminal is for the tests, which then stop the broker
            )
        self._watchdog = subprocess.Popen(
            ["sh", "-c", WATCHDOG, "sh", str(self._jvm.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            self._await_answer(log_start)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Sends SIGKILL: no flush, no message to the clients. The data stays for `restart`."""
        if self._jvm is not None:
            if self._jvm.poll() is None:
                self._jvm.kill()
            self._jvm.wait(STOP_TIMEOUT_S)
        self._release()

    def restart(self) -> None:
        """Starts the broker again on the same ports and data, after killing a running one."""
        self.kill()
        self.start()

    def suspend(self) -> None:
        """Sends SIGSTOP, so connections stay open and no request is answered. Returns when the whole JVM has
        stopped."""
        assert self._jvm is not None, "only a started broker can hang"
        assert self.is_running, "only a running broker can hang"
        os.kill(self._jvm.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._jvm.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Sends SIGCONT. Does nothing to a broker that was not suspended."""
        if self._jvm is not None and self.is_running:
            os.kill(self._jvm.pid, signal.SIGCONT)

    def wait_until_it_serves(self) -> None:
        """Waits until a running broker lists itself, which it does not for a moment after a long suspension."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not serves(self._ports["plain"]):
            if time.monotonic() > deadline:
                raise BrokerFailed(f"no answer within {START_TIMEOUT_S:.0f} s:\n{self._log_tail(0)}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Sends SIGTERM and, after the deadline, SIGKILL. Safe in every state and twice."""
        if self._jvm is not None and self.is_running:
            self._jvm.terminate()
            self.resume()  # a stopped process takes no SIGTERM
            with contextlib.suppress(subprocess.TimeoutExpired):  # kill() below is the answer
                self._jvm.wait(STOP_TIMEOUT_S)
        self.kill()

    def wait(self) -> None:
        """Waits for the JVM to end by itself, which a broker never should, so this always raises."""
        assert self._jvm is not None
        code = self._jvm.wait()
        raise BrokerFailed(f"the broker ended by itself with status {code}:\n{self._log_tail(0)}")

    def _format(self) -> None:
        """Chooses ports, writes server.properties and formats the storage under a fresh cluster id."""
        self._ports = dict(zip(PORT_NAMES, free_ports(len(PORT_NAMES)), strict=True))
        credentials = (self.sasl_user, self.sasl_password) if self._sasl else None
        text = server_properties(self._ports, self.data, credentials=credentials, stores=self._stores)
        command = [
            *("java", "-Xmx128m", *LIGHT, "-cp", f"{self._libs}/*"),
            *("kafka.tools.StorageTool", "format", "--standalone"),
        ]
        command += ["-t", _cluster_id(), "-c", str(self._properties)]
        if self._sasl:
            command += ["--add-scram", f"SCRAM-SHA-256=[name={self.sasl_user},password={self.sasl_password}]"]
        self._properties.write_text(text, encoding="utf-8")
        formatted = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, check=False)
        if formatted.returncode != 0:
            raise BrokerFailed(f"formatting the storage failed:\n{tail(formatted.stdout + formatted.stderr)}")

    def _await_answer(self, log_start: int) -> None:
        """Polls until every listener's broker is in the cluster's metadata. Raises PortTaken or BrokerFailed."""
        assert self._jvm is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not serves(self._ports["plain"]):
            if self._jvm.poll() is not None:
                tail = self._log_tail(log_start)
                kind = PortTaken if "Address already in use" in tail else BrokerFailed
                raise kind(f"the broker ended with status {self._jvm.returncode} before it served:\n{tail}")
            if time.monotonic() > deadline:
                raise BrokerFailed(f"no answer within {START_TIMEOUT_S:.0f} s:\n{self._log_tail(log_start)}")
            time.sleep(POLL_S)

    def _log_tail(self, log_start: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(log_start)
            return tail(log.read().decode(errors="replace"))

    def _release(self) -> None:
        """Ends the watchdog: after the JVM is reaped, its pid may belong to another process."""
        if self._watchdog is None:
            return
        try:
            self._watchdog.communicate(b"released\n", timeout=STOP_TIMEOUT_S)
        finally:
            self._watchdog = None


def _cluster_id() -> str:
    # Kafka's own form: 16 random bytes in URL-safe base 64, never with a leading dash, which would read as an option.
    return "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


def _all_led(described: list[dict[str, object]], topics: Mapping[str, int]) -> bool:
    led = {}
    for topic in described:
        partitions = topic["partitions"]
        assert isinstance(partitions, list)
        led[topic["topic"]] = sum(partition["leader"] >= 0 for partition in partitions)
    return led == dict(topics)


def _main() -> None:
    parser = argparse.ArgumentParser(description="Runs an Apache Kafka broker on loopback until SIGINT or SIGTERM.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--dir", type=Path, help="folder for storage and the JVM's log; each run makes a new one in it")
    where.add_argument("--fetch", action="store_true", help="only fetch the jars, then end")
    arguments = parser.parse_args()
    missing = missing_requirements()
    if missing:
        raise SystemExit(missing)
    # Both by name: a shell starts background jobs with SIGINT ignored, and Python then leaves it so.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments.fetch:
            print(fetch_jars(), flush=True)
            return
        with Broker.create(arguments.dir) as broker:
            print(broker.bootstrap, flush=True)
            broker.wait()
    except KeyboardInterrupt:
        return
    except (BrokerFailed, FetchFailed) as failure:
        raise SystemExit(str(failure)) from None


if __name__ == "__main__":
    _main()
