"""The client programs of load, probes and attacks on RabbitMQ: amqp-tools. Knows no server and no fault.

Clean load and faults both use this module: the same programs, one user, the same queues.
"""

import random
import subprocess
from collections.abc import Sequence

from logwarden.training.faultlab.process import Finished, Workshop

USER = "shop"
PASSWORD = "pear-lantern-42"
ORDERS, EXPORTS, REFUNDS, PROBE = "orders", "exports", "refunds", "probe"
QUEUES = (ORDERS, EXPORTS, REFUNDS, PROBE)
# A queue that some clients name and that never exists.
_RETURNS = "returns"
_DEADLINE_S = 25.0
_PROBE_DEADLINE_S = 8.0
# Exit codes: of amqp-get for an empty queue, of GNU timeout for a program that it ended.
_EMPTY, _TIMED_OUT = 2, 124


class RabbitMQClients:
    """The requests of load, probes and attacks; `ports` are those of the nodes, in order."""

    def __init__(self, workshop: Workshop, ports: Sequence[int]) -> None:
        self._workshop = workshop
        self._ports = tuple(ports)

    def served(self) -> bool:
        """Returns True if a message published on one node arrives on the other, so that both are one cluster."""
        first, second = self._ports
        return all(
            self._publish(source, PROBE, feed="probe", deadline_s=_PROBE_DEADLINE_S).ok
            and self._ask("amqp-get", sink, "-q", PROBE, deadline_s=_PROBE_DEADLINE_S).ok
            for source, sink in ((first, second), (second, first))
        )

    def order(self, node: int, rng: random.Random, password: str = PASSWORD, scheme: str = "amqp") -> bool:
        """Publishes some orders, sometimes one large export."""
        port = self._ports[node]
        if rng.random() < 0.25:
            body = rng.randbytes(rng.randint(10_000, 70_000)).hex()
            return self._publish(port, EXPORTS, feed=body, password=password, scheme=scheme).ok
        orders = "".join(f"{rng.randbytes(rng.randint(20, 200)).hex()}\n" for _ in range(rng.randint(2, 12)))
        return self._publish(port, ORDERS, "-l", "-p", feed=orders, password=password, scheme=scheme).ok

    def work(self, node: int, rng: random.Random) -> bool:
        """Consumes for some seconds; `timeout` ends the consumer if too few messages arrive."""
        queue = rng.choice((ORDERS, ORDERS, ORDERS, EXPORTS, REFUNDS))
        count = rng.randint(8, 40) if queue == ORDERS else rng.randint(1, 5)
        limits = ["-c", str(count), "-p", "10", "md5sum"]
        before = ["timeout", f"{rng.uniform(1.5, 4):.1f}"]
        finished = self._ask("amqp-consume", self._ports[node], "-q", queue, *limits, before=before)
        return finished.code in (0, _TIMED_OUT)

    def peek(self, node: int, rng: random.Random) -> bool:
        """Reads one message of a queue that may be empty, sometimes of a queue that does not exist."""
        if rng.random() < 0.2:
            return "NOT_FOUND" in self._ask("amqp-get", self._ports[node], "-q", _RETURNS).output
        queue = rng.choice((ORDERS, EXPORTS, REFUNDS))
        return self._ask("amqp-get", self._ports[node], "-q", queue).code in (0, _EMPTY)

    def report(self, node: int, rng: random.Random) -> bool:
        """Declares a queue of its own, uses it and deletes it."""
        port, queue = self._ports[node], f"report-{rng.randrange(10**6)}"
        return (
            self.declare(node, queue, "-d")
            and self._publish(port, queue, "-l", feed="header\nbody\n").ok
            and self._ask("amqp-get", port, "-q", queue).ok
            and self._ask("amqp-delete-queue", port, "-q", queue).ok
        )

    def declare(self, node: int, queue: str, *options: str) -> bool:
        return self._ask("amqp-declare-queue", self._ports[node], "-q", queue, *options).ok

    def wait_for_refund(self, node: int) -> subprocess.Popen[str]:
        """Consumes like `work`, without an end."""
        where = ["-u", _url(self._ports[node]), "-q", REFUNDS]
        return self._workshop.open(["amqp-consume", *where, "-p", "10", "md5sum"])

    def _publish(
        self,
        port: int,
        queue: str,
        *options: str,
        feed: str,
        password: str = PASSWORD,
        scheme: str = "amqp",
        deadline_s: float = _DEADLINE_S,
    ) -> Finished:
        url = _url(port, password, scheme)
        argv = ["amqp-publish", "-u", url, "-r", queue, *options]
        return self._workshop.run(argv, timeout_s=deadline_s, feed=feed)

    def _ask(
        self, program: str, port: int, *arguments: str, before: Sequence[str] = (), deadline_s: float = _DEADLINE_S
    ) -> Finished:
        return self._workshop.run([*before, program, "-u", _url(port), *arguments], timeout_s=deadline_s)


def _url(port: int, password: str = PASSWORD, scheme: str = "amqp") -> str:
    return f"{scheme}://{USER}:{password}@127.0.0.1:{port}"
