"""What a whole daemon shows over HTTP: its services, its incidents, and nothing before it has started."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from logwarden.daemon import service as module
from logwarden.daemon.clock import SystemClock
from logwarden.daemon.roster import card_in
from logwarden.daemon.service import Service
from logwarden.daemon.view import View
from tests.fakes import LOGS, InlineWorker
from tests.kafka.evidence import eventually
from tests.oracles import records_of
from tests.service_stand_ins import Coordinator, Life, settings_of
from tests.unit.daemon.web.serving import incident_value


class NoAlerts:
    """An alerts topic that another member folds."""

    def __init__(self, *_: object) -> None: ...

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None: ...


async def ask(service: Service, path: str) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{service.http_port}/api/v1{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, json.loads(await answer.read())


async def test_a_daemon_shows_its_services_and_the_incidents(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that arrive are seen at the service they belong to, with the alert that they raised."""
    monkeypatch.setattr(module, "KafkaAlertReader", NoAlerts)
    life.incidents.entries = [(b"", incident_value("a"), SystemClock().now_ms())]
    life.source.answers = [{LOGS[0]: records_of("aab")}]
    service = Service(settings_of(HTTP__PORT="0", KAFKA__INCIDENTS_TOPIC="incidents", KAFKA__GROUP_ID="wardens"))
    serving = asyncio.ensure_future(service.serve())
    async with asyncio.timeout(20):
        await eventually(lambda: service.http_port is not None, 10, "a port")
        early = await ask(service, "/services")
        assert early[0] == 200 or early[1]["error"]["code"] == "starting"

        async def is_all_there() -> bool:
            services, incidents = await ask(service, "/services"), await ask(service, "/incidents")
            alerted = [one for one in services[1].get("services", []) if one["last_alert"]]
            return len(alerted) == 2 and not incidents[1]["note"]

        await eventually(is_all_there, 15, "both services with their alerts, and the incidents")
        _, body = await ask(service, "/services")
        _, incidents = await ask(service, "/incidents")
        pipeline = service._view._pipeline
        assert pipeline is not None
        await pipeline.listener.on_revoked([LOGS[0]])
        await asyncio.sleep(1.1)  # a table is a second old at most
        _, later = await ask(service, "/services")
        forgotten = pipeline.last_alerts.of(LOGS[0], "a")
        service.stop()
        assert await serving == 0
    assert (later["services"], later["member"]["partitions"], forgotten) == ([], [], None)
    assert body["member"]["group"] == "wardens"
    assert body["member"]["partitions"] == [{"topic": "logs", "partition": 0}]
    assert [(one["name"], one["lines"], one["state"]) for one in body["services"]] == [
        ("a", 2, "known"),
        ("b", 1, "known"),
    ]
    assert {one["last_alert"]["score"] for one in body["services"]} == {0.97}
    assert [incident["id"] for incident in incidents["incidents"]] == ["a"]


@pytest.mark.parametrize(
    ("values", "port", "hosts", "address"),
    [
        ({"HTTP__HOST": "0.0.0.0"}, 8_080, ("10.0.0.7", "10.1.0.7"), "http://10.0.0.7:8080"),
        ({"HTTP__HOST": "0.0.0.0"}, 8_080, (None, "10.1.0.7"), "http://10.1.0.7:8080"),
        ({"HTTP__ADVERTISED_ADDRESS": "https://pod-0:8443"}, 8_080, ("10.0.0.7",), "https://pod-0:8443"),
        ({"HTTP__ADVERTISED_ADDRESS": "pod-0:8080"}, None, ("10.0.0.7",), None),
        ({}, 9_000, ("10.0.0.7",), "http://127.0.0.1:9000"),
    ],
)
async def test_a_card_keeps_its_address(
    values: dict[str, str], port: int | None, hosts: tuple[str | None, ...], address: str | None
) -> None:
    """A member that joins again introduces itself as before; without HTTP it has no address."""
    view = View(settings_of(**values), SystemClock(), InlineWorker(), group=Coordinator())
    cards = [card_in(view.card(port, host)) for host in hosts]
    assert cards[-1] is not None
    assert cards[-1].address == address
    assert cards[-1] == card_in(view.card(port, "10.9.9.9")) or address is None
    assert {card.id for card in cards if card is not None} == {view.member().id}
