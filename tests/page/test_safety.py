"""What the page refuses: markup in lines, writes without the token, and what its policy forbids."""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import BrowserContext, Page, expect

from tests.page import recorded
from tests.page.test_incidents import detail_of, rows_of
from tests.page.world import TOKEN, World

HOSTILE = [
    "<script>window.harmed = 1</script>",
    "<img src=x onerror='window.harmed = 1'>",
    "</pre></span><svg onload=window.harmed=1>",
    "javascript:window.harmed=1",
    "{{constructor.constructor('window.harmed=1')()}} ${window.harmed=1}",
    "\x1b[31mred\x1b[0m \x07 \r fake line",
    "user\u202egnp.exe\u2066 \u200b\ufeff",
    "\u0000 😀 ﷽ Z̸̡̢͎̗̞ " + "W" * 2_000,
    "&lt;b&gt; &amp; &#x3c;script&#x3e;",
    "event: all\ndata: {}\n\n",
]


async def test_a_hostile_line_is_text(world: World, page: Page) -> None:
    """A line is shown letter by letter wherever it stands, runs nothing, and cannot break the stream."""
    await page.goto(world.url)
    facts = json.loads(recorded.incidents()[-1][0].encode())["logwarden"]
    for line in HOSTILE:
        bad = {**facts["lines"][0], "service": line, "text": line, "alert_id": line, "dedup_key": line, "kinds": [line]}
        service = {**facts["services"][0], "name": line}
        world.publish(
            f"id-{line}",
            message=f"{line}: {line}",
            service=line,
            lines=[bad, {**bad, "text": "another"}],
            services=[service, service],
            kinds=[line],
            severity=line,
            planned={"id": line, "reason": line, "until": None},
        )
    world.know(*HOSTILE)
    await expect(rows_of(page)).to_have_count(len(HOSTILE))
    for line in HOSTILE:
        await page.evaluate("id => location.hash = `#/incidents/${encodeURIComponent(id)}`", f"id-{line}")
        await expect(page.locator(".row-link[aria-current]")).to_have_count(1)
        await expect(detail_of(page).locator(".guilty")).to_have_text(_shown(line))
    async with page.expect_response(lambda answer: "history=true" in answer.url) as answered:  # once the list rests
        await page.keyboard.press("2")
        await expect(page.locator(".service-row .cell-name:visible")).to_have_count(len(HOSTILE))
    assert (await answered.value).ok
    assert await page.evaluate("window.harmed") is None
    assert await page.locator("main :is(script, img, iframe, object)").count() == 0


def _shown(line: str) -> str:
    """Returns a line as the page shows it: letters that are invisible, or move others, are written out."""
    unseen = "\x00\x07\x1b\r\u200b\u202e\u2066\ufeff"
    return "".join(
        (f"\\x{ord(one):02x}" if ord(one) < 256 else f"\\u{ord(one):04x}") if one in unseen else one for one in line
    )


async def test_the_policy_stops_what_a_hole_would_allow(world: World, context: BrowserContext) -> None:
    """Were there a hole, an inline script would not run, markup would not be parsed, and nothing would leave."""
    page = await context.new_page()
    await page.goto(world.url)
    harmed = await page.evaluate(
        """async () => {
            const script = document.createElement("script");
            try { script.textContent = "window.harmed = 1"; document.body.append(script); } catch {}
            try { document.body.innerHTML = "<img src=x onerror='window.harmed = 1'>"; } catch {}
            try { await fetch("https://example.org/"); window.harmed = 1; } catch {}
            return window.harmed ?? 0;
        }"""
    )
    assert harmed == 0


async def posted(page: Page) -> list[Any]:
    """Returns the bodies of writes that the daemon is sent from now on."""
    found: list[Any] = []
    page.on("request", lambda request: found.append(request) if request.method != "GET" else None)
    return found


async def test_a_write_needs_the_token_and_keeps_it_in_the_tab(world: World, page: Page) -> None:
    """The first write asks for the token, a wrong one is refused, and no cookie or lasting storage has it."""
    world.publish("one", message="shop: down", service="shop")
    await page.goto(f"{world.url}#/incidents/one")
    sent = await posted(page)
    await page.get_by_role("button", name="Expected", exact=True).click()
    await page.get_by_label("Why (may be empty)").fill("every night")
    await page.get_by_role("dialog").get_by_role("button", name="Expected").click()
    for token in ("wrong", TOKEN):
        await page.get_by_label("Token of this daemon").fill(token)
        await page.get_by_role("button", name="Use it").click()
    # There is no feedback topic behind this view, which is what the daemon states once the token is right.
    await expect(page.locator("#toasts")).to_contain_text("LOGWARDEN_KAFKA__FEEDBACK_TOPIC")
    assert json.loads(sent[-1].post_data) == {"kind": "expected", "incident": "one", "reason": "every night"}
    assert [request.headers.get("authorization") for request in sent] == [None, "Bearer wrong", f"Bearer {TOKEN}"]
    assert await page.context.cookies() == []
    assert TOKEN not in await page.evaluate("JSON.stringify([localStorage, sessionStorage])")


async def test_a_page_without_the_token_reads_nothing_where_reading_needs_it(page: Page) -> None:
    """The files are public, and the lines are not: the page asks for the token, and works with it."""
    async with World.serving(HTTP__TOKEN_FOR_READS="true") as world:
        world.publish("one", message="shop: a secret", service="shop")
        await page.goto(world.url)
        await expect(page.get_by_label("Token of this daemon")).to_be_visible()
        assert "a secret" not in await page.content()
        await page.get_by_label("Token of this daemon").fill(TOKEN)
        await page.get_by_label("Keep it until this tab is closed").check()
        await page.get_by_role("button", name="Use it").click()
        await expect(rows_of(page)).to_contain_text("a secret")
        await page.reload()
        await expect(rows_of(page)).to_contain_text("a secret")
