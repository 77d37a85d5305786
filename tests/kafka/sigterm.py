"""Sends SIGTERM to daemons at random moments of their lives, and checks that each ends in time and in one sentence.

    python -m tests.kafka.sigterm --times 200 --seed 7 --out FILE

FILE gets one JSON object per try, and a run with the same seed continues behind the last one. The seed fixes what is
tried: the state of broker and daemon, the moment, the drain's budget; not the operating system's scheduling.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from aiokafka.errors import KafkaError

from tests.kafka.broker import Broker
from tests.kafka.ending import end
from tests.kafka.evidence import produce
from tests.kafka.fleet import Fleet
from tests.kafka.member import Launch, Member, launch_anew, until
from tests.kafka.preloaded import Preloaded
from tests.kafka.topics import Topics, fresh_topics

READY_S = 240.0
"""Time limit for a member's assignment; a busy machine is no finding."""
TRIES_PER_TOPICS = 20
BUDGETS_S = (1.0, 2.0, 4.0)
NEW_LINES = 12_000
"""Different lines in the topic of the heavy tries: a minute of work for one core."""


@dataclass(frozen=True, slots=True)
class State:
    """What goes on when the signal comes."""

    broker: str = "up"
    """What became of the broker `moment_s` before the signal: up, gone or frozen."""
    at_start: bool = False
    """True: the moment counts from the start of the process, and the broker is in its state before that."""
    lines: str = "none"
    """What is written before: none, some, or new, which is more than the daemon can embed."""
    is_rebalancing: bool = False
    longest_s: float = 4.0
    """Longest random moment."""


STATES = {
    "start": State(at_start=True, longest_s=12.0),
    "start, broker gone": State("gone", at_start=True, longest_s=15.0),
    "start, broker frozen": State("frozen", at_start=True, longest_s=15.0),
    "idle": State(),
    "traffic": State(lines="some", longest_s=1.0),
    "new lines": State(lines="new", longest_s=8.0),
    "broker gone": State("gone", longest_s=8.0),
    "broker gone under traffic": State("gone", lines="some", longest_s=8.0),
    "broker frozen": State("frozen", longest_s=6.0),
    "broker frozen under traffic": State("frozen", lines="some", longest_s=6.0),
    "new lines, broker gone": State("gone", lines="new", longest_s=3.0),
    "rebalance": State(lines="some", is_rebalancing=True, longest_s=3.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One line of the file."""

    number: int
    seed: int
    state: str
    moment_s: float
    budget_s: float
    seconds: float
    code: int | None
    taken: bool
    everything_done: bool | None
    sentence: str
    faults: list[str]


class Campaign:
    """Tries against one broker."""

    def __init__(self, broker: Broker, directory: Path, launch: Launch, *, seed: int) -> None:
        self._broker = broker
        self._directory = directory
        self._forked = launch
        self._seed = seed
        self._topics: Topics | None = None
        self._heavy = ""
        self._age = 0

    def run(self, number: int) -> Try:
        """Makes one try, and leaves the broker running."""
        dice = random.Random(f"{self._seed}/{number}")
        name = dice.choice(list(STATES))
        state, budget_s = STATES[name], dice.choice(BUDGETS_S)
        moment_s = dice.uniform(0.0, state.longest_s)
        topics = replace(self._fresh_topics(), group=f"try-{self._seed}-{number}")
        directory = self._directory / f"try-{number}"
        directory.mkdir(parents=True)
        launch = launch_anew if state.at_start else self._forked
        with Fleet(topics, directory, "none", quiet=True, launch=launch) as fleet, self._usable_afterwards():
            settings: dict[str, object] = {"SHUTDOWN__DRAIN_TIMEOUT_S": budget_s}
            if state.lines == "new":
                settings |= {"KAFKA__INPUT_TOPICS": self._heavy, "ALERTS__THRESHOLD": "none"}
            member = self._reach(fleet, topics, state, settings, moment_s)
            ending = end(member, budget_s)
            faults = ending.faults(budget_s)
        if not faults:
            for log in directory.iterdir():
                log.unlink()
            directory.rmdir()
        return Try(
            number=number,
            seed=self._seed,
            state=name,
            moment_s=round(moment_s, 3),
            budget_s=budget_s,
            seconds=round(ending.seconds, 3),
            code=ending.code,
            taken=ending.taken,
            everything_done=ending.everything_done,
            sentence=ending.sentence,
            faults=faults,
        )

    def _reach(
        self, fleet: Fleet, topics: Topics, state: State, settings: dict[str, object], moment_s: float
    ) -> Member:
        """Brings broker and daemon into a state. Returns the member to signal, at the moment of the signal."""
        if state.at_start:
            self._afflict(state.broker)
            member = fleet.start(**settings)
            time.sleep(moment_s)
            return member
        member = fleet.start(**settings)
        until(member.ready, READY_S, "a ready member")
        if state.lines == "new":
            until(lambda: member.metric("logwarden_in_flight_lines") > 0, READY_S, "lines under way")
        if state.lines == "some":
            lines = [(f"service-{n % 7}".encode(), f"user {n} logged in".encode(), n % 4) for n in range(400)]
            asyncio.run(produce(topics.bootstrap, topics.logs, lines))
        self._afflict(state.broker)
        if state.is_rebalancing:
            fleet.start(**settings)
        time.sleep(moment_s)
        return member

    def _afflict(self, broker: str) -> None:
        if broker == "gone":
            self._broker.kill()
        elif broker == "frozen":
            self._broker.suspend()

    @contextmanager
    def _usable_afterwards(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._broker.resume()
            self._broker.start()

    def _fresh_topics(self) -> Topics:
        if self._topics is None or self._age >= TRIES_PER_TOPICS:
            self._topics, self._age = self._created(), 0
        if not self._heavy:
            self._heavy = self._created().logs
            dice = random.Random(1)
            words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(500)]
            lines = [" ".join(dice.choices(words, k=20)).encode() for _ in range(NEW_LINES)]
            asyncio.run(produce(self._broker.bootstrap, self._heavy, [(b"noisy", line, 0) for line in lines]))
        self._age += 1
        return self._topics

    def _created(self) -> Topics:
        """Creates topics, also in the moment after a restart, when the broker's metadata name no controller yet."""
        deadline = time.monotonic() + READY_S
        while True:
            try:
                return asyncio.run(fresh_topics(self._broker.bootstrap))
            except (KafkaError, AttributeError, TimeoutError):  # the second: aiokafka's admin client without controller
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)


def done_before(out: Path, seed: int) -> list[Try]:
    """Returns the tries of an earlier run with this seed."""
    if not out.exists():
        return []
    tries = [Try(**json.loads(line)) for line in out.read_text(encoding="utf-8").splitlines()]
    assert all(one.seed == seed for one in tries), f"{out} belongs to another seed"
    return tries


def summary(tries: list[Try]) -> str:
    """Returns figures by state."""
    lines = [f"{'state':<28} {'tries':>5} {'exit 0':>6} {'exit 1':>6} {'late by at most':>15} {'faults':>6}"]
    for name in STATES:
        those = [one for one in tries if one.state == name]
        if those:
            late = max(one.seconds - (one.budget_s if one.everything_done is not None else 0.0) for one in those)
            counts = [sum(one.code == code for one in those) for code in (0, 1)]
            faults = sum(bool(one.faults) for one in those)
            lines.append(f"{name:<28} {len(those):>5} {counts[0]:>6} {counts[1]:>6} {late:>13.2f} s {faults:>6}")
    before = sum(not one.taken for one in tries)
    lines.append(f"{len(tries)} tries, {before} of them before Python ran the command")
    return "\n".join(lines)


def main() -> int:
    options = argparse.ArgumentParser(description="Sends SIGTERM at random moments of a daemon's life.")
    options.add_argument("--times", type=int, default=200)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--out", type=Path, required=True, help="gets one JSON object per try, and is continued")
    wanted = options.parse_args()
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    tries = done_before(wanted.out, wanted.seed)
    with (
        tempfile.TemporaryDirectory() as name,
        Preloaded() as preloaded,
        Broker.create(Path(name)) as broker,
        wanted.out.open("a", encoding="utf-8") as out,
    ):
        logs = wanted.out.parent / f"{wanted.out.stem}-logs-{int(time.time())}"
        campaign = Campaign(broker, logs, preloaded.launch, seed=wanted.seed)
        for number in range(len(tries), wanted.times):
            tries.append(campaign.run(number))
            print(json.dumps(asdict(tries[-1])), file=out, flush=True)
    print(summary(tries))
    faulty = [one for one in tries if one.faults]
    for one in faulty:
        print(f"try {one.number}, {one.state}, {one.moment_s:g} s: {'; '.join(one.faults)}")
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
