"""The judge uses the engine of each batch and the profile of each topic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.judge import ScoredBatch, WindowJudge
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import PublicationKind
from logwarden.daemon.pipeline.work import Work
from logwarden.daemon.ports import Engine
from logwarden.model.stream import LogStream
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import WindowBatch
from tests.oracles import PROFILE, LogRecord, TableSpy, assignment, default_decoder, profile_of


class Scorer:
    """Scores every window with the number in its newest line, in percent."""

    def __init__(self) -> None:
        self.windows = 0

    def score(self, batch: WindowBatch) -> Scores:
        self.windows += len(batch)
        probability = np.array([int(text.rsplit(b" ", 1)[1]) / 100 for text in batch.newest("text")])
        weights = np.full((len(batch), batch.size), 1 / batch.size, np.float32)
        return Scores(np.zeros((len(batch), 2), np.float32), probability, weights)


class Clock:
    """Stands at one second after the lines' time."""

    def monotonic(self) -> float:
        return 0.0

    def now_ms(self) -> int:
        return 6_000

    async def sleep(self, seconds: float) -> None: ...


def engine_of(revision: str = "one", threshold: float = 0.5) -> Engine:
    policy = AlertPolicy(threshold=threshold, learning_lines=0, model_revision=revision)
    return Engine(scorer=Scorer(), table=TableSpy().table(), policy=policy)


def work_of(engine: Engine, *lines: tuple[Assignment, str], time_ms: int = 5_000) -> list[Work]:
    ingestor = Ingestor(LogStream(engine.table, size=3, max_slots=8), max_services=8)
    records = [
        (owner, [LogRecord(text.encode(), offset=i, key=b"web", timestamp=time_ms)])
        for i, (owner, text) in enumerate(lines)
    ]
    return ingestor.ingest(records, now=0.0).work


def judged(engine: Engine, work: Sequence[Work]) -> ScoredBatch:
    return WindowJudge(Clock()).judge(engine, work)


def alerts_in(batch: ScoredBatch) -> list[dict[str, Any]]:
    return [json.loads(cast(bytes, p.message.value)) for p in batch.publications]


def test_a_topic_has_its_own_threshold_and_alerts_topic() -> None:
    """Two topics in one batch: each alert is decided, published and explained by the profile of its topic."""
    strict = profile_of(default_decoder(), alerts_topic="strict.alerts", threshold=0.9, max_alert_line_chars=16)
    one, two = assignment(1), assignment(2, profile=strict)
    engine = engine_of()
    lines = [(one, "score 60"), (two, "score 60"), (two, "a long line of text with the score 95"), (one, "score 40")]
    batch = judged(engine, work_of(engine, *lines))
    assert [(p.message.topic, p.kind) for p in batch.publications] == [
        ("alerts", PublicationKind.ALERT),
        ("strict.alerts", PublicationKind.ALERT),
    ]
    first, second = alerts_in(batch)
    assert (first["logwarden"]["threshold"], second["logwarden"]["threshold"]) == (0.5, 0.9)
    assert second["message"] == "a long line of …"
    assert {(owner.generation, tuple(offsets)) for owner, offsets in batch.quiet} == {(1, (3,)), (2, (1,))}
    assert (batch.windows, batch.lines) == (4, 4)


def test_an_alert_quotes_the_record_of_its_newest_line() -> None:
    """The record is at hand while the line is in flight; a topic that wants none, and plain text, have no quotation."""
    quoting = assignment(1, profile=profile_of(default_decoder(), max_original_chars=18))
    silent = assignment(2, profile=profile_of(default_decoder()))
    engine = engine_of()
    work = work_of(
        engine,
        (quoting, '{"message": "event 97"}'),
        (silent, '{"message": "event 97"}'),
        (quoting, "plain event 97"),
    )
    alerts = alerts_in(judged(engine, work))
    assert [alert["message"] for alert in alerts] == ["event 97", "plain event 97", "event 97"]
    assert [alert["event"].get("original") for alert in alerts] == ['{"message": "even…', None, None]


def test_a_reload_is_a_swap_between_batches() -> None:
    """Each batch is scored and explained by the engine that it was given, and its alert keeps its id."""
    owner = assignment(1)
    old, new = engine_of("old"), engine_of("new", threshold=0.7)
    work = work_of(old, (owner, "score 80"))
    first, second = judged(old, work), judged(new, work)
    assert [alerts_in(batch)[0]["logwarden"]["model_revision"] for batch in (first, second)] == ["old", "new"]
    assert alerts_in(first)[0]["id"] == alerts_in(second)[0]["id"]
    assert judged(engine_of("newer", threshold=0.9), work).publications == []


def test_windows_of_ended_assignments_are_not_scored() -> None:
    """The next owner of the partition scores them; here they cost nothing and mark nothing."""
    one, two = assignment(1), assignment(2)
    engine = engine_of()
    work = work_of(engine, (one, "score 80"), (two, "score 80"), (two, "score 10"))
    two.ended = True
    batch = judged(engine, work)
    assert cast(Scorer, engine.scorer).windows == 1
    assert [p.owner for p in batch.publications] == [one]
    assert batch.quiet == []


def test_an_alert_marks_its_lines_and_measures_its_delay() -> None:
    """The lines are done when the broker has the alert, and the delay is from the line's own time."""
    owner = assignment(1)
    engine = engine_of()
    (publication,) = judged(engine, work_of(engine, (owner, "score 80"))).publications
    assert (publication.owner.generation, publication.offsets.tolist()) == (1, [0])
    assert publication.delay_ms == 1_000
    assert not publication.is_gone
    owner.ended = True
    assert publication.is_gone


def test_a_service_beyond_its_budget_needs_a_strong_score() -> None:
    """The second minute with alerts is beyond a budget of one: its weak window is withheld, its strong one is not."""
    owner, judge, engine = assignment(1), WindowJudge(Clock()), engine_of()
    engine = replace(engine, policy=replace(engine.policy, budget_per_day=1))
    batches = [
        judge.judge(engine, work_of(engine, *[(owner, text) for text in texts], time_ms=time_ms))
        for texts, time_ms in ((["score 60"], 0), (["score 60", "score 73", "score 40"], 300_000))
    ]
    assert [alert["logwarden"]["threshold"] for batch in batches for alert in alerts_in(batch)] == [0.5, 0.73]
    assert [batch.withheld for batch in batches] == [0, 1]
    assert [int(offsets.size) for batch in batches for _, offsets in batch.quiet] == [2]


def test_a_topic_with_a_threshold_of_its_own_has_no_budget() -> None:
    """Who chooses a number gets every window that reaches it."""
    owner = assignment(1, profile=profile_of(default_decoder(), threshold=0.6))
    judge, engine = WindowJudge(Clock()), engine_of()
    engine = replace(engine, policy=replace(engine.policy, budget_per_day=1))
    for time_ms in (0, 300_000, 600_000):
        assert len(judge.judge(engine, work_of(engine, (owner, "score 60"), time_ms=time_ms)).publications) == 1


def test_nothing_to_judge_is_an_empty_batch() -> None:
    """A batch whose partitions were all revoked has no profile to look up."""
    owner = assignment(1)
    engine = engine_of()
    work = work_of(engine, (owner, "score 80"))
    owner.ended = True
    assert judged(engine, work) == ScoredBatch(quiet=[], publications=[], windows=0, lines=0)
    assert PROFILE.threshold is None
