"""Two processes are one service for responses: each polls, resumes, cancels and deletes any of them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from openai import AsyncOpenAI, NotFoundError

from support.redis import shared_server
from support.responses import StrictReader
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_serve.testing import ScriptedUpstream

SLOW = "answer?tokens=40&interval=0.01"


@pytest.fixture
async def pair(upstream: ScriptedUpstream) -> AsyncIterator[tuple[AsyncOpenAI, AsyncOpenAI]]:
    """A client of each of two services over one Redis."""
    clients: list[AsyncOpenAI] = []
    async with AsyncExitStack() as stack:
        for _ in range(2):
            service = Service(redis_url=shared_server().url, upstream_url=upstream.url)
            url = (await stack.enter_async_context(service)).url
            client = AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
            clients.append(await stack.enter_async_context(client))
        yield clients[0], clients[1]


async def test_a_stream_is_gone_on_with_on_another_process(
    pair: tuple[AsyncOpenAI, AsyncOpenAI],
) -> None:
    here, there = pair
    stream = await here.responses.create(model=SLOW, input="hi", background=True, stream=True)
    seen: list[Any] = [await anext(aiter(stream)) for _ in range(9)]
    await stream.close()
    response_id, last = seen[0].response.id, seen[-1].sequence_number
    rest = await there.responses.retrieve(response_id, stream=True, starting_after=last)
    seen += [event async for event in rest]
    reader = StrictReader.read(event.to_dict() for event in seen)
    assert reader.ended
    for client in pair:
        assert (await client.responses.retrieve(response_id)).to_dict() == reader.response
    more = await there.responses.create(
        model="answer?tokens=3", input="and?", previous_response_id=response_id
    )
    assert more.status == "completed"


async def test_a_cancel_and_a_deletion_reach_the_process_that_has_the_run(
    pair: tuple[AsyncOpenAI, AsyncOpenAI], upstream: ScriptedUpstream
) -> None:
    here, there = pair
    response = await here.responses.create(
        model="forever?interval=0.01", input="hi", background=True
    )
    await upstream.wait_for()
    assert (await there.responses.retrieve(response.id)).status == "in_progress"
    cancelled = await there.responses.cancel(response.id)
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    assert cancelled.status == "cancelled"
    for client in (here, there):
        assert await client.responses.cancel(response.id) == cancelled
    await there.responses.delete(response.id)
    for client in (here, there):
        with pytest.raises(NotFoundError):
            await client.responses.retrieve(response.id)
        with pytest.raises(NotFoundError):
            await client.responses.delete(response.id)
