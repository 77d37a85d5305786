"""Each destination as the settings build it, against a server on loopback: address, headers, secrets, test message."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from rich.console import Console

from logwarden.daemon.bridges.building import choice_of, destinations_of
from logwarden.daemon.bridges.choice import IncidentChoice, is_worse
from logwarden.daemon.bridges.notice import Action, Notice
from logwarden.daemon.clock import SystemClock
from logwarden.daemon.commands.bridge import Bridge, check_destinations, group_settings
from logwarden.daemon.errors import ConfigurationError, DestinationUnavailable, FatalError, NoticeRefused
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from tests.bridge_stand_ins import Answer, Receiver, incident, incident_id, receiver

OPEN = Notice(record=incident(), action=Action.TRIGGER)
OVER = Notice(record=incident(status="resolved", revision=2), action=Action.RESOLVE, announced=incident())


def given(**settings: object) -> Settings:
    """Returns settings of the bridge."""
    return read_settings({f"LOGWARDEN_BRIDGE__{name}": str(value) for name, value in settings.items()})


async def deliver(notice: Notice, **settings: object) -> None:
    """Delivers a notice to the one destination of these settings."""
    [destination] = destinations_of(given(**settings), SystemClock())
    try:
        await destination.deliver(notice)
        await destination.remind([notice.record])
    finally:
        await destination.close()


def all_of(server: Receiver) -> Mapping[str, object]:
    """Returns settings of every destination of HTTP, at one server."""
    return {
        "ALERTMANAGER_URLS": server.url,
        "PAGERDUTY_URL": f"{server.url}/pagerduty",
        "PAGERDUTY_ROUTING_KEY": "k",
        "OPSGENIE_URL": f"{server.url}/opsgenie",
        "OPSGENIE_API_KEY": "k",
        "SLACK_URL": f"{server.url}/slack",
        "WEBHOOK_URL": f"{server.url}/webhook",
        "OTLP_URL": f"{server.url}/otlp",
    }


async def test_pagerduty_gets_trigger_and_resolve(tmp_path: Path) -> None:
    """The key of the integration comes from its file, which may change while the bridge runs."""
    file = tmp_path / "key"
    async with receiver(lambda _: Answer(status=202)) as server:
        for key, notice in (("first", OPEN), ("second", OVER)):
            file.write_text(f"{key}\n")
            await deliver(notice, PAGERDUTY_URL=server.url, PAGERDUTY_ROUTING_KEY_FILE=file)
    begin, end = (request.json for request in server.taken)
    assert (begin["routing_key"], begin["event_action"], begin["dedup_key"]) == ("first", "trigger", incident_id("one"))
    assert end == {"routing_key": "second", "event_action": "resolve", "dedup_key": incident_id("one")}


async def test_opsgenie_creates_and_closes_by_the_alias() -> None:
    """The end goes to the alert that the begin made."""
    async with receiver(lambda _: Answer(status=202)) as server:
        for notice in (OPEN, OVER):
            await deliver(notice, OPSGENIE_URL=f"{server.url}/v2/alerts", OPSGENIE_API_KEY="secret")
    assert [request.path for request in server.taken] == [
        "/v2/alerts",
        f"/v2/alerts/{incident_id('one')}/close?identifierType=alias",
    ]
    assert {request.headers["Authorization"] for request in server.taken} == {"GenieKey secret"}
    assert server.taken[0].json["priority"] == "P2"


async def test_slack_gets_a_message() -> None:
    """The address itself is the secret."""
    async with receiver() as server:
        await deliver(OPEN, SLACK_URL=f"{server.url}/services/T0/B0/x")
    [request] = server.taken
    assert request.path == "/services/T0/B0/x"
    assert request.json["text"].startswith("ERROR: db-1: PANIC")


@pytest.mark.parametrize("url", ["hooks.slack.com", "ftp://x", "https://", "http://[x"])
async def test_a_wrong_address_of_a_chat_is_named_and_not_shown(url: str) -> None:
    """The address is a secret, so the sentence does not contain it."""
    with pytest.raises(DestinationUnavailable, match="is no URL") as caught:
        await deliver(OPEN, SLACK_URL=url)
    assert url not in str(caught.value)


async def test_otlp_gets_protobuf_and_a_partial_success_is_a_refusal() -> None:
    """A collector that answers 200 and rejects the record did not take it."""
    rejection = ExportLogsServiceResponse()
    rejection.partial_success.rejected_log_records = 1
    rejection.partial_success.error_message = "too old"
    answers = [Answer(), Answer(body=rejection.SerializeToString().decode())]
    async with receiver(lambda _: answers.pop(0)) as server:
        await deliver(OPEN, OTLP_URL=f"{server.url}/v1/logs", OTLP_AUTHORIZATION="Bearer x")
        with pytest.raises(NoticeRefused, match="too old"):
            await deliver(OPEN, OTLP_URL=f"{server.url}/v1/logs")
    first = server.arrived[0]
    assert first.headers["Content-Type"] == "application/x-protobuf"
    assert first.headers["Authorization"] == "Bearer x"
    assert ExportLogsServiceRequest.FromString(first.body).resource_logs


async def test_a_webhook_gets_the_record_or_the_template(tmp_path: Path) -> None:
    """Without a template the body is what the topic has, byte by byte."""
    template = tmp_path / "template.json"
    template.write_text('{"what": "${action} ${id}"}')
    async with receiver() as server:
        await deliver(OPEN, WEBHOOK_URL=server.url, WEBHOOK_AUTHORIZATION="Bearer x")
        await deliver(OVER, WEBHOOK_URL=server.url, WEBHOOK_TEMPLATE_FILE=template)
    plain, filled = server.taken
    assert plain.body == OPEN.record.encode()
    assert plain.headers["Authorization"] == "Bearer x"
    assert plain.headers["Idempotency-Key"] == f"{incident_id('one')}/1"
    assert filled.json == {"what": f"resolve {incident_id('one')}"}


async def test_one_alertmanager_of_a_cluster_is_enough() -> None:
    """A member that is down keeps no alert back, and all of them down are an outage."""
    async with receiver() as up, receiver(lambda _: Answer(status=500)) as down:
        await deliver(OPEN, ALERTMANAGER_URLS=f"{down.url},{up.url}/", ALERTMANAGER_AUTHORIZATION="Basic eA==")
        with pytest.raises(DestinationUnavailable, match="500"):
            await deliver(OPEN, ALERTMANAGER_URLS=down.url)
    sent, reminder = up.taken
    assert sent.path == reminder.path == "/api/v2/alerts"
    assert sent.headers["Authorization"] == "Basic eA=="
    assert [alert["labels"]["incident"] for alert in sent.json] == [incident_id("one")]


async def test_an_incident_that_gets_more_severe_ends_the_alert_before() -> None:
    """Routes choose by the severity: the alert of the old one ends in the request that begins the new one."""
    worse = Notice(record=incident(severity="critical", revision=2), action=Action.TRIGGER, announced=incident())
    async with receiver() as server:
        await deliver(worse, ALERTMANAGER_URLS=server.url)
    new, old = server.taken[0].json
    assert (new["labels"]["severity"], old["labels"]["severity"]) == ("critical", "error")
    assert old["endsAt"] < new["endsAt"]


async def test_a_secret_that_is_gone_is_an_outage(tmp_path: Path) -> None:
    """A file that is being replaced buries no incident, and the setting is named."""
    file = tmp_path / "key"
    file.write_text("k")
    settings = given(PAGERDUTY_ROUTING_KEY_FILE=file)
    [destination] = destinations_of(settings, SystemClock())
    file.unlink()
    with pytest.raises(DestinationUnavailable, match="PAGERDUTY_ROUTING_KEY_FILE"):
        await destination.deliver(OPEN)
    await destination.close()


# ---------------------------------------------------------------- the check, and the start


async def test_the_check_reports_each_destination_in_a_sentence() -> None:
    """A person who sets the bridge up sees which destination takes a test incident and its end, and what is wrong."""
    async with receiver(lambda request: Answer(status=401 if request.path == "/slack" else 200)) as server:
        out = io.StringIO()
        with pytest.raises(FatalError, match="1 of 6 destinations"):
            await check_destinations(given(**all_of(server)), Console(file=out, width=200))
    rows = dict(row.split(": ", 1) for row in out.getvalue().splitlines())
    assert rows["pagerduty"] == "It took a test incident and its end."
    assert rows["slack"] == "Slack answered with status 401: ok. Check LOGWARDEN_BRIDGE__SLACK_URL and the login."
    sent = [request.json for request in server.taken if request.path == "/webhook"]
    assert [record["logwarden"]["status"] for record in sent] == ["open", "resolved"]
    assert len({record["id"] for record in sent}) == 1
    assert "test" in sent[0]["message"]


def test_a_bridge_without_a_destination_or_topic_does_not_start(tmp_path: Path) -> None:
    """The sentence names what to set."""
    with pytest.raises(ConfigurationError, match="no destination") as caught:
        Bridge(given())
    assert "LOGWARDEN_BRIDGE__WEBHOOK_URL" in caught.value.hint
    with pytest.raises(ConfigurationError, match="no incidents topic"):
        Bridge(read_settings({"LOGWARDEN_KAFKA__INCIDENTS_TOPIC": "none"}))
    template = tmp_path / "template.json"
    template.write_text("{")
    with pytest.raises(ConfigurationError, match=r"WEBHOOK_TEMPLATE_FILE names .* is no JSON"):
        Bridge(given(WEBHOOK_URL="http://x", WEBHOOK_TEMPLATE_FILE=template))


def test_each_destination_has_a_group_of_its_own() -> None:
    """Kafka's tools show the lag of each."""
    kafka = group_settings(given(GROUP_ID="paging"), "slack")
    assert kafka.group_id == "paging-slack"
    assert kafka.input_topics == ("logwarden.incidents",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"SLACK_URL": "https://x", "SLACK_URL_FILE": __file__}, "SLACK_URL_FILE are both set"),
        ({"DEAD_LETTER_TOPIC": "logwarden.incidents"}, "other records go there"),
        ({"ALERTMANAGER_HOLD_S": 100}, "at least three times"),
        ({"SMTP_HOST": "x"}, "MAIL_FROM"),
        ({"SMTP_USERNAME": "x"}, "needs both"),
        ({"SMTP_USERNAME": "x", "SMTP_PASSWORD": "x", "SMTP_SECURITY": "plain"}, "unencrypted"),
        ({"MIN_SEVERITIES": "pager=critical"}, "names no destination"),
        ({"MIN_SEVERITIES": "slack=high"}, "write one of critical"),
        ({"SERVICES": "x" * 300}, "at most 32 patterns"),
        ({"WEBHOOK_URL": "http://user:password@host/"}, "contains a user"),
        ({"ALERTMANAGER_URLS": "alertmanager:9093"}, "is no URL"),
        ({"KINDS": "odd"}, "must be"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], words: str) -> None:
    """A mistake ends the bridge at its start, with the variable's name and no secret."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        given(**settings)
    assert "LOGWARDEN_BRIDGE__" in str(caught.value) or "mail server" in str(caught.value)
    assert "password@host" not in str(caught.value)


# ---------------------------------------------------------------- which incidents


def test_destinations_have_severities_of_their_own() -> None:
    """A pager gets what is critical, a chat everything."""
    bridge = given(MIN_SEVERITY="info", MIN_SEVERITIES="pagerduty=critical").bridge
    pager, chat = choice_of(bridge, "pagerduty"), choice_of(bridge, "slack")
    assert pager.reason_against(incident(severity="error")) == "severity"
    assert pager.reason_against(incident(severity="critical")) == ""
    assert chat.reason_against(incident(severity="info")) == ""


@pytest.mark.parametrize(
    ("choice", "facts", "reason"),
    [
        ({}, {"planned": True, "severity": "info"}, "planned"),
        ({"planned": True}, {"planned": True, "severity": "info"}, ""),
        ({"kinds": ("silence",)}, {}, "kind"),
        ({"kinds": ("silence", "new_line")}, {}, ""),
        ({"services": ("web-*", "db-?")}, {}, ""),
        ({"services": ("web-*",)}, {"services": ("db-1", "web-7")}, ""),
        ({"services": ("web-*",)}, {}, "service"),
    ],
)
def test_an_incident_is_left_out_for_one_reason(choice: dict[str, Any], facts: dict[str, Any], reason: str) -> None:
    """Planned ones, other kinds and other services are left out, each under its word."""
    assert IncidentChoice(**choice).reason_against(incident(**facts)) == reason


def test_what_makes_an_incident_worse() -> None:
    """More severe or of another service is worse; more lines are not, and less severe is not."""
    assert is_worse(incident(severity="critical"), incident())
    assert is_worse(incident(services=("db-1", "web")), incident())
    assert not is_worse(incident(severity="warning", texts=["a", "b"]), incident())


def test_the_record_on_the_wire_is_the_record_in_the_topic() -> None:
    """The stand-in of these tests has the form of the topic."""
    assert json.loads(OPEN.record.encode())["logwarden"]["status"] == "open"
