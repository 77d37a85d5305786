"""`logwarden mcp` beside a real daemon on a real broker: an agent reads what the daemon found, and nothing of Kafka."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client

from tests.kafka.broker import create_topics
from tests.kafka.evidence import AlertLog, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, Member, command, environment
from tests.kafka.topics import Topics

LINES = 120


async def asked(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Returns what a tool answers."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    answer: dict[str, Any] = result.structured_content
    return answer


async def look_at(client: Client, topics: Topics) -> str:
    """Looks at an incident with each tool, as an agent would. Returns its id."""
    listed = await asked(client, "list_incidents", state=["open"], limit=3)
    assert listed["incidents"]
    first = listed["incidents"][0]
    found = await asked(client, "explain_incident", id=first["id"])
    assert (found["origin"], found["severity"]) == (first["origin"], first["severity"])
    assert any(line.get("alerted") for line in found["window"]["lines"])  # read from the topics by the daemon
    patterns = await asked(
        client, "find_error_pattern_logs", name="now", labels={"service": first["origin"]}, start="1h"
    )
    assert any(first["id"] in one["incidents"] for one in patterns["patterns"])
    history = await asked(client, "service_history", service=first["origin"])
    assert history["standings"][0]["topic"] == topics.logs
    assert history["standings"][0]["last_score"] > 0
    assert first["id"] in [one["id"] for one in history["incidents"]]
    return str(first["id"])


async def test_an_agent_reads_what_a_daemon_found(topics: Topics, forked_fleet: Fleet) -> None:
    """Over standard input and over HTTP, a client of the SDK reads the same incident of a running daemon."""
    incidents = topics.named("incidents")
    await create_topics(topics.bootstrap, {incidents: 2}, configs={"cleanup.policy": "compact,delete"})
    member = forked_fleet.start(KAFKA__INCIDENTS_TOPIC=incidents, INCIDENTS__LEAST_EVIDENCE=0)
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        await eventually(member.ready, READY_S, "a ready member")
        sent = await traffic.send(LINES)
        await eventually(lambda: alerts.covers(sent), 60, "an alert for every line")

    def all_folded() -> bool:
        found = json.loads(member.body("/api/v1/incidents?limit=500") or "{}")
        return sum(int(one["logwarden"]["alerts"]) for one in found.get("incidents", [])) == LINES

    await eventually(all_folded, 60, "incidents of every alert")
    url = f"http://127.0.0.1:{member.port}"
    bare = environment({"LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})  # it reads no topic
    program = command("mcp", "--url", url)
    parameters = StdioServerParameters(command=program[0], args=program[1:], env=bare)
    async with Client(stdio_client(parameters)) as client:
        seen = await look_at(client, topics)
    assert await over_http(member, topics) == seen
    assert member.terminate() == 0


async def over_http(member: Member, topics: Topics) -> str:
    """Asks a server that listens. Returns the incident at which a client looked."""
    with listening(f"http://127.0.0.1:{member.port}") as url:
        async with Client(url) as client:
            return await look_at(client, topics)


@contextmanager
def listening(daemon: str) -> Iterator[str]:
    """Starts a server on a free port, and yields its URL."""
    program = command("mcp", "--url", daemon, "--http", "0")
    variables = environment({"LOGWARDEN_LOG__FORMAT": "json"})
    with subprocess.Popen(program, env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield json.loads(process.stderr.readline())["url"]
        finally:
            process.kill()
