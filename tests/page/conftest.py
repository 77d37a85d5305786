"""One browser for the session, and one server with a real view for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.page.chromium import chromium
from tests.page.world import World

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before pytest-asyncio chooses a loop
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs this folder's tests in the loop of the browser, and no others, because pytest passes all items."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Yields the session's browser."""
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Yields a browser without cookies and storage, on a screen of a desk."""
    found = await browser.new_context(viewport={"width": 1400, "height": 860}, color_scheme="dark", locale="en-GB")
    yield found
    await found.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """Yields a tab, in which every error of a script and every breach of the policy fails the test."""
    found = await context.new_page()
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield found
    expected = (
        "status of 401",
        "status of 403",
        "status of 404",
        "status of 503",
        "ERR_",
    )  # answers that tests provoke
    assert [error for error in errors if not any(part in error for part in expected)] == []


@pytest_asyncio.fixture(loop_scope="session")
async def world() -> AsyncIterator[World]:
    """Yields a server with an empty view."""
    async with World.serving() as found:
        yield found
