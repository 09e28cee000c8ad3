"""The chat page over reloads, tabs, a network that goes, and a service that is started anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from stream_serve.testing import ANSWER, pieces
from support.chat import Chat, unheard, visit
from support.page import PATIENCE
from support.proxy import Proxy
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.chat import Serve
    from support.page import PageFactory

DESK: Final[dict[str, Any]] = {"viewport": (1440, 900)}
TOKENS: Final = 400
MODEL: Final = f"answer?tokens={TOKENS}&interval=0.03&hold={TOKENS}"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))
PAUSING: Final = "hang-mid?tokens=20"
ENDLESS: Final = "answer?tokens=20000&interval=0.05"
SLOW: Final = "answer?tokens=20000&size=80&interval=2"


@pytest.fixture
async def service(serve: Serve) -> Service:
    """Return a service that keeps conversations, and answers until the test lets it end."""
    return await serve(MODEL)


@pytest.fixture
async def network(service: Service) -> AsyncIterator[Proxy]:
    """A network to the service that can be cut."""
    async with Proxy(service.url) as proxy:
        yield proxy


async def copied(chat: Chat) -> str:
    """Return what the button copies: the answer's Markdown."""
    await chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await chat.page.bring_to_front()
    await chat.button("Copy as Markdown").last.click()
    await expect(chat.page.locator("#said")).to_have_text("Copied.")
    return await chat.page.evaluate("() => navigator.clipboard.readText()")


async def is_whole(chat: Chat) -> None:
    """Wait for the end; nothing is missing, and nothing is there twice."""
    await expect(chat.button("Stop")).to_have_count(0, timeout=4 * PATIENCE)
    assert await copied(chat) == TEXT
    await expect(chat.questions).to_have_count(1)
    await expect(chat.answers).to_have_count(1)


async def test_reloads_in_the_middle_lose_and_double_nothing(
    service: Service,
    upstream: ScriptedUpstream,
    page_context: PageFactory,
    client: aiohttp.ClientSession,
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.ask("And so on")
    await chat.grows(100)
    conversation = (await chat.address()).rpartition("/")[2]
    for characters in (150, 300):
        await chat.page.reload()
        await chat.grows(characters)
    upstream.release()
    await is_whole(chat)
    async with client.get(f"{service.url}/ai/conversations/{conversation}/messages") as got:
        stored = (await got.json())["messages"]
    assert stored[-1]["content"] == TEXT
    rendered = await chat.text.inner_text()
    await chat.page.reload()
    await expect(chat.answers).to_have_count(1)
    await expect(chat.text).to_have_text(rendered, use_inner_text=True)
    assert len(upstream.requests) == 1


async def test_a_reload_before_a_sent_question_is_heard_of_again_shows_it_with_its_answer(
    service: Service,
    upstream: ScriptedUpstream,
    page_context: PageFactory,
    client: aiohttp.ClientSession,
) -> None:
    chat = await visit(page_context, service, **DESK)
    began = await unheard(chat, client)
    await chat.ask("And so on")
    await began.wait()
    await chat.page.reload()
    await expect(chat.questions).to_contain_text(["And so on"])
    await chat.grows()
    await expect(chat.page).to_have_url(re.compile(r"/c/"))
    await expect(chat.box).to_have_value("")
    await expect(chat.titles).to_have_text(["And so on"])
    upstream.release()
    await is_whole(chat)
    assert len(upstream.requests) == 1


async def test_a_second_tab_shows_the_same_answer_as_it_comes(
    service: Service, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, service, **DESK)
    await chat.ask("And so on")
    await chat.grows(40)
    other = Chat(await chat.page.context.new_page())
    await other.page.goto(await chat.address())
    await other.grows(200)
    upstream.release()
    await is_whole(other)
    await is_whole(chat)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("count", [8, 20])
async def test_as_many_tabs_as_one_likes_each_answer_and_stop(
    upstream: ScriptedUpstream, tmp_path: Path, page_context: PageFactory, count: int
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with Service(
        upstream_url=upstream.url, database_url=database, model=SLOW, max_runs=2 * count
    ) as service:
        first = await visit(page_context, service, **DESK)
        tabs = [first]
        await first.ask("Tab 0")
        await first.grows()
        while len(tabs) < count:
            tab = Chat(await first.page.context.new_page())
            tabs.append(tab)
            await tab.page.goto(service.url)
            await tab.ask(f"Tab {len(tabs) - 1}")
            await tab.grows()
        for tab in tabs:
            await tab.page.bring_to_front()
            await tab.button("Stop").click()
            await expect(tab.answer).to_contain_text("Stopped, the provider's")
        assert len(upstream.requests) == count
        assert {record.closed_by for record in upstream.requests} == {"peer"}


async def test_offline_and_back_the_page_says_what_it_does(
    upstream: ScriptedUpstream, tmp_path: Path, page_context: PageFactory
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with Service(upstream_url=upstream.url, database_url=database, model=PAUSING) as service:
        chat = await visit(page_context, service, **DESK)
        await chat.ask("And so on")
        # What comes through an open connection would show that there is one.
        await expect(chat.answer).to_contain_text("every piece is shown as")
        await chat.page.context.set_offline(offline=True)
        await expect(chat.answer).to_contain_text("Offline. The answer goes on")
        await expect(chat.button("Try now")).to_be_visible()
        await chat.page.context.set_offline(offline=False)
        await expect(chat.answer).not_to_contain_text("Offline.")
        await chat.page.keyboard.press("Escape")
        await expect(chat.answer).to_contain_text("Stopped, the provider's")
        assert len(upstream.requests) == 1


async def test_a_network_that_goes_and_comes_back(
    network: Proxy, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, network, **DESK)
    await chat.ask("And so on")
    await chat.grows()
    network.down()
    await expect(chat.answer).to_contain_text("Offline. The answer goes on")
    network.up()
    upstream.release()
    await is_whole(chat)
    assert len(upstream.requests) == 1


async def test_a_stop_without_a_network_is_said_to_be_unconfirmed_and_then_is(
    upstream: ScriptedUpstream, tmp_path: Path, page_context: PageFactory
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with (
        Service(upstream_url=upstream.url, database_url=database, model=ENDLESS) as service,
        Proxy(service.url) as network,
    ):
        chat = await visit(page_context, network, **DESK)
        await chat.ask("And so on")
        await chat.grows()
        network.down()
        await chat.page.keyboard.press("Escape")
        await expect(chat.answer).to_contain_text("Stopping, not confirmed yet")
        text = await chat.text.inner_text()
        network.up()
        await expect(chat.answer).to_contain_text("Stopped, the provider's")
        assert (await chat.text.inner_text()).startswith(text)
        assert upstream.requests[0].closed_by == "peer"


async def test_a_service_that_is_started_anew_is_said_and_gone_on_with(
    upstream: ScriptedUpstream, tmp_path: Path, page_context: PageFactory
) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    settings: dict[str, Any] = {"upstream_url": upstream.url, "database_url": database}
    async with Service(**settings, model=ENDLESS) as before, Proxy(before.url) as network:
        chat = await visit(page_context, network, **DESK)
        await chat.ask("And so on")
        await chat.grows(60)
        await chat.ask("The next one")
        await chat.box.fill("a draft")
        text = await chat.text.inner_text()
        network.down()
        await expect(chat.answer).to_contain_text("Offline.")
        before.runs.interrupt()
        async with Service(**settings, model="answer") as after:
            network.redirect(after.url)
            network.up()
            await expect(chat.answer).to_contain_text("interrupted", timeout=4 * PATIENCE)
            assert (await chat.text.inner_text()).startswith(text[:40])
            await expect(chat.box).to_have_value("a draft")
            await expect(chat.page.locator(".waiting .next")).to_contain_text(["The next one"])
            await chat.button("Continue").click()
            await expect(chat.questions).to_contain_text(["And so on", "Continue"])
            # Who goes on wants what waits, too.
            await expect(chat.questions).to_have_count(3)
            await chat.ends()
            await expect(chat.box).to_have_value("a draft")
            assert len(upstream.requests) == 3
