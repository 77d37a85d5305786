"""The campaign of faults: its account finds every broken promise, its plan repeats, its results resume, and it runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.kafka.broker import Broker
from tests.kafka.chaos.account import ABORTED, UNKNOWN, Account
from tests.kafka.chaos.campaign import kinds_of
from tests.kafka.chaos.deeds import DEEDS_BY_KIND
from tests.kafka.chaos.episode import Episode, Terms
from tests.kafka.chaos.faults import KINDS, MEMBER, plan
from tests.kafka.chaos.recovery import Recovery
from tests.kafka.chaos.results import GOALS, Results, is_clean, percentile
from tests.kafka.preloaded import Preloaded

IDS = [bytes([number]) * 16 for number in range(8)]


def told(lines: int = 4) -> Account:
    """Returns an account of some lines in partition 0 of a topic, at the offsets 0, 1, …"""
    account = Account()
    account.sent("logs", 0, [(number, number) for number in account.reserve(lines)])
    return account


def alerted(account: Account, *numbers: int, topic: str = "logs") -> None:
    for number in numbers:
        account.alerted(topic, 0, number, number, IDS[number], window=number)


def test_an_account_without_a_fault() -> None:
    """Lines that are all alerted, some of them twice under one id, are no fault."""
    account = told()
    alerted(account, 0, 1, 2, 3, 1)
    found = account.findings()
    assert (found.sent, found.alerted, found.delivered_again, found.faults) == (4, 4, 1, 0)


def _lost(account: Account) -> None:
    alerted(account, 0, 1, 3)


def _of_an_aborted_transaction(account: Account) -> None:
    alerted(account, 0, 1, 2, 3)
    (number,) = account.reserve(1)
    account.sent("logs", 0, [(number, 4)], ABORTED)
    alerted(account, number)


def _of_no_line(account: Account) -> None:
    alerted(account, 0, 1, 2, 3)
    account.alerted("logs", 0, 9, 99, IDS[4], window=9)


def _at_another_place(account: Account) -> None:
    alerted(account, 0, 1, 2)
    account.alerted("logs", 0, 7, 3, IDS[3], window=3)


def _in_another_partition(account: Account) -> None:
    alerted(account, 0, 1, 2)
    account.alerted("logs", 1, 3, 3, IDS[3], window=3)


def _under_another_id(account: Account) -> None:
    alerted(account, 0, 1, 2, 3)
    account.alerted("logs", 0, 1, 1, IDS[7], window=1)


def _under_the_id_of_another_line(account: Account) -> None:
    alerted(account, 0, 1, 2)
    account.alerted("logs", 0, 3, 3, IDS[2], window=3)


def _with_another_window(account: Account) -> None:
    alerted(account, 0, 1, 2, 3)
    account.alerted("logs", 0, 1, 1, IDS[1], window=-1)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (_lost, "not_scored"),
        (_of_an_aborted_transaction, "aborted_alerted"),
        (_of_no_line, "never_sent"),
        (_at_another_place, "never_sent"),
        (_in_another_partition, "never_sent"),
        (_under_another_id, "ids_that_differ"),
        (_under_the_id_of_another_line, "ids_shared"),
        (_with_another_window, "windows_that_differ"),
    ],
)
def test_the_account_finds_every_broken_promise(wrong: Callable[[Account], None], name: str) -> None:
    """One line against a promise is one fault, of its own kind, and is named as an example."""
    account = told()
    wrong(account)
    found = account.findings()
    assert (asdict(found)[name], found.faults) == (1, 1)
    assert name == "ids_shared" or account.examples


def test_deleted_lines_are_excused() -> None:
    """Lines that were deleted unread are excused and counted; the lines kept are still wanted."""
    account = told()
    alerted(account, 0)
    account.deleted("logs", 0, before_offset=2)
    found = account.findings()
    assert (found.excused, found.not_scored) == (1, 2)


def test_every_incarnation_of_a_topic_counts() -> None:
    """The lines of a topic that was recreated are wanted, and those of the old one are excused. Their ids may equal."""
    account = told(2)
    alerted(account, 0)
    account.recreated("logs")
    account.sent("logs", 0, [(number, number - 2) for number in account.reserve(2)])
    account.alerted("logs", 0, 0, 2, IDS[0], window=0)
    found = account.findings()
    assert (found.excused, found.not_scored, found.ids_shared, found.ids_shared_by_incarnations) == (1, 1, 0, 1)


def test_unknown_lines_are_neither_wanted_nor_wrong() -> None:
    """A line whose producer never learned its fate may be alerted or not."""
    account = told(1)
    alerted(account, 0)
    account.sent("logs", 0, [(number, -1) for number in account.reserve(2)], UNKNOWN)
    account.alerted("logs", 0, 5, 1, IDS[1], window=0)
    assert (account.findings().unknown, account.findings().faults) == (2, 0)


def test_lines_behind_are_counted_by_partition() -> None:
    """Lines are behind until all before them are alerted, and a repeat is no progress."""
    account = told(4)
    alerted(account, 0)
    since = account.snapshot()
    (track,) = account.behind(since)
    assert account.behind(since) == {track: 3}
    alerted(account, 0, 2)
    assert account.behind(since) == {track: 3}
    alerted(account, 1)
    assert account.behind(since) == {track: 1}
    alerted(account, 3)
    assert account.behind(since) == {}


def test_a_group_has_recovered_after_its_last_standstill() -> None:
    """An alert that was on its way before the fault is no recovery if the partition stands still after it."""
    recovery = Recovery()
    for now_s, behind in ((0.0, 9), (0.5, 8), (2.0, 8), (3.0, 8), (7.0, 8), (7.5, 5), (9.0, 5), (9.4, 1)):
        recovery.look(now_s, {"one": behind})
    assert recovery.falling_s == 7.0
    recovery.look(10.0, {"one": 1, "another": 4})
    assert recovery.falling_s == 10.0, "a partition stands still until its first progress"


def test_lines_that_are_given_up_stay_faults() -> None:
    """A campaign that waits no more for a line still counts it as not scored."""
    account = told(2)
    since = account.snapshot()
    account.give_up(since)
    assert account.behind(since) == {}
    assert account.findings().not_scored == 2


def test_an_account_grows() -> None:
    """Lines beyond the first table keep the earlier ones."""
    account = told()
    alerted(account, 0, 1, 2, 3)
    many = account.reserve(200_000)
    account.sent("logs", 1, [(number, offset) for offset, number in enumerate(many)])
    found = account.findings()
    assert (found.sent, found.not_scored) == (200_004, 200_000)


def test_a_plan_is_a_function_of_seed_and_round() -> None:
    """The same seed and round give the same faults, others give others, and only kinds that are allowed occur."""
    kinds = ["kill-member", "black-hole", "recreate-topic"]
    plans = [plan(7, number, kinds, 3) for number in range(200)]
    assert plans == [plan(7, number, kinds, 3) for number in range(200)]
    assert plans != [plan(8, number, kinds, 3) for number in range(200)]
    deeds = [deed for planned in plans for deed in planned]
    assert {deed.kind for deed in deeds} == set(kinds)
    assert {deed.victim for deed in deeds if KINDS[deed.kind].hits is MEMBER} == {0, 1, 2}
    assert all(list(planned) == sorted(planned, key=lambda deed: deed.at_s) for planned in plans)


def test_kinds_are_named_or_removed() -> None:
    """An option names kinds of faults, or removes some with a minus, and refuses an unknown one."""
    assert kinds_of("reset,delay") == ["reset", "delay"]
    assert kinds_of("-reset") == [name for name in KINDS if name != "reset"]
    with pytest.raises(SystemExit, match="unknown faults resett; known are kill-member"):
        kinds_of("resett")


def test_every_kind_can_be_carried_out() -> None:
    """Every kind that a plan can draw has a deed."""
    assert {name for name, kind in KINDS.items() if kind.weight} == set(DEEDS_BY_KIND)


def test_results_resume_after_a_kill(tmp_path: Path) -> None:
    """A results file whose last line was cut continues after its last whole one, and is never overwritten."""
    path = tmp_path / "out" / "results.jsonl"
    results = Results(path, resume=False)
    results.add("round", round=1, episode=1, load=2.0, seconds=9.0, falling_s=2.0, caught_up_s=3.0, stuck=False)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"type": "round", "rou')
    with pytest.raises(FileExistsError, match="--resume"):
        Results(path, resume=False)
    resumed = Results(path, resume=True)
    assert (resumed.next_round, resumed.next_episode) == (2, 2)
    resumed.add("round", round=2, episode=2, load=9.0, seconds=9.0, falling_s=None, caught_up_s=None, stuck=True)
    assert [json.loads(line)["round"] for line in path.read_text(encoding="utf-8").splitlines()] == [1, 2]
    assert resumed.totals()["rounds_without_a_check"] == 2
    assert (resumed.recoveries("falling_s"), resumed.recoveries("falling_s", 1.0)) == ([2.0], [])
    assert resumed.faults() == 1, "a group that is stuck breaks a promise"
    assert all(name in resumed.summary(GOALS) for name in GOALS)


def test_a_campaign_that_breaks_off_is_no_success(tmp_path: Path) -> None:
    """Episodes that broke off count as faults, and as a row until one is checked."""
    results = Results(tmp_path / "results.jsonl", resume=False)
    results.add("broken off", episode=1, error="the broker did not start")
    results.add("round", round=1, episode=2, load=2.0, seconds=9.0, falling_s=2.0, caught_up_s=3.0, stuck=False)
    results.add("broken off", episode=2, error="again")
    assert (results.broken_off_in_a_row(), results.faults(), results.next_episode) == (2, 2, 3)


def test_a_clean_stop_leaves_no_traceback() -> None:
    """A member may answer SIGTERM with 0, or with 1 and a sentence; not with a traceback, and not too late."""
    assert is_clean({"code": 0})
    assert is_clean({"code": 1, "log": ["logwarden: no broker"]})
    assert not is_clean({"code": 1, "log": ["Traceback (most recent call last):", "CancelledError"]})
    assert not is_clean({"code": None, "log": []})


def test_percentiles_are_of_the_nearest_rank() -> None:
    """The 95th percentile of twenty numbers is the nineteenth."""
    assert percentile([float(number) for number in range(1, 21)], 95) == 19.0


@pytest.mark.slow
async def test_kills_and_partitions_lose_nothing(
    broker: Broker, preloaded: Preloaded, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    """Members are killed and cut off under load: no line is lost, no id changes, no group is stuck."""
    results = Results(tmp_path / "results.jsonl", resume=False)
    terms = Terms(
        seed=20_240_817,
        kinds=["kill-member", "black-hole", "reset-inside"],
        members=2,
        lines_per_s=200,
        rounds=3,
        directory=tmp_path,
        model=tiny_checkpoint,
        launch=preloaded.launch,
        whole=False,
        settings={},
    )
    await Episode(1, "any", terms, results, asyncio.Event()).on(broker, print)
    totals = results.totals()
    assert totals["sent"] > 0
    assert totals["member_kills"] > 0
    assert results.faults() == 0, results.lines
    assert totals["lag"] == 0
    assert totals["stops_not_clean"] == 0
