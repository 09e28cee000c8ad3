"""Scrolling on the chat page while an answer comes: the newest text, or what the person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.async_api import expect

from support.chat import Chat, visit
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from stream_serve.testing import ScriptedUpstream
    from support.chat import Serve
    from support.page import PageFactory

DESK: Final[dict[str, Any]] = {"viewport": (1440, 900)}
PHONE: Final[dict[str, Any]] = {"viewport": (390, 844), "touch": True}
SCREENS: Final = pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
VIEWPORTS: Final = [(1366, 768), (1440, 900), (1920, 1080), (390, 844), (412, 915)]
HELD: Final = "answer?tokens=200&size=12&interval=0.01&hold=150"
LONG: Final = "answer?tokens=1200&size=12&interval=0.01&hold=1199"
ENDLESS: Final = "answer?tokens=20000&interval=0.01"
THINKING: Final = "thinking?thoughts=60&tokens=20000&size=12&interval=0.01"

WATCH: Final = """() => {
    // Where the newest answer's text stands as a frame is painted: an observer that begins is told.
    const seen = (window.seen = []);
    const box = document.querySelector("[role=log]");
    const look = () => {
        const text = [...box.querySelectorAll("article.of-model > .answer")].at(-1);
        const observer = new IntersectionObserver(([{ boundingClientRect: at, rootBounds: room }]) => {
            observer.disconnect();
            if (at.height) seen.push({ top: at.top, height: at.height, below: at.bottom - room.bottom });
        }, { root: box });
        if (text) observer.observe(text);
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""

OVERFLOWN: Final = """(room) => {
    const heights = window.seen.map((frame) => frame.height).filter((height) => height > room);
    return new Set(heights).size > 20;
}"""


async def watch(chat: Chat) -> None:
    await chat.page.evaluate(WATCH)


async def seen(chat: Chat) -> list[dict[str, float]]:
    """Return what was seen in each frame since the last look."""
    return await chat.page.evaluate("() => window.seen.splice(0)")


async def top(chat: Chat) -> float:
    return await chat.log.evaluate("(box) => box.scrollTop")


async def distance(chat: Chat) -> float:
    """How far the end of the conversation is below the window."""
    return await chat.log.evaluate("(box) => box.scrollHeight - box.clientHeight - box.scrollTop")


async def _near(chat: Chat) -> bool:
    return await distance(chat) <= 2


async def grown(chat: Chat, characters: int = 300) -> None:
    """Wait until so much more of the answer is shown."""
    await chat.grows(len(await chat.answer.inner_text()) + characters)


async def stands(chat: Chat, meanwhile: Awaitable[None]) -> bool:
    """Whether the answer stays where it is on the screen."""
    await watch(chat)
    await until(lambda: chat.page.evaluate("window.seen.length"))
    await meanwhile
    tops = [frame["top"] for frame in await seen(chat)]
    return max(tops) - min(tops) <= 1


async def follows(chat: Chat) -> None:
    """See that the newest text stays in view."""
    await watch(chat)
    await grown(chat)
    assert max(frame["below"] for frame in await seen(chat)) <= 0


async def fills(chat: Chat) -> None:
    """Wait until the answer is longer than the window."""
    await until(lambda: _long(chat))


async def _long(chat: Chat) -> bool:
    return await top(chat) > 400


async def up(chat: Chat, screen: dict[str, Any]) -> None:
    """Scroll up: three notches of the wheel, or a finger."""
    width, height = screen["viewport"]
    if screen is PHONE:
        await drag(chat, 300, 580)
        return
    await chat.page.mouse.move(width / 2, height / 2)
    for _ in range(3):
        await chat.page.mouse.wheel(0, -100)


async def drag(chat: Chat, start: int, end: int) -> None:
    gesture = {"x": 190, "y": start, "yDistance": end - start, "speed": 1200, "preventFling": True}
    await chat.command("Input.synthesizeScrollGesture", **gesture)


async def test_the_newest_text_is_in_view_in_every_frame(
    serve: Serve, page_context: PageFactory, upstream: ScriptedUpstream
) -> None:
    service = await serve(LONG)
    chat = await visit(page_context, service)
    for width, height in VIEWPORTS:
        await chat.page.set_viewport_size({"width": width, "height": height})
        await chat.page.goto(service.url)
        await watch(chat)
        await chat.ask("And so on")
        await chat.page.wait_for_function(OVERFLOWN, arg=height)
        upstream.release(upstream.requests[-1])
        await chat.ends()
        frames = await seen(chat)
        assert max(frame["below"] for frame in frames) <= 0


@SCREENS
async def test_who_scrolls_up_reads_and_the_button_leads_back(
    serve: Serve, page_context: PageFactory, screen: dict[str, Any]
) -> None:
    chat = await visit(page_context, await serve(ENDLESS), **screen)
    newest = chat.page.get_by_role("button", name="Newest text")
    await chat.ask("And so on")
    await fills(chat)
    await expect(newest).to_be_hidden()
    await up(chat, screen)
    await expect(newest).to_be_visible()
    await expect(newest).to_have_accessible_name("Newest text, more arrives")
    assert await stands(chat, grown(chat))
    await newest.click()
    await expect(newest).to_be_hidden()
    await until(lambda: _near(chat))
    await follows(chat)
    await expect(newest).to_be_hidden()


@SCREENS
async def test_who_scrolls_down_to_the_end_follows_again(
    serve: Serve, page_context: PageFactory, screen: dict[str, Any]
) -> None:
    chat = await visit(page_context, await serve(ENDLESS), **screen)
    await chat.ask("And so on")
    await fills(chat)
    await up(chat, screen)
    await expect(chat.log).to_have_attribute("data-mode", "reading")

    async def down() -> bool:
        if screen is PHONE:
            await drag(chat, 580, 200)
        else:
            await chat.page.mouse.wheel(0, 400)
        return await chat.log.get_attribute("data-mode") == "following"

    await until(down)
    await follows(chat)
    await expect(chat.page.get_by_role("button", name="Newest text")).to_be_hidden()


@SCREENS
async def test_the_end_of_an_answer_moves_nothing(
    serve: Serve, upstream: ScriptedUpstream, page_context: PageFactory, screen: dict[str, Any]
) -> None:
    chat = await visit(page_context, await serve(HELD), **screen)
    await chat.ask("And so on")
    await fills(chat)
    await up(chat, screen)
    await expect(chat.log).to_have_attribute("data-mode", "reading")
    scrolled = await top(chat)

    async def end() -> None:
        upstream.release()
        await chat.ends()

    assert await stands(chat, end())
    assert await top(chat) == pytest.approx(scrolled, abs=1)


async def test_opening_and_closing_the_thoughts_leaves_the_newest_text_in_view(
    serve: Serve, page_context: PageFactory
) -> None:
    chat = await visit(page_context, await serve(THINKING), **DESK)
    await chat.ask("Why?")
    await chat.grows(1200)
    thoughts = chat.answer.get_by_text("Thought for")
    await watch(chat)
    await thoughts.evaluate("(line) => line.click()")
    await expect(chat.answer.locator("details")).to_have_attribute("open", "")
    await grown(chat, 100)
    await thoughts.evaluate("(line) => line.click()")
    await grown(chat, 100)
    assert max(frame["below"] for frame in await seen(chat)) <= 0
    await expect(chat.log).to_have_attribute("data-mode", "following")


async def test_a_selection_in_the_text_that_grows_stays(
    serve: Serve, upstream: ScriptedUpstream, page_context: PageFactory
) -> None:
    chat = await visit(page_context, await serve(HELD), **DESK)
    await chat.ask("And so on")
    await chat.grows(200)
    selected = await chat.text.locator("p").last.evaluate("""(element) => {
        const [first] = element.childNodes;
        getSelection().setBaseAndExtent(first, 0, first, Math.min(8, first.data.length));
        return getSelection().toString();
    }""")
    assert selected
    await expect(chat.log).to_have_attribute("data-mode", "reading")
    upstream.release()
    await chat.ends()
    assert await chat.page.evaluate("() => getSelection().toString()") == selected
