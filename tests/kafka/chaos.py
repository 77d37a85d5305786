"""Kills members of a group at random moments under load, and counts lost lines and repeated alerts.

    python -m tests.kafka.chaos --rounds 20 --seed 7

Each round starts a member in the place of the one killed before, waits for a random time, and sends SIGKILL to a random
member. Half of the rounds wait for the group to catch up first; the others do not, and so hit rebalances too. At the
end the group must finish without a kill. The seed fixes moments and victims, but not the operating system's scheduling.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.broker import Broker
from tests.kafka.evidence import AlertLog, Findings, Group, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member
from tests.kafka.topics import LOG_PARTITIONS, Topics, fresh_topics

LINES_PER_S = 150
MEMBERS = 2
LONGEST_WAIT_S = 6.0
"""Longest random wait, about the session timeout: kills hit failovers as well as steady work."""
CATCH_UP_S = 90.0
"""Time limit to catch up: session timeout, rebalance and start of the replacement, on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Figures of one kill."""

    number: int
    caught_up_first: bool
    waited_s: float
    behind: int
    """Lines sent and not yet scored when the member was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Figures of a run."""

    rounds: tuple[Round, ...]
    findings: Findings
    lag: int
    seconds: float


class Chaos:
    """Kills members of one fleet."""

    def __init__(self, topics: Topics, fleet: Fleet, *, seed: int, say: bool = False) -> None:
        self._topics = topics
        self._fleet = fleet
        self._random = random.Random(seed)
        self._seed = seed
        self._say = say

    async def run(self, rounds: int) -> Summary:
        """Kills members for some rounds. Returns the figures. Raises AssertionError if the group does not catch up
        in time."""
        started = time.monotonic()
        topics = self._topics
        group = Group(topics.bootstrap, topics.group, topics.logs, LOG_PARTITIONS)
        members = [self._fleet.start() for _ in range(MEMBERS)]
        async with (
            Traffic.to(topics.bootstrap, topics.logs, seed=self._seed) as traffic,
            AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
        ):
            async with traffic.flowing(LINES_PER_S):
                for member in members:
                    await eventually(member.ready, READY_S, "a first member")
                kills = [await self._round(number, members, traffic, alerts) for number in range(1, rounds + 1)]
            await eventually(lambda: alerts.covers(traffic.sent), CATCH_UP_S, "the rest, with nobody killed any more")
            await eventually(group.is_done, 30, "lag 0")
            findings, lag = alerts.findings(traffic.sent), await group.lag()
        return Summary(rounds=tuple(kills), findings=findings, lag=lag, seconds=time.monotonic() - started)

    async def _round(self, number: int, members: list[Member], traffic: Traffic, alerts: AlertLog) -> Round:
        catch_up = self._random.random() < 0.5
        if catch_up:
            sent = list(traffic.sent)
            await eventually(lambda: alerts.covers(sent), CATCH_UP_S, f"round {number}: the lines before it")
        wait_s = self._random.uniform(0, LONGEST_WAIT_S)
        await asyncio.sleep(wait_s)
        victim = self._random.randrange(len(members))
        members[victim].kill()
        await alerts.read()
        kill = Round(
            number=number,
            caught_up_first=catch_up,
            waited_s=wait_s,
            behind=sum(place not in alerts.places for place in traffic.sent),
        )
        members[victim] = self._fleet.start()
        if self._say:
            print(_line(kill, len(traffic.sent)), flush=True)
        return kill


def _line(kill: Round, sent: int) -> str:
    when = "caught up" if kill.caught_up_first else "at once"
    return (
        f"round {kill.number:>3}  {when:<9}  +{kill.waited_s:4.1f} s  SIGKILL  behind {kill.behind:>5,} of {sent:>7,}"
    )


async def _main(rounds: int, seed: int) -> Summary:
    from tests.models import save_tiny

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with Broker.create(directory) as broker:
            topics = await fresh_topics(broker.bootstrap)
            with Fleet(topics, directory, save_tiny(directory / "model"), quiet=True) as fleet:
                return await Chaos(topics, fleet, seed=seed, say=True).run(rounds)


def main() -> int:
    options = argparse.ArgumentParser(description="SIGKILLs members of a group at random moments.")
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--seed", type=int, default=7)
    wanted = options.parse_args()
    summary = asyncio.run(_main(wanted.rounds, wanted.seed))
    findings = summary.findings
    print(f"seed {wanted.seed}, {len(summary.rounds)} members killed in a row, {summary.seconds:.0f} s")
    print(f"lines sent               {findings.sent:>8,}")
    print(f"lines not scored         {findings.not_scored:>8,}")
    print(f"alert ids that differ    {findings.ids_that_differ:>8,}")
    print(f"alert ids shared         {findings.ids_shared:>8,}")
    print(f"windows that differ      {findings.windows_that_differ:>8,}")
    print(f"alerts of lines not sent {findings.never_sent:>8,}")
    print(f"delivered again          {findings.delivered_again:>8,}   (allowed: same id)")
    print(f"lag                      {summary.lag:>8,}")
    return 1 if findings.faults or summary.lag else 0


if __name__ == "__main__":
    sys.exit(main())
