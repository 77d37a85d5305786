"""Reads the alerts topic into the account while the campaign runs. Knows alerts by their JSON."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection
from types import TracebackType
from typing import Any, Self

import msgspec
from confluent_kafka import Consumer, TopicPartition

from tests.kafka.chaos.account import Account

BATCH = 5_000
WAIT_S = 0.1


class _Line(msgspec.Struct):
    offset: int


class _Origin(msgspec.Struct):
    topic: str
    partition: int
    last_offset: int


class _Findings(msgspec.Struct):
    source: _Origin
    lines: list[_Line]


class _Alert(msgspec.Struct):
    """The few fields of an alert that the account needs; the decoder skips the others."""

    id: str
    message: str
    logwarden: _Findings


class AlertReader:
    """Reads in a thread of its own from the entry into its context until the exit.

    Reads the broker directly: the faults of the network are for the daemons. `short_windows`: topics of which lines are
    deleted, so that a repeated window may be shorter.
    """

    def __init__(self, bootstrap: str, topic: str, account: Account, short_windows: Collection[str] = ()) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "not used: assigned by hand",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
                "fetch.wait.max.ms": 50,
            }
        )
        self._topic = topic
        self._account = account
        self._short_windows = short_windows
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._decoder = msgspec.json.Decoder(_Alert)
        self.error: BaseException | None = None
        """The failure that ended the thread; the campaign must not continue without its reader."""

    def __enter__(self) -> Self:
        self._consumer.assign([TopicPartition(self._topic, 0, 0)])
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                for message in self._consumer.consume(BATCH, WAIT_S):
                    if message.error() is None:
                        self._take(message)
        except BaseException as error:  # kept for the campaign, which runs in another thread
            self.error = error

    def _take(self, message: Any) -> None:
        alert = self._decoder.decode(message.value())
        source = alert.logwarden.source
        window = (
            0 if source.topic in self._short_windows else hash(tuple(line.offset for line in alert.logwarden.lines))
        )
        number = alert.message.rpartition(" ")[2]
        self._account.alerted(
            source.topic,
            source.partition,
            source.last_offset,
            int(number) if number.isdecimal() else -1,
            uuid.UUID(alert.id).bytes,
            window,
        )
