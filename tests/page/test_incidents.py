"""The list of incidents and an open one, in a real browser."""

from __future__ import annotations

import re
import time

from playwright.async_api import Locator, Page, expect

from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.standing import ServiceState
from tests.page import recorded
from tests.page.world import World

IN_TIME_S = 1.0


def wide_incident() -> IncidentRecord:
    """Returns an incident of the recording that has several services."""
    newest = {record.id: record for record, _ in recorded.incidents()}
    return next(one for one in newest.values() if len(one.logwarden.services) > 1)


def detail_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Incident", exact=True)


def rows_of(page: Page) -> Locator:
    return page.locator(".incident-row:visible")


async def test_the_incidents_of_a_recording_are_shown(world: World, page: Page) -> None:
    """Each incident has its row, and an opened one shows its guilty line, its services and every line."""
    world.play()
    await page.goto(world.url)
    opened = wide_incident()
    await page.get_by_role("button", name="All").click()
    await expect(rows_of(page)).to_have_count(len({record.id for record, _ in recorded.incidents()}))
    await page.goto(f"{world.url}#/incidents/{opened.id}")
    detail = detail_of(page)
    await expect(detail.locator(".evidence-row")).to_have_count(len(opened.logwarden.lines))
    for service in opened.logwarden.services:
        await expect(detail.locator(".spread")).to_contain_text(service.name)
    worst = max(opened.logwarden.lines, key=lambda line: (line.is_failure, line.evidence))
    await expect(detail.locator(".guilty")).to_have_text(worst.text)


async def test_the_window_of_the_guilty_line_is_open(world: World, page: Page) -> None:
    """The worst line is at first sight among the lines before it, with its weight, and the lines after it."""
    world.play()
    await page.goto(f"{world.url}#/incidents/{wide_incident().id}")
    newest = detail_of(page).locator(".window-line.is-newest")
    await expect(newest).to_be_in_viewport()
    await expect(newest.locator(".share")).to_have_text(re.compile(r"\d+ %"))
    await expect(detail_of(page).locator(".window-line:not(.is-after)")).to_have_count(32)
    await expect(detail_of(page).locator(".window-line.is-after").first).to_be_attached()
    await expect(detail_of(page).locator(".window .meta")).to_contain_text("score")
    await detail_of(page).get_by_text("Original record").click()
    await expect(detail_of(page).locator(".original pre")).to_contain_text('{"service": ')


async def test_a_window_that_is_gone_says_so(world: World, page: Page) -> None:
    """An incident outlives its alerts, and the page states what is missing."""
    world.play()
    world.topics.gone.add("logwarden.alerts")
    await page.goto(f"{world.url}#/incidents/{wide_incident().id}")
    await expect(detail_of(page).locator(".window")).to_contain_text("The alerts topic no longer has this alert")


async def test_an_incident_appears_without_a_reload(world: World, page: Page) -> None:
    """What is published is on the page within a second, and a change of it too."""
    await page.goto(world.url)
    await expect(page.locator("#state")).to_have_text("live")
    delays = []
    for number in range(1, 4):
        began = time.monotonic()
        world.publish(f"new-{number}", message=f"shop: disk {number} is full", service="shop")
        await expect(rows_of(page).filter(has_text=f"disk {number} is full")).to_be_visible()
        delays.append(time.monotonic() - began)
        await expect(page).to_have_title(f"({number}) logwarden")
    assert min(delays) < IN_TIME_S  # a busy machine only adds to a delay
    world.publish("new-1", message="shop: disk 1 is full", service="shop", status="resolved", revision=99)
    await expect(page).to_have_title("(2) logwarden")


async def test_a_daemon_that_comes_back_is_followed_again(world: World, page: Page) -> None:
    """A browser that lost its daemon says so, and shows what happened meanwhile as soon as it is back."""
    await page.goto(world.url)
    await expect(page.locator("#state")).to_have_text("live")
    await page.route("**/api/v1/events*", lambda route: route.abort())
    world.view.stop()
    await expect(page.get_by_role("alert")).to_contain_text("The daemon")
    world.publish("meanwhile", message="shop: it happened meanwhile", service="shop")
    await page.unroute("**/api/v1/events*")
    await expect(rows_of(page)).to_contain_text("it happened meanwhile", timeout=15_000)
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_change_takes_the_focus_from_nothing(world: World, page: Page) -> None:
    """A person who reads by keyboard stays where they are when the incident changes."""
    world.publish("a" * 36, revision=1, alerts=5)
    await page.goto(f"{world.url}#/incidents/{'a' * 36}")
    heading = detail_of(page).locator("h2")
    await expect(heading).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(heading).to_be_focused()
    world.publish("a" * 36, revision=2, alerts=777)
    await expect(detail_of(page)).to_contain_text("777")
    await expect(heading).to_be_focused()


async def test_the_keyboard_is_enough(world: World, page: Page) -> None:
    """Incidents, their lines, the filter, the views and the theme are reached by keys."""
    world.play()
    await page.goto(world.url)
    await page.get_by_role("button", name="All").click()  # whether one is still open depends on this machine's speed
    await page.evaluate("document.activeElement.blur()")
    await expect(rows_of(page).nth(1)).to_be_visible()
    await page.keyboard.press("j")
    first = await page.evaluate("location.hash")
    await page.keyboard.press("j")
    assert await page.evaluate("location.hash") != first
    await page.keyboard.press("k")
    assert await page.evaluate("location.hash") == first
    await expect(detail_of(page).locator("h2")).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(detail_of(page).locator("h2")).to_be_focused()
    await page.keyboard.press("/")
    await page.keyboard.type("no such words")
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(re.compile("#/incidents$"))
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("expected, real fault")
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog")).to_have_count(0)  # until then keys are for the dialog
    await page.keyboard.press("2")
    await expect(page).to_have_url(re.compile("#/services$"))
    await expect(page.get_by_role("row").filter(has_text="pgbouncer")).to_be_visible()
    await page.keyboard.press("t")
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")


async def test_an_empty_page_explains_what_to_do(world: World, page: Page) -> None:
    """Without a line it shows how to send one, while services learn how far they are, and then that all is quiet."""
    await page.goto(world.url)
    await expect(page.get_by_text("No line has arrived yet")).to_be_visible()
    world.know("shop", state=ServiceState.LEARNING)
    await expect(page.get_by_text("Learning what is normal")).to_be_visible(timeout=20_000)
    world.know("db")
    await expect(page.get_by_text("All quiet")).to_be_visible(timeout=20_000)


async def test_similar_incidents_lead_to_each_other(world: World, page: Page) -> None:
    """An incident names earlier ones with the same lines, and the link opens them."""
    world.publish("earlier", message="shop: the first time", service="shop")
    world.publish("later", message="shop: the second time", service="shop")
    await page.goto(f"{world.url}#/incidents/later")
    await detail_of(page).get_by_role("link", name="the first time").click()
    await expect(page).to_have_url(re.compile("#/incidents/earlier$"))


async def test_the_list_shows_which_feedback_ended_an_incident(world: World, page: Page) -> None:
    """It names the judgement, who gave it, and why; the filter finds it."""
    ended = {"kind": "mute", "feedback": "mute/1", "by": "ann", "reason": "every \x1b night"}
    world.publish("muted", status="resolved", resolution=ended)
    world.publish("quiet", status="resolved")
    await page.goto(world.url)
    row = rows_of(page).filter(has_text="muted by ann: every \\x1b night")
    await expect(row).to_have_count(1)
    await expect(rows_of(page)).to_have_count(2)
    await page.get_by_label("Filter incidents").fill("by ann")
    await expect(rows_of(page)).to_have_count(1)
    await row.click()
    await expect(detail_of(page).locator(".tags")).to_contain_text("muted by ann: every \\x1b night")
