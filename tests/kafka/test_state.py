"""What services have learned, on a real broker: it is the same after a kill, a join and a new partition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from tests.kafka.broker import create_topics
from tests.kafka.evidence import AlertLog, Group, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S
from tests.kafka.topics import LOG_PARTITIONS, Topics

COMPACTED = {"cleanup.policy": "compact"}
LINES = 600
SETTINGS: Mapping[str, object] = {
    "LOG__LEVEL": "debug",
    "KAFKA__MAX_CONTEXT_RECORDS": 400,  # a cut of the state every hundred records
    "JOIN__ENABLED": "false",  # every service logs in the order of its offsets, so that two runs are equal
}


LAST_DIGIT = 1.01e-4
"""Of weights and logits. Sums of float32 depend on the other windows of a batch, and may round that digit otherwise.
A line that was counted once more or less changes the digits before it."""


class Everything(AlertLog):
    """Keeps all alerts."""

    KEPT = 100_000

    def by_id(self) -> dict[str, list[dict[str, Any]]]:
        """Returns what the alerts say by their ids, without the times of publication."""
        found: dict[str, list[dict[str, Any]]] = {}
        for record in self.records:
            alert = msgspec.json.decode(record.value)
            del alert["event"], alert["logwarden"]["detection_delay_ms"]
            found.setdefault(alert["id"], []).append(alert)
        return found


async def test_alerts_after_a_kill_and_a_join_are_those_of_an_undisturbed_member(
    topics: Topics, forked_fleet: Fleet
) -> None:
    """A group whose members are killed and joined says of each line what a member says that nothing disturbs."""
    state, calm_state = topics.named("state"), topics.named("calm-state")
    calm_alerts = topics.named("calm-alerts")
    await create_topics(topics.bootstrap, {state: LOG_PARTITIONS, calm_state: LOG_PARTITIONS}, configs=COMPACTED)
    await create_topics(topics.bootstrap, {calm_alerts: 1})
    calm = forked_fleet.start(
        **SETTINGS,
        KAFKA__GROUP_ID=topics.named("calm"),
        KAFKA__ALERTS_TOPIC=calm_alerts,
        KAFKA__STATE_TOPIC=calm_state,
    )
    first = forked_fleet.start(**SETTINGS, KAFKA__STATE_TOPIC=state)
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        Everything.reading(topics.bootstrap, topics.alerts) as alerts,
        Everything.reading(topics.bootstrap, calm_alerts) as calm_log,
    ):
        await eventually(lambda: calm.ready() and first.ready(), READY_S, "ready members")
        sent = await traffic.send(LINES)
        await eventually(lambda: alerts.covers(sent), 60, "an alert for every line")
        first.kill()
        second = forked_fleet.start(**SETTINGS, KAFKA__STATE_TOPIC=state)
        await traffic.send(LINES)
        await eventually(second.ready, READY_S, "a second member")
        await eventually(lambda: alerts.covers(traffic.sent), 60, "an alert for every line")
        third = forked_fleet.start(**SETTINGS, KAFKA__STATE_TOPIC=state)
        await traffic.send(LINES)
        await eventually(third.ready, READY_S, "a third member")
        second.kill()
        await traffic.send(LINES)
        await eventually(lambda: alerts.covers(traffic.sent), 60, "an alert for every line")
        await eventually(lambda: calm_log.covers(traffic.sent), 60, "the same of the calm group")
        assert third.metric("logwarden_state_restored_services_total") > 0
        wanted, found = calm_log.by_id(), alerts.by_id()
    assert found.keys() == wanted.keys()
    differ = [
        (one, wanted[name][0])
        for name, all_of_it in found.items()
        for one in all_of_it
        if not says_the_same(one, wanted[name][0])
    ]
    assert not differ, f"{len(differ)} alerts differ: {differ[0]}"


async def test_a_service_in_other_partitions_is_not_blind_when_one_is_added(
    topics: Topics, forked_fleet: Fleet
) -> None:
    """Services whose partitions stay know their past after a partition was added to the topic."""
    state = topics.named("state")
    await create_topics(topics.bootstrap, {state: LOG_PARTITIONS}, configs=COMPACTED)
    member = forked_fleet.start(**SETTINGS, KAFKA__STATE_TOPIC=state)
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        Everything.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        await eventually(member.ready, READY_S, "a ready member")
        await eventually(_covers(alerts, await traffic.send(LINES)), 60, "an alert for every line")
        admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap)
        await admin.start()
        await admin.create_partitions({topics.logs: NewPartitions(LOG_PARTITIONS + 1)})
        await admin.close()
        await eventually(
            lambda: member.metric("logwarden_partitions") == LOG_PARTITIONS + 1, 60, "one more partition assigned"
        )
        await eventually(_covers(alerts, await traffic.send(LINES)), 60, "an alert for every line")
        lines: dict[str, int] = {}
        for place in traffic.sent:
            lines[place.service] = lines.get(place.service, 0) + 1
        known: dict[str, int] = {}
        for all_of_it in alerts.by_id().values():
            name, past = all_of_it[0]["service"]["name"], all_of_it[0]["logwarden"]["history_lines"]
            known[name] = max(known.get(name, 0), past)
    assert {name: count - 1 for name, count in lines.items()} == known


def says_the_same(one: Any, other: Any) -> bool:
    """Compares two alerts field by field: everything exactly, and numbers with a fraction up to their last digit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(says_the_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(says_the_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= LAST_DIGIT
    return bool(one == other)


def _covers(alerts: AlertLog, sent: Any) -> Any:
    return lambda: alerts.covers(sent)


async def test_the_first_fault_after_a_kill_is_found(topics: Topics, forked_fleet: Fleet) -> None:
    """Services that a killed member knew are judged by their past from the first line on."""
    state = topics.named("state")
    await create_topics(topics.bootstrap, {state: LOG_PARTITIONS}, configs=COMPACTED)
    settings: dict[str, object] = {
        "KAFKA__STATE_TOPIC": state,
        "KAFKA__MAX_CONTEXT_RECORDS": 4_000,
        "MODEL__PATH": "",
        "ALERTS__THRESHOLD": "",
        "ALERTS__LEARNING_LINES": 1_000,
        "WINDOW__SIZE": 32,
    }
    group = Group(topics.bootstrap, topics.group, topics.logs, LOG_PARTITIONS)
    first = forked_fleet.start(**settings)
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        Everything.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        await eventually(first.ready, READY_S, "a ready member")
        for _ in range(5):
            await traffic.send(8 * 300)
        await eventually(group.is_done, 60, "every line judged")
        first.kill()
        second = forked_fleet.start(**settings)
        await eventually(second.ready, READY_S, "a second member")
        await traffic.send(8 * 20)
        faults = await traffic.send(8 * 8, line=b"CRITICAL disk failure detected on sda: I/O error, sector 81")
        services = {place.service for place in faults}
        await eventually(lambda: _alerted(alerts, services), 60, f"an alert of each of {sorted(services)}")


async def _alerted(alerts: Everything, services: set[str]) -> bool:
    await alerts.read()
    found = [one[0] for one in alerts.by_id().values()]
    return services <= {alert["service"]["name"] for alert in found if "disk failure" in alert["message"]}
