"""Pictures in conversations: they are kept with their question, given back, and sent in later turns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.client import Json, ask
from support.models import seeing
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

URL: Final = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
PICTURE: Final[dict[str, Any]] = {"type": "image_url", "image_url": {"url": URL}}
PARTS: Final = [PICTURE, {"type": "text", "text": "what is this?"}]


@pytest.fixture
async def service(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    async with seeing(upstream.url, "answer") as running:
        yield running


async def say(client: aiohttp.ClientSession, service: Service, **body: Any) -> list[Json]:
    async with ask(client, service.url, **body) as stream:
        return await stream.rest()


async def read(client: aiohttp.ClientSession, service: Service, path: str) -> str:
    async with client.get(f"{service.url}/ai/conversations{path}") as response:
        assert response.status == 200
        return await response.text()


async def refused(client: aiohttp.ClientSession, service: Service, **body: Any) -> tuple[str, str]:
    """Return the field that is refused, and what is said of it."""
    async with client.post(f"{service.url}/ai/chat/stream-sse", json=body) as response:
        problem = await response.json(content_type=None)
    assert (response.status, problem["code"]) == (422, "invalid_fields")
    return problem["errors"][0]["field"], problem["errors"][0]["message"]


async def test_a_picture_is_kept_given_back_and_sent_again_with_the_next_question(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    start, *_ = await say(client, service, message=PARTS, conversationId="new")
    conversation = start["conversationId"]
    question = {"role": "user", "content": PARTS}
    assert upstream.requests[-1].body["messages"][-1] == question
    page = json.loads(await read(client, service, f"/{conversation}/messages"))
    assert page["messages"][0]["content"] == PARTS
    exported = json.loads(await read(client, service, f"/{conversation}/export?format=json"))
    assert exported["messages"][0]["content"] == PARTS
    assert f"![]({URL})" in await read(client, service, f"/{conversation}/export?format=markdown")
    listed = json.loads(await read(client, service, "?limit=1"))
    assert listed["conversations"][0]["title"] == "what is this?"

    await say(client, service, message="and now?", conversationId=conversation)
    sent = upstream.requests[-1].body["messages"]
    assert [one["role"] for one in sent] == ["system", "user", "assistant", "user"]
    assert sent[1] == question

    again = {"message": None, "regenerate": start["userMessageId"]}
    await say(client, service, conversationId=conversation, **again)
    assert upstream.requests[-1].body["messages"][-1] == question


async def test_a_model_that_takes_no_pictures_is_asked_for_none(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    for body in (
        {"message": PARTS},
        {"message": PARTS, "conversationId": "new"},
    ):
        field, said = await refused(client, service, model="blind", **body)
        assert field == "message"
        assert said.startswith("the model blind takes no pictures")
    whole = [{"role": "user", "content": "hi"}, {"role": "user", "content": PARTS}]
    field, _ = await refused(client, service, model="blind", messages=whole)
    assert field == "messages[1].content"
    assert upstream.requests == []
    assert json.loads(await read(client, service, ""))["conversations"] == []

    start, *_ = await say(client, service, message=PARTS, conversationId="new")
    conversation = start["conversationId"]
    await say(client, service, message="and now?", conversationId=conversation, model="blind")
    text = {"type": "text", "text": "[picture]"}
    assert upstream.requests[-1].body["messages"][1]["content"] == [text, PARTS[1]]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ([], "should have something in it"),
        ("", "should have something in it"),
        (5, "should be text, or a list of content parts"),
        (["a"], "should be text, or a list of content parts"),
        ([{"type": "image_url", "image_url": {"url": "http://a.b"}}], "may not name an address"),
    ],
)
async def test_a_message_that_is_none_is_refused_under_its_own_name(
    service: Service, client: aiohttp.ClientSession, message: object, said: str
) -> None:
    field, words = await refused(client, service, message=message, conversationId="new")
    assert field == "message"
    assert said in words


async def test_pictures_count_in_the_bytes_of_a_conversation(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'full.db'}"
    large = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 9000}"}}
    async with Service(
        upstream_url=upstream.url, database_url=database, max_conversation_bytes=10_000
    ) as service:
        start, *_ = await say(client, service, message=[large], conversationId="new")
        body = {"message": [large], "conversationId": start["conversationId"]}
        async with client.post(f"{service.url}/ai/chat/stream-sse", json=body) as response:
            assert response.status == 409
            assert (await response.json(content_type=None))["code"] == "conversation_full"


async def test_a_conversation_is_shown_without_its_messages(
    service: Service, client: aiohttp.ClientSession
) -> None:
    start, *_ = await say(client, service, message=PARTS, conversationId="new")
    at = start["conversationId"]
    whole = json.loads(await read(client, service, f"/{at}"))
    bare = json.loads(await read(client, service, f"/{at}?messages=0"))
    assert len(whole["messages"]) == 2
    assert bare == {**whole, "messages": [], "nextCursor": None}
