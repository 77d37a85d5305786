"""The page's files: what they may load, how browsers keep them, how large they are, how they are switched off."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.view import View
from logwarden.daemon.web.api import ROOT
from logwarden.daemon.web.api_schema import openapi
from logwarden.daemon.web.page import FOLDER, TYPES, page_routes
from logwarden.daemon.web.server import HttpServer
from tests.fakes import InlineWorker
from tests.unit.daemon.web.serving import settings_of

MOST_BYTES = 150_000


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Yields the address of a server of the page."""
    server = HttpServer(settings_of().http, page_routes())
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


def test_the_page_is_small_and_whole() -> None:
    """Every file of the folder is served, and all together stay below the bound."""
    files = list(FOLDER.iterdir())
    assert {path.suffix for path in files} <= set(TYPES)
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert {route.path for route in page_routes()} == {"/", *(f"/page/{path.name}" for path in files)} - {
        "/page/index.html"
    }


def test_the_size_is_that_of_the_documentation() -> None:
    """docs/page.md states what a browser loads, within two kilobytes."""
    text = (Path(__file__).parents[4] / "docs" / "page.md").read_text(encoding="utf-8")
    stated = re.search(r"all files \| (\d+) kB, (\d+) kB packed", text)
    assert stated is not None
    files = [path.read_bytes() for path in FOLDER.iterdir()]
    assert abs(sum(map(len, files)) / 1000 - int(stated[1])) < 2
    assert abs(sum(len(gzip.compress(each)) for each in files) / 1000 - int(stated[2])) < 2


def test_no_file_names_another_machine() -> None:
    """The page loads nothing from outside, and no file builds markup from text."""
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        for forbidden in ("http:", "https:", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
            assert forbidden not in text, f"{path.name} has {forbidden}"
        assert "eval(" not in text
        assert "style=" not in text


async def test_the_page_may_load_only_itself(url: str) -> None:
    """The policy allows no inline script or style, no frame, and no other origin; an unknown file is none."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        async with session.get(f"{url}/page/../page.py") as other:
            assert other.status == 404


async def test_a_browser_loads_a_file_once(url: str) -> None:
    """A file that did not change is not sent again, and one that is sent is packed where the browser takes that."""
    path = FOLDER / "app.js"
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(f"{url}/page/app.js") as packed:
            assert packed.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(await packed.read()) == path.read_bytes()
            tag = packed.headers["ETag"]
        async with session.get(f"{url}/page/app.js", headers={"Accept-Encoding": "identity"}) as plain:
            assert "Content-Encoding" not in plain.headers
            assert await plain.read() == path.read_bytes()
        async with session.get(f"{url}/page/app.js", headers={"If-None-Match": f'"x", {tag}'}) as known:
            assert (known.status, await known.read()) == (304, b"")
            assert known.headers["Content-Security-Policy"]


@pytest.mark.parametrize("is_on", [True, False])
def test_one_setting_switches_the_page_off(is_on: bool) -> None:
    """Without the page there is neither `/` nor a stream; the API stays."""
    settings = settings_of(HTTP__PAGE=str(is_on).lower())
    routes = View(settings, SystemClock(), InlineWorker()).routes()
    paths = {getattr(route, "path", "") for route in routes}
    assert {"/", "/page/app.js", "/api/v1/events"} <= paths if is_on else not {"/", "/api/v1/events"} & paths
    assert "/api/v1/incidents" in paths
    described = openapi(View(settings, SystemClock(), InlineWorker()).endpoints, has_events=is_on)["paths"]
    assert {path for path in paths if path.startswith(ROOT)} - {f"{ROOT}/{{rest:.*}}"} == set(described)
