"""What people see of a group on a real broker: each member's services, everyone's incidents, alerts by choice."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any

from tests.kafka.broker import create_topics
from tests.kafka.evidence import AlertLog, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member, command, environment
from tests.kafka.topics import LOG_PARTITIONS, Topics

LINES = 400
SERVICES = 2 * LOG_PARTITIONS


def answer(member: Member, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(member.body(path) or "{}")
    return found


def has_a_half(member: Member) -> bool:
    return len(answer(member, "/api/v1/services").get("member", {}).get("partitions", [])) == LOG_PARTITIONS // 2


async def logwarden(*arguments: str, **settings: str) -> list[Any]:
    """Runs a command to its end. Returns the JSON lines that it prints."""
    ended = await asyncio.to_thread(
        subprocess.run,
        command(*arguments),
        env=environment({f"LOGWARDEN_{name}": value for name, value in settings.items()}),
        capture_output=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


async def test_people_see_every_service_and_incident_of_a_group(topics: Topics, forked_fleet: Fleet) -> None:
    """Two members show each service once between them, both show all incidents, and the commands show the same."""
    incidents = topics.named("incidents")
    await create_topics(topics.bootstrap, {incidents: 2}, configs={"cleanup.policy": "compact,delete"})
    settings: dict[str, object] = {"KAFKA__INCIDENTS_TOPIC": incidents, "INCIDENTS__LEAST_EVIDENCE": 0}
    members = [forked_fleet.start(**settings), forked_fleet.start(**settings)]
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        for member in members:
            await eventually(member.ready, READY_S, "ready members")
        await eventually(lambda: all(map(has_a_half, members)), 60, "two partitions each")
        sent = await traffic.send(LINES)
        await eventually(lambda: alerts.covers(sent), 60, "an alert for every line")

    def services() -> list[dict[str, Any]]:
        return [
            one for member in members for one in answer(member, "/api/v1/services?scope=member").get("services", [])
        ]

    await eventually(lambda: sum(one["lines"] for one in services()) == LINES, 20, "every line counted")
    shown = services()
    assert len({(one["name"], one["partition"]) for one in shown}) == len(shown) == SERVICES
    assert {one["state"] for one in shown} <= {"known", "noisy"}  # these members need no lines to learn
    assert 0 < sum(one["lines_per_minute"] for one in shown) <= LINES  # the look may come a minute later
    assert all(one["last_alert"]["score"] > 0 for one in shown)

    def all_of(member: Member) -> dict[str, int]:
        found = answer(member, "/api/v1/incidents?limit=500")
        return {one["id"]: one["logwarden"]["alerts"] for one in found.get("incidents", []) if not found["note"]}

    await eventually(lambda: sum(all_of(members[0]).values()) == LINES, 60, "incidents of every alert")
    await eventually(lambda: all_of(members[0]) == all_of(members[1]), 20, "the same incidents on both")

    urls = [part for member in members for part in ("--url", f"http://127.0.0.1:{member.port}")]
    [found] = await logwarden("status", *urls, "--json", "--limit", "0")
    assert [member["ready"] for member in found] == [True, True]
    assert sorted(one["name"] for member in found for one in member["services"]) == sorted(one["name"] for one in shown)
    assert found[0]["incidents"]["open"] >= 1

    name = shown[0]["name"]
    kafka = {"KAFKA__BOOTSTRAP_SERVERS": topics.bootstrap, "KAFKA__ALERTS_TOPIC": topics.alerts}
    for begin in ("--from-beginning", "--since=1h"):
        chosen = await logwarden("alerts", begin, "--no-follow", "--format", "jsonl", "--service", name, **kafka)
        assert len({alert["id"] for alert in chosen}) == sum(one["lines"] for one in shown if one["name"] == name)
    assert await logwarden("alerts", "--since=0s", "--no-follow", "--format", "jsonl", **kafka) == []
    assert [member.terminate() for member in members] == [0, 0]
