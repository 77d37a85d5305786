"""The list of incidents and an open one, in a real browser."""

from __future__ import annotations

import time

from playwright.async_api import Page, expect

from tests.page import recorded
from tests.page.world import World

IN_TIME_MS = 1_000


async def test_the_incidents_of_a_recording_are_shown(world: World, page: Page) -> None:
    """Each incident has its row, and an opened one shows its guilty line, its services and every line."""
    world.play()
    await page.goto(world.url)
    newest = {record.id: record for record, _ in recorded.incidents()}
    opened = next(one for one in newest.values() if len(one.logwarden.services) > 1)
    await page.get_by_role("button", name="All").click()
    await expect(page.get_by_role("listitem")).to_have_count(len(newest))
    await page.goto(f"{world.url}#/incidents/{opened.id}")
    detail = page.get_by_role("region", name="Incident", exact=True)
    await expect(detail.locator(".evidence-row")).to_have_count(len(opened.logwarden.lines))
    for service in opened.logwarden.services:
        await expect(detail.locator(".spread")).to_contain_text(service.name)
    worst = max(opened.logwarden.lines, key=lambda line: (line.is_failure, line.evidence))
    await expect(detail.locator(".guilty")).to_have_text(worst.text)


async def test_an_incident_appears_without_a_reload(world: World, page: Page) -> None:
    """What is published is on the page within a second, and a change of it too."""
    await page.goto(world.url)
    await expect(page.locator("#state")).to_have_text("live")
    began = time.monotonic()
    world.publish("new-one", message="shop: the disk is full", service="shop")
    await expect(page.get_by_role("listitem")).to_contain_text("the disk is full", timeout=IN_TIME_MS)
    assert time.monotonic() - began < 1
    await expect(page).to_have_title("(1) logwarden")
    world.publish("new-one", message="shop: the disk is full", service="shop", status="resolved", revision=99)
    await expect(page).to_have_title("logwarden", timeout=IN_TIME_MS)
