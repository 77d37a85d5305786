"""What people say on the page, and where they see it again."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.page.test_incidents import detail_of, wide_incident
from tests.page.world import TOKEN, World


async def give_token(page: Page) -> None:
    await page.get_by_label("Token of this daemon").fill(TOKEN)
    await page.get_by_role("button", name="Use it").click()


async def test_an_incident_is_judged_and_its_line_muted(world: World, page: Page) -> None:
    """Buttons and keys write feedback, which is listed and can be taken back; the token is asked for once."""
    world.play()
    world.take_feedback()
    await page.goto(f"{world.url}#/incidents/{wide_incident().id}")
    await expect(detail_of(page).locator("h2")).to_be_visible()
    await page.keyboard.press("r")
    await page.get_by_role("dialog").get_by_role("button", name="Real fault").click()
    await give_token(page)
    await expect(page.locator("#toasts")).to_contain_text("Noted as real")
    await page.get_by_role("button", name="Mute for…").click()
    pattern = await page.get_by_label("Text", exact=True).input_value()
    assert "*" in pattern
    assert not any(letter.isdigit() for letter in pattern)
    await page.get_by_role("dialog").get_by_role("button", name="Mute").click()
    await expect(page.locator("#toasts")).to_contain_text("Muted")
    await page.keyboard.press("3")
    await expect(page.locator(".entries li")).to_have_count(2)
    await page.locator(".entries li").filter(has_text="mute").get_by_role("button", name="Undo").click()
    await expect(page.locator(".entries li.over")).to_contain_text("mute")


async def test_maintenance_is_announced_and_stopped(world: World, page: Page) -> None:
    """A window begins at once, shows when it ends, and is stopped by a button."""
    world.take_feedback()
    await page.goto(f"{world.url}#/feedback")
    await expect(page.get_by_text("None is announced")).to_be_visible()
    await page.get_by_role("button", name="Announce maintenance…").click()
    await page.get_by_label("Services (names").fill("shop/*, pay")
    await page.get_by_label("Why (may be empty)").fill("release 7.1")
    await page.get_by_role("button", name="Begin now").click()
    await give_token(page)
    row = page.locator(".entries li")
    await expect(row).to_contain_text("shop/*, pay · ends in 60 min")
    await row.get_by_role("button", name="Stop").click()
    await expect(page.locator(".entries li.over")).to_contain_text("release 7.1")
