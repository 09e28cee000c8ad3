"""The chats of the AI SDK in a service of several processes: any of them resumes and stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.index import KEPT
from stream_serve.testing import ANSWER, pieces
from support.cluster import cluster, unpooled
from support.redis import shared_server
from support.ui_chat import chat, resume, stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from stream_serve.testing import ScriptedUpstream


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with unpooled() as session:
        yield session


async def test_every_process_resumes_and_stops_what_another_one_answers(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    settings = {"STREAM_SERVE_CONTINUE_DOORS": "ai-sdk"}
    async with cluster(client, upstream, shared_server(), settings) as (here, there):
        model = "answer?tokens=60&interval=0.02"
        async with chat(client, here.url, chat_id="a/b", model=model) as stream:
            await stream.until("text-delta")
            stream.drop()
        async with resume(client, there.url, "a/b") as again:
            assert again is not None
            message = await again.rest()
        assert message.id == stream.message.id
        assert message.text() == "".join(pieces(ANSWER, size=4, tokens=60))
        for node in (here, there):
            async with resume(client, node.url, "a/b") as nothing:
                assert nothing is None
        async with chat(client, there.url, chat_id="a/b", model="hang-mid") as stream:
            await stream.until("text-delta")
            receipt = await stop(client, here.url, "a/b")
            assert receipt is not None
            assert (receipt["runId"], receipt["outcome"]) == (stream.run_id, "stopped")
            assert (await stream.rest()).aborted
        await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_an_answer_that_goes_on_is_found_behind_many_that_are_over(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with cluster(client, upstream, shared_server()) as (here, there):
        async with chat(client, here.url, chat_id="many", model="hang-mid") as stream:
            await stream.until("text-delta")
            for number in range(2 * KEPT):
                node = (here, there)[number % 2]
                async with chat(client, node.url, chat_id="many", model="answer?tokens=1") as over:
                    await over.rest()
            async with resume(client, there.url, "many") as again:
                assert again is not None
                assert again.run_id == stream.run_id
            receipt = await stop(client, there.url, "many")
        assert receipt is not None
        assert (receipt["runId"], receipt["outcome"]) == (stream.run_id, "stopped")
