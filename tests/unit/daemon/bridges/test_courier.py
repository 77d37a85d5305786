"""A courier in virtual time: what a pager that fails has at last, after kills as well."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict

import msgspec

from logwarden.daemon.bridges.choice import IncidentChoice
from logwarden.daemon.bridges.courier import CourierLimits
from tests.bridge_stand_ins import incident, incident_id
from tests.bridge_world import Pager, World
from tests.fakes import virtually

INCIDENTS = 400


async def publish_many(world: World, count: int, *, kills: int = 0) -> None:
    """Publishes `count` incidents of two to four records each, over minutes, and kills the courier between them."""
    chance = random.Random(3)
    records = []
    for number in range(count):
        at, updates = chance.uniform(0, count / 20), chance.randrange(3)
        for revision in range(1, updates + 3):
            status = "resolved" if revision == updates + 2 else "open"
            at += chance.uniform(0.5, 10.0)
            severity = ("warning", "error", "critical", "critical")[min(revision, 4) - 1]
            records.append((at, number, revision, status, severity))
    records.sort()
    kill_at = {len(records) * (kill + 1) // (kills + 1) for kill in range(kills)}
    for place, (at, number, revision, status, severity) in enumerate(records):
        await asyncio.sleep(max(0.0, at - world.clock.monotonic()))
        record = incident(str(number), revision=revision, status=status, severity=severity)
        world.topic.publish(record, world.clock.now_ms())
        if place in kill_at:
            await world.kill()
            await world.start()


def check(world: World, count: int) -> dict[str, list[tuple[str, int]]]:
    """Checks what always holds, and returns what the pager took of each incident, in order."""
    taken = defaultdict(list)
    for one in world.pager.taken:
        taken[one.id].append((one.action, one.revision))
    assert set(taken) == {incident_id(str(number)) for number in range(count)}, "each is delivered"
    for id, notices in taken.items():
        assert notices[0][0] == "trigger", (id, notices)
        assert notices[-1][0] == "resolve", (id, notices)
    assert world.pager.open == set(), "nothing stays open"
    assert world.pager.most_at_once <= world.pager.at_once
    return taken


@virtually
async def test_a_pager_that_fails_a_third_of_the_time() -> None:
    """Each incident is announced once and ended last, and no notice that was acknowledged is sent again."""
    world = World(Pager(random.Random(1)))
    await world.start()
    await publish_many(world, INCIDENTS)
    await world.until_all_is_done()
    await world.stop()
    taken = check(world, INCIDENTS)
    assert set(world.pager.openings.values()) == {1}
    told = Counter((one.id, one.action, one.revision) for one in world.pager.taken if one.is_told)
    assert max(told.values()) == 1, "no duplicate key pair"
    for notices in taken.values():
        assert notices == sorted(notices, key=lambda one: one[1]), "in order"
    assert world.counts.facts["retried"] > INCIDENTS / 3
    assert world.counts.facts["buried"] == 0


@virtually
async def test_a_bridge_that_is_killed_again_and_again() -> None:
    """Each incident is announced and ended; what is repeated has the key that the pager knows, and it is little."""
    world = World(Pager(random.Random(2)), limits=CourierLimits(timeout_s=2.0, commit_interval_s=0.1))
    await world.start()
    kills = 10
    await publish_many(world, INCIDENTS, kills=kills)
    await world.until_all_is_done()
    await world.stop()
    check(world, INCIDENTS)
    told = Counter((one.id, one.action, one.revision) for one in world.pager.taken if one.is_told)
    repeated = sum(count - 1 for count in told.values())
    # Of the time between two commits, a tenth of a second, some notices are repeated at each kill.
    assert repeated <= 8 * kills
    assert sum(count - 1 for count in world.pager.openings.values()) <= 2 * kills


@virtually
async def test_a_pager_that_is_down_is_not_stormed() -> None:
    """An outage costs some probes a minute, whatever waits, and no more records are read than fit into memory."""
    world = World(Pager(random.Random(1), failing=0.0), limits=CourierLimits(timeout_s=2.0, max_waiting=300))
    await world.start()
    world.pager.is_down = True
    for number in range(1_000):
        world.topic.publish(incident(str(number)), world.clock.now_ms())
    await asyncio.sleep(600)
    assert world.pager.attempts < 50
    assert world.facts.is_failing
    assert [reason.code for reason in world.facts.reasons(10.0)] == ["destination_failing"]
    assert world.counts.waiting < 300 + 3 * 200
    world.pager.is_down = False
    await world.until_all_is_done(300.0)
    assert len(world.pager.taken) == 1_000
    assert not world.facts.is_failing
    await world.stop()


@virtually
async def test_a_refusal_is_buried_with_its_reason_and_holds_up_nothing() -> None:
    """One incident that the pager never takes is a dead letter for each notice, and the others are delivered."""
    world = World(Pager(random.Random(1), failing=0.0, refused=frozenset({incident_id("bad")})))
    await world.start()
    for name in ("bad", "good"):
        world.topic.publish(incident(name), world.clock.now_ms())
    await world.until_all_is_done()
    await world.stop()
    assert [one.id for one in world.pager.taken] == [incident_id("good")]
    [[letter]] = world.sink.sent
    value = msgspec.json.decode(letter.value or b"")
    assert letter.key == incident_id("bad").encode()
    assert (value["destination"], value["action"]) == ("pager", "trigger")
    assert value["reason"] == "the pager answered with status 400"
    assert value["incident"]["id"] == incident_id("bad")


@virtually
async def test_a_dead_letter_that_is_not_taken_keeps_the_offset_back() -> None:
    """While the topic of dead letters is missing nothing is lost, readiness names it, and the rest goes on."""
    world = World(Pager(random.Random(1), failing=0.0, refused=frozenset({incident_id("bad")})))
    await world.start()
    world.sink.stuck.add("dead")
    world.topic.publish(incident("bad"), world.clock.now_ms())
    world.topic.publish(incident("good"), world.clock.now_ms())
    await asyncio.sleep(60)
    assert [one.id for one in world.pager.taken] == [incident_id("good")]
    assert [reason.code for reason in world.facts.reasons(10.0)] == ["dead_letters_blocked"]
    world.sink.stuck.clear()
    await world.until_all_is_done(60)
    assert world.facts.reasons(10.0) == []
    await world.stop()


@virtually
async def test_what_cannot_be_delivered_for_a_day_is_given_up() -> None:
    """A destination that is away for good does not hold its topic's offset for ever."""
    limits = CourierLimits(timeout_s=2.0, give_up_s=600.0)
    world = World(Pager(random.Random(1), failing=0.0), limits=limits)
    world.pager.is_down = True
    await world.start()
    world.topic.publish(incident(), world.clock.now_ms())
    await world.until_all_is_done(1_000.0)
    await world.stop()
    [[letter]] = world.sink.sent
    assert b"given up after 600 s: the pager is down" in (letter.value or b"")


@virtually
async def test_a_restart_sends_nothing_again_and_ends_what_it_began() -> None:
    """What was delivered before a stop is known afterwards: no second announcement, and the end is sent."""
    world = World(Pager(random.Random(1), failing=0.0, all_updates=False))
    await world.start()
    world.topic.publish(incident(), world.clock.now_ms())
    await world.until_all_is_done()
    await world.stop()
    await world.start()
    world.topic.publish(incident(revision=2), world.clock.now_ms())
    world.topic.publish(incident(revision=3, status="resolved"), world.clock.now_ms())
    await world.until_all_is_done()
    await world.stop()
    assert [(one.action, one.revision) for one in world.pager.taken] == [("trigger", 1), ("resolve", 3)]


@virtually
async def test_an_end_is_not_repeated_after_a_restart() -> None:
    """Late alerts change the record of an incident that is over; one that opens again ends again."""
    world = World(Pager(random.Random(1), failing=0.0, all_updates=False))
    await world.start()
    for revision, status in enumerate(("open", "resolved"), 1):
        world.topic.publish(incident(revision=revision, status=status), world.clock.now_ms())
        await world.until_all_is_done()
    await world.kill()
    await world.start()
    world.topic.publish(incident(revision=3, status="resolved"), world.clock.now_ms())
    await world.until_all_is_done()
    assert world.counts.facts["unchanged"] == 1
    for revision, status in ((4, "open"), (5, "resolved")):
        world.topic.publish(incident(revision=revision, status=status), world.clock.now_ms())
        await world.until_all_is_done()
    await world.stop()
    assert [one.revision for one in world.pager.taken] == [1, 2, 4, 5]


@virtually
async def test_an_end_of_what_was_never_chosen_is_sent_once_it_is_chosen() -> None:
    """An incident that was left out as too mild has no end at the destination, whatever the context has of it."""
    pager = Pager(random.Random(1), failing=0.0, all_updates=False)
    world = World(pager, choice=IncidentChoice(min_severity="error"))
    await world.start()
    world.topic.publish(incident(severity="warning", status="resolved"), world.clock.now_ms())
    await world.until_all_is_done()
    await world.stop()
    await world.start()
    world.topic.publish(incident(severity="error", revision=2, status="resolved"), world.clock.now_ms())
    await world.until_all_is_done()
    await world.stop()
    assert [(one.action, one.revision) for one in world.pager.taken] == [("resolve", 2)]


@virtually
async def test_reminders_come_beside_no_notice_and_end_with_the_incident() -> None:
    """A pager that forgets is reminded of what is open, after a restart as well, and of nothing that has ended."""
    world = World(Pager(random.Random(1), failing=0.0, remind_s=60.0))
    await world.start()
    world.topic.publish(incident("a"), world.clock.now_ms())
    world.topic.publish(incident("b"), world.clock.now_ms())
    await asyncio.sleep(200)
    assert Counter(world.pager.reminded) == {incident_id("a"): 3, incident_id("b"): 3}
    await world.stop()
    await world.start()
    world.topic.publish(incident("a", revision=2, status="resolved"), world.clock.now_ms())
    await asyncio.sleep(130)
    assert Counter(world.pager.reminded) == {incident_id("a"): 3, incident_id("b"): 5}
    await world.stop()


@virtually
async def test_only_chosen_incidents_are_sent() -> None:
    """Below the severity, of other services and planned ones are left out and counted; one that gets worse is sent."""
    choice = IncidentChoice(min_severity="error", services=("db-*",))
    world = World(Pager(random.Random(1), failing=0.0), choice=choice)
    await world.start()
    for record in (
        incident("mild", severity="warning"),
        incident("planned", severity="info", planned=True),
        incident("other", services=("web",)),
        incident("worse", severity="warning"),
        incident("worse", revision=2, severity="critical"),
        incident("mild", revision=2, severity="warning", status="resolved"),
        incident("worse", revision=3, severity="critical", status="resolved"),
    ):
        world.topic.publish(record, world.clock.now_ms())
        await asyncio.sleep(1.0)
    world.topic.publish(incident("odd"), world.clock.now_ms(), value=b"no incident")
    await world.until_all_is_done()
    await world.stop()
    assert {one.id for one in world.pager.taken} == {incident_id("worse")}
    assert [one.action for one in world.pager.taken] == ["trigger", "resolve"]
    assert {reason: world.counts.facts[reason] for reason in ("severity", "planned", "service", "unreadable")} == {
        "severity": 3,
        "planned": 1,
        "service": 1,
        "unreadable": 1,
    }


@virtually
async def test_after_an_outage_old_news_pages_nobody() -> None:
    """What opened and ended while the bridge was away for hours is reported by its end; what is open is announced."""
    world = World(Pager(random.Random(1), failing=0.0))
    await world.start()
    world.topic.publish(incident("first"), world.clock.now_ms())
    await world.until_all_is_done()
    await world.stop()
    world.topic.publish(incident("over"), world.clock.now_ms())
    world.topic.publish(incident("open"), world.clock.now_ms())
    world.topic.publish(incident("over", revision=2, status="resolved"), world.clock.now_ms())
    await asyncio.sleep(7_200)
    await world.start()
    await world.until_all_is_done()
    await world.stop()
    assert {(one.id, one.action) for one in world.pager.taken[1:]} == {
        (incident_id("over"), "resolve"),
        (incident_id("open"), "trigger"),
    }


@virtually
async def test_a_revoke_waits_for_what_is_on_its_way() -> None:
    """When a partition goes to another bridge, no notice of this one arrives behind those of the next owner."""
    world = World(Pager(random.Random(1), failing=0.0))
    await world.start()
    for number in range(50):
        world.topic.publish(incident(str(number)), world.clock.now_ms())
    await asyncio.sleep(0.11)
    assert world.courier is not None
    await world.courier.on_revoked(list(world.topic.records))
    before = len(world.pager.taken)
    await asyncio.sleep(60)
    assert len(world.pager.taken) == before
    await world.courier.on_assigned(list(world.topic.records))
    await world.kill()
    await world.start()
    await world.until_all_is_done()
    await world.stop()
    assert set(Counter(one.id for one in world.pager.taken).values()) == {1}


@virtually
async def test_a_kill_right_after_the_first_start_loses_nothing() -> None:
    """An incident that opens and ends between the first start and the next one is delivered, and history is not."""
    world = World(Pager(random.Random(1), failing=0.0))
    world.topic.publish(incident("history"), world.clock.now_ms())
    world.topic.publish(incident("history", revision=2, status="resolved"), world.clock.now_ms())
    world.topic.publish(incident("open"), world.clock.now_ms())
    world.pager.is_down = True
    await world.start()
    await asyncio.sleep(0.01)
    await world.kill()
    world.topic.publish(incident("new"), world.clock.now_ms())
    world.topic.publish(incident("new", revision=2, status="resolved"), world.clock.now_ms())
    world.pager.is_down = False
    await world.start()
    await world.until_all_is_done()
    await world.stop()
    assert Counter((one.id, one.action) for one in world.pager.taken) == {
        (incident_id("open"), "trigger"): 1,
        (incident_id("new"), "trigger"): 1,
        (incident_id("new"), "resolve"): 1,
    }


@virtually
async def test_a_retry_is_not_behind_all_news() -> None:
    """While more incidents arrive than the pager takes, one that failed once gets its turn when it is due."""
    late = incident_id("late")
    world = World(Pager(random.Random(1), failing=0.0, at_once=1, fails_once={late}))
    await world.start()
    world.topic.publish(incident("late"), world.clock.now_ms())
    for number in range(1_200):
        world.topic.publish(incident(str(number)), world.clock.now_ms())
        await asyncio.sleep(0.01)
    place = [one.id for one in world.pager.taken].index(late)
    assert place < 100, "it was due after half a second"
    await world.kill()
