"""The end of a producer that failed: what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from logwarden.daemon.kafka import outlet as module
from logwarden.daemon.kafka.connection import stopped
from tests.fakes import virtually


@pytest.mark.parametrize("hangs", [False, True])
@virtually
async def test_a_producer_that_wascut_off_leaves_nothing_behind(hangs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client complains about a producer that is collected and was not closed: one a retry for a whole outage."""
    producer = AIOKafkaProducer(bootstrap_servers="localhost:1")
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    if hangs:  # a connection that does not close is left behind after a time
        monkeypatch.setattr(producer.client, "close", asyncio.Event().wait)
    await stopped(module.cut_off(producer))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del producer
        gc.collect()
    assert complaints == []
