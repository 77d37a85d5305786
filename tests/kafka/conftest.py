"""Fixtures of the tests against a real broker: one JVM for the session, fresh topic names for each test.

Owns the decision what happens without Java or Maven: the tests are skipped with the line that says what to install, or
fail with it when LOGWARDEN_REQUIRE_KAFKA=1, as CI sets it, so that a broken machine never passes for a green run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.broker import Broker, missing_requirements
from tests.kafka.fleet import Fleet
from tests.kafka.topics import Topics, fresh_topics

HERE = Path(__file__).parent
FIRST_FETCH_TIMEOUT_S = 300  # the first test of a fresh checkout also pays for Maven's download


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks this folder's tests, and only these: pytest hands every conftest all items."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kafka)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(FIRST_FETCH_TIMEOUT_S))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The session's broker, with a SASL listener beside the plain one."""
    missing = missing_requirements()
    if missing and os.environ.get("LOGWARDEN_REQUIRE_KAFKA") == "1":
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)  # a machine without Java or Maven; CI sets the variable and fails above
    with Broker.create(tmp_path_factory.mktemp("kafka"), sasl=True) as running:
        yield running


@pytest.fixture(autouse=True)
def broker_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test may kill or suspend the shared broker and fail before it repairs it; the next one finds it serving."""
    yield
    if "broker" in request.fixturenames:
        shared: Broker = request.getfixturevalue("broker")
        shared.resume()
        shared.start()


@pytest.fixture
async def topics(broker: Broker) -> Topics:
    """Topics and a group for one test."""
    return await fresh_topics(broker.bootstrap)


@pytest.fixture
def fleet(topics: Topics, tmp_path: Path, tiny_checkpoint: Path) -> Iterator[Fleet]:
    """Daemons for one test, with a model of a few kilobytes; none outlives it."""
    with Fleet(topics, tmp_path, tiny_checkpoint) as started:
        yield started
