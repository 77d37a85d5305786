"""The probes and the metrics, requested over a real socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.health import HealthState
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.web.metrics import CONTENT_TYPE, PrometheusTelemetry
from logwarden.daemon.web.probes import metrics_routes, probe_routes
from logwarden.daemon.web.server import HttpServer


@pytest.fixture
async def served() -> AsyncIterator[tuple[HealthState, str]]:
    """Yields a running server: its health state and its address."""
    health = HealthState()
    routes = [*probe_routes(health), *metrics_routes(PrometheusTelemetry().render, CONTENT_TYPE)]
    server = HttpServer(HttpSettings(host="127.0.0.1", port=0), routes)
    await server.start()
    yield health, f"http://127.0.0.1:{server.port}"
    await server.stop()


async def ask(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.json()


def codes(body: Any) -> list[str]:
    return [reason["code"] for reason in body["reasons"]]


async def test_a_daemon_is_ready_when_assigned_and_warm(served: tuple[HealthState, str]) -> None:
    """The probe answers 503 with the missing conditions until the daemon is ready."""
    health, url = served
    status, body = await ask(f"{url}/readyz")
    assert status == 503
    assert not body["ready"]
    assert codes(body) == ["not_assigned", "not_warm"]
    health.assigned = True
    assert codes((await ask(f"{url}/readyz"))[1]) == ["not_warm"]
    health.warm = True
    status, body = await ask(f"{url}/readyz")
    assert (status, body["ready"], body["reasons"]) == (200, True, [])


async def test_a_draining_daemon_is_alive_but_not_ready(served: tuple[HealthState, str]) -> None:
    """Kubernetes must neither send traffic to it nor kill it before its commit."""
    health, url = served
    health.assigned = health.warm = health.draining = True
    status, body = await ask(f"{url}/readyz")
    assert (status, codes(body)) == (503, ["draining"])
    assert await ask(f"{url}/livez") == (200, {"live": True, "reasons": []})


async def test_a_failed_daemon_is_neither(served: tuple[HealthState, str]) -> None:
    """The first reason stays, because later ones are its consequences."""
    health, url = served
    health.assigned = health.warm = True
    health.failed("no progress for 300 s")
    health.failed("task ended")
    for path, question in (("livez", "live"), ("readyz", "ready")):
        status, body = await ask(f"{url}/{path}")
        assert (status, body[question], codes(body)) == (503, False, ["failed"])
        assert "No progress for 300 s." in body["reasons"][0]["message"]


async def test_metrics_are_served_in_prometheus_form(served: tuple[HealthState, str]) -> None:
    """The body is the registry, and the content type is Prometheus' own."""
    _, url = served
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        assert "logwarden_lines_total 0.0" in await answer.text()


async def test_a_port_in_use_is_one_sentence() -> None:
    """The sentence names the setting to change and is no OSError."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = HttpServer(HttpSettings(host="127.0.0.1", port=port), [])
        with pytest.raises(ConfigurationError) as caught:
            await server.start()
    assert str(caught.value) == f"LOGWARDEN_HTTP__PORT is {port}, but another program listens there already"


def test_a_reason_without_a_number_is_named_too() -> None:
    """Some errors of the operating system carry a text and no number; the sentence has that text."""
    refusal = HttpServer(HttpSettings(host="127.0.0.1", port=7), [])._refusal
    assert refusal(OSError("no more sockets")).endswith("listening there fails: no more sockets")
    assert refusal(OSError(13, "Permission denied")).endswith("listening there fails: Permission denied")


async def test_an_address_that_is_not_ours_is_one_sentence() -> None:
    """The sentence names a foreign host together with the reason of the operating system."""
    server = HttpServer(HttpSettings(host="192.0.2.1", port=0), [])
    with pytest.raises(ConfigurationError, match=r"LOGWARDEN_HTTP__HOST is '192\.0\.2\.1'"):
        await server.start()


async def test_without_a_port_nothing_listens() -> None:
    """`LOGWARDEN_HTTP__PORT=none` turns the server off, and a stop without a start is harmless."""
    server = HttpServer(HttpSettings(port=None), [])
    await server.start()
    assert server.port is None
    await server.stop()


async def test_the_port_is_free_after_the_stop() -> None:
    """A restarted daemon can have its port again at once."""
    settings = HttpSettings(host="127.0.0.1", port=0)
    server = HttpServer(settings, [])
    await server.start()
    again = HttpServer(HttpSettings(host="127.0.0.1", port=server.port), [])
    await server.stop()
    await again.start()
    await again.stop()
