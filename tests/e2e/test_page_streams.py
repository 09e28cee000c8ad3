"""The page of a stream in a real browser: what it shows, how it ends, and its stop."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.proxy import Proxy
from support.service import Service
from support.stream_events import CLOSED, JSON

if TYPE_CHECKING:
    import aiohttp
    from playwright.async_api import Page

    from support.page import PageFactory

KEY: Final = "sk-alice-0123456789"
NAME: Final = "jobs/import 42/日本"
AT: Final = "2026-11-27T07:50:00Z"
LOGS: Final = [{"type": "log", "content": f"line {n}", "at": AT} for n in range(12)]
END: Final = {"type": "end", "finishReason": "failed", "exitCode": 3, "error": "no <b>room</b>"}


class Job:
    """A producer, and the page that shows what it writes."""

    def __init__(self, client: aiohttp.ClientSession, url: str, key: str = "") -> None:
        self._client = client
        self._headers = {**JSON, **({"Authorization": f"Bearer {key}"} if key else {})}
        self.url = f"{url}/v1/stream/{NAME}"
        self.page_url = f"{url}/streams/{NAME}"

    async def make(self, *messages: Any) -> None:
        body = json.dumps(list(messages))
        async with self._client.put(self.url, headers=self._headers, data=body) as got:
            assert got.status == 201

    async def write(self, *messages: Any, **headers: str) -> None:
        body = json.dumps(list(messages)) if messages else None
        said = {**self._headers, **headers}
        async with self._client.post(self.url, headers=said, data=body) as got:
            assert got.status in {200, 204}

    async def remove(self) -> None:
        await self._client.delete(self.url, headers=self._headers)


@pytest.fixture
async def job(client: aiohttp.ClientSession, service: Service) -> Job:
    """A job that has written some lines."""
    made = Job(client, service.url)
    await made.make(*LOGS)
    return made


async def visit(page_context: PageFactory, job: Job, state: str = "live", **options: Any) -> Page:
    page = await page_context(**{"locale": "en-US", **options})
    await page.goto(job.page_url)
    await reaches(page, state)
    return page


async def reaches(page: Page, state: str) -> None:
    """Wait for a state of the page."""
    line = page.locator("#status-line")
    await expect(line).to_have_attribute("data-state", state)


async def test_messages_come_live_each_in_its_own_form(job: Job, page_context: PageFactory) -> None:
    page = await visit(page_context, job)
    await expect(page).to_have_title(f"{NAME} · stream-serve")
    await expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    await expect(page.get_by_role("status")).to_have_text("Live")
    lines = page.locator("#log .line")
    await expect(lines).to_have_count(12)
    await job.write(
        {"type": "log", "content": "<img src=x onerror=alert(1)> **bold**"},
        {"type": "progress", "value": 0.2, "content": "unpacking"},
        {"type": "progress", "value": 0.4, "content": "checking"},
        {"type": "progress", "value": 0.6, "content": "unpacking"},
        {"type": "chunk", "content": "Once upon "},
        {"type": "chunk", "content": "a time"},
        {"type": "data", "data": {"rows": [1, 2], "text": "<b>x</b>"}},
        {"any": {"json": True}},
        None,
    )
    await expect(lines).to_have_count(17)
    texts = await lines.locator(".words").all_text_contents()
    assert texts[12] == "<img src=x onerror=alert(1)> **bold**"
    assert texts[13] == "Once upon a time"
    assert texts[14] == '{"rows":[1,2],"text":"<b>x</b>"}'
    assert texts[15:] == ['{"any":{"json":true}}', "null"]
    bars = page.get_by_role("progressbar")
    await expect(bars).to_have_count(2)
    await expect(page.get_by_role("progressbar", name="unpacking")).to_have_attribute(
        "value", "0.6"
    )
    await expect(page.locator("#progress")).to_contain_text("60 %")
    fold = lines.nth(14).locator("summary")
    await fold.focus()
    await page.keyboard.press("Enter")
    await expect(lines.nth(14).locator("pre")).to_have_text(
        '{ "rows": [ 1, 2 ], "text": "<b>x</b>" }'
    )
    assert await page.locator("#log img, #log b").count() == 0


async def test_the_end_says_how_and_with_which_code(job: Job, page_context: PageFactory) -> None:
    page = await visit(page_context, job)
    await job.write(END, **CLOSED)
    await reaches(page, "over")
    await expect(page.get_by_role("status")).to_have_text("Ended: failed")
    outcome = page.locator("#outcome")
    await expect(outcome).to_contain_text("Exit code")
    await expect(outcome.locator("dd")).to_have_text(["failed", "3", "no <b>room</b>"])
    await expect(page.locator("#stop")).to_be_disabled()
    late = await visit(page_context, job, "over", locale="zh-CN")
    await expect(late.get_by_role("status")).to_have_text("已结束：失败")
    await expect(late.locator("#log .line")).to_have_count(12)


async def test_a_search_filters_counts_and_follows_what_comes(
    job: Job, page_context: PageFactory
) -> None:
    page = await visit(page_context, job)
    await expect(page.locator("#count")).to_have_text("12 messages")
    await page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Search")
    await expect(search).to_be_focused()
    await search.fill("LINE 1")
    await expect(page.locator("#count")).to_have_text("3 of 12 messages")
    await expect(page.locator("#log .line:visible")).to_have_count(3)
    await job.write({"type": "data", "data": {"a": "line 1"}}, {"type": "log", "content": "no"})
    await expect(page.locator("#count")).to_have_text("4 of 14 messages")
    await page.keyboard.press("Escape")
    await expect(page.locator("#count")).to_have_text("14 messages")
    await expect(page.locator("#log .line:visible")).to_have_count(14)


async def test_a_stop_asks_the_producer_and_shows_its_receipt(
    job: Job, page_context: PageFactory
) -> None:
    page = await visit(page_context, job)
    stop = page.get_by_role("button", name="Stop", exact=True)
    async with page.expect_request(re.compile("/stop")):
        await stop.click()
    await expect(page.get_by_role("status")).to_have_text("Asking the producer to stop…")
    await job.write({"type": "log", "content": "I tidy up"})
    await expect(page.locator("#log")).to_contain_text("I tidy up")
    await job.write(**{"Stream-Stop-Acknowledged": "true"})
    receipt = page.locator("#receipt")
    await expect(receipt).to_contain_text("Written by then")
    await expect(receipt.locator("dd")).to_have_count(3)
    await job.write({"type": "end", "finishReason": "stopped"}, **CLOSED)
    await reaches(page, "over")
    await page.get_by_role("button", name="中文").click()
    await expect(page.get_by_role("status")).to_have_text("已结束：已停止")
    await expect(receipt).to_contain_text("停止回执")


async def test_the_last_connection_of_a_browser_is_enough_to_read_and_to_stop(
    job: Job, page_context: PageFactory
) -> None:
    page = await visit(page_context, job)
    for _ in range(4):
        other = await page.context.new_page()
        await other.goto(job.page_url)
        await reaches(other, "live")
    sixth = await page.context.new_page()
    await sixth.goto(job.page_url)
    await reaches(sixth, "live")
    await sixth.locator("#stop").click()
    await expect(sixth.locator("#status")).to_have_text("Asking the producer to stop…")
    await job.write(**{"Stream-Stop-Acknowledged": "true"})
    await expect(sixth.locator("#receipt")).to_contain_text("Written by then")
    await reaches(sixth, "live")


async def test_a_cut_connection_is_made_again_and_nothing_is_lost_or_doubled(
    client: aiohttp.ClientSession, service: Service, job: Job, page_context: PageFactory
) -> None:
    async with Proxy(service.url) as network:
        seen = Job(client, network.url)
        page = await visit(page_context, seen)
        network.down()
        await reaches(page, "lost")
        # From now on an attempt waits for its answer: the pauses between attempts grow no more.
        network.limit = 0
        network.up()
        await expect(page.get_by_role("status")).to_have_text("Connection lost, connecting again…")
        await job.write({"type": "log", "content": "meanwhile"})
        network.limit = None
        await reaches(page, "live")
        await expect(page.locator("#log .line .words")).to_have_text(
            [*(str(one["content"]) for one in LOGS), "meanwhile"]
        )


async def test_of_a_huge_log_the_page_keeps_the_last_lines_and_says_so(
    job: Job, page_context: PageFactory
) -> None:
    for start in range(0, 12_000, 4_000):
        await job.write(*({"type": "log", "content": f"n{start + n}"} for n in range(4_000)))
    page = await visit(page_context, job)
    await expect(page.locator("#log .line .words").last).to_have_text("n11999")
    await expect(page.locator("#log .line")).to_have_count(5_000)
    await expect(page.locator("#hidden")).to_have_text(
        "7,012 earlier messages are no longer shown: the page keeps the last ones."
    )
    await expect(page.locator("#count")).to_have_text("12,012 messages")
    await job.write({"type": "log", "content": "more"})
    await expect(page.locator("#hidden")).to_contain_text("7,013")


async def test_a_stream_that_is_not_there_or_is_removed_is_said_in_words(
    client: aiohttp.ClientSession, service: Service, page_context: PageFactory
) -> None:
    job = Job(client, service.url)
    page = await visit(page_context, job, "refused")
    await expect(page.locator("#failure")).to_contain_text(f"There is no stream named “{NAME}”")
    await job.make(*LOGS)
    await page.get_by_role("button", name="Try again").click()
    await reaches(page, "live")
    await expect(page.locator("#failure")).to_be_hidden()
    await job.remove()
    await reaches(page, "refused")
    await expect(page.locator("#failure")).to_have_text(re.compile("deleted, or has expired"))


async def test_a_stream_that_is_removed_while_it_is_asked_to_stop_is_said_to_be(
    job: Job, page_context: PageFactory
) -> None:
    page = await visit(page_context, job)
    async with page.expect_request(re.compile("/stop")):
        await page.locator("#stop").click()
    await job.remove()
    await reaches(page, "refused")
    await expect(page.locator("#failure")).to_have_text(re.compile("deleted, or has expired"))


async def test_a_key_is_asked_for_kept_in_the_tab_and_never_in_an_address(
    client: aiohttp.ClientSession, page_context: PageFactory
) -> None:
    async with Service(api_keys=KEY, streams_url="memory") as service:
        job = Job(client, service.url, KEY)
        await job.make(*LOGS)
        page = await visit(page_context, job, "needsKey")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        field = page.get_by_label("API key")
        await expect(field).to_be_focused()
        await field.fill("sk-wrong-0123456789")
        await page.keyboard.press("Enter")
        await expect(page.locator("#failure")).to_contain_text("does not take this key")
        await field.fill("密钥 that no header can have")
        await page.keyboard.press("Enter")
        await expect(page.locator("#failure")).to_contain_text("does not take this key")
        await field.fill(KEY)
        await page.keyboard.press("Enter")
        await reaches(page, "live")
        await expect(page.locator("#log .line")).to_have_count(12)
        await expect(field).to_be_hidden()
        await expect(page.locator("#log")).to_be_focused()
        await page.reload()
        await reaches(page, "live")
        await expect(field).to_be_hidden()
        assert asked
        assert not any(KEY in url for url in asked)
        await job.remove()
        await reaches(page, "refused")
        await expect(field).to_be_visible()  # another key may have another stream


async def test_whatever_a_stream_has_is_shown_as_what_it_is(
    job: Job, page_context: PageFactory
) -> None:
    page = await visit(page_context, job)
    await job.write(
        {"type": "log", "content": "\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain"},
        {"type": "log", "content": "odd", "at": {"a": 1}},
        {"type": "log", "content": None},
        {"type": "end"},
        {"type": "end", "finishReason": 5},
        {"type": "error", "message": "mine"},
        {"type": "progress", "value": 0.999, "content": "almost"},
        {"type": "progress", "value": -1, "content": "minus"},
        {"type": "progress", "value": 1e308, "content": "huge"},
        {"type": "progress", "value": "0.5", "content": "text"},
        {"toString": 5, "type": {"toString": 1}},
        "\u202elast",
    )
    lines = page.locator("#log .line")
    await expect(lines).to_have_count(20)
    assert await lines.locator(".words").all_text_contents() == [
        *(str(one["content"]) for one in LOGS),
        "red and plain",
        "odd",
        "null",
        '{"type":"end"}',
        '{"type":"end","finishReason":5}',
        '{"type":"error","message":"mine"}',
        '{"toString":5,"type":{"toString":1}}',
        '"\u202elast"',
    ]
    await expect(lines.last.locator("time")).to_be_empty()
    await expect(lines.nth(13).locator("time")).to_have_text('{"a":1}')
    values = page.locator("#progress .value")
    await expect(values).to_have_text(["99 %", "0 %", "100 %", ""])
    await job.write({**END, "exitCode": {"a": 1}}, **CLOSED)
    await reaches(page, "over")
    await expect(page.locator("#outcome dd").nth(1)).to_have_text('{"a":1}')


async def test_the_page_is_strict_and_has_a_name_for_everything(
    client: aiohttp.ClientSession, job: Job, page_context: PageFactory
) -> None:
    async with client.get(job.page_url) as response:
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert (await client.head(job.page_url)).status == 200
    page = await visit(page_context, job)
    await expect(page.locator("[aria-live], [role=status], [role=alert]")).to_have_count(1)
    await expect(page.get_by_role("region", name="Log").get_by_role("group")).to_have_count(1)
    await expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    await page.locator(".skip").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#log")).to_be_focused()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
async def test_a_phone_has_no_sideways_scroll(
    job: Job, page_context: PageFactory, locale: str
) -> None:
    await job.write(
        {"type": "log", "content": "x" * 3_000},
        {"type": "data", "data": {"a": "y" * 3_000}},
        {"type": "progress", "value": 0.5, "content": "z" * 300},
        {**END, "error": "w" * 3_000},
        **CLOSED,
    )
    page = await visit(page_context, job, "over", viewport=(360, 740), locale=locale)
    await page.locator("#log summary").click()
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(wider) == 0
