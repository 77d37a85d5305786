"""The services of a whole group on a real broker, whichever member is asked."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.request
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from logwarden.daemon.kafka.group import KafkaGroup
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.kafka.evidence import AlertLog, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member
from tests.kafka.topics import LOG_PARTITIONS, Topics

PATIENT: dict[str, object] = {"KAFKA__SESSION_TIMEOUT_MS": 45_000, "KAFKA__REBALANCE_TIMEOUT_MS": 45_000}
"""Timeouts within which a member that is frozen or restarted stays in the group."""
TOKEN = "open sesame"
LINES = 240
SERVICES = 2 * LOG_PARTITIONS


def services_of(member: Member, query: str = "limit=1000") -> dict[str, Any]:
    """Returns a member's answer; without one nothing."""
    url = f"http://127.0.0.1:{member.port}/api/v1/services?{query}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
    except OSError:
        return {}
    return found


def names(answer: dict[str, Any]) -> list[tuple[str, int]]:
    return [(one["name"], one["partition"]) for one in answer.get("services", [])]


def shows(member: Member, *, members: int, services: int = SERVICES) -> bool:
    """Returns True if a member's answer has the services of this number of members, and nothing is missing."""
    answer = services_of(member)
    return len(answer.get("members", [])) == members and answer["note"] == "" and len(answer["services"]) == services


def partitions(answer: dict[str, Any]) -> list[int]:
    return sorted(one["partition"] for member in answer["members"] for one in member["partitions"])


async def filled(topics: Topics, members: Collection[Member]) -> None:
    """Sends lines once every member has partitions, and waits until all of them are judged."""
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        for member in members:
            await eventually(member.ready, READY_S, "ready members")
        await eventually(lambda: all(member.metric("logwarden_partitions") > 0 for member in members), 60, "a division")
        sent = await traffic.send(LINES)
        await eventually(lambda: alerts.covers(sent), 60, "an alert for every line")


async def test_each_of_three_members_shows_the_whole_group(topics: Topics, forked_fleet: Fleet) -> None:
    """Whichever member is asked, every service is there once, in pages too; one that is frozen is named, and one that
    left is not missed."""
    members = [forked_fleet.start(**PATIENT) for _ in range(3)]
    await filled(topics, members)
    await eventually(lambda: all(shows(one, members=3) for one in members), 30, "all services of three members")
    first, other, frozen = members
    whole = services_of(first)
    assert names(whole) == sorted(set(names(whole)))
    assert names(services_of(other)) == names(services_of(frozen)) == names(whole)
    assert partitions(whole) == list(range(LOG_PARTITIONS))
    assert sum(one["lines"] for one in whole["services"]) == LINES
    assert sum(whole["states"].values()) == whole["total"] == SERVICES
    own = [names(services_of(member, "scope=member")) for member in members]
    assert sorted(one for part in own for one in part) == names(whole)
    assert all(services_of(member, "scope=member")["members"] == [] for member in members)
    paged, after = [], ""
    while after is not None:
        page = services_of(first, f"limit=3{after and f'&after={after}'}")
        paged += names(page)
        after = page["next"]
    assert paged == names(whole)

    frozen.signal(signal.SIGSTOP)
    try:
        # An answer serves others who ask the same for a second.
        await eventually(lambda: asyncio.to_thread(lambda: services_of(first)["note"]), 30, "a member is missing")
        late = await asyncio.to_thread(services_of, first)
        assert len(late["services"]) == SERVICES - len(own[2])
        assert late["note"].startswith("2 of 3 members answered; services of the others are missing.")
        [missing] = [one for one in late["members"] if one["missing"]]
        assert (missing["missing"], missing["version"]) == ("it gave no answer within 1 s", None)
        assert partitions(late) == list(range(LOG_PARTITIONS)), "what is missing has its partitions"
        again = await asyncio.to_thread(services_of, first)
        assert again["note"] == late["note"]
    finally:
        frozen.signal(signal.SIGCONT)
    assert frozen.terminate() == 0
    await eventually(
        lambda: all(len(services_of(one).get("members", [])) == 2 for one in (first, other)), 30, "two members"
    )
    assert [member.terminate() for member in (first, other)] == [0, 0]


async def test_members_of_earlier_releases_share_the_group(topics: Topics, forked_fleet: Fleet) -> None:
    """In a rolling upgrade an old member joins and leaves by eager rebalances, and is named as long as it is there."""
    member = forked_fleet.start()
    await eventually(lambda: member.metric("logwarden_partitions") == LOG_PARTITIONS, READY_S, "every partition")
    old = AIOKafkaConsumer(
        topics.logs,
        bootstrap_servers=topics.bootstrap,
        group_id=topics.group,
        client_id="an-earlier-release",
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        enable_auto_commit=False,
        session_timeout_ms=6_000,
        rebalance_timeout_ms=6_000,
        heartbeat_interval_ms=500,
    )
    await old.start()
    try:
        await eventually(lambda: len(old.assignment()) == LOG_PARTITIONS // 2, 30, "half of the partitions")
        await eventually(lambda: member.metric("logwarden_partitions") == LOG_PARTITIONS // 2, 30, "the other half")
        await eventually(lambda: len(services_of(member).get("members", [])) == 2, 30, "both members")
        [missing] = [one for one in services_of(member)["members"] if one["missing"]]
        assert missing["missing"] == "it is of an earlier release, which publishes no address"
        assert "an-earlier-release" in missing["name"]
        assert len(missing["partitions"]) == LOG_PARTITIONS // 2
        group = KafkaGroup(KafkaSettings(bootstrap_servers=topics.bootstrap, group_id=topics.group))
        described = await group.describe()
        assert described.is_stable
        assert sorted(one.card is None for one in described.members) == [False, True]
    finally:
        await old.stop()
    await eventually(lambda: member.metric("logwarden_partitions") == LOG_PARTITIONS, 30, "every partition again")
    await eventually(lambda: services_of(member).get("note") == "", 30, "nobody missing")
    assert member.terminate() == 0


async def test_a_static_member_that_restarts_is_asked_at_its_new_address(topics: Topics, forked_fleet: Fleet) -> None:
    """Without a rebalance the group has the card of the new process; and members prove that they have the token."""
    settings = PATIENT | {"HTTP__TOKEN": TOKEN, "HTTP__TOKEN_FOR_READS": True}
    first = forked_fleet.start(KAFKA__GROUP_INSTANCE_ID="first", **settings)
    second = forked_fleet.start(KAFKA__GROUP_INSTANCE_ID="second", **settings)
    await filled(topics, [first, second])
    await eventually(lambda: shows(first, members=2), 30, "all services")
    rebalances = first.metric("logwarden_revoked_partitions_total")
    second.kill()
    again = forked_fleet.start(KAFKA__GROUP_INSTANCE_ID="second", **settings)
    await eventually(again.ready, READY_S, "the second process")
    await eventually(
        lambda: shows(first, members=2) and f"/{again.pid}" in str(services_of(first)["members"]),
        40,
        "all services, of the new process too",
    )
    assert first.status("/api/v1/services") == 401
    assert first.metric("logwarden_revoked_partitions_total") == rebalances
    assert [member.terminate() for member in (first, again)] == [0, 0]
