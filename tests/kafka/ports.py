"""TCP ports for a broker on loopback: free ones, and whether a Kafka broker serves at one."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

# Linux assigns source ports from 32768 up (ip_local_port_range): no outgoing connection below it takes the port
# while the broker is down between kill() and restart().
PORTS = range(15_000, 32_768)


class NoFreePort(RuntimeError):
    """Every port of PORTS is taken."""


def free_ports(count: int) -> list[int]:
    """Returns ports that could be bound a moment ago. Raises NoFreePort if there are too few."""
    ports: list[int] = []
    for port in random.sample(PORTS, k=len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise NoFreePort(f"fewer than {count} free ports below {PORTS.stop}")


def serves(port: int) -> bool:
    """Returns True if the broker answers a Metadata request (version 1, about no topic) with a live broker.

    Encoded by hand: a client library would need an event loop, and a broker starts inside and outside of one.
    """
    request = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)  # key, version, correlation, no client id; []
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                head = answer.read(12)  # size, correlation, number of live brokers
    except OSError:
        return False
    return len(head) == 12 and struct.unpack(">iii", head)[2] > 0
