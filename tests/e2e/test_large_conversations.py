"""Large conversations over HTTP: pages, exports that are whole, and quotas in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select

from stream_serve.conversations.base import Answer, NewAnswer, NewMessage, Status
from stream_serve.conversations.sql.history import SQLHistory
from stream_serve.conversations.sql.schema import messages
from support.client import ask
from support.history import transact
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp
    from sqlalchemy import Connection

    from stream_serve.conversations.base import Turn
    from stream_serve.testing import ScriptedUpstream


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "chat.db")


@pytest.fixture
async def service(upstream: ScriptedUpstream, database: str) -> AsyncIterator[Service]:
    async with Service(
        upstream_url=upstream.url,
        database_url=database,
        max_conversation_messages=1_500,
        max_conversations_per_key=2,
    ) as running:
        yield running


async def get(client: aiohttp.ClientSession, url: str) -> Any:
    async with client.get(url) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def grown(database: str, size: int, answers: int) -> str:
    """A conversation with one question and many answers of a size."""
    history = SQLHistory(database)
    await history.open()
    answer = NewAnswer(run_id="r", model="m")
    turn = await history.ask("", None, [NewMessage(role="user", content="why?")], answer)
    await history.finish(turn, Answer(status=Status.COMPLETE, content=said(size, 0)))
    if answers > 1:
        await repeat(database, turn, [said(size, number) for number in range(1, answers - 1)])
        ids = (turn.conversation_id, turn.user_message_id)
        last = await history.ask_again("", *ids, answer)
        await history.finish(last, Answer(status=Status.COMPLETE, content=said(size, answers - 1)))
    await history.close()
    return turn.conversation_id


def said(size: int, number: int) -> str:
    return f"{number} " * size


async def repeat(database: str, turn: Turn, texts: list[str]) -> None:
    """Store more answers as the first one was, with other texts; the end of another one counts them."""

    def work(connection: Connection) -> None:
        wanted = select(messages).where(messages.c.id == turn.answer_id)
        first = dict(connection.execute(wanted).mappings().one())
        del first["seq"]
        rows = [
            {
                **first,
                "id": f"answer-{number}",
                "content": text,
                "search": text,
                "size": len(text),
                "indexed": False,
            }
            for number, text in enumerate(texts)
        ]
        if rows:
            connection.execute(insert(messages), rows)

    await transact(database, work)


async def pages(client: aiohttp.ClientSession, url: str, after: str | None) -> list[Any]:
    """The messages after one, page by page."""
    found: list[Any] = []
    while after is not None:
        page = await get(client, f"{url}/messages?limit=100&after={after}")
        found += page["messages"]
        after = page["nextCursor"]
    return found


async def test_a_conversation_of_many_messages_is_shown_in_pages_and_exported_whole(
    service: Service, client: aiohttp.ClientSession, database: str
) -> None:
    url = f"{service.url}/ai/conversations/{await grown(database, 1, 620)}"
    shown = await get(client, url)
    assert len(shown["messages"]) == 500
    assert shown["nextCursor"] == shown["messages"][-1]["id"]
    rest = await pages(client, url, shown["nextCursor"])
    whole = [*shown["messages"], *rest]
    assert [one["content"] for one in whole] == ["why?", *(f"{n} " for n in range(620))]
    exported = await get(client, f"{url}/export")
    assert exported == {**shown, "messages": whole, "nextCursor": None}
    first = await get(client, f"{url}/messages")
    assert first["messages"] == whole[:50]
    async with client.get(f"{url}/export?format=markdown") as response:
        markdown = await response.text()
    assert markdown.count("\n## ") == 621
    assert markdown.startswith("# why?\n\n## user\n\nwhy?\n\n## assistant (m)\n\n0 \n")


async def test_no_page_has_much_more_than_a_megabyte(
    service: Service, client: aiohttp.ClientSession, database: str
) -> None:
    url = f"{service.url}/ai/conversations/{await grown(database, 100_000, 12)}"
    shown = await get(client, url)
    rest = await pages(client, url, shown["nextCursor"])
    assert 1 < len(shown["messages"]) < 8
    assert len(json.dumps(shown)) < 1_100_000
    assert len(shown["messages"]) + len(rest) == 13
    assert len((await get(client, f"{url}/export"))["messages"]) == 13


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "invalid_fields"),
        ("limit=101", 422, "invalid_fields"),
        ("limit=ten", 422, "invalid_fields"),
        ("limit=" + "9" * 5_000, 422, "invalid_fields"),
        ("after=unknown", 400, "bad_cursor"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(
    service: Service,
    client: aiohttp.ClientSession,
    database: str,
    query: str,
    status: int,
    code: str,
) -> None:
    url = f"{service.url}/ai/conversations/{await grown(database, 1, 1)}"
    async with client.get(f"{url}/messages?{query}") as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (status, code)


async def refused(client: aiohttp.ClientSession, url: str, conversation: str) -> dict[str, Any]:
    body = {"message": "one more", "conversationId": conversation}
    async with client.post(f"{url}/ai/chat/stream-sse", json=body) as response:
        assert response.status == 409
        return await response.json(content_type=None)


async def test_a_quota_refuses_the_next_question_in_words_and_asks_nobody(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, database: str
) -> None:
    conversation = await grown(database, 1, 1_499)
    problem = await refused(client, service.url, conversation)
    assert problem["code"] == "conversation_full"
    assert "would have 1502 messages" in problem["detail"]
    assert "begin a new one" in problem["detail"]
    assert "STREAM_SERVE_MAX_CONVERSATION_MESSAGES" in problem["detail"]
    async with ask(client, service.url, conversationId="new") as stream:
        assert (await stream.rest())[-1]["saved"] is True
    asked = len(upstream.requests)
    problem = await refused(client, service.url, "new")
    assert problem["code"] == "storage_full"
    assert "STREAM_SERVE_MAX_CONVERSATIONS_PER_KEY" in problem["detail"]
    assert len(upstream.requests) == asked
    url = f"{service.url}/ai/conversations"
    async with client.post(url, json={}) as response:
        assert response.status == 409
    shown = await get(client, f"{url}/{conversation}")
    assert len(shown["messages"]) == 500, "what is there stays readable"
    async with client.delete(f"{url}/{conversation}") as response:
        assert response.status == 204
    async with ask(client, service.url, conversationId="new") as stream:
        assert (await stream.rest())[-1]["saved"] is True
