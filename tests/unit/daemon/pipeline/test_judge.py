"""The judge uses the engine of each batch and the profile of each topic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from logwarden.daemon.pipeline.budget_book import BudgetBook
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.judge import ScoredBatch, WindowJudge
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import PublicationKind
from logwarden.daemon.pipeline.work import Work
from logwarden.daemon.ports import Engine
from logwarden.daemon.profiles import kind_of
from logwarden.daemon.settings.groups import Settings
from logwarden.model.defaults import PLANNED_TAIL_MS, SETTLING_TAIL_MS
from logwarden.model.feedback import Feedback, FeedbackBook, FeedbackKind
from logwarden.model.learning import LearningNeed, LearningRules
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


def test_services_learn_by_their_own_rules() -> None:
    """A service that is known after some days raises an alert, one that is as old and needs more lines does not."""
    rules = LearningRules(LearningNeed(1_000), [(lambda name: name == "slow", LearningNeed(10, 2.0))])
    engine = engine_of()
    engine = replace(engine, policy=replace(engine.policy, learning_lines=1_000, learning=rules))
    ingestor = Ingestor(LogStream(engine.table, size=3, max_slots=8), max_services=8)
    owner, begin = assignment(1), 1_795_428_000_000
    records = [
        LogRecord(b"score 97", offset=10 * day + i, key=key, timestamp=begin + 86_400_000 * day + i)
        for day in range(3)
        for i, key in enumerate((b"slow", b"web"))
    ]
    batch = judged(engine, [work for record in records for work in ingestor.ingest([(owner, [record])], now=0.0).work])
    [alert] = alerts_in(batch)
    assert (alert["service"]["name"], alert["logwarden"]["source"]["last_offset"]) == ("slow", 20)
    assert (alert["logwarden"]["prediction"], alert["logwarden"]["severity"]) == ("anomaly", "critical")
    assert alert["logwarden"]["history_lines"] == 2
    assert [p.alert.at_ms for p in batch.publications if p.alert] == [begin + 2 * 86_400_000]


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


def test_a_budget_continues_with_the_next_owner() -> None:
    """What was used up travels with the commit: the next owner needs a strong score at once."""
    first, second = assignment(1), assignment(2)
    engine = engine_of()
    engine = replace(engine, policy=replace(engine.policy, budget_per_day=1))
    WindowJudge(Clock()).judge(engine, work_of(engine, (first, "score 60"), time_ms=0))
    assert first.budgets.at(0) == []
    [entry] = first.budgets.at(1)
    second.budgets = BudgetBook([entry])
    after = WindowJudge(Clock())
    assert after.judge(engine, work_of(engine, (second, "score 60"), time_ms=300_000)).withheld == 1
    assert after.judge(engine, work_of(engine, (second, "score 73"), time_ms=300_000)).withheld == 0


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


def feedback(kind: FeedbackKind, **fields: Any) -> Feedback:
    return Feedback(key=f"{kind}/1", kind=kind, given_ms=0, **fields)


def heeded(*entries: Feedback, lines: Sequence[str], policy: AlertPolicy | None = None) -> ScoredBatch:
    """The answer to these lines of the service web, which were logged at 5,000 ms."""
    owner, engine = assignment(1), engine_of()
    engine = engine if policy is None else replace(engine, policy=policy)
    return WindowJudge(Clock()).judge(
        engine, work_of(engine, *((owner, line) for line in lines)), FeedbackBook(entries)
    )


def test_what_people_expect_or_mute_raises_no_alert() -> None:
    """Its lines are done at once and counted by the reason, and other alerts of the service go out as they did."""
    lines = ["disk lost 95", "disk lost 96", "check failed 97", "lost 98", "fine 10"]
    kind = kind_of(Settings())("disk lost 1")
    expected = feedback(FeedbackKind.EXPECTED, services=("web",), kinds=frozenset({kind}))
    found = heeded(expected, feedback(FeedbackKind.MUTE, pattern="check"), lines=lines)
    assert [alert["message"] for alert in alerts_in(found)] == ["lost 98"]
    assert dict(found.suppressed) == {"expected": 2, "mute": 1}
    assert [tuple(offsets) for _, offsets in found.quiet] == [(0, 1, 2, 4)]
    assert (found.lines, found.withheld, found.planned) == (5, 0, 0)
    assert kind == alerts_in(heeded(lines=lines))[0]["logwarden"]["dedup_key"].removeprefix("web:")
    taken_back = feedback(FeedbackKind.REAL, kinds=frozenset({kind}))
    assert len(heeded(replace(expected, given_ms=-1), taken_back, lines=lines).publications) == 4


def test_an_alert_within_a_maintenance_is_marked() -> None:
    """It is published with the id and the reason of the maintenance; one of another service or time is as ever."""
    window = feedback(FeedbackKind.MAINTENANCE, services=("w*",), from_ms=4_000, until_ms=5_500, reason="a disk")
    found = heeded(window, lines=["lost 98"])
    [alert] = alerts_in(found)
    assert alert["logwarden"]["planned"] == {
        "id": "maintenance/1",
        "reason": "a disk",
        "until": "1970-01-01T00:00:05.500Z",
    }
    assert found.planned == 1
    for other in (replace(window, services=("db",)), replace(window, from_ms=5_001)):
        assert "planned" not in alerts_in(heeded(other, lines=["lost 98"]))[0]["logwarden"]


def test_what_settles_after_a_maintenance_states_no_failure() -> None:
    """Members that join again belong to it for longer than a line that states a failure, which is news."""
    window = feedback(FeedbackKind.MAINTENANCE, until_ms=5_000 - PLANNED_TAIL_MS)
    assert heeded(window, lines=["members join again 98"]).planned == 1
    assert heeded(window, lines=["FATAL members lost 98"]).planned == 0
    over = replace(window, until_ms=5_000 - SETTLING_TAIL_MS)
    assert heeded(over, lines=["members join again 98"]).planned == 0


def test_a_line_without_a_time_is_of_now() -> None:
    """A service that logs no times can be in maintenance too."""
    owner, engine = assignment(1), engine_of()
    work = work_of(engine, (owner, "lost 98"), time_ms=-1)
    window = feedback(FeedbackKind.MAINTENANCE, from_ms=5_999, until_ms=6_001)
    assert WindowJudge(Clock()).judge(engine, work, FeedbackBook([window])).planned == 1


def test_a_maintenance_uses_up_no_budget() -> None:
    """A service whose planned restart raised many alerts still has its budget for the fault behind it."""
    policy = AlertPolicy(threshold=0.5, learning_lines=0, model_revision="one", budget_per_day=1)
    judge, owner, engine = WindowJudge(Clock()), assignment(1), replace(engine_of(), policy=policy)
    window = FeedbackBook([feedback(FeedbackKind.MAINTENANCE, until_ms=70_000)])

    def alerts(time_ms: int, book: FeedbackBook) -> int:
        return len(judge.judge(engine, work_of(engine, (owner, "odd 60"), time_ms=time_ms), book).publications)

    assert [alerts(5_000, window), alerts(67_000, window)] == [1, 1]
    assert [alerts(200_000, window), alerts(300_000, window)] == [1, 0]
