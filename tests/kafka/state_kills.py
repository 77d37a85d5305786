"""Kills members at any point on a real broker, and compares all alerts with those of a member that nothing disturbs.

    python -m tests.kafka.state_kills --kills 100 --out .cache/state-kills.jsonl

Each round has topics of its own. Lines are sent all the time. Members of a group are killed one after the other,
each after a random moment, often before it is ready. A second group reads the same topic with one member that lives on.
The killed members fold their alerts into incidents, which are compared with those that one reader makes of them.
A run continues where an earlier one stopped: each round is a line of the results file. Returns 1 if anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.incidents.incident import decode_incident
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incident_state import FoldRules
from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import Traffic, eventually, read_all
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S
from tests.kafka.preloaded import Preloaded
from tests.kafka.test_state import SETTINGS, Everything, says_the_same
from tests.kafka.topics import fresh_topics
from tests.models import save_tiny

KILLS_OF_A_ROUND = 10
SYSTEM = re.compile("^service-[0-9]+$")
LINES = 60
"""Lines sent between two looks at the time."""
BOUNDED = {**SETTINGS, "KAFKA__MAX_POLL_RECORDS": 100, "LIMITS__MAX_IN_FLIGHT_LINES": 200}
"""What is in flight and a cut's interval fit into MAX_CONTEXT_RECORDS together, as they do by default."""
GAP_S = 1.0
FOLDED = {"INCIDENTS__LEAST_EVIDENCE": 0, "INCIDENTS__GAP_S": GAP_S, "INCIDENTS__SYSTEM_PATTERN": SYSTEM.pattern}
"""Every service is a system of its own, and a pause of a second ends an incident: a round has many of them."""
PAUSE_S = 5.0
"""Longer than the gap of incidents that come back, which is four times the first one."""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one round."""

    seed: int
    kills: int
    lines: int
    alerts: int
    missing: int
    """Alerts of the undisturbed member that the killed group did not publish."""
    differing: int
    """Alerts that say something else than those of the undisturbed member."""
    seconds: float
    incidents: int = 0
    incidents_wrong: int = 0
    """Incidents of one reader that are missing or have other alerts, and those that were opened more than once."""
    first: str = ""
    """The first alert that differs, beside the one that it should be."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the rounds that are missing, and prints the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first round")
    parser.add_argument("--out", type=Path, default=Path(".cache/state-kills.jsonl"))
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = options.out.read_bytes().splitlines() if options.out.exists() else []
    rounds = [msgspec.json.decode(line, type=Round) for line in lines]
    with tempfile.TemporaryDirectory() as folder, Broker.create(folder) as broker, Preloaded() as preloaded:
        model = save_tiny(Path(folder) / "tiny")
        while sum(one.kills for one in rounds) < options.kills:
            work = Path(folder) / str(len(rounds))
            work.mkdir()
            rounds.append(asyncio.run(play(broker.bootstrap, work, model, preloaded, seed=options.seed + len(rounds))))
            with options.out.open("ab") as file:
                file.write(msgspec.json.encode(rounds[-1]) + b"\n")
            print(rounds[-1], flush=True)
    kills, alerts = sum(one.kills for one in rounds), sum(one.alerts for one in rounds)
    wrong = sum(one.missing + one.differing + one.incidents_wrong for one in rounds)
    incidents = sum(one.incidents for one in rounds)
    print(
        f"{kills} kills in {len(rounds)} rounds, {alerts:,} alerts, {incidents:,} incidents: "
        f"{wrong} missing, different or opened again"
    )
    return 1 if wrong else 0


async def play(bootstrap: str, folder: Path, model: Path | str, preloaded: Preloaded, *, seed: int) -> Round:
    """Plays one round."""
    rng, began = random.Random(seed), time.monotonic()
    topics = await fresh_topics(bootstrap)
    calm_alerts, incidents = topics.named("calm-alerts"), topics.named("incidents")
    await create_topics(bootstrap, {calm_alerts: 1})
    await create_topics(bootstrap, {incidents: 2}, configs={"cleanup.policy": "compact,delete"})
    killed = {**BOUNDED, **FOLDED, "KAFKA__INCIDENTS_TOPIC": incidents}
    with Fleet(topics, folder, model, quiet=True, launch=preloaded.launch) as fleet:
        calm = fleet.start(**BOUNDED, KAFKA__GROUP_ID=topics.named("calm"), KAFKA__ALERTS_TOPIC=calm_alerts)
        async with (
            Traffic.to(bootstrap, topics.logs) as traffic,
            Everything.reading(bootstrap, topics.alerts) as alerts,
            Everything.reading(bootstrap, calm_alerts) as calm_log,
        ):
            await eventually(calm.ready, READY_S, "a ready member")
            members = [fleet.start(**killed)]
            await eventually(members[0].ready, READY_S, "a ready member")
            for _ in range(KILLS_OF_A_ROUND):
                until = time.monotonic() + rng.choice((0.3, 2.0, 8.0)) * rng.random()
                while time.monotonic() < until:
                    await traffic.send(LINES)
                    await asyncio.sleep(0.1)
                if len(members) > 1 or rng.random() < 0.7:
                    members.pop(rng.randrange(len(members))).kill()
                else:  # one more joins before the next kill
                    members.append(fleet.start(**killed))
                    members.pop(0).kill()
                if not members or rng.random() < 0.3:
                    members.append(fleet.start(**killed))
                await asyncio.sleep(PAUSE_S if rng.random() < 0.5 else 0.0)
                await traffic.send(LINES)
            await eventually(lambda: alerts.covers(traffic.sent), 120, "an alert for every line")
            await eventually(lambda: calm_log.covers(traffic.sent), 120, "the same of the calm group")
            wanted, found = calm_log.by_id(), alerts.by_id()
            folded = await compared(bootstrap, incidents, alerts)
    differing = [
        one
        for name, same in found.items()
        for one in same
        if name not in wanted or not says_the_same(one, wanted[name][0])
    ]
    return Round(
        seed=seed,
        kills=KILLS_OF_A_ROUND,
        lines=len(traffic.sent),
        alerts=len(found),
        missing=len(wanted.keys() - found.keys()),
        differing=len(differing),
        seconds=round(time.monotonic() - began, 1),
        incidents=len(folded.wanted),
        incidents_wrong=folded.wrong,
        first=f"{differing[0]} beside {wanted.get(differing[0]['id'])}" if differing else "",
    )


class Compared(NamedTuple):
    """The incidents of a group beside those that one reader makes of its alerts: alerts by the id of the incident."""

    wanted: dict[str, int]
    found: dict[str, int]
    opened: Counter[str]

    @property
    def wrong(self) -> int:
        """Incidents that differ, and those that were opened more than once or never."""
        names = self.wanted.keys() | self.found.keys()
        return sum(self.wanted.get(n) != self.found.get(n) or self.opened[n] != 1 for n in names)


async def compared(bootstrap: str, topic: str, alerts: Everything) -> Compared:
    """Waits until the incidents are those of one reader, or for two minutes."""
    deadline = time.monotonic() + 120
    while True:
        await alerts.read()
        fold, reader = IncidentFold(FoldRules(gap_ms=round(1000 * GAP_S), evidence=0.0)), FindingReader(SYSTEM)
        for record in sorted(alerts.records, key=lambda one: one.timestamp):
            fold.add(reader.read(record.value, published_ms=record.timestamp))
        records = [decode_incident(one.value) for one in await read_all(bootstrap, topic, partitions=2) if one.value]
        result = Compared(
            wanted={one.id: one.findings for one in fold.advance(0)},
            found={one.id: one.logwarden.alerts for one in records},
            opened=Counter(one.id for one in records if one.logwarden.change == "opened"),
        )
        if not result.wrong or time.monotonic() > deadline:
            return result
        await asyncio.sleep(1.0)


if __name__ == "__main__":
    sys.exit(main())
