"""Ten thousand incidents through a real broker to a server that fails a third of the time, over kills of the bridge.

    python -m tests.kafka.bridge_figure [--incidents 10000] [--kills 5] [--seed 1]

The server refuses before it takes a request, takes it and closes the connection, or asks for a pause. Each kill comes
after a share of all notices was taken. Prints the figures, and ends with 1 if one of the promises is broken: each
incident delivered, its end last, and no acknowledged notice sent again but for those of the moment before a kill.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from logwarden.daemon.incidents.incident import IncidentRecord
from tests.bridge_stand_ins import Answer, Receiver, Request, incident, incident_id, receiver
from tests.kafka.bridging import BridgeMember, IncidentTopic, incident_topic
from tests.kafka.broker import Broker
from tests.kafka.topics import fresh_topics

_READY_S, _DONE_S = 90.0, 1_800.0
MOST_REPEATED_S = 1.0
"""Age at a kill of the oldest notice that is sent again: a quarter of a second between commits, and a slow one."""


class Failing:
    """The server's behaviour."""

    def __init__(self, seed: int, share: float = 1 / 3) -> None:
        self._random = random.Random(seed)
        self._share = share
        self.acknowledged: dict[str, list[float]] = defaultdict(list)
        """Key of a notice that was answered with 200 → the moments, in monotonic seconds."""

    def __call__(self, request: Request) -> Answer:
        if self._random.random() >= self._share:
            self.acknowledged[request.headers["Idempotency-Key"]].append(time.monotonic())
            return Answer()
        return self._random.choice(
            (
                Answer(status=500),
                Answer(status=503),
                Answer(status=429, headers={"Retry-After": "0"}),
                Answer(is_cut=True),
                Answer(is_cut=True, is_taken=True),
                Answer(status=502, is_taken=True),
            )
        )


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What came of a run."""

    incidents: int
    records: int
    delivered: int
    ended_last: int
    out_of_order: int
    acknowledged_twice: int
    oldest_repeat_s: float
    """How long before a kill the oldest of them was acknowledged. Infinite without a kill in between."""
    kills: int
    attempts: int
    seconds: float

    def promises(self) -> list[str]:
        """Returns the promises that are broken."""
        broken = {
            "an incident was not delivered": self.delivered != self.incidents,
            "an end was not last": self.ended_last != self.incidents,
            "a notice was sent again that was acknowledged long before a kill": self.oldest_repeat_s > MOST_REPEATED_S,
            "a state was sent behind a later one without a kill": self.out_of_order > 0 and not self.kills,
        }
        return [sentence for sentence, is_broken in broken.items() if is_broken]


def records_of(count: int, seed: int) -> list[list[IncidentRecord]]:
    """Returns rounds of records: in each round every incident has at most one, and in the last one its end."""
    chance = random.Random(seed)
    updates = [chance.randrange(2) for _ in range(count)]
    states = [[incident(str(number), severity="warning") for number in range(count)]]
    states.append([incident(str(n), revision=2, severity="error") for n in range(count) if updates[n]])
    states.append([incident(str(n), revision=2 + updates[n], status="resolved") for n in range(count)])
    return states


async def run(bootstrap: str, directory: Path, *, incidents: int, kills: int, seed: int) -> Figures:
    """Publishes all records while a bridge runs and is killed, and waits until everything is committed."""
    failing = Failing(seed)
    async with incident_topic(await fresh_topics(bootstrap)) as topic, receiver(failing) as server:
        settings = topic.settings | {"BRIDGE__WEBHOOK_URL": server.url, "KAFKA__COMMIT_INTERVAL_MS": 1_000}
        member = BridgeMember(directory / "bridge.log", settings).start()
        try:
            await _until(lambda: member.status("/readyz") == 200, _READY_S)
            began = time.monotonic()
            killed_at: list[float] = []
            rounds = records_of(incidents, seed)
            publishing = asyncio.create_task(_publish(topic, rounds))
            for kill in range(kills):
                share = incidents * (kill + 1) // (kills + 1)
                await _until(lambda share=share: len(failing.acknowledged) >= share, _DONE_S)
                killed_at.append(time.monotonic())
                member.kill()
                member = BridgeMember(directory / "bridge.log", settings).start()
            await publishing
            await _until_committed(topic, f"{settings['BRIDGE__GROUP_ID']}-webhook", bootstrap)
            seconds = time.monotonic() - began
            assert await asyncio.to_thread(member.terminate) == 0
        finally:
            member.kill()
        return figures(server, failing, incidents, sum(map(len, rounds)), killed_at, seconds)


async def _publish(topic: IncidentTopic, rounds: Sequence[Sequence[IncidentRecord]]) -> None:
    for part in rounds:
        for at in range(0, len(part), 500):
            await topic.publish(*part[at : at + 500])
            await asyncio.sleep(0.2)


def figures(
    server: Receiver, failing: Failing, incidents: int, records: int, killed_at: Sequence[float], seconds: float
) -> Figures:
    """Returns the figures of what a server took."""
    repeats = [pair for moments in failing.acknowledged.values() for pair in pairwise(moments)]
    taken: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for request in server.taken:
        facts = request.json["logwarden"]
        taken[request.json["id"]].append((facts["revision"], facts["status"]))
    known = {incident_id(str(number)) for number in range(incidents)}
    return Figures(
        incidents=incidents,
        records=records,
        delivered=len(known & taken.keys()),
        ended_last=sum(notices[-1][1] == "resolved" for notices in taken.values()),
        out_of_order=sum(notices != sorted(notices) for notices in taken.values()),
        acknowledged_twice=len(repeats),
        oldest_repeat_s=max((_before_a_kill(*pair, killed_at) for pair in repeats), default=0.0),
        kills=len(killed_at),
        attempts=len(server.arrived),
        seconds=seconds,
    )


def _before_a_kill(first: float, second: float, killed_at: Sequence[float]) -> float:
    """Returns how long before the next kill a notice was acknowledged that was sent again after it."""
    return min((kill - first for kill in killed_at if first <= kill <= second), default=math.inf)


async def _until(condition: object, timeout_s: float) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.2)


async def _until_committed(topic: IncidentTopic, group: str, bootstrap: str) -> None:
    """Waits until the group has committed the end of every partition."""
    ends = await topic.ends()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        deadline = time.monotonic() + _DONE_S
        while True:
            committed = await admin.list_consumer_group_offsets(group)
            if all(each in committed and committed[each].offset >= end for each, end in ends.items()):
                return
            assert time.monotonic() < deadline, "not everything is delivered"
            await asyncio.sleep(0.5)
    finally:
        await admin.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it and prints the figures. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory, Broker.create(directory) as broker:
        found = asyncio.run(
            run(
                broker.bootstrap,
                Path(directory),
                incidents=options.incidents,
                kills=options.kills,
                seed=options.seed,
            )
        )
    print(found)
    for sentence in found.promises():
        print(f"broken: {sentence}")
    return 1 if found.promises() else 0


if __name__ == "__main__":
    sys.exit(main())
