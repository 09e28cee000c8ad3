"""Conversations in a real PostgreSQL: migration, a restart in the middle of an answer, a freeze."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream
from support.client import Json, ask, text
from support.postgres import Postgres, shared_server
from support.process import command, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp


@pytest.fixture
def server() -> Postgres:
    return shared_server()


@pytest.fixture
def database(server: Postgres) -> Iterator[str]:
    url = server.database()
    yield url
    server.drop(url)


def settings(upstream: ScriptedUpstream, database: str) -> dict[str, str]:
    return {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "answer",
        "STREAM_SERVE_DATABASE_URL": database,
        "STREAM_SERVE_SAVE_INTERVAL": "0.2",
    }


async def messages(client: aiohttp.ClientSession, url: str, conversation: str) -> list[Json]:
    """Return a conversation's messages; an empty list while the database is away."""
    async with client.get(f"{url}/ai/conversations/{conversation}") as response:
        body: dict[str, Any] = await response.json(content_type=None)
        return body.get("messages", [])


async def test_an_empty_database_is_refused_until_it_is_migrated(
    upstream: ScriptedUpstream, database: str, server: Postgres
) -> None:
    given = settings(upstream, database)
    code, _, err = await command("serve", "--port", "0", **given)
    assert code != 0
    assert "stream-serve migrate" in err
    assert server.password not in err
    for _ in range(2):
        assert (await command("migrate", **given))[0] == 0
    async with serving(**given) as running:
        assert await running.end() == 0


async def test_a_restart_of_the_database_in_the_middle_of_an_answer_loses_nothing(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: str, server: Postgres
) -> None:
    given = settings(upstream, database)
    await command("migrate", **given)
    async with serving(**given) as running:
        async with ask(
            client, running.url, conversationId="new", model="answer?interval=0.01"
        ) as stream:
            start = await stream.next()
            assert start is not None
            await stream.until("chunk")
            await asyncio.to_thread(server.restart)
            events = await stream.rest()
        assert events[-1]["finishReason"] == "stop"
        kept: list[Json] = []
        async with asyncio.timeout(30):
            while not kept or kept[1]["status"] != "complete":
                kept = await messages(client, running.url, start["conversationId"])
        assert kept[1]["content"] == ANSWER
        async with ask(client, running.url, conversationId=start["conversationId"]) as stream:
            assert (await stream.rest())[-1]["saved"] is True
    assert server.password not in running.raw


async def test_a_frozen_database_is_waited_for_within_bounds_and_answers_503(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: str, server: Postgres
) -> None:
    given = settings(upstream, database)
    await command("migrate", **given)
    async with serving(**given) as running:
        async with ask(client, running.url, conversationId="new", model="echo") as stream:
            assert (await stream.rest())[-1]["saved"] is True
        requests = len(upstream.requests)
        server.freeze()
        try:
            async with client.post(
                f"{running.url}/ai/chat/stream-sse",
                json={"message": "hi", "conversationId": "new"},
            ) as response:
                assert response.status == 503
            assert len(upstream.requests) == requests
            async with ask(client, running.url) as stream:
                assert text(await stream.rest()) == ANSWER
        finally:
            server.thaw()
        status = 503
        async with asyncio.timeout(30):
            while status == 503:
                async with client.post(
                    f"{running.url}/ai/chat/stream-sse",
                    json={"message": "hi", "conversationId": "new"},
                ) as response:
                    status = response.status
                    await response.read()
        assert status == 200
