"""Incidents beside the pipeline of a whole daemon: whatever becomes of them, lines are judged and alerts published."""

from __future__ import annotations

import asyncio

import pytest

from logwarden.daemon import service as module
from logwarden.daemon.errors import TopicUnusable
from logwarden.daemon.readiness import figures, reasons
from logwarden.daemon.records import AlertBatch
from logwarden.daemon.service import Service
from tests.fakes import LOGS, virtually
from tests.oracles import records_of
from tests.service_stand_ins import Life, later, settings_of


class Reader:
    """A reader without its topic. A stop takes as long as a broker that does not answer."""

    stopped = 0

    def __init__(self, *_: object) -> None: ...

    async def start(self) -> None:
        raise TopicUnusable("incidents", "it does not exist", hint="create it")

    async def fetch(self) -> AlertBatch:
        raise AssertionError("nothing is fetched before the start")

    async def stop(self) -> None:
        Reader.stopped += 1
        await asyncio.sleep(0.1)


@virtually
async def test_a_missing_incidents_topic_leaves_the_daemon_ready(
    virtual: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alerts are published, readiness has no reason, its figures have the sentence, and the drain is as always."""
    monkeypatch.setattr(module, "KafkaAlertReader", Reader)
    virtual.source.answers = [{LOGS[0]: records_of("aab")}]
    service = Service(settings_of(KAFKA__ALERTS_TOPIC="found", KAFKA__INCIDENTS_TOPIC="incidents"))
    seen: list[object] = []
    later(2.5, lambda: seen.extend((reasons(service._health), figures(service._health)["incidents"])))
    later(3.0, service.stop)
    assert await service.serve() == 0
    assert [message.topic for batch in virtual.sink.sent for message in batch] == ["found"] * 3
    assert seen == [[], "The topic 'incidents' cannot be written to: it does not exist. Create it."]
    assert Reader.stopped >= 2, "each attempt closes what it opened"
