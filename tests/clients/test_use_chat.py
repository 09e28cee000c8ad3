"""The AI SDK's useChat in a page of another origin, in a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from clients.conftest import KEY
from stream_serve.testing import ANSWER, pieces
from support.browser import browser
from support.clients import bundle
from support.service import Service
from support.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page, Response

    from stream_serve.testing import ScriptedUpstream

TOKENS: Final = 100
SLOW: Final = f"answer?tokens={TOKENS}&interval=0.02"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))
QUESTION: Final = {"role": "user", "text": "Hello"}


class Chat:
    """A page with useChat, and how it reaches the service."""

    def __init__(self, page: Page, service: Service, key: str) -> None:
        self.page = page
        self._url = f"{service.url}/api/chat"
        self._headers = {"Authorization": f"Bearer {key}"}

    async def open(self, model: str, *, key: str | None = None, **options: Any) -> None:
        """Show the chat, in which a model answers."""
        headers = self._headers if key is None else {"Authorization": f"Bearer {key}"}
        body = {"model": model, "onDisconnect": options.pop("on_disconnect", "stop")}
        transport = {"api": self._url, "headers": headers, "body": body}
        await self.page.evaluate(
            "([options, transport]) => page.open(options, transport)",
            [{"id": "chat/1", **options}, transport],
        )
        await self.until("page.chat")

    async def send(self, text: str = "Hello") -> None:
        """Send a message, and wait for the end of the answer."""
        await self.page.evaluate("(text) => page.chat.sendMessage({ text })", text)

    async def begin(self) -> None:
        """Send a message, and wait for the beginning of the answer."""
        await self.page.evaluate("() => void page.chat.sendMessage({ text: 'Hello' })")
        await self.until("page.said()[1]?.text")

    async def until(self, expression: str) -> None:
        await self.page.wait_for_function(expression)

    async def is_(self, status: str) -> None:
        await self.until(f"page.chat.status === '{status}'")

    async def said(self) -> list[dict[str, str]]:
        return await self.page.evaluate("page.said()")

    async def told(self) -> list[dict[str, Any]]:
        return await self.page.evaluate("page.told")


@pytest.fixture(scope="module")
def script() -> bytes:
    """The page's script."""
    return bundle("page.jsx")


@pytest.fixture
async def chat(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, script: bytes
) -> AsyncIterator[Chat]:
    """A chat in a page of another origin, which the service knows; the console has no error."""
    keyed = getattr(request, "param", "with keys") == "with keys"
    async with Site(script) as site, browser() as open_page:
        settings = {"api_keys": KEY} if keyed else {}
        origin = site.url.removesuffix("/")
        async with Service(upstream_url=upstream.url, cors_origins=origin, **settings) as service:
            page = await open_page()
            await page.goto(site.url)
            yield Chat(page, service, KEY)
            await page.close()


@pytest.mark.parametrize("chat", ["with keys", "without keys"], indirect=True)
async def test_two_turns_are_answered_and_the_second_has_the_first(
    chat: Chat, upstream: ScriptedUpstream
) -> None:
    await chat.open("echo")
    await chat.send("one")
    await chat.send("two")
    await chat.is_("ready")
    turns = [("user", "one"), ("assistant", "one"), ("user", "two"), ("assistant", "two")]
    assert await chat.said() == [{"role": role, "text": text} for role, text in turns]
    system, *sent = upstream.requests[1].body["messages"]
    assert system["role"] == "system"  # the service's own
    assert [(one["role"], one["content"]) for one in sent] == turns[:3]
    assert [one["finishReason"] for one in await chat.told()] == ["stop", "stop"]


async def test_thinking_and_usage_are_parts_of_the_message(chat: Chat) -> None:
    await chat.open("thinking")
    await chat.send()
    message = await chat.page.evaluate("page.chat.messages[1]")
    kinds = [part["type"] for part in message["parts"]]
    assert kinds == ["step-start", "reasoning", "text"]
    assert {part["state"] for part in message["parts"][1:]} == {"done"}
    assert message["metadata"]["usage"]["totalTokens"] == 868


async def test_a_stop_stops_the_provider_and_keeps_the_text(
    chat: Chat, upstream: ScriptedUpstream
) -> None:
    await chat.open("hang-mid")
    await chat.begin()
    await chat.page.evaluate("page.chat.stop()")
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    await chat.is_("ready")
    assert (await chat.said())[1]["text"]
    assert (await chat.told())[-1]["isAbort"] is True


async def test_a_failure_in_the_middle_is_an_error_after_the_text(chat: Chat) -> None:
    await chat.open("error-mid")
    await chat.send()
    await chat.is_("error")
    assert (await chat.said())[1] == {"role": "assistant", "text": ANSWER[:12]}
    assert "The model crashed" in (await chat.told())[0]["error"]


async def test_a_request_that_is_refused_is_an_error_in_words(
    chat: Chat, upstream: ScriptedUpstream
) -> None:
    await chat.open("no/such?odd=1", on_disconnect="never")
    await chat.send()
    await chat.is_("error")
    assert "onDisconnect" in (await chat.told())[0]["error"]
    assert upstream.requests == []


async def test_an_answer_is_made_again_in_the_place_of_the_old_one(
    chat: Chat, upstream: ScriptedUpstream
) -> None:
    await chat.open("answer")
    await chat.send()
    first = await chat.page.evaluate("page.chat.messages[1].id")
    await chat.page.evaluate("page.chat.regenerate()")
    await chat.is_("ready")
    assert await chat.said() == [QUESTION, {"role": "assistant", "text": ANSWER}]
    assert await chat.page.evaluate("page.chat.messages[1].id") != first
    assert upstream.requests[1].body["messages"] == upstream.requests[0].body["messages"]


async def test_after_a_reload_the_answer_that_goes_on_is_shown_whole(chat: Chat) -> None:
    await chat.open(SLOW, on_disconnect="continue")
    await chat.begin()
    asked = await chat.page.evaluate("page.chat.messages.slice(0, 1)")
    await chat.page.reload()
    await chat.open(SLOW, resume=True, messages=asked)
    await chat.until("page.chat.status === 'ready' && page.said()[1]?.text")
    assert await chat.said() == [QUESTION, {"role": "assistant", "text": TEXT}]


async def test_where_nothing_goes_on_a_resume_changes_nothing(chat: Chat) -> None:
    await chat.open("answer")
    await chat.send()
    before = await chat.page.evaluate("page.chat.messages")

    def resumed(response: Response) -> bool:
        return response.url.endswith("/stream") and response.request.method == "GET"

    async with chat.page.expect_response(resumed) as waiting:
        await chat.open("answer", resume=True, messages=before)
    response = await waiting.value
    assert response.status == 204
    await chat.is_("ready")
    assert await chat.page.evaluate("page.chat.messages") == before
    assert [one for one in await chat.told() if one.get("error")] == []
