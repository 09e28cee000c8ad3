"""What callers keep with a conversation, what readers think of an answer, and where a search found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream
from support.client import ask
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

DEEP: Any = json.loads("[" * 40 + "]" * 40)


@pytest.fixture
async def service(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Service]:
    async with Service(
        upstream_url=upstream.url, database_url=f"sqlite:///{tmp_path / 'conversations.db'}"
    ) as running:
        yield running


async def call(
    client: aiohttp.ClientSession, method: str, url: str, body: dict[str, Any] | None = None
) -> tuple[int, Any]:
    async with client.request(method, url, json=body) as response:
        return response.status, await response.json()


async def test_metadata_of_a_conversation_is_kept_shown_and_exported(
    service: Service, client: aiohttp.ClientSession
) -> None:
    base = f"{service.url}/ai/conversations"
    kept = {"model": "qwen-plus", "temperature": 0.3, "nested": {"你好": [None, True]}}
    status, made = await call(client, "POST", base, {"metadata": kept})
    assert (status, made["title"], made["metadata"]) == (201, "", kept)
    here = f"{base}/{made['id']}"
    status, changed = await call(client, "PATCH", here, {"metadata": {"model": "other"}})
    assert (status, changed["metadata"], changed["updatedAt"]) == (
        *(200, {"model": "other"}),
        made["updatedAt"],
    )
    for path in (here, f"{here}/export"):
        _, shown = await call(client, "GET", path)
        assert shown["conversation"] == changed
    _, page = await call(client, "GET", base)
    assert page["conversations"] == [changed]
    _, cleared = await call(client, "PATCH", here, {"metadata": {}, "title": "a title"})
    assert (cleared["metadata"], cleared["title"]) == (None, "a title")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": None}, "title"),
        ({"metadata": "text"}, "metadata"),
        ({"metadata": {"text": "x" * 16_384}}, "metadata"),
        ({"metadata": {"number": 10**30}}, "metadata"),
        ({"metadata": {"deep": DEEP}}, "metadata"),
    ],
)
async def test_metadata_is_an_object_of_a_bounded_size(
    service: Service, client: aiohttp.ClientSession, body: dict[str, Any], field: str
) -> None:
    base = f"{service.url}/ai/conversations"
    _, made = await call(client, "POST", base, {})
    status, problem = await call(client, "PATCH", f"{base}/{made['id']}", body)
    assert (status, problem["errors"][0]["field"]) == (422, field)


async def test_feedback_is_stored_with_the_answer(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url, message="Hello", conversationId="new") as stream:
        start = (await stream.rest())[0]
    base = f"{service.url}/ai/conversations/{start['conversationId']}"
    answer = f"{base}/messages/{start['messageId']}"
    for feedback in ("up", "down", None, "down"):
        status, rated = await call(client, "PATCH", answer, {"feedback": feedback})
        assert (status, rated["feedback"], rated["content"]) == (200, feedback, ANSWER)
    _, page = await call(client, "GET", f"{base}/messages?order=newest")
    assert [one["feedback"] for one in page["messages"]] == ["down", None]
    assert [one["role"] for one in page["messages"]] == ["assistant", "user"]
    for body in ({}, {"feedback": "great"}, {"feedback": True}):
        status, problem = await call(client, "PATCH", answer, body)
        assert (status, problem["errors"][0]["field"]) == (422, "feedback")
    question = f"{base}/messages/{start['userMessageId']}"
    status, problem = await call(client, "PATCH", question, {"feedback": "up"})
    assert (status, problem["code"]) == (404, "message_not_found")


async def test_a_search_says_in_which_message_it_found_the_text(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url, message="为什么天空是蓝色的？", conversationId="new") as it:
        start = (await it.rest())[0]
    _, page = await call(client, "GET", f"{service.url}/ai/conversations?q=天空")
    assert page["matches"] == {
        start["conversationId"]: {
            "messageId": start["userMessageId"],
            "before": "为什么",
            "text": "天空",
            "after": "是蓝色的？",
        }
    }
    _, page = await call(client, "GET", f"{service.url}/ai/conversations")
    assert page["matches"] == {}
