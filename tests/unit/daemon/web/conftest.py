"""Servers of the HTTP API, with and without a token."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.daemon.web.serving import Served, serving, settings_of


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Yields the API of a daemon without a token."""
    found, server = await serving(settings_of())
    yield found
    await server.stop()


@pytest.fixture
async def with_token() -> AsyncIterator[Served]:
    """Yields the API of a daemon with a token, which reading needs as well."""
    found, server = await serving(settings_of(HTTP__TOKEN="open sesame", HTTP__TOKEN_FOR_READS="true"))
    yield found
    await server.stop()
