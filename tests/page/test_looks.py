"""The page for everyone: other themes, narrow screens, people who use no mouse or no eyes, and very long lists."""

from __future__ import annotations

import importlib.resources
import json
import platform
import re
from typing import Any

import pytest
from playwright.async_api import Browser, CDPSession, Page, expect

from logwarden.daemon.roster import GroupMember
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.standing import ServiceState
from logwarden.daemon.web.coalescing import Coalesced
from tests.page.test_incidents import detail_of, rows_of, wide_incident
from tests.page.world import World
from tests.unit.daemon.web.crew import Crew

WIDE, NARROW = {"width": 1400, "height": 860}, {"width": 390, "height": 844}
SERIOUS = {"serious", "critical"}
MANY_INCIDENTS, MANY_SERVICES = 1_000, 10_000
MOST_ROWS = 60
LEAST_FRAMES, FRAMES = 50, 120


async def breaches(page: Page) -> list[str]:
    """Returns what axe-core finds serious, each with the elements."""
    script = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    await page.evaluate(script)
    found: dict[str, Any] = json.loads(await page.evaluate("axe.run(document).then(JSON.stringify)"))
    return [
        f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']][:3]}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_nothing_serious_keeps_people_out(world: World, browser: Browser, theme: str) -> None:
    """Names, roles, contrast and order suffice for those who hear the page, in both themes and on every view."""
    world.play()
    world.know("shop", state=ServiceState.LEARNING)
    world.know("packages", state=ServiceState.NOISY)
    world.remember()
    world.group.members = (GroupMember(member_id="old", host="10.0.0.7"),)
    # The policy is for the page; axe-core is the test's, and it must run inside.
    context = await browser.new_context(viewport=WIDE, color_scheme=theme, bypass_csp=True)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(f"{world.url}#/incidents/{wide_incident().id}")
    await expect(detail_of(page).locator(".window-line.is-newest")).to_be_visible()
    found = await breaches(page)
    for key in ("2", "3", "?"):
        await page.keyboard.press(key)
        await expect(page.locator("dialog[open]" if key == "?" else ".page")).to_be_visible()
        if key == "2":
            await page.get_by_text("Members", exact=True).click()
        found += await breaches(page)
    await context.close()
    assert found == []


async def test_a_phone_shows_one_thing_at_a_time(world: World, browser: Browser) -> None:
    """The list fills a narrow screen, an incident too, and neither is wider than the screen."""
    world.play()
    context = await browser.new_context(viewport=NARROW, has_touch=True)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(world.url)
    await expect(rows_of(page).first).to_be_visible()
    await rows_of(page).first.locator("a").tap()
    await expect(detail_of(page).locator(".window-line.is-newest")).to_be_visible()
    await expect(rows_of(page)).to_have_count(0)
    for view in ("#/services", "#/feedback", f"#/incidents/{wide_incident().id}"):
        await page.goto(world.url + view)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("link", name="← Incidents").tap()
    await expect(rows_of(page).first).to_be_visible()
    await context.close()


@pytest.mark.parametrize("width", [768, 1024, 1100])
async def test_no_view_is_wider_than_its_screen(world: World, browser: Browser, width: int) -> None:
    """A tablet, or a window beside another one, shows each view whole, and the rate of a service in its column."""
    world.play()
    world.know("settlement-of-invoices-and-reminders-of-the-north", state=ServiceState.LEARNING)
    world.remember()
    context = await browser.new_context(viewport={"width": width, "height": 900})
    page = await context.new_page()
    for view, shown in (
        ("#/services", ".spark .curve"),
        ("#/feedback", ".page h2"),
        (f"#/incidents/{wide_incident().id}", ".is-newest"),
    ):
        await page.goto(world.url + view)
        await expect(page.locator(shown).first).to_be_attached()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    await context.close()


async def test_a_thousand_incidents_scroll_smoothly(world: World, page: Page) -> None:
    """The list has rows for what is in sight only, and a frame costs a fiftieth of a second at most."""
    for number in range(MANY_INCIDENTS):
        world.publish(f"many-{number:04}", message=f"shop: order {number} failed", service="shop")
    await page.goto(world.url)
    await expect(rows_of(page).first).to_be_visible()
    assert await page.locator(".incident-row").count() <= MOST_ROWS
    # The main thread's own time: other programs of a busy machine delay frames, but do not make them dearer.
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = await task_seconds(devtools)
    await page.evaluate(
        """async frames => {
            const list = document.querySelector(".virtual");
            for (let frame = 0; frame < frames; frame++) {
                list.scrollTop += 400;
                await new Promise(requestAnimationFrame);
            }
        }""",
        FRAMES,
    )
    assert FRAMES / (await task_seconds(devtools) - before) >= LEAST_FRAMES
    assert await page.locator(".incident-row").count() <= MOST_ROWS
    await expect(rows_of(page).first).not_to_contain_text("order 999 ")


async def task_seconds(devtools: CDPSession) -> float:
    found = await devtools.send("Performance.getMetrics")
    return float(next(each["value"] for each in found["metrics"] if each["name"] == "TaskDuration"))


async def test_services_of_every_member_are_shown(world: World, page: Page) -> None:
    """Whichever member serves the page; it names those that do not answer, and all of them with what they have."""
    world.know("shop")
    world.remember()
    async with Crew(HttpSettings(port=0), platform.node()) as crew:
        await crew.add("billing", "mailer")
        world.group.members = crew.group.members
        await page.goto(f"{world.url}#/services")
        await expect(page.locator(".about")).to_contain_text("3 services of 2 members (group logwarden")
        await expect(page.locator(".service-row:visible .cell-name")).to_have_text(["billing", "mailer", "shop"])
        await expect(page.locator(".page .note")).to_be_hidden()
        await page.get_by_text("Members", exact=True).click()
        await expect(page.get_by_role("row").nth(2)).to_have_text(re.compile("/0.*1.*2.*1.*4.*1"))
        await expect(page.locator(".spark .curve").first).to_be_attached()
    world.group.members = (*crew.group.members, GroupMember(member_id="old", host="\u202e10.0.0.7"))
    world.view._members._tried_at = float("-inf")
    world.view._group_services._answers = Coalesced(0, 1)  # and not the answer of a moment ago
    await page.reload()
    await expect(page.locator(".about")).to_contain_text("1 service of 3 members")
    await expect(page.locator(".page .note")).to_be_visible()
    await expect(page.locator(".page .note")).to_contain_text("1 of 3 members answered")
    await expect(page.locator(".page .note")).to_contain_text("\\u202e10.0.0.7/old: it is of an earlier release")
    await page.get_by_text("Members", exact=True).click()


async def test_long_names_cost_no_other_service_its_curve(world: World, page: Page) -> None:
    """The API looks for no name beyond its bound, and a request has room for some names of hundreds of letters only."""
    world.know("W" * 2_000, *(f"{number:02}" + "服" * 200 for number in range(12)), "till")
    world.remember()
    await page.goto(f"{world.url}#/services")
    await expect(page.locator(".service-row .cell-name:visible")).to_have_count(14)
    await expect(page.locator(".service-row:visible .spark .curve")).to_have_count(13)


async def test_ten_thousand_services_stay_usable(world: World, page: Page) -> None:
    """They are listed, learning ones first, filtered while one types, and drawn with their last half an hour."""
    world.know("till", state=ServiceState.LEARNING)
    world.know(*(f"service-{number:05}" for number in range(MANY_SERVICES - 1)))
    world.remember()
    await page.goto(f"{world.url}#/services")
    await expect(page.locator(".about")).to_contain_text("10,000 services", timeout=60_000)
    await expect(page.locator(".service-row:visible .cell-name").first).to_have_text("till")
    assert await page.locator(".service-row").count() <= MOST_ROWS
    await page.get_by_label("Filter services").fill("service-09998")
    await expect(page.locator(".service-row:visible .cell-name")).to_have_text(["service-09998"])
    await expect(page.locator(".spark .curve").first).to_be_attached()
