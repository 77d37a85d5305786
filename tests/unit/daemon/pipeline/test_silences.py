"""A service that falls silent raises one alert, seen from the lines of its partition's other services."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
import pytest

from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.judge import WindowJudge
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.work import Begun, Work
from logwarden.daemon.ports import Engine
from logwarden.model.schema import AlertKind
from logwarden.model.stream import LogStream
from logwarden.model.verdicts import AlertPolicy
from tests.oracles import LogRecord, TableSpy, assignment
from tests.unit.daemon.incidents.test_alert import VALIDATOR
from tests.unit.daemon.pipeline.test_judge import Clock, Scorer

START_MS = 1_700_000_000_000
NIGHT_MS = 30 * 86_400_000
POLICY = AlertPolicy(threshold=0.5, learning_lines=0, model_revision="one", kinds=tuple(AlertKind))


class World:
    """Two services of a partition: `web` logs every second, `db` as long as it lives."""

    def __init__(self, score_from: int = 0, step: int = 1) -> None:
        self.engine = Engine(scorer=Scorer(), table=TableSpy().table(), policy=POLICY)
        self.ingestor = Ingestor(
            LogStream(self.engine.table, size=3, step=step, max_slots=8),
            max_services=8,
            now_ms=lambda: START_MS + NIGHT_MS,
        )
        self.owner = assignment(score_from=score_from)
        self.offset = 0

    def log(self, service: str, second: float, text: str = "all is well 1") -> list[Work]:
        """Logs a line, and returns the work on silences."""
        record = LogRecord(
            text.encode(), offset=self.offset, key=service.encode(), timestamp=START_MS + round(1000 * second)
        )
        self.offset += 1
        work = self.ingestor.ingest([(self.owner, [record])], now=second).work
        return [piece for piece in work if len(piece) and not piece.windows.fresh.any()]

    def until_silent(self, owner: Assignment | None = None) -> list[Work]:
        """Logs both services for a minute, `db` every four seconds, and `web` for a minute more."""
        found: list[Work] = []
        for second in range(120):
            if second < 60 and second % 4 == 0:
                found += self.log("db", second, f"checkpoint {second} 1")
            found += self.log("web", second)
        return found

    def alerts(self, work: list[Work]) -> list[dict[str, Any]]:
        batch = WindowJudge(Clock()).judge(self.engine, work)
        assert not batch.quiet
        assert all(publication.offsets.size == 0 for publication in batch.publications)
        return [json.loads(cast(bytes, publication.message.value)) for publication in batch.publications]


def test_a_silent_service_raises_one_alert() -> None:
    """It paused for four seconds at most, so it is silent after nine; and again only once it has logged again."""
    world = World()
    work = world.until_silent()
    assert [piece.services.tolist() for piece in work] == [["db"]]
    (alert,) = world.alerts(work)
    VALIDATOR.validate(alert)
    facts = alert["logwarden"]
    assert (facts["kind"], facts["silence"]) == ("silence", {"seconds": 10, "longest_before": 4})
    assert alert["message"] == "no line for 10 s, at most 4 s before; the last one: checkpoint 56 1"
    assert (alert["log"]["level"], facts["prediction"]) == (None, "anomaly")
    assert world.log("db", 121) == []
    again = [piece for second in range(122, 300) for piece in world.log("web", second)]
    assert [piece.services.tolist() for piece in again] == [["db"]]


def test_a_silence_found_again_has_the_same_id() -> None:
    """A member that restarts finds it again, later; a consumer knows it by its id, and not for the line's own alert."""
    first, second = World(), World()
    (alert,) = first.alerts(first.until_silent())
    second.until_silent()
    later = second.ingestor._stream.silent(second.ingestor._stream.history.silent(np.arange(8), START_MS + NIGHT_MS))
    (again,) = second.alerts([second.ingestor._work(later)])
    assert again["id"] == alert["id"]
    assert again["logwarden"]["silence"]["seconds"] > alert["logwarden"]["silence"]["seconds"]
    assert again["logwarden"]["dedup_key"] == alert["logwarden"]["dedup_key"]
    line = first.ingestor.ingest(
        [(first.owner, [LogRecord(b"checkpoint 99 90", offset=first.offset, key=b"db")])], now=200.0
    ).work
    own = json.loads(cast(bytes, WindowJudge(Clock()).judge(first.engine, line).publications[0].message.value))
    assert own["logwarden"]["dedup_key"] != alert["logwarden"]["dedup_key"]


def test_lines_that_are_read_again_find_no_silence() -> None:
    """The previous owner has found it; below the first offset to judge nothing is judged."""
    assert World(score_from=1_000).until_silent() == []


@pytest.mark.parametrize("step", [2, 3])
def test_silences_are_found_with_a_step(step: int) -> None:
    """Lines that wait for their step to fill are judged with the silence behind them or after it, once each."""
    assert [piece.services.tolist() for piece in World(step=step).until_silent()] == [["db"]]


def test_a_partition_without_lines_is_not_silent() -> None:
    """Nobody knows whether its services log: a broker that fails is no fault of theirs."""
    world = World()
    for second in range(0, 60, 4):
        world.log("db", second)
    assert world.log("db", 4_000) == []


def test_a_clock_ahead_of_the_world_silences_nobody() -> None:
    """One line dated a year ahead makes no other service silent for a year; it is silent beyond the present at most."""
    world = World()
    world.until_silent()
    world.log("cron", 0)
    found = world.log("cron", 365 * 86_400)
    assert all(piece.windows.columns["rate"].max() <= NIGHT_MS / 1000 for piece in found)


def test_nobody_looks_where_silence_is_not_wanted() -> None:
    """By default no service is looked at."""
    world = World()
    world.ingestor.silences = None
    assert world.until_silent() == []


def test_a_silence_is_found_again_by_the_assignment_that_continues() -> None:
    """The alert of the ended assignment may not have left, and a consumer knows a second one by its id."""
    world = World()
    world.until_silent()
    ended, world.owner = world.owner, assignment(generation=2)
    world.ingestor.begin(Begun(resumed=[(ended, world.owner)]), 121.0)
    assert [piece.services.tolist() for piece in world.log("web", 121)] == [["db"]]
