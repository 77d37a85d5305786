"""The requests of a Kafka operator: create, delete and configure topics. Knows no server process and no fault.

Written by hand, as four requests of the public protocol: Kafka's own tools start a JVM for each, kcat has none of them,
and only logwarden.daemon.kafka may use a client library.
"""

import socket
import struct
from collections.abc import Mapping, Sequence

from logwarden.training.faultlab.errors import StartFailed

_CREATE, _DELETE, _SET = (19, 2), (20, 1), (44, 0)
_TOPIC, _BROKER = 2, 4
_TIMEOUT_S = 20.0


class Operator:
    """Sends requests to one node, which forwards those that are the controller's."""

    def __init__(self, port: int) -> None:
        self._port = port

    def create_topic(self, name: str, partitions: int, settings: Mapping[str, str]) -> None:
        pairs = [_text(key) + _text(value) for key, value in settings.items()]
        topic = _text(name) + struct.pack(">ih", partitions, 3) + _array([]) + _array(pairs)
        answer = self._ask(_CREATE, _array([topic]) + struct.pack(">i?", int(_TIMEOUT_S * 1000), False))
        # Throttle time, number of topics, name, error.
        self._check(f"create {name}", struct.unpack_from(">h", answer, 10 + len(name))[0])

    def delete_topic(self, name: str) -> None:
        answer = self._ask(_DELETE, _array([_text(name)]) + struct.pack(">i", int(_TIMEOUT_S * 1000)))
        self._check(f"delete {name}", struct.unpack_from(">h", answer, 10 + len(name))[0])

    def set_topic(self, name: str, key: str, value: str) -> None:
        self._set(_TOPIC, name, key, value)

    def set_all_brokers(self, key: str, value: str) -> None:
        self._set(_BROKER, "", key, value)

    def _set(self, kind: int, name: str, key: str, value: str) -> None:
        change = _text(key) + struct.pack(">b", 0) + _text(value)
        resource = struct.pack(">b", kind) + _text(name) + _array([change])
        answer = self._ask(_SET, _array([resource]) + struct.pack(">?", False))
        # Throttle time, number of resources, error.
        self._check(f"set {key}", struct.unpack_from(">h", answer, 8)[0])

    def _check(self, what: str, error: int) -> None:
        if error:
            raise StartFailed(f"Kafka refused to {what}", f"error {error}")

    def _ask(self, api: tuple[int, int], body: bytes) -> bytes:
        """Returns the answer without its length and correlation number."""
        request = struct.pack(">hhi", *api, 1) + _text("admin") + body
        with socket.create_connection(("127.0.0.1", self._port), _TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                size = struct.unpack(">i", stream.read(4))[0]
                return stream.read(size)[4:]


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _array(items: Sequence[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)
