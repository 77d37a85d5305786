"""What a person needs who is woken: links that lead to what they name, right times, and a page that stays put."""

from __future__ import annotations

import re

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.page.test_incidents import detail_of, rows_of, wide_incident
from tests.page.world import TOKEN, World

HOUR_MS = 3_600_000
OTHER_CLOCK = """{
    const Real = Date;
    const by = BY;
    Date = class extends Real {
        constructor(...given) { given.length ? super(...given) : super(Real.now() + by); }
        static now() { return Real.now() + by; }
    };
}"""
SCROLLED = """box => new Promise(done => {
    const look = () => box.scrollTop > 5 ? done() : requestAnimationFrame(look);
    look();
})"""
LONG_LINE = "java.lang.IllegalStateException: " + "settlement-" * 180


async def test_an_incident_is_copied_with_its_link(world: World, context: BrowserContext, page: Page) -> None:
    """A colleague who follows the link sees the same incident, and the list beside it has it, although it ended."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    world.publish("open", message="shop: still open", service="shop")
    world.publish("an end", message="db: it is over", service="db", status="resolved")
    await page.goto(f"{world.url}#/incidents/an%20end")
    guilty = detail_of(page).locator(".guilty")
    await expect(guilty).to_be_visible()
    await detail_of(page).get_by_role("button", name="Copy", exact=True).click()
    await expect(page.locator("#toasts")).to_contain_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert await guilty.text_content() in copied
    other = await context.new_page()
    await other.goto(copied.splitlines()[-1])
    await expect(detail_of(other).locator(".guilty")).to_be_visible()
    await expect(other.locator(".row-link[aria-current]")).to_contain_text("it is over")
    await expect(other).to_have_title("(1) db: it is over · logwarden")


async def test_a_line_is_copied_without_the_right_to_the_clipboard(world: World, page: Page) -> None:
    """A page of plain HTTP on another host has no clipboard of its own, and copies nevertheless."""
    await page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    world.play()
    await page.goto(f"{world.url}#/incidents/{wide_incident().id}")
    await detail_of(page).get_by_role("button", name="Copy line").click()
    await expect(page.locator("#toasts")).to_contain_text("Copied the line")
    await page.get_by_label("Filter incidents").press("Control+v")
    line = await detail_of(page).locator("li.open .evidence-row .log").text_content()
    await expect(page.get_by_label("Filter incidents")).to_have_value(line or "nothing")


async def test_ages_are_right_on_a_computer_whose_clock_is_not(world: World, page: Page) -> None:
    """They are by the daemon's clock, and a line whose own clock is ahead is shown as that."""
    await page.add_init_script(OTHER_CLOCK.replace("BY", str(-HOUR_MS)))
    world.publish("now", message="shop: just now", service="shop")
    await page.goto(f"{world.url}#/incidents/now")
    await expect(rows_of(page).locator(".age")).to_have_text(re.compile(r"^(now|\d+ s ago|\d min ago)$"))
    facts = detail_of(page).locator(".facts-row")
    await expect(facts).to_contain_text(re.compile(r"First seen \(UTC.*\D\d+ (s|min) ago"))
    world.publish("now", first_seen="2999-01-01T00:00:00.000Z", last_seen="2999-01-01T00:00:00.000Z", revision=99)
    await expect(facts).to_contain_text("d ahead")


async def test_what_is_read_stays_where_it_is(world: World, page: Page) -> None:
    """A change of an incident moves neither its window nor what was unfolded below it."""
    world.publish("one", revision=1)
    await page.goto(f"{world.url}#/incidents/one")
    box = detail_of(page).locator(".window-lines")
    await box.evaluate(SCROLLED)  # to the line of the alert
    await detail_of(page).get_by_text("Original record").click()
    await box.evaluate("box => box.scrollTop = 5")
    world.publish("one", revision=2, alerts=4_321)
    await expect(detail_of(page)).to_contain_text("4,321")
    assert await box.evaluate("box => box.scrollTop") == 5
    await expect(detail_of(page).locator(".original pre")).to_be_visible()


async def test_a_very_long_line_hides_nothing(world: World, page: Page) -> None:
    """What to do stays in sight below a line of two thousand letters, which stands whole among the lines."""
    world.publish("long", lines=[_line("shop", LONG_LINE)])
    await page.goto(f"{world.url}#/incidents/long")
    await expect(detail_of(page).locator(".guilty")).to_have_text(LONG_LINE)
    await expect(detail_of(page).get_by_role("button", name="Expected")).to_be_in_viewport(ratio=1)
    whole = detail_of(page).locator("li.open .evidence-row .log")
    assert await whole.evaluate("line => line.scrollHeight <= line.clientHeight + 1")


def _line(service: str, text: str) -> dict[str, object]:
    return {
        "service": service,
        "text": text,
        "dedup_key": f"{service}:1",
        "count": 1,
        "evidence": 2.5,
        "is_failure": True,
        "kinds": ["new_line"],
        "first_seen": None,
        "last_seen": None,
        "alert_id": "none",
    }


async def test_a_person_without_the_token_is_asked_once(page: Page) -> None:
    """Who declines is left alone, and a button asks again; the incident of the link is then shown."""
    async with World.serving(HTTP__TOKEN_FOR_READS="true") as world:
        world.publish("one", message="shop: a secret", service="shop")
        await page.clock.install()
        await page.goto(f"{world.url}#/incidents/one")
        await page.get_by_role("button", name="Cancel").click()
        async with page.expect_response("**/api/v1/events"):  # it tries again by itself
            await page.clock.run_for(10_000)
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("button", name="Enter the token").click()
        await page.get_by_label("Token of this daemon").fill(TOKEN)
        await page.get_by_role("button", name="Use it").click()
        await expect(rows_of(page)).to_contain_text("a secret")
        await expect(detail_of(page).locator(".guilty")).to_be_visible()
        await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_filter_is_part_of_the_link(world: World, page: Page) -> None:
    """The address has what was typed; a service leads to its incidents; the way back leads back."""
    world.publish("one", message="shop: down", service="shop")
    world.publish("two", message="db: down", service="db", status="resolved")
    world.know("db", "shop")
    await page.goto(f"{world.url}#/services")
    await page.get_by_role("link", name="db", exact=True).click()
    await expect(rows_of(page)).to_have_count(1)
    await expect(rows_of(page)).to_contain_text("down")
    await page.get_by_label("Filter incidents").fill("shop down")
    await expect(page).to_have_url(re.compile(r"#/incidents\?q=shop%20down$"))
    await page.reload()
    await expect(page.get_by_label("Filter incidents")).to_have_value("shop down")
    await rows_of(page).locator("a").click()
    await expect(page).to_have_url(re.compile("#/incidents/one$"))
    await page.go_back()
    await expect(page).to_have_url(re.compile(r"\?q=shop%20down$"))
    await expect(rows_of(page)).to_have_count(1)


async def test_a_link_that_was_cut_says_so(world: World, page: Page) -> None:
    """An address that is no text names no incident."""
    await page.goto(f"{world.url}#/incidents/%E0%A4")
    await expect(detail_of(page)).to_contain_text("There is no such incident")


async def test_services_stay_when_the_daemon_is_gone(world: World, page: Page) -> None:
    """What was known is shown with its time, and not beside a sentence that there is nothing."""
    world.know("shop")
    await page.clock.install()
    await page.goto(f"{world.url}#/services")
    await expect(page.locator(".service-row:visible .cell-name")).to_have_text(["shop"])
    await page.route("**/api/v1/services*", lambda route: route.abort())
    await page.clock.run_for(11_000)
    await expect(page.locator(".page .note")).to_contain_text("The services below are of")
    await expect(page.get_by_text("No services to show")).to_be_hidden()
    await expect(page.locator(".service-row:visible .cell-name")).to_have_text(["shop"])


async def test_an_incident_is_printed_whole(world: World, page: Page) -> None:
    """Paper has the incident alone, in dark letters on white, and every line of its window."""
    world.play()
    await page.goto(f"{world.url}#/incidents/{wide_incident().id}")
    await expect(detail_of(page).locator(".window-line.is-newest")).to_be_visible()
    await page.emulate_media(media="print", color_scheme="dark")
    await expect(page.locator(".top")).to_be_hidden()
    await expect(rows_of(page)).to_have_count(0)
    box = detail_of(page).locator(".window-lines")
    assert await box.evaluate("box => box.scrollHeight <= box.clientHeight + 1")
    assert await page.evaluate("document.documentElement.scrollHeight > innerHeight")
    colour = await detail_of(page).locator(".guilty").evaluate("line => getComputedStyle(line).color")
    assert max(map(int, re.findall(r"\d+", colour))) < 100


async def test_an_opened_incident_has_the_focus_on_a_phone(world: World, browser: Browser) -> None:
    """The list is hidden then, and a reader of the screen begins at the incident; the way back leads to its row."""
    world.publish("first", message="db: down", service="db")
    world.publish("one", message="shop: down", service="shop")
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    page = await context.new_page()
    await page.goto(world.url)
    await rows_of(page).filter(has_text="shop").locator("a").click()
    await expect(detail_of(page).locator("h2")).to_be_focused()
    await page.get_by_role("link", name="← Incidents").click()
    await expect(rows_of(page).filter(has_text="shop").locator("a")).to_be_focused()
    await context.close()
