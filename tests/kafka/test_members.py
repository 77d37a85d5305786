"""One daemon, and a group of them, against a real broker: no line is lost when members join, leave, or are killed."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from functools import partial
from importlib import resources

import jsonschema

from tests.kafka.evidence import AlertLog, Group, Traffic, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import EXIT_S, READY_S, Member, command, environment, has_loaded
from tests.kafka.topics import LOG_PARTITIONS, Topics

SCHEMA = json.loads(
    resources.files("logwarden.daemon.incidents").joinpath("alert.schema.json").read_text(encoding="utf-8")
)


def group_of(topics: Topics) -> Group:
    return Group(topics.bootstrap, topics.group, topics.logs, LOG_PARTITIONS)


def has_half(member: Member) -> bool:
    """Returns True once the member is ready with half of the partitions."""
    return member.ready() and member.metric("logwarden_partitions") == LOG_PARTITIONS // 2


async def test_one_member_scores_every_line_and_drains(topics: Topics, fleet: Fleet) -> None:
    """Every line is scored once and committed, SIGTERM ends the daemon with 0, and its alerts fit the schema."""
    member = fleet.start(MODEL__DEVICE="cpu")
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        sent = await traffic.send(500)
        await eventually(member.ready, READY_S, "a ready member")
        await eventually(lambda: alerts.covers(sent), 30, "an alert for every line")
        assert not has_loaded(member.pid, "libtorch"), "a CPU needs no PyTorch"
        await eventually(group_of(topics).is_done, 10, "lag 0")
        more = await traffic.send(100)
        member.signal(signal.SIGTERM)
        assert member.wait(EXIT_S) == 0
        assert member.events("drained")[0]["everything_done"]
        committed, ends = await group_of(topics).committed(), await group_of(topics).ends()
        assert all(entry.offset <= ends[partition] for partition, entry in committed.items())
        done = [place for place in sent + more if place.offset < committed[place.partition].offset]
        await eventually(lambda: alerts.covers(done), 10, "an alert for whatever is committed")
        findings = alerts.findings(done)
    assert (findings.ids_that_differ, findings.ids_shared, findings.delivered_again) == (0, 0, 0)
    _assert_well_formed(alerts)
    _assert_tail_shows(topics, 3)


def _assert_well_formed(alerts: AlertLog) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    assert alerts.records
    for record in alerts.records:
        alert = json.loads(record.value)
        validator.validate(alert)
        headers = {name: value.decode() for name, value in record.headers}
        assert record.key.decode() == alert["service"]["name"]
        assert headers["ce_specversion"] == "1.0"
        assert headers["ce_id"] == alert["id"]
        assert headers["ce_type"] == "logwarden.alert.v1"
        assert headers["ce_source"].startswith("/logwarden/")
        assert headers["ce_time"] == alert["@timestamp"]
        assert headers["content-type"] == "application/json"


def _assert_tail_shows(topics: Topics, count: int) -> None:
    """`logwarden alerts` reads the same topic."""
    shown = subprocess.run(
        command("alerts", "--from-beginning", "--limit", str(count), "--format", "jsonl"),
        env=environment(
            {
                "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": topics.bootstrap,
                "LOGWARDEN_KAFKA__ALERTS_TOPIC": topics.alerts,
            }
        ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert len(lines) == count
    for line in lines:
        jsonschema.validate(json.loads(line), SCHEMA)


async def test_a_second_signal_ends_a_drain_that_is_stuck(topics: Topics, fleet: Fleet) -> None:
    """A drain waits for alerts that cannot be delivered, and a second signal ends it."""
    member = fleet.start(KAFKA__ALERTS_TOPIC=topics.named("no-such-topic"))
    async with Traffic.to(topics.bootstrap, topics.logs) as traffic:
        await traffic.send(20)
    await eventually(lambda: member.metric("logwarden_scored_lines_total") >= 20, READY_S, "scored lines")
    member.signal(signal.SIGTERM)
    await eventually(lambda: member.events("draining"), 10, "the drain")
    assert member.is_running
    second_signal_at = time.monotonic()
    member.signal(signal.SIGTERM)
    assert member.wait(10) == 1
    assert time.monotonic() - second_signal_at < 5
    assert member.events("stopped_at_once")


async def test_members_come_and_go_while_lines_keep_coming(topics: Topics, fleet: Fleet) -> None:
    """Two members share the partitions; one leaves and another joins, and every line is scored with one id."""
    leaving, staying = fleet.start(), fleet.start()
    async with (
        Traffic.to(topics.bootstrap, topics.logs) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        async with traffic.flowing(100):
            for member in (leaving, staying):
                await eventually(partial(has_half, member), READY_S, "half of them")
            joining = fleet.start()
            assert leaving.terminate() == 0
            await eventually(partial(has_half, joining), READY_S, "its share")
            await traffic.send(100)
        await eventually(lambda: alerts.covers(traffic.sent), 30, "an alert for every line")
        await eventually(group_of(topics).is_done, 10, "lag 0")
        findings = alerts.findings(traffic.sent)
    assert findings.faults == 0, findings


async def test_a_restart_keeps_windows_whole(topics: Topics, fleet: Fleet) -> None:
    """The first new line after a restart is scored in the context of the lines before the restart."""
    before = fleet.start()
    async with (
        Traffic.to(topics.bootstrap, topics.logs, partitions=1) as traffic,
        AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
    ):
        old = await traffic.send(60)
        await eventually(lambda: alerts.covers(old), READY_S, "the lines before")
        await eventually(group_of(topics).is_done, 10, "lag 0")
        assert before.terminate() == 0
        fleet.start()
        new = await traffic.send(2)
        await eventually(lambda: alerts.covers(new), READY_S, "the lines after")
        (window,) = alerts.places[new[0]].windows
        findings = alerts.findings(old + new)
    own = [place.offset for place in old if place.service == new[0].service]
    assert window == (*own[-7:], new[0].offset)
    assert findings.faults == 0, findings
    assert findings.delivered_again == 0, "context is not judged again"
