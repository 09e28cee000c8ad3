"""Conversations through a real PgBouncer that gives each transaction another connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.conversations.sql.history import SQLHistory
from support.client import Json, ask
from support.history import all_messages, talk
from support.pgbouncer import PgBouncer
from support.postgres import shared_server
from support.process import command, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

    from stream_serve.testing import ScriptedUpstream


@pytest.fixture
def pooled() -> Iterator[str]:
    """The URL of an empty database, through the pooler."""
    server = shared_server()
    url = server.database()
    with PgBouncer(server) as pooler:
        yield pooler.url(url)
    server.drop(url)


async def test_through_a_pooler_conversations_are_kept_as_without(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, pooled: str
) -> None:
    given = {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "echo",
        "STREAM_SERVE_DATABASE_URL": f"{pooled}?connect_timeout=5&application_name=chat"
        "&channel_binding=prefer&sslmode=disable",
    }
    assert (await command("migrate", **given))[0] == 0
    async with serving(**given) as server:

        async def converse(number: int) -> list[Json]:
            conversation = "new"
            events: list[Json] = []
            for message in (f"first {number}", f"second {number}", f"third {number}"):
                async with ask(
                    client, server.url, message=message, conversationId=conversation
                ) as stream:
                    events = await stream.rest()
                conversation = events[0]["conversationId"]
                assert events[-1]["saved"] is True
            async with client.get(f"{server.url}/ai/conversations/{conversation}") as response:
                return (await response.json())["messages"]

        for number, kept in enumerate(await asyncio.gather(*map(converse, range(12)))):
            said = [f"first {number}"] * 2 + [f"second {number}"] * 2 + [f"third {number}"] * 2
            assert [message["content"] for message in kept] == said
        assert await server.end() == 0


async def test_a_pooler_may_change_connections_between_any_two_transactions(pooled: str) -> None:
    assert (await command("migrate", STREAM_SERVE_DATABASE_URL=pooled))[0] == 0
    histories = [SQLHistory(pooled, timeout=20) for _ in range(3)]
    for history in histories:
        await history.open()

    async def work(number: int) -> None:
        history = histories[number % 3]
        turn = await talk(history, content=f"question {number}")
        await history.change("", turn.conversation_id, title=f"renamed {number}")
        await history.list("", limit=5, query="question")
        await history.sweep()
        assert len(await all_messages(history, "", turn.conversation_id)) == 2
        if number % 4 == 0:
            await history.delete("", turn.conversation_id)

    await asyncio.gather(*map(work, range(60)))
    page = await histories[0].list("", limit=100)
    assert len(page.conversations) == 45
    for history in histories:
        await history.close()
