"""What several tests of the daemon share: a service on stand-ins, and a process that survives its signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service_stand_ins import Life, Worker
from tests.sim.stand_ins import VirtualClock


class IdleSwitch:
    """Stands for the thread that ends a process that hangs."""

    def hold(self, seconds: float | None) -> None: ...

    def release(self) -> None: ...


@pytest.fixture
def life(monkeypatch: pytest.MonkeyPatch) -> Life:
    """A service built now uses these stand-ins; its workers are threads."""
    from logwarden.daemon import (  # torch: seconds that the tests of small modules need not wait for
        service,
        view,
        watchdog,
    )

    made = Life()
    monkeypatch.setattr(service, "KafkaSource", lambda settings, card: made.source)
    monkeypatch.setattr(service, "KafkaSink", lambda settings: made.sink)
    monkeypatch.setattr(service, "KafkaWitness", lambda settings: made.witness)
    monkeypatch.setattr(service, "CompactedTopic", lambda settings, topic: made.state)
    followed = {True: made.incidents, False: made.feedback}
    monkeypatch.setattr(view, "FollowedTopic", lambda settings, topic, creation="": followed[not creation])
    monkeypatch.setattr(view, "KafkaGroup", lambda settings: made.group)
    monkeypatch.setattr(service, "load_engine", lambda settings: made.engine)
    # The real one would end the test run, seconds after a test of a daemon that is stuck.
    monkeypatch.setattr(watchdog, "DeadMansSwitch", IdleSwitch)
    return made


@pytest.fixture
def virtual(life: Life, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Puts the service into virtual time: no thread, and no clock of the machine."""
    from logwarden.daemon import service

    monkeypatch.setattr(service, "ThreadWorker", lambda name: Worker(life, name))
    monkeypatch.setattr(service, "SystemClock", VirtualClock)
    return life


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which the process would have ended at once."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


@pytest.fixture
def guarded_signals() -> Iterator[None]:
    """A signal that the service does not take fails the test instead of ending the run."""

    def unexpected(number: int, _: Any) -> None:
        raise AssertionError(f"signal {number} reached the process")

    before = {number: signal.signal(number, unexpected) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, known in before.items():
        signal.signal(number, known)
