"""Debian's Chromium, driven by Playwright. Skips a test where it is missing; CI requires it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MISSING = "no Chromium on this machine; install it with `apt-get install chromium`"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Yields a browser of its own. With LOGWARDEN_REQUIRE_BROWSER=1 a missing one is a failure."""
    path = shutil.which("chromium")
    if path is None and os.environ.get("LOGWARDEN_REQUIRE_BROWSER") == "1":
        pytest.fail(MISSING, pytrace=False)
    if path is None:
        pytest.skip(MISSING)  # CI sets the variable and fails above
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield running
        await running.close()
