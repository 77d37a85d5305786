"""Ten thousand incidents through a real broker to a server that fails a third of the time, over kills of the bridge.

    python -m tests.kafka.bridge_figure [--incidents 10000] [--kills 5] [--seed 1]

The server refuses before it takes a request, takes it and closes the connection, asks for a pause, or answers late.
Prints the figures, and ends with 1 if one of the promises is broken: each incident delivered, its end last, no
acknowledged notice sent again but for those of the moment of a kill, and no key shared.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from logwarden.daemon.incidents.incident import IncidentRecord
from tests.bridge_stand_ins import Answer, Receiver, Request, incident, incident_id, receiver
from tests.kafka.bridging import BridgeMember, IncidentTopic, incident_topic
from tests.kafka.broker import Broker
from tests.kafka.topics import fresh_topics

_READY_S, _DONE_S = 90.0, 1_800.0


class Failing:
    """The server's behaviour."""

    def __init__(self, seed: int, share: float = 1 / 3) -> None:
        self._random = random.Random(seed)
        self._share = share
        self.acknowledged: Counter[str] = Counter()
        """Keys that were taken and answered with 200."""

    def __call__(self, request: Request) -> Answer:
        if self._random.random() >= self._share:
            self.acknowledged[request.headers["Idempotency-Key"]] += 1
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
    kills: int
    attempts: int
    seconds: float

    def promises(self) -> list[str]:
        """Returns the promises that are broken."""
        broken = {
            "an incident was not delivered": self.delivered != self.incidents,
            "an end was not last": self.ended_last != self.incidents,
            "an acknowledged notice was sent again without a kill": self.acknowledged_twice > 0 and not self.kills,
            "more was sent again than one commit interval delivers": self.acknowledged_twice > 100 * self.kills,
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
            rounds = records_of(incidents, seed)
            pieces = [part[at : at + 500] for part in rounds for at in range(0, len(part), 500)]
            kill_at = {len(pieces) * (kill + 1) // (kills + 1) for kill in range(kills)}
            for place, piece in enumerate(pieces):
                if place in kill_at:
                    member.kill()
                    member = BridgeMember(directory / "bridge.log", settings).start()
                await topic.publish(*piece)
                await asyncio.sleep(0.2)
            await _until_committed(topic, f"{settings['BRIDGE__GROUP_ID']}-webhook", bootstrap)
            seconds = time.monotonic() - began
            assert await asyncio.to_thread(member.terminate) == 0
        finally:
            member.kill()
        return figures(server, failing, incidents, sum(map(len, rounds)), kills, seconds)


def figures(server: Receiver, failing: Failing, incidents: int, records: int, kills: int, seconds: float) -> Figures:
    """Returns the figures of what a server took."""
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
        acknowledged_twice=sum(count - 1 for count in failing.acknowledged.values()),
        kills=kills,
        attempts=len(server.arrived),
        seconds=seconds,
    )


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
