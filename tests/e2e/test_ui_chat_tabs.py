"""One chat of the AI SDK from several sides at once: tabs, owners, and somebody who deletes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER
from support.history import place_of
from support.service import Service
from support.ui_chat import chat, resume, stop, user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

Json = dict[str, Any]
ANNA, BERT = "sk-of-anna-0123456789", "sk-of-bert-0123456789"
SHORT = "answer?tokens=2"


@pytest.fixture(params=["sqlite", "postgresql"])
async def service(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path: Path
) -> AsyncIterator[Service]:
    place = await place_of(str(request.param), tmp_path)
    async with Service(
        upstream_url=upstream.url,
        database_url=place.url,
        model=SHORT,
        api_keys=f"{ANNA},{BERT}",
    ) as running:
        yield running
    await place.close()


async def conversations(client: aiohttp.ClientSession, url: str, key: str = ANNA) -> list[Json]:
    """Return an owner's conversations, each with its messages."""
    headers = {"Authorization": f"Bearer {key}"}
    async with client.get(f"{url}/ai/conversations", headers=headers) as response:
        listed = (await response.json())["conversations"]
    found: list[Json] = []
    for one in listed:
        at = f"{url}/ai/conversations/{one['id']}"
        async with client.get(at, headers=headers) as response:
            found.append(await response.json())
    return found


async def test_a_chat_that_is_deleted_while_it_is_answered_is_answered_to_its_end(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with chat(client, service.url, key=ANNA, model="hang-mid") as stream:
        await stream.until("text-delta")
        (there,) = await conversations(client, service.url)
        at = f"{service.url}/ai/conversations/{there['conversation']['id']}"
        async with client.delete(at, headers={"Authorization": f"Bearer {ANNA}"}) as response:
            assert response.status == 204
        async with resume(client, service.url, key=ANNA) as again:
            assert again is not None
        receipt = await stop(client, service.url, key=ANNA)
        assert receipt is not None
        assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
        message = await stream.rest()
    assert ANSWER.startswith(message.text())
    assert message.metadata["saved"] is False
    assert await conversations(client, service.url) == []
    async with chat(client, service.url, user("again", "u2"), key=ANNA) as stream:
        assert (await stream.rest()).metadata["saved"] is True
    (there,) = await conversations(client, service.url)
    assert [one["role"] for one in there["messages"]] == ["user", "assistant"]


async def test_tabs_that_send_at_once_in_a_new_chat_are_one_conversation_with_every_question(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async def say(number: int) -> bool:
        message = user(f"question {number}", f"u{number}")
        async with chat(client, service.url, key=ANNA, messages=None, message=message) as stream:
            return bool((await stream.rest()).metadata["saved"])

    assert await asyncio.gather(*map(say, range(5))) == [True] * 5
    (there,) = await conversations(client, service.url)
    messages = {one["id"]: one for one in there["messages"]}
    asked = {one["content"]: one for one in messages.values() if one["role"] == "user"}
    assert sorted(asked) == [f"question {number}" for number in range(5)]
    answers = [one for one in messages.values() if one["role"] == "assistant"]
    assert {one["parentId"] for one in answers} == {one["id"] for one in asked.values()}
    assert {one["status"] for one in answers} == {"complete"}


async def test_two_owners_with_one_chat_id_have_a_conversation_each(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async def say(key: str, text: str, number: int) -> None:
        message = user(f"{text} {number}", f"u{number}")
        async with chat(client, service.url, key=key, messages=None, message=message) as stream:
            assert (await stream.rest()).metadata["saved"] is True

    for number in range(2):
        await asyncio.gather(say(ANNA, "anna", number), say(BERT, "bert", number))
    for key, name in ((ANNA, "anna"), (BERT, "bert")):
        (there,) = await conversations(client, service.url, key)
        asked = [one["content"] for one in there["messages"] if one["role"] == "user"]
        assert asked == [f"{name} 0", f"{name} 1"]
    told = [[one["content"] for one in request.body["messages"]] for request in upstream.requests]
    assert not any("anna" in str(one) and "bert" in str(one) for one in told)
