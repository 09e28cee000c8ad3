"""Conversations with a provider that refuses every history but one of alternating roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream
from support.client import Json, ask, stop, text
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp


@pytest.fixture
async def service(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Service]:
    async with Service(
        upstream_url=upstream.url, database_url=str(tmp_path / "chat.db"), history_tokens=200
    ) as running:
        yield running


async def say(
    client: aiohttp.ClientSession, service: Service, message: str, **body: str
) -> list[Json]:
    async with ask(client, service.url, message=message, **body) as stream:
        return await stream.rest()


@pytest.mark.parametrize("broken", ["strict?reply=empty", "unauthorized", "silent"])
async def test_after_an_answer_without_a_token_a_strict_provider_takes_the_next_question(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, broken: str
) -> None:
    async with ask(
        client, service.url, message="one", conversationId="new", model=broken
    ) as stream:
        conversation: str = (await stream.until("start"))["conversationId"]
        if broken == "silent":
            await stop(client, service.url, stream.run_id)
        await stream.rest()
    events = await say(client, service, "two", conversationId=conversation, model="strict")
    assert (events[-1]["type"], text(events)) == ("end", ANSWER)
    assert upstream.requests[-1].body["messages"][1:] == [{"role": "user", "content": "one\n\ntwo"}]
    await say(client, service, "three", conversationId=conversation, model="strict")
    assert [sent["content"] for sent in upstream.requests[-1].body["messages"][1:]] == [
        "one\n\ntwo",
        ANSWER,
        "three",
    ]


async def test_at_every_length_a_strict_provider_takes_a_history_that_is_cut(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    conversation = "new"
    for number in range(9):
        message = f"question {number} " + "x" * 37 * number
        model = "strict?reply=empty" if number % 4 == 2 else "strict?text=" + "y" * 90
        events = await say(client, service, message, conversationId=conversation, model=model)
        conversation = events[0]["conversationId"]
        assert events[-1].get("code") in {None, "upstream_error"}
        last = upstream.requests[-1].body["messages"][-1]["content"]
        assert last.endswith(message), "the question is whole, and last"
    assert len(upstream.requests[-1].body["messages"]) < 9


async def test_a_question_beyond_the_budget_is_sent_whole_and_the_log_says_so(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    capsys: pytest.CaptureFixture[str],
) -> None:
    events = await say(client, service, "one", conversationId="new", model="strict")
    conversation = events[0]["conversationId"]
    long = "xylophone " * 400
    await say(client, service, long, conversationId=conversation, model="strict")
    assert upstream.requests[-1].body["messages"][1:] == [{"role": "user", "content": long}]
    said = "".join(capsys.readouterr())
    assert "beyond the budget" in said
    assert "xylophone" not in said
