"""How the daemon reaches a broker at its start: the pace of its tries, their limit, and what ends them."""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest

from logwarden.daemon import service as module
from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, FatalError
from logwarden.daemon.service import Service
from tests.fakes import capture, events, virtually
from tests.service_stand_ins import Life, later, settings_of
from tests.sim.loop import now_s

DOWN = BrokerUnavailable("broker:9092", "no route to host")


@virtually
async def test_the_first_tries_follow_quickly_and_the_later_ones_slowly(virtual: Life) -> None:
    """The wait doubles from half a second to five seconds; a broker that comes back is found then."""
    virtual.refusals["sink"] = [DOWN] * 8
    service = Service(settings_of())
    virtual.source.on_fetch = lambda: service.stop() if not service._stop.is_set() else None
    with capture() as caught:
        assert await service.serve() == 0
    waits = [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]
    times = virtual.times[:9]
    assert [after - before for before, after in itertools.pairwise(times)] == pytest.approx(waits)
    warnings = events(caught, "broker_unavailable")
    assert [warning["retry_in_s"] for warning in warnings] == waits
    assert warnings[0]["error"] == str(DOWN)
    assert warnings[0]["hint"] == DOWN.hint


@pytest.mark.parametrize(("limit_s", "tries"), [("10", 5), ("7.5", 5), ("7.4", 4), ("0", 1)])
@virtually
async def test_a_broker_that_stays_away_is_given_up(virtual: Life, limit_s: str, tries: int) -> None:
    """No try begins after the limit; the sentence names the address, the cause and the limit."""
    virtual.refusals["sink"] = [DOWN] * 99
    service = Service(settings_of(KAFKA__START_TIMEOUT_S=limit_s))
    with pytest.raises(FatalError) as ended:
        await service.serve()
    sentence = f"no Kafka broker answered at broker:9092: no route to host; retries ended after {float(limit_s):g} s"
    assert str(ended.value) == sentence
    assert ended.value.hint == DOWN.hint
    assert len(virtual.times) == tries
    assert now_s() <= float(limit_s)
    assert service._health.failure == sentence
    assert "start source" not in virtual.trace
    assert {"stop source", "stop sink", "stop ingest", "stop score"} <= set(virtual.trace)


@virtually
async def test_the_limit_is_that_of_each_client(virtual: Life) -> None:
    """The source has as long as the sink had: the broker may go away in between."""
    virtual.refusals = {"sink": [DOWN] * 3, "source": [DOWN] * 3}
    service = Service(settings_of(KAFKA__START_TIMEOUT_S="4"))
    virtual.source.on_fetch = lambda: None if service._stop.is_set() else service.stop()
    assert await service.serve() == 0
    assert virtual.times == pytest.approx([0, 0.5, 1.5, 3.5, 3.5, 4.0, 5.0, 7.0])


@pytest.mark.parametrize("silent", ["sink", "source"])
@virtually
async def test_a_stop_ends_the_wait_for_a_broker(virtual: Life, silent: str) -> None:
    """The daemon ends at once and with success: no broker had answered, so no work had begun."""
    virtual.refusals[silent] = [DOWN] * 99
    service = Service(settings_of())
    later(5.0, service.stop)
    assert await service.serve() == 0
    assert now_s() == 5.0
    assert virtual.trace[-5:] == ["stop source", "stop sink", "stop ingest", "stop score", "stop api"]
    assert virtual.source.commits == []


@pytest.mark.parametrize("silent", ["sink", "source"])
@virtually
async def test_a_stop_ends_a_try_that_hangs(virtual: Life, silent: str) -> None:
    """A broker that accepts the connection and answers nothing holds a try for its whole time-out, but not a stop."""
    virtual.hanging_starts = {silent}
    service = Service(settings_of())
    later(5.0, service.stop)
    assert await service.serve() == 0
    assert now_s() == pytest.approx(5.0, abs=0.1)
    assert virtual.trace[-5:] == ["stop source", "stop sink", "stop ingest", "stop score", "stop api"]


@pytest.mark.parametrize("stuck", ["source", "sink"])
@virtually
async def test_a_stop_before_the_work_hardly_waits_for_clients(virtual: Life, stuck: str) -> None:
    """Nothing is to be drained yet, so the drain's budget is no reason to wait."""
    virtual.hanging_starts, virtual.hanging_stops = {"source"}, {stuck}
    service = Service(settings_of(SHUTDOWN__DRAIN_TIMEOUT_S="30"))
    later(5.0, service.stop)
    assert await service.serve() == 0
    assert now_s() == pytest.approx(5.7, abs=0.1)


async def test_a_stop_does_not_wait_for_the_model(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model takes seconds; the thread that loads it is left to its own."""
    loading, loaded = threading.Event(), threading.Event()

    def load(_: object) -> object:
        loading.set()
        loaded.wait(20)
        return life.engine

    monkeypatch.setattr(module, "load_engine", load)
    service = Service(settings_of())
    serving = asyncio.create_task(service.serve())
    try:
        await asyncio.to_thread(loading.wait, 20)
        service.stop()
        async with asyncio.timeout(10):
            assert await serving == 0
        assert not loaded.is_set()
        assert life.trace == ["stop source", "stop sink"]
    finally:
        loaded.set()


@virtually
async def test_a_refusal_is_not_tried_again(virtual: Life) -> None:
    """A wrong password stays wrong: the daemon ends with the broker's sentence, which the probe keeps."""
    virtual.refusals["sink"] = [BrokerRefused("wrong password")]
    service = Service(settings_of())
    with pytest.raises(BrokerRefused, match="wrong password"):
        await service.serve()
    assert virtual.trace == ["start sink", "stop source", "stop sink", "stop ingest", "stop score", "stop api"]
    assert service._health.failure == "wrong password"
    assert not service._health.live
