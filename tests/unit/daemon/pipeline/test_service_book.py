"""What is known of the services in memory: states, progress, rates; and what it costs to look."""

from __future__ import annotations

import time

import numpy as np

from logwarden.daemon.pipeline.last_alerts import LastAlerts
from logwarden.daemon.pipeline.service_book import MANY, MANY_S, MinuteRates
from logwarden.daemon.records import Partition
from logwarden.daemon.standing import STATES, LastAlert, ServiceTable
from logwarden.model.learning import DAY_MS, LearningNeed, LearningRules
from tests.oracles import LogRecord, assignment, ingestor_of

NOW_MS = 1_795_428_000_000
BY_LINES = LearningRules(LearningNeed(20))


def rows(table: ServiceTable) -> dict[tuple[str, str, int], tuple[str, float, int, int]]:
    """Returns what a table has of each service: state, progress, lines, known lines."""
    found = {}
    for i, name in enumerate(table.names.tolist()):
        partition = table.partitions[table.partition[i]]
        facts = (STATES[table.states[i]].word, float(table.progress[i]), int(table.lines[i]), int(table.known_lines[i]))
        found[(name, *partition)] = facts
    return found


def records(service: str, count: int, *, first: int = 0, kinds: int = 1, ms: int = NOW_MS) -> list[LogRecord]:
    words = [chr(97 + i // 26 % 26) + chr(97 + i % 26) * 3 for i in range(kinds)]
    return [
        LogRecord(f"started {words[i % kinds]}".encode(), offset=first + i, key=service.encode(), timestamp=ms + i)
        for i in range(count)
    ]


def test_each_service_has_a_state_and_a_progress() -> None:
    """Too few lines: learning. Enough of a few kinds: known. Enough, and all of them new: noisy."""
    ingestor, one, two = ingestor_of(8), assignment(1), assignment(2)
    lines = [*records("busy", 40, kinds=2), *records("odd", 400, first=40, kinds=400), *records("young", 5, first=440)]
    ingestor.ingest([(one, lines), (two, records("busy", 10))], now=0.0)
    table = ingestor.book.table(BY_LINES, 0.0, NOW_MS)
    assert rows(table) == {
        ("busy", "logs", 1): ("known", 1.0, 40, 2),
        ("odd", "logs", 1): ("noisy", 1.0, 400, 400),
        ("young", "logs", 1): ("learning", 0.25, 5, 1),
        ("busy", "logs", 2): ("learning", 0.5, 10, 1),
    }
    facts = ingestor.book.facts(BY_LINES, 0.0, NOW_MS)
    assert (facts.services, facts.learning, facts.known, facts.noisy) == (4, 2, 1, 1)
    assert table.at_ms == NOW_MS
    assert table.seen_ms.max() == NOW_MS + 399


def test_a_slow_service_is_known_after_some_days() -> None:
    """Ten lines in three days are enough where ten are a fifth of the lines, and time is that of the lines."""
    ingestor, owner = ingestor_of(2), assignment(1)
    rules = LearningRules(LearningNeed(50, 3.0))
    lines = records("slow", 10)
    ingestor.ingest([(owner, lines[:9])], now=0.0)
    assert rows(ingestor.book.table(rules, 0.0, NOW_MS))["slow", "logs", 1][0] == "learning"
    late = LogRecord(lines[9].value, offset=9, key=b"slow", timestamp=NOW_MS + 3 * DAY_MS)
    ingestor.ingest([(owner, [late])], now=1.0)
    assert rows(ingestor.book.table(rules, 1.0, NOW_MS))["slow", "logs", 1][:2] == ("known", 1.0)


def test_a_pattern_counts_for_services_that_come_later() -> None:
    """A slot that another service gets has that service's need, not the one of the service before."""
    ingestor, owner = ingestor_of(1), assignment(1)
    rules = LearningRules(LearningNeed(10), [(lambda name: name == "web", LearningNeed(2))])
    ingestor.ingest([(owner, records("web", 3))], now=0.0)
    assert rows(ingestor.book.table(rules, 0.0, NOW_MS)) == {("web", "logs", 1): ("known", 1.0, 3, 1)}
    ingestor.ingest([(owner, records("db", 3, first=3))], now=0.0)
    assert rows(ingestor.book.table(rules, 0.0, NOW_MS))["db", "logs", 1][0] == "learning"
    strict = LearningRules(LearningNeed(1))
    assert rows(ingestor.book.table(strict, 0.0, NOW_MS))["db", "logs", 1][0] == "known"


def test_the_rate_is_that_of_the_last_minute() -> None:
    """Lines count for a minute, context and lines of another period of ownership do not count at all."""
    ingestor, owner = ingestor_of(4), assignment(1, score_from=3, context=0)
    ingestor.ingest([(owner, records("web", 8))], now=100.0)
    assert ingestor.book.table(BY_LINES, 100.0, NOW_MS).per_minute.tolist() == [5]
    ingestor.ingest([(owner, records("web", 2, first=8))], now=130.0)
    assert ingestor.book.table(BY_LINES, 131.0, NOW_MS).per_minute.tolist() == [7]
    assert ingestor.book.table(BY_LINES, 165.0, NOW_MS).per_minute.tolist() == [2]
    assert ingestor.book.table(BY_LINES, 10_000.0, NOW_MS).per_minute.tolist() == [0]


def test_a_slot_takes_no_rate_from_the_service_before() -> None:
    """A service that gets the place of a dropped or an evicted one begins at zero."""
    ingestor, owner = ingestor_of(1), assignment(1)
    ingestor.ingest([(owner, records("web", 8))], now=100.0)
    ingestor.ingest([(owner, records("db", 1, first=8))], now=101.0)
    assert ingestor.book.table(BY_LINES, 101.0, NOW_MS).per_minute.tolist() == [1]
    ingestor.drop([owner])
    assert len(ingestor.book.table(BY_LINES, 101.0, NOW_MS)) == 0
    ingestor.ingest([(assignment(2), records("web", 2))], now=102.0)
    assert ingestor.book.table(BY_LINES, 102.0, NOW_MS).per_minute.tolist() == [2]


def test_a_service_that_came_back_and_is_quiet_is_as_old_as_it_is_now() -> None:
    """After a restart a slow service is known before its next line, which may take a day to come."""
    rules = LearningRules(LearningNeed(50, 3.0))
    before, after, owner = ingestor_of(1), ingestor_of(1), assignment(1)
    before.ingest([(owner, records("slow", 12))], now=0.0)
    slot = after._slots.open(owner, "slow")
    after._stream.history.put(slot, before._stream.history.take(0))
    for days, state in ((2, "learning"), (3, "known")):
        table = after.book.table(rules, 0.0, NOW_MS + days * DAY_MS)
        assert (rows(table)["slow", "logs", 1][0], table.seen_ms.tolist()) == (state, [-1])


def test_rates_begin_at_any_clock() -> None:
    """The clock of a machine that has run for a year costs no more than that of a new one."""
    rates = MinuteRates(2)
    began = time.process_time()
    assert rates.of(np.array([0, 1]), 4e9).tolist() == [0, 0]
    assert time.process_time() - began < 0.5


def test_twenty_thousand_services_are_copied_in_a_moment() -> None:
    """A look at 20,000 services takes milliseconds on the ingest thread, which reads no lines meanwhile."""
    services = 20_000
    ingestor, owner = ingestor_of(services), assignment(1)
    rules = LearningRules(LearningNeed(10, 3.0), [(lambda name: name.startswith("web"), LearningNeed(2))])
    lines = [LogRecord(b"up", offset=i, key=f"app-{i // 200}/web-{i % 200}".encode()) for i in range(services)]
    ingestor.ingest([(owner, lines)], now=0.0)
    ingestor.book.facts(rules, 0.0, NOW_MS)
    took = []
    for _ in range(5):
        began = time.thread_time()
        assert len(ingestor.book.table(rules, 0.0, NOW_MS)) == services
        took.append(time.thread_time() - began)
    assert min(took) < 0.05, f"{min(took):.3f} s"


def test_many_services_are_counted_at_intervals() -> None:
    """Steps of a few lines do not pay for all services; a moment later the figures are right again."""
    ingestor, owner = ingestor_of(MANY + 10), assignment(1)
    lines = [LogRecord(b"up", offset=i, key=f"app-{i // 200}/web-{i % 200}".encode()) for i in range(MANY + 2)]
    for end, now, counted in ((MANY, 0.0, MANY), (MANY + 1, 0.1, MANY), (MANY + 2, MANY_S, MANY + 2)):
        start = 0 if end == MANY else end - 1
        ingestor.ingest([(owner, lines[start:end])], now=now)
        assert ingestor.book.facts(BY_LINES, now, NOW_MS).services == counted


def test_last_alerts_are_bounded_and_forgotten_with_their_partition() -> None:
    """The newest alerts stay; an alert of a partition that left is another member's to show."""
    alerts, here, there = LastAlerts(2), Partition("logs", 0), Partition("logs", 1)
    for number, (partition, service) in enumerate([(here, "a"), (here, "b"), (here, "a"), (there, "a")]):
        alerts.note(partition, service, LastAlert(at_ms=number, score=0.9))
    assert alerts.of(here, "b") is None
    assert alerts.of(here, "a") == LastAlert(at_ms=2, score=0.9)
    alerts.forget([here])
    assert (alerts.of(here, "a"), alerts.of(there, "a")) == (None, LastAlert(at_ms=3, score=0.9))
