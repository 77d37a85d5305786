"""Runs every query of the dashboard, the rules and the autoscaler on a real Prometheus that scrapes a real daemon."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.deploy.dashboard import EMPTY, queries
from tests.deploy.rules import RULES, rules_of
from tests.deploy.tools import ROOT, tool
from tests.deploy.world import World, one_daemon, until
from tests.kafka.lines import fault, usual
from tests.kafka.member import command, environment
from tests.kafka.ports import free_ports

JOB = "logwarden"
STARTING = 503
"""Status of a Prometheus that does not serve yet."""
SECONDS = 25
"""Of lines, so that every rate has its points."""


async def check_scraped() -> list[str]:
    """Runs the checks. Returns a sentence for each."""
    async with one_daemon(HTTP__SERVICE_CLASSES="web=web-*") as world:
        port, bridge_port, pager_port = free_ports(3)
        bridge = _start_bridge(world, bridge_port, pager_port)
        prometheus = _start(world, port, bridge_port)
        try:
            base = f"http://127.0.0.1:{port}"
            await until(lambda: _samples(base, "logwarden_bridge_build_info"), "the bridge is scraped", 60)
            await _write_lines(world)
            await until(lambda: _samples(base, "logwarden:ready:ratio"), "a recording rule has a value", 60)
            found = [await asyncio.to_thread(_check_dashboard, base), await asyncio.to_thread(_check_rules, base)]
            found.append(_check_conventions(world))
            return found
        finally:
            for process in (prometheus, bridge):
                process.terminate()
            for process in (prometheus, bridge):
                process.wait(20)


def _start_bridge(world: World, port: int, pager_port: int) -> subprocess.Popen[bytes]:
    """Starts a bridge to a pager that is away, so that something waits."""
    settings = {
        "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": world.topics.bootstrap,
        "LOGWARDEN_KAFKA__INCIDENTS_TOPIC": world.topics.named("incidents"),
        "LOGWARDEN_BRIDGE__HTTP_PORT": str(port),
        "LOGWARDEN_BRIDGE__DEAD_LETTER_TOPIC": "none",
        "LOGWARDEN_BRIDGE__WEBHOOK_URL": f"http://127.0.0.1:{pager_port}/",
    }
    with (world.folder / "bridge.log").open("wb") as log:
        return subprocess.Popen(command("bridge"), env=environment(settings), stdout=log, stderr=log, cwd=ROOT)


def _start(world: World, port: int, bridge_port: int) -> subprocess.Popen[bytes]:
    rules = world.folder / "rules"
    rules.mkdir()
    for path in RULES:
        (rules / path.name).write_text(path.read_text(encoding="utf-8").replace("interval: 30s", "interval: 1s"))
    scrape = {
        "job_name": JOB,
        "static_configs": [{"targets": [f"127.0.0.1:{one}" for one in (world.member.port, bridge_port)]}],
    }
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{rules}/*.yaml"],
        "scrape_configs": [scrape],
    }
    path = world.folder / "prometheus.yml"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    options = (f"--config.file={path}", f"--storage.tsdb.path={world.folder}/tsdb")
    with (world.folder / "prometheus.log").open("wb") as log:
        return subprocess.Popen(
            [tool("prometheus"), *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )


async def _write_lines(world: World) -> None:
    """Sends lines of every day, failures, and records that have no line."""
    producer = AIOKafkaProducer(bootstrap_servers=world.topics.bootstrap)
    await producer.start()
    try:
        for number in range(SECONDS * 5):
            service = f"{'web' if number % 2 else 'db'}-{number % 3}"
            line = fault(number, 3) if number % 10 == 0 else usual(number)
            record = json.dumps({"service": service, "message": line.decode()}).encode()
            await producer.send(world.topics.logs, record, key=service.encode())
            if number % 10 == 0:
                await producer.send(world.topics.logs, b"\x7fELF" + bytes(60), key=b"binary")
            await asyncio.sleep(0.2)
    finally:
        await producer.stop()


def _check_dashboard(base: str) -> str:
    asked_all = list(queries())
    empty = []
    for title, expression in asked_all:
        asked = expression.replace("$job", JOB).replace("$__rate_interval", "20s")
        assert "$" not in asked, f"{title}: a variable that this check does not know: {expression}"
        is_excused = any(name in expression for name in EMPTY)
        if not _samples(base, asked):
            assert is_excused, f"the panel {title!r} has no data: {asked}"
            empty.append(title)
    return f"{len(asked_all)} queries of the dashboard run, {len(empty)} of them empty on a daemon that is well"


def _check_rules(base: str) -> str:
    groups = _get(base, "/api/v1/rules", {})["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    sick = [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
    assert not sick, sick
    defined = rules_of(*RULES)
    assert len(rules) == len(defined), "Prometheus has every rule"
    recorded = {rule["record"] for rule in defined if "record" in rule}
    without = sorted(name for name in recorded if not _samples(base, name))
    assert not without, f"recorded nothing: {without}"
    firing = {rule["name"] for rule in rules if rule["type"] == "alerting" and rule["state"] == "firing"}
    assert firing <= {"LogwardenCriticalIncident"}, f"fire on a daemon that is well: {firing}"
    return f"{len(rules)} rules run on a real daemon, {len(firing)} fire"


def _check_conventions(world: World) -> str:
    """Asks Prometheus' own linter about the names of the daemon's metrics."""
    text = world.member.body("/metrics")
    linter = [tool("promtool"), "check", "metrics"]
    done = subprocess.run(linter, input=text, capture_output=True, text=True, check=False)  # 3: it has complaints
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("logwarden_")]
    assert not complaints, complaints
    return f"promtool has no complaint about {len(re.findall('^# TYPE logwarden_', text, re.M))} metrics"


def _samples(base: str, expression: str) -> list[Any]:
    try:
        answer = _get(base, "/api/v1/query", {"query": expression})
    except OSError as error:
        if isinstance(error, urllib.error.HTTPError) and error.code != STARTING:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        return []
    found: list[Any] = answer["result"]
    return found


def _get(base: str, path: str, parameters: dict[str, str]) -> Any:
    with urllib.request.urlopen(f"{base}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]
