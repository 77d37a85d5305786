"""One episode: a fresh broker with its topics and members, some rounds of faults, and the account at its end."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.broker import Broker, create_topics
from tests.kafka.chaos.account import Account, Snapshot, Track
from tests.kafka.chaos.crew import Crew
from tests.kafka.chaos.deeds import STOP_S, World
from tests.kafka.chaos.faults import REQUEST_S, plan
from tests.kafka.chaos.people import People
from tests.kafka.chaos.reading import AlertReader
from tests.kafka.chaos.recovery import Recovery
from tests.kafka.chaos.results import Results, is_clean
from tests.kafka.chaos.traffic import Traffic
from tests.kafka.evidence import EVERY_LINE
from tests.kafka.fleet import QUICK
from tests.kafka.member import Launch
from tests.kafka.proxy import Proxy

STUCK_S = 60.0
"""Time after which a group that does not catch up is stuck: a fault of its own."""
READY_S = 180.0
"""Time limit for the first members, on a machine that others use."""
LATE_S = 30.0
"""Time that a group has after its restart for the lines that were merely late."""
LAG_S = 10.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the rounds of a campaign have in common."""

    seed: int
    kinds: Collection[str]
    members: int
    lines_per_s: float
    rounds: int
    """Rounds of an episode."""
    directory: Path
    model: Path
    launch: Launch
    whole: bool
    settings: dict[str, object]
    """Settings of the members over those of the campaign."""


class Episode:
    """One episode. `run` may be called once."""

    def __init__(self, number: int, version: str, terms: Terms, results: Results, stop: asyncio.Event) -> None:
        self._number = number
        self._version = version
        self._terms = terms
        self._results = results
        self._stop = stop
        self._account = Account()
        self._directory = terms.directory / f"episode-{number}"
        self._prefix = f"chaos-{uuid.uuid4().hex[:8]}"
        self._stuck = 0

    async def run(self, say: Callable[[str], None]) -> None:
        """Runs the rounds and appends them and the check to the results. Keeps logs and data only after a fault."""
        shutil.rmtree(self._directory, ignore_errors=True)  # of a campaign that was killed
        broker = await asyncio.to_thread(Broker.create, self._directory, version=self._version)
        try:
            await self.on(broker, say)
        finally:
            await asyncio.to_thread(broker.kill)
        check = self._results.checks[-1]
        ends_well = all(map(is_clean, check["stops"])) and not check["ended"]
        if not self._stuck and not check["findings"]["faults"] and ends_well:
            shutil.rmtree(self._directory)
        else:
            shutil.rmtree(broker.data, ignore_errors=True)  # a gigabyte; the logs tell more

    async def on(self, broker: Broker, say: Callable[[str], None]) -> None:
        """Runs the episode on a broker that already serves, and leaves it."""
        self._directory.mkdir(parents=True, exist_ok=True)
        async with self._world(broker) as (world, reader):
            first = self._results.next_round
            for number in range(first, first + self._terms.rounds):
                if self._stop.is_set():
                    break
                say(await self._round(number, world))
                for part in (world.traffic, reader):
                    if part.error is not None:
                        raise part.error
            await world.traffic.end()
            await self._check(world)

    @asynccontextmanager
    async def _world(self, broker: Broker) -> AsyncIterator[tuple[World, AlertReader]]:
        terms, prefix = self._terms, self._prefix
        transactions = "transactions" in terms.kinds
        traffic = Traffic(
            broker.bootstrap,
            prefix,
            self._account,
            lines_per_s=terms.lines_per_s,
            transactions=transactions,
            seed=terms.seed,
        )
        outputs = {f"{prefix}.alerts": 1, f"{prefix}.dead-letters": 1}
        await create_topics(broker.bootstrap, traffic.topics | outputs)
        feedback = f"{prefix}.feedback" if "feedback" in terms.kinds else "none"
        if "feedback" in terms.kinds:
            await create_topics(broker.bootstrap, {feedback: 1}, configs={"cleanup.policy": "compact"})
        async with Proxy(broker.front_port, broker.proxied_port) as proxy:
            settings = {
                **QUICK,
                **EVERY_LINE,
                "WINDOW__SIZE": 2,
                "SHUTDOWN__DRAIN_TIMEOUT_S": 10,
                "KAFKA__REQUEST_TIMEOUT_MS": int(1_000 * REQUEST_S),
                "KAFKA__BOOTSTRAP_SERVERS": proxy.bootstrap,
                "KAFKA__INPUT_TOPICS": ",".join(traffic.topics),
                "KAFKA__ALERTS_TOPIC": f"{prefix}.alerts",
                "KAFKA__DEAD_LETTER_TOPIC": f"{prefix}.dead-letters",
                "KAFKA__FEEDBACK_TOPIC": feedback,
                "KAFKA__GROUP_ID": f"{self._prefix}.group",
                "MODEL__PATH": terms.model,
                **terms.settings,
            }
            crew = Crew(terms.members, self._directory, settings, terms.launch, whole=terms.whole)
            world = World(broker=broker, proxy=proxy, traffic=traffic, crew=crew)
            watching = asyncio.create_task(crew.watch(), name="watch")
            people = People(broker.bootstrap, feedback, crew.members, world.calm_since, terms.seed)
            try:
                with AlertReader(
                    broker.bootstrap, f"{prefix}.alerts", self._account, short_windows=traffic.shrinking
                ) as reader:
                    async with asyncio.timeout(READY_S):
                        while not await crew.all_ready():  # noqa: ASYNC110 - processes have no event to await
                            await asyncio.sleep(POLL_S)
                    async with traffic:
                        if "feedback" in terms.kinds:
                            people.begin()
                            world.people = people
                        yield world, reader
            finally:
                people.cancel()
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
                await asyncio.to_thread(crew.kill_all)

    async def _round(self, number: int, world: World) -> str:
        """Carries out one plan, waits for the recovery, and appends the line. Returns it for people."""
        terms = self._terms
        deeds = plan(terms.seed, number, terms.kinds, terms.members)
        last: list[tuple[float, Snapshot]] = []

        def over() -> None:
            last[:] = [(time.monotonic(), self._account.snapshot())]

        began, ended, stops = time.monotonic(), len(world.crew.ended), len(world.crew.stops)
        records = await asyncio.gather(*(world.carry_out(deed, over) for deed in deeds))
        over_at, snapshot = last[0]
        falling_s, caught_up_s, why = await self._recovered(over_at, snapshot, world)
        line = {
            "round": number,
            "episode": self._number,
            "kafka": self._version,
            "seed": terms.seed,
            "load": round(os.getloadavg()[0], 1),
            "seconds": round(time.monotonic() - began, 1),
            "deeds": records,
            "falling_s": falling_s,
            "caught_up_s": caught_up_s,
            "stuck": caught_up_s is None,
            **({"evidence": why} if why else {}),
            "member_kills": world.crew.counts["member_kills"],
            "broker_kills": world.broker_kills,
            "lines": sum(snapshot.values()),
            "ended": world.crew.ended[ended:],
            "stops": world.crew.stops[stops:],
        }
        self._results.add("round", **line)
        names = " ".join(f"{r['kind']}{'' if r['victim'] is None else '/' + str(r['victim'])}" for r in records)
        return (
            f"round {number:>4}  {self._version}  lag falls {_seconds(falling_s)}  caught up {_seconds(caught_up_s)}  "
            f"lines {line['lines']:>9,}  {names}"
        )

    async def _recovered(self, since: float, snapshot: Snapshot, world: World) -> tuple[float, float | None, Any]:
        """Returns the seconds until the lag of each partition falls and until all lines of the snapshot were scored.

        A group that is stuck is restarted as a whole, and its reports come third. What is not scored soon after that
        is given up, so that the next round can begin.
        """
        recovery = Recovery()
        while behind := self._account.behind(snapshot):
            now_s = time.monotonic() - since
            recovery.look(now_s, behind)
            if now_s > STUCK_S:
                return recovery.falling_s, None, await self._restart(snapshot, behind, world)
            await asyncio.sleep(POLL_S)
        return round(recovery.falling_s, 2), round(time.monotonic() - since, 2), None

    async def _restart(self, snapshot: Snapshot, behind: Mapping[Track, int], world: World) -> dict[str, Any]:
        """Restarts every member, waits a little for late lines, and gives the others up. Returns the evidence."""
        self._stuck += 1
        reports = await asyncio.to_thread(world.crew.reports)
        await world.crew.restart_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(LATE_S):
                while self._account.behind(snapshot):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(POLL_S)
        self._account.give_up(snapshot)
        return {"behind": [[*track, count] for track, count in behind.items()], "members": reports}

    async def _check(self, world: World) -> None:
        _, caught_up_s, why = await self._recovered(time.monotonic(), self._account.snapshot(), world)
        lag = await self._lag(world)
        feedback: dict[str, Any] = {}
        if world.people is not None:
            await world.people.end(LATE_S)
            feedback = {"feedback": asdict(world.people.found)}
        await world.crew.end(STOP_S)
        findings = self._account.findings()
        self._results.add(
            "check",
            episode=self._number,
            kafka=self._version,
            findings=findings.as_dict() | {"lag": sum(lag.values())},
            stuck=caught_up_s is None,
            **({"evidence": why} if why else {}),
            lag=lag,
            examples=self._account.examples,
            **feedback,
            counts=dict(world.crew.counts),
            broker_kills=world.broker_kills,
            ended=world.crew.ended,
            stops=world.crew.stops,
        )

    async def _lag(self, world: World) -> dict[str, int]:
        """Returns partition → records that the group has not committed, after a while for the last commit."""
        deadline = time.monotonic() + LAG_S
        while True:
            lag = await _lag_now(world.broker.bootstrap, f"{self._prefix}.group", world.traffic)
            if not lag or time.monotonic() > deadline:
                return lag
            await asyncio.sleep(1)


async def _lag_now(bootstrap: str, group: str, traffic: Traffic) -> dict[str, int]:
    consumer, admin = AIOKafkaConsumer(bootstrap_servers=bootstrap), AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await consumer.start()
        await admin.start()
        described = await admin.describe_topics(list(traffic.topics))
        wanted = [TopicPartition(t["topic"], p["partition"]) for t in described for p in t["partitions"]]
        ends = await consumer.end_offsets(wanted)
        committed = await admin.list_consumer_group_offsets(group, partitions=wanted)
    finally:
        await consumer.stop()
        await admin.close()
    behind = {p: end - max(0, committed[p].offset if p in committed else 0) for p, end in ends.items()}
    return {f"{p.topic}/{p.partition}": lag for p, lag in behind.items() if lag}


def _seconds(seconds: float | None) -> str:
    return " stuck" if seconds is None else f"{seconds:5.1f}s"
