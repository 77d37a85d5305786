"""Makes the pictures of the documentation: `python -m tests.page.pictures` after a change of the page's looks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from logwarden.daemon.standing import ServiceState
from tests.page.chromium import chromium
from tests.page.test_incidents import wide_incident
from tests.page.world import World

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = (
    ("page-incident.jpg", "#/incidents/{id}", "dark", 1180, 720),
    ("page-services.jpg", "#/services", "light", 1180, 330),
    ("page-phone.jpg", "#/incidents/{id}", "dark", 390, 780),
)
"""File, view, theme, width and height."""
QUALITY = 72


async def draw(folder: Path) -> None:
    """Writes every picture into a folder."""
    async with World.serving() as world, chromium() as browser:
        world.play()
        world.know("shop-api", state=ServiceState.LEARNING)
        world.know("packages", state=ServiceState.NOISY)
        world.remember()
        for name, view, theme, width, height in PICTURES:
            context = await browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,  # type: ignore[arg-type]
                locale="en-GB",
                timezone_id="UTC",
            )
            page = await context.new_page()
            await page.goto(world.url + view.format(id=wide_incident().id))
            await page.wait_for_timeout(1_500)
            await page.screenshot(path=folder / name, type="jpeg", quality=QUALITY)
            await context.close()


if __name__ == "__main__":
    asyncio.run(draw(DOCS))
