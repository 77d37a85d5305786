"""SIGTERM in the field: during outages, at the start, under heavy work, as pid 1. The end is in time and explained."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.kafka.broker import Broker
from tests.kafka.ending import end, takes_sigterm
from tests.kafka.evidence import Traffic, eventually, produce
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, REPOSITORY, Member, Process, command, has_loaded
from tests.kafka.topics import Topics

BUDGET_S = 3.0


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a process with pid 1 needs a namespace of its own: run as root")


def launch_as_pid_1(variables: Mapping[str, str], log_path: Path) -> Process:
    """Starts the daemon as the first process of a namespace, as in a container without an init."""
    with log_path.open("ab") as log:
        return subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *command("run")],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
        )


@pytest.fixture
def fleet_of_pid_1(topics: Topics, tmp_path: Path, tiny_checkpoint: Path) -> Iterator[Fleet]:
    """Yields a fleet whose daemons have the pid 1."""
    with Fleet(topics, tmp_path, tiny_checkpoint, launch=launch_as_pid_1) as started:
        yield started


def pid_inside(member: Member) -> int | None:
    """Returns the process that has the pid 1 in its namespace; None before it exists."""
    found = subprocess.run(["pgrep", "-P", str(member.pid)], capture_output=True, text=True, check=False).stdout
    return int(found) if found else None


async def test_a_stop_while_the_broker_is_gone(topics: Topics, fleet: Fleet, broker: Broker) -> None:
    """The client's own stop fails then; idle members drain, one with alerts under way leaves them to the next owner."""
    members = [fleet.start(SHUTDOWN__DRAIN_TIMEOUT_S=BUDGET_S) for _ in range(2)]
    for member in members:
        await eventually(member.ready, READY_S, "a ready member")
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        await traffic.send(400)
        await asyncio.to_thread(broker.kill)
    for wait_s, member in zip((0.0, 3.0), members, strict=True):
        await asyncio.sleep(wait_s)  # the clients' back-off is at another place each time
        ending = await asyncio.to_thread(end, member, BUDGET_S)
        assert ending.faults(BUDGET_S) == [], ending
        assert ending.code == 0


async def test_a_stop_at_the_start_while_the_broker_is_frozen(topics: Topics, fleet: Fleet, broker: Broker) -> None:
    """A try to connect lasts 40 seconds against a broker that answers nothing; the stop does not wait for it."""
    broker.suspend()
    member = fleet.start()
    await eventually(lambda: member.events("model_loaded"), READY_S, "the model")
    await asyncio.sleep(1)  # into the first try
    ending = await asyncio.to_thread(end, member, 0.0)
    assert ending.faults(0.0) == [], ending
    assert ending.code == 0
    assert ending.everything_done is None, "nothing was read, so nothing is drained"


async def test_a_stop_under_new_lines(topics: Topics, fleet: Fleet) -> None:
    """A poll of new lines is embedded for twenty seconds by a thread that nothing can stop; the budget is one."""
    words = "the quick brown fox jumps over a lazy dog while seven bright owls watch".split()  # noqa: SIM905
    dice = random.Random(1)
    lines = [" ".join(dice.choices(words, k=24)).encode() for _ in range(20_000)]
    await produce(topics.bootstrap, topics.logs, [(b"noisy", line, 0) for line in lines])
    member = fleet.start(SHUTDOWN__DRAIN_TIMEOUT_S=1, MODEL__PATH="none", ALERTS__THRESHOLD="none")
    await eventually(lambda: member.metric("logwarden_in_flight_lines") > 0, READY_S, "lines under way")
    await asyncio.sleep(1)
    ending = await asyncio.to_thread(end, member, 1.0)
    assert ending.faults(1.0) == [], ending
    assert (ending.code, ending.everything_done) == (0, False)


@AS_ROOT
@pytest.mark.parametrize("wait_s", [0.0, 2.0])
async def test_a_stop_at_the_start_as_pid_1(fleet_of_pid_1: Fleet, wait_s: float) -> None:
    """A container's first process gets no default action for signals: it takes them before it loads anything."""
    member = fleet_of_pid_1.start()
    await eventually(lambda: pid_inside(member), 20, "the process")
    pid = pid_inside(member)
    assert pid is not None
    await eventually(lambda: takes_sigterm(pid), 20, "its signals")
    assert not has_loaded(pid, "onnxruntime"), "it takes them first"
    await asyncio.sleep(wait_s)
    ending = await asyncio.to_thread(end, member, 0.0, pid=pid)
    assert ending.faults(0.0) == [], ending
    assert ending.code == 0


@AS_ROOT
async def test_a_stop_as_pid_1(topics: Topics, fleet_of_pid_1: Fleet) -> None:
    """A serving daemon drains as pid 1 as it does under an init."""
    member = fleet_of_pid_1.start()
    await eventually(member.ready, READY_S, "a ready member")
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        await traffic.send(50)
    ending = await asyncio.to_thread(end, member, 30.0, pid=pid_inside(member))
    assert ending.faults(30.0) == [], ending
    assert (ending.code, ending.everything_done) == (0, True)


async def test_an_outage_is_few_lines_of_log(topics: Topics, fleet: Fleet, broker: Broker) -> None:
    """The client complains a hundred times a second while the broker is gone; the log stays readable."""
    member = fleet.start(SHUTDOWN__DRAIN_TIMEOUT_S=BUDGET_S)
    await eventually(member.ready, READY_S, "a ready member")
    before = len(member.log().splitlines())
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        await traffic.send(400)
        await asyncio.to_thread(broker.kill)
    await asyncio.sleep(25)
    during = member.log().splitlines()[before:]
    assert 1 <= len(during) <= 60, "\n".join(during)
    assert any('"folded"' in line for line in during)
