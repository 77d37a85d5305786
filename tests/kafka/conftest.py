"""Fixtures of the tests against a real broker: one JVM for the session, fresh topic names for each test.

Without Java or Maven the tests are skipped with the line that names the packages to install. With
LOGWARDEN_REQUIRE_KAFKA=1, as CI sets it, they fail, so that a broken machine never gives a green run.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.kafka.broker import Broker
from tests.kafka.fleet import Fleet
from tests.kafka.jars import missing_requirements
from tests.kafka.preloaded import Preloaded
from tests.kafka.proxy import Proxy
from tests.kafka.topics import Topics, fresh_topics

HERE = Path(__file__).parent
FIRST_FETCH_TIMEOUT_S = 300  # the first test of a new checkout includes Maven's download


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks this folder's tests and no others, because pytest passes every conftest all items."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kafka)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(FIRST_FETCH_TIMEOUT_S))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Yields the session's broker, with a SASL listener beside the plain one."""
    missing = missing_requirements()
    if missing and os.environ.get("LOGWARDEN_REQUIRE_KAFKA") == "1":
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)  # a machine without Java or Maven; CI sets the variable and fails above
    with Broker.create(tmp_path_factory.mktemp("kafka"), sasl=True) as running:
        yield running


@pytest.fixture(autouse=True)
def broker_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Repairs the shared broker after a test that failed while it was killed or suspended."""
    yield
    if "broker" in request.fixturenames:
        shared: Broker = request.getfixturevalue("broker")
        shared.resume()
        shared.start()
        shared.wait_until_it_serves()


@pytest.fixture
async def topics(broker: Broker) -> Topics:
    """Returns topics and a group for one test."""
    return await fresh_topics(broker.bootstrap)


@pytest.fixture
def fleet(topics: Topics, tmp_path: Path, tiny_checkpoint: Path) -> Iterator[Fleet]:
    """Yields the daemons of one test, with a model of a few kilobytes, and ends them all."""
    with Fleet(topics, tmp_path, tiny_checkpoint) as started:
        yield started


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[Proxy]:
    """Yields a proxy before the session's broker."""
    async with Proxy(broker.front_port, broker.proxied_port) as front:
        yield front


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    """Yields a process that has imported the daemon; its forks are members that start without four seconds of CPU."""
    with Preloaded() as process:
        yield process


@pytest.fixture
def forked_fleet(topics: Topics, tmp_path: Path, tiny_checkpoint: Path, preloaded: Preloaded) -> Iterator[Fleet]:
    """Yields the same as `fleet`, for tests that are not about the start of a process."""
    with Fleet(topics, tmp_path, tiny_checkpoint, launch=preloaded.launch) as started:
        yield started
