"""A partition that stands still, as the probes see it: not ready, but alive."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from logwarden.daemon.health import HealthState
from logwarden.daemon.web.probes import metrics_routes, probe_routes


async def answer(routes: list[web.RouteDef], path: str) -> web.Response:
    """Returns the response of a route."""
    [route] = [route for route in routes if route.path == path]
    found: Any = await route.handler(make_mocked_request("GET", path))
    assert isinstance(found, web.Response)
    return found


async def ask(health: HealthState, path: str) -> tuple[int, Any]:
    found = await answer(probe_routes(health), path)
    assert isinstance(found.body, bytes)
    return found.status, json.loads(found.body)


def ready() -> HealthState:
    return HealthState(assigned=True, warm=True)


async def test_a_partition_that_stands_still_is_a_reason() -> None:
    """Each one is named; a restart would meet the same batch, so the daemon stays alive."""
    health = ready()
    health.unreadable[("logs", 1)] = "logs/1 stands still at offset 7: a wrong checksum"
    health.unreadable[("logs", 4)] = "logs/4 stands still at offset 0: no such codec"
    status, body = await ask(health, "/readyz")
    assert status == 503
    assert not body["ready"]
    assert [(reason["topic"], reason["partition"]) for reason in body["reasons"]] == [("logs", 1), ("logs", 4)]
    assert body["reasons"][0]["message"] == "logs/1 stands still at offset 7: a wrong checksum."
    assert await ask(health, "/livez") == (200, {"live": True, "reasons": []})


async def test_the_last_partition_that_goes_on_makes_it_ready() -> None:
    """One of two that still stands keeps the daemon from being ready."""
    health = ready()
    health.unreadable[("logs", 1)], health.unreadable[("logs", 4)] = "one", "two"
    del health.unreadable[("logs", 1)]
    assert [reason["partition"] for reason in (await ask(health, "/readyz"))[1]["reasons"]] == [4]
    del health.unreadable[("logs", 4)]
    status, body = await ask(health, "/readyz")
    assert (status, body["ready"], body["reasons"]) == (200, True, [])


async def test_reasons_are_listed_together() -> None:
    """Facts about the daemon come before facts about single partitions."""
    health = HealthState(warm=True)
    health.draining = True
    health.unreadable[("logs", 1)] = "one"
    codes = [reason["code"] for reason in (await ask(health, "/readyz"))[1]["reasons"]]
    assert codes == ["not_assigned", "draining", "batch_unreadable"]


async def test_members_do_not_share_their_facts() -> None:
    """Two daemons in one process, as in the demo, are two states."""
    one, other = HealthState(), HealthState()
    one.unreadable[("logs", 1)] = "one"
    assert other.unreadable == {}


async def test_metrics_are_rendered_at_each_request() -> None:
    """A scrape sees the counters of its own moment."""
    bodies = iter([b"first", b"second"])
    routes = metrics_routes(lambda: next(bodies), "text/plain; version=0.0.4")
    first, second = await answer(routes, "/metrics"), await answer(routes, "/metrics")
    assert (first.body, second.body) == (b"first", b"second")
    assert first.headers["Content-Type"] == "text/plain; version=0.0.4"
