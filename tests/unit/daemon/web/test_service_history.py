"""What is kept of the last minutes of each service."""

from __future__ import annotations

import asyncio
import dataclasses

import msgspec
import numpy as np
import pytest

from logwarden.daemon.records import Partition
from logwarden.daemon.standing import LastAlert, ServiceTable
from logwarden.daemon.web import api_services
from logwarden.daemon.web.api_services import OwnServices, ServiceSource
from logwarden.daemon.web.questions import Question
from logwarden.daemon.web.service_history import MINUTES, HistoryFacts, ServiceHistory
from tests.fakes import InlineWorker
from tests.kafka.evidence import eventually
from tests.unit.daemon.web.serving import AUDIT, LOGS, TABLE, Clock, member


def test_a_minute_is_a_number_and_a_service_that_is_gone_takes_its_numbers_along() -> None:
    """Services keep their figures when others come and go, an alert counts in one minute, and time is bounded."""
    history = ServiceHistory()
    alerts: dict[tuple[Partition, str], LastAlert] = {}

    def last_alert(partition: Partition, name: str) -> LastAlert | None:
        return alerts.get((partition, name))

    history.sample(TABLE, last_alert)
    alerts[LOGS, "web-1"] = LastAlert(at_ms=None, score=0.93)
    history.sample(dataclasses.replace(TABLE, per_minute=np.array([61, 1, 6, 2])), last_alert)
    kept = [3, 1]
    columns = ("partition", "names", "states", "progress", "lines", "known_lines", "per_minute", "seen_ms")
    fewer = dataclasses.replace(TABLE, **{name: getattr(TABLE, name)[kept] for name in columns})
    history.sample(fewer, last_alert)
    assert history.of(LOGS, "web-1").lines[-3:] == (0, 1, 0)
    assert history.of(LOGS, "web-1").scores[-3:] == (0.0, 0.93, 0.0)
    assert history.of(AUDIT, "web-1").lines[-3:] == (1, 2, 1)
    assert set(history.of(LOGS, "web-2").lines) == {0}
    for _ in range(2 * MINUTES):
        history.sample(TABLE, last_alert)
    assert history.of(LOGS, "web-2").lines == (60,) * MINUTES
    assert set(history.of(LOGS, "web-1").scores) == {0.0}


async def test_the_history_is_kept_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy thread costs a minute and no more; an answer has the history only where the request wants it."""
    monkeypatch.setattr(api_services, "SAMPLE_S", 0.01)
    monkeypatch.setattr(api_services, "FRESH_S", 0.0)
    monkeypatch.setattr(api_services, "TIMEOUT_S", 0.01)
    looks = 0

    async def table() -> ServiceTable:
        nonlocal looks
        looks += 1
        if looks == 1:
            await asyncio.Event().wait()  # the ingest thread embeds new lines
        return TABLE

    services = OwnServices(member, Clock(), InlineWorker())
    keeping = asyncio.ensure_future(services.keep_history())
    await asyncio.sleep(0.05)  # the daemon has not started: there is nothing to note
    services.source = ServiceSource(table=table, last_alert=lambda *_: None)
    await eventually(lambda: looks > 3, 10, "some minutes")
    keeping.cancel()
    plain, past = [
        await services.page(services.selection(Question({"history": [wanted]}))) for wanted in ("false", "true")
    ]
    assert plain.services[0].history is msgspec.UNSET
    found = {(one.topic, one.name): one.history for one in past.services}["logs", "web-2"]
    assert isinstance(found, HistoryFacts)
    assert (len(found.lines), found.lines[-1]) == (MINUTES, 60)
