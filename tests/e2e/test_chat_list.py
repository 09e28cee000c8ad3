"""The list of the chat page: dates, search, deep links, several tabs, and a service that is away."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.chat import Chat, visit
from support.proxy import Proxy
from support.waiting import until

if TYPE_CHECKING:
    import aiohttp
    from playwright.async_api import Page

    from stream_serve.testing import ScriptedUpstream
    from support.chat import Serve
    from support.page import PageFactory
    from support.service import Service

DESK: Final = (1440, 900)
PHONE: Final = (390, 844)
DAY: Final = 24 * 3600 * 1000
MODEL: Final = "echo?size=400"


@pytest.fixture
async def service(serve: Serve) -> Service:
    """Return a service that keeps conversations, and says what it was asked."""
    return await serve(MODEL)


async def make(client: aiohttp.ClientSession, service: Service, title: str) -> str:
    """Begin a conversation without a message; return its id."""
    async with client.post(f"{service.url}/ai/conversations", json={"title": title}) as got:
        return (await got.json())["id"]


async def ask(client: aiohttp.ClientSession, service: Service, words: str) -> str:
    """Ask, wait for the answer, and return the id of the conversation."""
    body = {"conversationId": "new", "message": words}
    async with client.post(f"{service.url}/ai/chat/stream-sse", json=body) as got:
        await got.read()
    async with client.get(f"{service.url}/ai/conversations") as got:
        return (await got.json())["conversations"][0]["id"]


async def there(client: aiohttp.ClientSession, service: Service, id_: str) -> bool:
    async with client.get(f"{service.url}/ai/conversations/{id_}") as got:
        return got.status == 200


async def beside(chat: Chat, url: str) -> Chat:
    """Open a second tab in the same browser."""
    page = await chat.page.context.new_page()
    await page.goto(url)
    return Chat(page)


async def age(page: Page, *days: float) -> None:
    """Let the listed conversations be so many days old, in their order."""

    async def older(route: Any) -> None:
        answer = await route.fetch()
        found = await answer.json()
        now = await page.evaluate("Date.now()")
        for one, passed in zip(found["conversations"], days, strict=True):
            stamp = await page.evaluate("(ms) => new Date(ms).toISOString()", now - passed * DAY)
            one["updatedAt"] = stamp
        await route.fulfill(response=answer, json=found)

    await page.route("**/ai/conversations?**", older)


async def test_conversations_stand_under_their_dates_in_the_language_of_the_page(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    for title in ("e", "d", "c", "b", "a"):
        await make(client, service, title)
    chat = await visit(page_context, service)
    await chat.page.clock.install(time="2026-03-15T12:00:00")
    await age(chat.page, 0, 1, 3, 20, 400)
    await chat.page.reload()
    headings = chat.page.locator("#side h2")
    await expect(headings).to_have_text(
        ["Today", "Yesterday", "Last 7 days", "Last 30 days", "February 2025"]
    )
    await expect(chat.page.get_by_role("list", name="Yesterday")).to_have_text("b")
    await chat.page.keyboard.press("Control+,")
    await chat.page.get_by_label("Language").select_option("中文")
    await expect(headings).to_have_text(["今天", "昨天", "最近 7 天", "最近 30 天", "2025年2月"])


async def test_a_new_conversation_is_named_by_its_question_without_its_marks(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service)
    await chat.ask("How does **SSE** work?")
    title = "How does SSE work?"
    await expect(chat.titles).to_have_text([title])
    await expect(chat.heading).to_have_text(title)
    await chat.ends()
    await expect(chat.page).to_have_title(f"{title} · stream-serve")
    await chat.page.reload()
    await expect(chat.titles).to_have_text([title])
    await chat.choose(chat.button(f"Actions for “{title}”"), "Rename")
    field = chat.page.get_by_label("Title of the conversation")
    await expect(field).to_have_value(title)
    await field.fill("Mine")
    await field.press("Enter")
    await expect(chat.heading).to_have_text("Mine")
    await chat.ask("Another question")
    await expect(chat.answers).to_have_count(2)
    await chat.ends()
    await chat.page.reload()
    await expect(chat.titles).to_have_text(["Mine"])


@pytest.mark.parametrize("viewport", [DESK, PHONE])
async def test_the_search_opens_at_the_message_and_gives_the_list_back(
    service: Service,
    page_context: PageFactory,
    client: aiohttp.ClientSession,
    viewport: tuple[int, int],
) -> None:
    await ask(client, service, "Where is the needle?\n" + "Much hay. " * 400)
    await make(client, service, "Nothing to see")
    chat = await visit(page_context, service, viewport=viewport)
    await chat.page.keyboard.press("Control+k")
    field = chat.page.get_by_role("searchbox", name="Search")
    await expect(field).to_be_focused()
    # Enter before the search knows anything opens as soon as it does.
    await field.type("NEEDLE")
    await field.press("Enter")
    await expect(chat.page).to_have_url(re.compile("/c/.+#"))
    found = chat.page.locator("article:focus")
    await expect(found).to_contain_text("needle")
    await expect(found).to_be_in_viewport()
    if viewport == PHONE:
        await chat.button("Open the conversations").click()
    await expect(chat.page.get_by_text("1 conversation found")).to_be_visible()
    marks = chat.page.locator(".results mark")
    await expect(marks).to_have_text(["needle", "needle"])
    await field.press("Escape")
    await expect(field).to_be_focused()
    await expect(field).to_have_value("")
    await expect(chat.titles).to_have_text(
        [re.compile("Nothing to see"), re.compile("Where is the needle")]
    )


async def test_a_search_that_finds_nothing_or_fails_says_so(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    await make(client, service, "Nothing to see")
    chat = await visit(page_context, service)
    field = chat.page.get_by_role("searchbox", name="Search")
    await field.fill("unheard of")
    await expect(chat.page.get_by_text("Nothing found for “unheard of”.")).to_be_visible()
    await chat.page.route("**/ai/conversations?q=**", lambda route: route.abort())
    await field.fill("another")
    await expect(chat.page.get_by_text("The service cannot be reached.")).to_be_visible()


async def test_a_deep_link_leads_to_a_conversation_that_the_list_does_not_reach(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    first = await ask(client, service, "The very first")
    for number in range(45):
        await make(client, service, f"Later {number}")
    chat = await visit(page_context, service, f"/c/{first}")
    await expect(chat.heading).to_have_text("The very first")
    await expect(chat.questions).to_contain_text("The very first")
    await expect(chat.page.locator("[aria-current=page]")).to_have_text("The very first")
    await chat.page.locator("#side .scroll").evaluate("(side) => side.scrollTo(0, 1e6)")
    await expect(chat.titles).to_have_count(46)


async def test_a_link_to_nothing_says_so_and_leaves_the_way_to_a_new_conversation(
    service: Service, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, "/c/nothing-here")
    await expect(chat.log.get_by_role("alert")).to_contain_text("This conversation is not there.")
    await chat.button("New conversation").click()
    await expect(chat.box).to_be_focused()
    await expect(chat.log.get_by_role("alert")).to_have_count(0)


async def test_what_was_deleted_stays_deleted_when_the_tab_closes(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    gone = await make(client, service, "Away with it")
    await make(client, service, "Stays")
    chat = await visit(page_context, service)
    await chat.choose(chat.button("Actions for “Away with it”"), "Delete")
    await expect(chat.button("Undo")).to_be_visible()
    assert await there(client, service, gone)
    other = await beside(chat, service.url)
    await chat.page.close(run_before_unload=True)
    await until(lambda: _gone(client, service, gone))
    await other.page.reload()
    await expect(other.titles).to_have_text(["Stays"])


async def test_an_answer_that_is_deleted_is_stopped_also_when_the_tab_closes(
    upstream: ScriptedUpstream, page_context: PageFactory, serve: Serve
) -> None:
    service = await serve("answer?hold=20")
    chat = await visit(page_context, service)
    await chat.ask("Away with it")
    await chat.grows()
    await chat.choose(chat.button("Actions for “Away with it”"), "Delete")
    await expect(chat.button("Undo")).to_be_visible()
    await chat.page.close(run_before_unload=True)
    record = await upstream.wait_for(lambda record: record.closed_by is not None)
    assert record.closed_by == "peer"


async def _gone(client: aiohttp.ClientSession, service: Service, id_: str) -> bool:
    return not await there(client, service, id_)


async def test_another_tab_sees_what_was_renamed_and_that_what_it_shows_was_deleted(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    id_ = await ask(client, service, "A question")
    chat = await visit(page_context, service)
    other = await beside(chat, f"{service.url}/c/{id_}")
    await expect(other.questions).to_have_count(1)
    await chat.choose(chat.button("Actions for “A question”"), "Rename")
    await chat.page.get_by_label("Title of the conversation").fill("Renamed")
    await chat.page.get_by_label("Title of the conversation").press("Enter")
    await expect(other.heading).to_have_text("Renamed")
    await chat.choose(chat.button("Actions for “Renamed”"), "Delete")
    await expect(chat.titles).to_have_count(0)
    await expect(other.titles).to_have_count(1)
    await expect(other.titles).to_have_count(0)
    await expect(other.log.get_by_role("alert")).to_contain_text("This conversation is not there.")


async def test_an_open_conversation_that_is_deleted_can_be_brought_back(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    id_ = await ask(client, service, "A question")
    chat = await visit(page_context, service, f"/c/{id_}")
    await chat.choose(chat.button("Actions for “A question”"), "Delete")
    await expect(chat.page).to_have_url(f"{service.url}/")
    await expect(chat.heading).to_have_text("New conversation")
    await expect(chat.button("New conversation")).to_be_focused()
    await chat.button("Undo").click()
    await expect(chat.link("A question")).to_be_focused()
    await chat.link("A question").click()
    await expect(chat.questions).to_contain_text("A question")
    assert await there(client, service, id_)


async def test_what_fails_in_the_list_says_so_and_is_as_it_was(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    await make(client, service, "First")
    async with Proxy(service.url) as network:
        chat = await visit(page_context, network)
        await expect(chat.titles).to_have_text(["First"])
        network.down()
        notices = chat.page.locator("#notices")
        await chat.choose(chat.button("Actions for “First”"), "Rename")
        await chat.page.get_by_label("Title of the conversation").fill("Second")
        await chat.page.get_by_label("Title of the conversation").press("Enter")
        await expect(notices).to_contain_text("The service cannot be reached.")
        await expect(chat.titles).to_have_text(["First"])
        async with chat.page.expect_event("requestfailed"):
            await chat.choose(chat.button("Actions for “First”"), "Delete")
        await expect(chat.titles).to_have_text(["First"])
        network.up()
        await notices.get_by_role("button", name="Try again").first.click()
        await expect(notices).to_have_text("")
        network.down()
        await chat.choose(chat.button("Actions for “First”"), "Save as JSON")
        await expect(notices).to_contain_text("The service cannot be reached.")
        network.up()
        await notices.get_by_role("button", name="Try again").first.click()
        await expect(notices).to_have_text("")


async def test_a_list_that_cannot_be_read_can_be_tried_again(
    service: Service, page_context: PageFactory, client: aiohttp.ClientSession
) -> None:
    await make(client, service, "First")
    chat = await visit(page_context, service)
    await chat.page.route("**/ai/conversations?**", lambda route: route.abort())
    await chat.page.reload()
    failed = chat.page.get_by_text("The conversations could not be loaded.")
    await expect(failed).to_be_visible()
    await chat.page.unroute("**/ai/conversations?**")
    await chat.page.locator("#side").get_by_role("button", name="Try again").click()
    await expect(chat.titles).to_have_text(["First"])
    await expect(failed).to_have_count(0)
