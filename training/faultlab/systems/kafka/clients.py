"""The client program of load, probes and attacks on Kafka: kcat. Knows no server process and no fault.

Clean load and faults both use this module: the same program, one user, the same topics.
"""

import json
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from logwarden.training.faultlab.process import Finished, Workshop

USER = "shop"
PASSWORD = "pear-lantern-42"
ORDERS, PAYMENTS, PRICES = "orders", "payments", "prices"
# Made and dropped by the operator; a shop that looks into it in between finds nothing, as happens.
RETURNS = "returns"
PARTITIONS = 3
_DEADLINE_S = 25.0
_ASK_S = 12
# GNU timeout ends as the program did that it was to end.
_KILLED = -signal.SIGKILL

# Patience enough for a leader to move on a machine that is shared; and slow to repeat itself, because every refusal
# of a record is an error with its stack in the broker's log.
_PATIENCE = {
    "socket.timeout.ms": "9000",
    "retry.backoff.ms": "700",
    "reconnect.backoff.max.ms": "2000",
}
_DELIVERY = {"acks": "all", "message.timeout.ms": "18000", "request.timeout.ms": "9000", "linger.ms": "20"}
_GROUP = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1500", "auto.offset.reset": "latest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaPorts:
    client: int
    peer: int
    controller: int


class KafkaClients:
    """The requests of load, probes and attacks: all that reach the system during a recording."""

    def __init__(self, workshop: Workshop, ports: Mapping[str, KafkaPorts]) -> None:
        self._workshop = workshop
        self._ports = ports

    def settled(self) -> bool:
        """Returns True if every node reports all nodes, and a leader and all copies of every partition."""
        return all(self._whole(self._metadata(ports.client)) for ports in self._ports.values())

    def served(self) -> bool:
        """Returns True if the cluster is settled and every partition takes orders."""
        return self.settled() and self._send(ORDERS, [f"{customer}:00" for customer in range(1, 9)]).ok

    def order(self, rng: random.Random, password: str = PASSWORD) -> bool:
        """Sends some orders in one or a few batches; the program numbers them so that none is stored twice."""
        records = [
            f"{rng.randint(1, 500)}:{rng.randbytes(rng.randint(20, 200)).hex()}" for _ in range(rng.randint(3, 40))
        ]
        return self._send(ORDERS, records, "-X", "enable.idempotence=true", password=password).ok

    def pay(self, rng: random.Random) -> bool:
        """Sends some payments in one transaction."""
        # Every use has a number of its own: of two at once under one number, the older would fail.
        till = rng.randrange(10**6)
        records = [f"{rng.randint(1, 500)}:{rng.randint(100, 99_999)}" for _ in range(rng.randint(2, 12))]
        return self._send(PAYMENTS, records, "-X", f"transactional.id=till-{till}").ok

    def price(self, rng: random.Random) -> bool:
        """Sends new prices; one in some has no article, which a compacted topic refuses."""
        amount = rng.randint(100, 9_999)
        if rng.random() < 0.12:
            return "Delivery failed" in self._send(PRICES, [str(amount)], key="").output
        return self._send(PRICES, [f"{rng.randint(1, 60)}:{amount + step}" for step in range(rng.randint(1, 8))]).ok

    def follow(self, rng: random.Random, group: str, topic: str) -> bool:
        """Runs a member of a group for some seconds; sometimes it is killed."""
        seconds = f"{rng.uniform(3, 7):.1f}"
        dies = rng.random() < 0.15
        limit = ["timeout", "--preserve-status", f"--signal={'KILL' if dies else 'TERM'}", seconds]
        finished = self._kcat("-G", group, "-q", *_options(_GROUP), topic, before=limit)
        return finished.code == (_KILLED if dies else 0)

    def tail(self, rng: random.Random) -> bool:
        """Reads the last records of a partition."""
        topic, back = rng.choice((ORDERS, ORDERS, PRICES)), rng.randint(5, 60)
        place = rng.randrange(PARTITIONS)
        return self._kcat("-C", "-t", topic, "-p", str(place), "-o", f"-{back}", "-e", "-q").ok

    def look(self, rng: random.Random) -> bool:
        """Lists topics or offsets, sometimes of a topic that does not exist."""
        if rng.random() < 0.2:
            return self._kcat("-L", "-t", RETURNS).ok
        ports = rng.choice(list(self._ports.values()))
        return self._metadata(ports.client) is not None

    def _metadata(self, port: int) -> dict[str, list[dict[str, object]]] | None:
        finished = self._kcat("-L", "-J", at=[port])
        start = finished.output.find("{")
        if not finished.ok or start < 0:
            return None
        answer: dict[str, list[dict[str, object]]] = json.JSONDecoder().raw_decode(finished.output[start:])[0]
        return answer

    def _whole(self, metadata: dict[str, list[dict[str, object]]] | None) -> bool:
        if metadata is None or len(metadata["brokers"]) != len(self._ports):
            return False
        for topic in metadata["topics"]:
            places = topic["partitions"]
            assert isinstance(places, list)
            if not places or any(len(place["isrs"]) < len(place["replicas"]) for place in places):
                return False
        return True

    def _send(
        self, topic: str, records: Sequence[str], *options: str, key: str = ":", password: str = PASSWORD
    ) -> Finished:
        arguments = ["-P", "-t", topic, *(["-K", key] if key else []), *_options(_DELIVERY), *options]
        return self._kcat(*arguments, feed="".join(f"{record}\n" for record in records), password=password)

    def _kcat(
        self,
        *arguments: str,
        at: Sequence[int] = (),
        feed: str = "",
        password: str = PASSWORD,
        before: Sequence[str] = (),
    ) -> Finished:
        ports = at or [ports.client for ports in self._ports.values()]
        login = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": USER,
            "sasl.password": password,
        }
        where = ["-b", ",".join(f"127.0.0.1:{port}" for port in ports), "-m", str(_ASK_S)]
        argv = [*before, "kcat", *where, *_options(login | _PATIENCE), *arguments]
        return self._workshop.run(argv, timeout_s=_DEADLINE_S, feed=feed)


def _options(settings: Mapping[str, str]) -> list[str]:
    return [part for key, value in settings.items() for part in ("-X", f"{key}={value}")]
