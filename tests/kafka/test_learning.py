"""What a group knows on a real broker: at its first start, and after each disturbance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from tests.kafka.broker import create_topics
from tests.kafka.evidence import Group, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member
from tests.kafka.test_state import COMPACTED, Everything
from tests.kafka.topics import LOG_PARTITIONS, Topics

SERVICES, MANY = 40, 100
SHIPPED: dict[str, object] = {
    "MODEL__PATH": "",
    "ALERTS__THRESHOLD": "",
    "ALERTS__LEARNING_LINES": 100,
    "WINDOW__SIZE": 32,
    "JOIN__ENABLED": "false",
}


async def test_the_first_fault_after_the_first_start_is_found(topics: Topics, forked_fleet: Fleet) -> None:
    """Two members that start together learn the topic's past: none of it is an alert, and the next fault is."""
    state = topics.named("state")
    await create_topics(topics.bootstrap, {state: LOG_PARTITIONS}, configs=COMPACTED)
    settings = {**SHIPPED, "KAFKA__STATE_TOPIC": state, "KAFKA__FIRST_START": "latest"}
    async with (
        Traffic.to(topics.bootstrap, topics.logs, services=SERVICES) as traffic,
        Everything.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        past = await traffic.send(SERVICES * 200)
        await traffic.send_of(range(0, SERVICES, 2), line=b"ERROR quota of tenant exceeded, request refused")
        ends = dict.fromkeys(range(LOG_PARTITIONS), 0)
        for place in traffic.sent:
            ends[place.partition] = max(ends[place.partition], place.offset + 1)
        members = [forked_fleet.start(**settings) for _ in range(2)]
        await eventually(lambda: all(member.ready() for member in members), READY_S, "two ready members")
        await eventually(
            lambda: sum(member.metric("logwarden_learned_records_total") for member in members) >= len(past),
            READY_S,
            "the past learned",
        )
        await traffic.send(SERVICES * 2)
        faults = await traffic.send_faults(0)
        await eventually(lambda: alerts.covers(faults), READY_S, "an alert of every service")
        judged = [place for place in alerts.places if place.offset < ends[place.partition]]
    assert not judged
    assert sum(member.metric("logwarden_learning_partitions") for member in members) == 0


@dataclass(frozen=True, slots=True)
class Disturbed:
    """A group that a case disturbs, with its one member so far."""

    topics: Topics
    fleet: Fleet
    settings: dict[str, object]
    member: Member
    calm: Member

    def start(self, **settings: object) -> Member:
        """Starts one more member of the group."""
        return self.fleet.start(**self.settings, **settings)

    async def has(self, member: Member, partitions: int) -> None:
        """Waits until a member has this number of partitions."""
        await eventually(
            lambda: member.ready() and member.metric("logwarden_partitions") == partitions, READY_S, "its partitions"
        )


async def restart(group: Disturbed) -> None:
    assert group.member.terminate() == 0
    await group.has(group.start(), LOG_PARTITIONS)


async def join(group: Disturbed) -> None:
    await group.has(group.start(), LOG_PARTITIONS // 2)


async def leave(group: Disturbed) -> None:
    stays = group.start()
    await group.has(stays, LOG_PARTITIONS // 2)
    assert group.member.terminate() == 0
    await group.has(stays, LOG_PARTITIONS)


async def add_a_partition(group: Disturbed) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=group.topics.bootstrap)
    await admin.start()
    await admin.create_partitions({group.topics.logs: NewPartitions(LOG_PARTITIONS + 1)})
    await admin.close()
    for member in (group.member, group.calm):
        await group.has(member, LOG_PARTITIONS + 1)


async def evict(group: Disturbed) -> None:
    assert group.member.terminate() == 0
    small = group.start(LIMITS__MAX_SERVICES=MANY // 3)
    await group.has(small, LOG_PARTITIONS)


@pytest.mark.parametrize("disturb", [restart, join, leave, add_a_partition, evict])
async def test_faults_are_found_as_without_the_disturbance(
    topics: Topics, forked_fleet: Fleet, disturb: Callable[[Disturbed], Awaitable[None]]
) -> None:
    """A hundred services fail after a disturbance: the faults found are those that an undisturbed member finds."""
    names = [topics.named(name) for name in ("state", "calm-state")]
    calm_alerts, calm_name = topics.named("calm-alerts"), topics.named("calm")
    await create_topics(topics.bootstrap, dict.fromkeys(names, LOG_PARTITIONS), configs=COMPACTED)
    await create_topics(topics.bootstrap, {calm_alerts: 1})
    settings = {**SHIPPED, "KAFKA__STATE_TOPIC": names[0]}
    calm_settings = {"KAFKA__STATE_TOPIC": names[1], "KAFKA__GROUP_ID": calm_name, "KAFKA__ALERTS_TOPIC": calm_alerts}
    calm, member = forked_fleet.start(**{**SHIPPED, **calm_settings}), forked_fleet.start(**settings)
    groups = [Group(topics.bootstrap, name, topics.logs, LOG_PARTITIONS) for name in (topics.group, calm_name)]
    async with (
        Traffic.to(topics.bootstrap, topics.logs, services=MANY) as traffic,
        Everything.reading(topics.bootstrap, topics.alerts) as alerts,
        Everything.reading(topics.bootstrap, calm_alerts) as calm_log,
    ):
        await eventually(lambda: calm.ready() and member.ready(), READY_S, "ready members")
        await traffic.send(MANY * 150)
        for group in groups:
            await eventually(group.is_done, READY_S, "the past judged")
        await disturb(Disturbed(topics, forked_fleet, settings, member, calm))
        await traffic.send(MANY * 3)
        faults = await traffic.send_faults(0)
        for group in groups:
            await eventually(group.is_done, READY_S, "the faults judged")
        await alerts.read_to_end()
        await calm_log.read_to_end()
    found, wanted = ({place for place in faults if place in log.places} for log in (alerts, calm_log))
    print(f"{disturb.__name__}: {len(found)} of {len(faults)} found, {len(wanted)} without the disturbance")
    assert found == wanted
    assert len(wanted) > MANY / 2
    if disturb is evict:
        assert forked_fleet.members[-1].metric("logwarden_evicted_services_total") > 0
