"""The Responses API, with OpenAI's client and as raw streams: a response is the same to all readers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from openai import APIError, AsyncOpenAI, BadRequestError, NotFoundError

from stream_serve.testing import ANSWER, pieces
from support.client import show
from support.responses import DONE, StrictReader, events_of
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    from openai.types.responses import Response

    from stream_serve.testing import Record, ScriptedUpstream

Json = dict[str, Any]

THREE = "".join(pieces(ANSWER, size=4, tokens=3))
TOOLS: Any = [
    {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False},
    {"type": "function", "name": "get_time", "parameters": {"type": "object"}, "strict": False},
]


@pytest.fixture
async def openai(service: Service) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's client, which repeats nothing."""
    async with client_of(service) as client:
        yield client


def client_of(service: Service, key: str = "any") -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0)


def gone(record: Record) -> bool:
    return record.closed_by == "peer"


async def ended(openai: AsyncOpenAI, response_id: str) -> Response:
    """Poll a response until it has ended."""
    found: list[Response] = []

    async def has_ended() -> bool:
        found.append(await openai.responses.retrieve(response_id))
        return found[-1].status not in {"queued", "in_progress"}

    await until(has_ended)
    return found[-1]


async def count(stream: AsyncIterator[Any]) -> int:
    """Read a stream to its end."""
    return len([event async for event in stream])


async def raw(client: aiohttp.ClientSession, service: Service, **body: Any) -> bytes:
    """Post a request and return all bytes of the answer."""
    async with client.post(f"{service.url}/v1/responses", json=body) as response:
        assert response.status == 200, await response.text()
        return await response.read()


async def test_an_answer_in_one_piece_is_what_can_be_retrieved_later(
    openai: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    response = await openai.responses.create(
        model="answer?tokens=3", input="hi", instructions="be short", metadata={"a": "b"}
    )
    assert (response.output_text, response.status, response.metadata) == (
        THREE,
        "completed",
        {"a": "b"},
    )
    assert response.usage is not None
    assert response.usage.output_tokens == 3
    assert response.completed_at is not None
    assert await openai.responses.retrieve(response.id) == response
    assert upstream.requests[-1].body["messages"] == [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "hi"},
    ]


async def test_a_stream_is_numbered_has_no_ids_and_ends_with_done(
    service: Service, client: aiohttp.ClientSession, openai: AsyncOpenAI
) -> None:
    body = await raw(client, service, model="thinking?tokens=3", input="hi", stream=True)
    assert b"\nid:" not in body
    assert body.endswith(b"data: [DONE]\n\n")
    reader = StrictReader.read(events_of(body))
    assert reader.response is not None
    kinds = [item["type"] for item in reader.response["output"]]
    assert kinds == ["reasoning", "message"]
    kept = await openai.responses.retrieve(reader.response["id"])
    assert kept.to_dict() == reader.response


async def test_the_clients_helper_takes_a_stream_with_heartbeats(
    upstream: ScriptedUpstream,
) -> None:
    async with (
        Service(upstream_url=upstream.url, heartbeat_interval=0.02) as service,
        client_of(service) as openai,
        openai.responses.stream(model="answer?tokens=3&interval=0.1", input="hi") as stream,
    ):
        deltas = [
            event.delta async for event in stream if event.type == "response.output_text.delta"
        ]
        final = await stream.get_final_response()
    assert final.output_text == "".join(deltas) == THREE


async def test_functions_are_called_in_two_steps(
    openai: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    hosted: Any = [{"type": "web_search"}, *TOOLS]
    asked = await openai.responses.create(
        model="answer?tokens=3", input="weather?", tools=hosted, tool_choice="auto"
    )
    assert [tool.type for tool in asked.tools] == ["function", "function"]
    sent = upstream.requests[-1].body["tools"]
    assert [tool["function"]["name"] for tool in sent] == ["get_weather", "get_time"]
    call = {"type": "function_call", "call_id": "call_1", "name": "get_time", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "12:00"}
    items: Any = [call, output]
    final = await openai.responses.create(
        model="answer?tokens=3", previous_response_id=asked.id, input=items, tools=TOOLS
    )
    assert final.output_text == THREE
    messages = upstream.requests[-1].body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[1]["content"] == THREE
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"] == "call_1"


async def test_a_response_in_the_background_goes_on_alone_and_can_be_polled(
    openai: AsyncOpenAI,
) -> None:
    response = await openai.responses.create(
        model="answer?tokens=30&interval=0.01", input="hi", background=True
    )
    assert (response.status, response.output, response.background) == ("queued", [], True)
    final = await ended(openai, response.id)
    assert (final.status, final.output_text) == (
        "completed",
        "".join(pieces(ANSWER, size=4, tokens=30)),
    )


async def test_a_response_in_the_background_outlives_its_stream_and_goes_on_after_any_number(
    openai: AsyncOpenAI,
) -> None:
    stream = await openai.responses.create(
        model="answer?tokens=30&interval=0.01", input="hi", background=True, stream=True
    )
    seen = [await anext(aiter(stream)) for _ in range(8)]
    await stream.close()
    first = seen[0]
    assert first.type == "response.created"
    assert [event.type for event in seen[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    last = seen[-1].sequence_number
    rest = await openai.responses.retrieve(first.response.id, stream=True, starting_after=last)
    seen += [event async for event in rest]
    reader = StrictReader.read(event.to_dict() for event in seen)
    assert reader.ended
    again = await openai.responses.retrieve(first.response.id, stream=True)
    assert [event async for event in again] == seen
    for number in (-1, 0, 1):
        rest = await openai.responses.retrieve(
            first.response.id, stream=True, starting_after=number
        )
        assert [event async for event in rest] == seen[number + 1 :]
    beyond = await openai.responses.retrieve(first.response.id, stream=True, starting_after=1000)
    assert [event async for event in beyond] == []


async def test_a_wrong_number_to_go_on_from_leaves_no_reader_behind(
    openai: AsyncOpenAI, client: aiohttp.ClientSession, service: Service
) -> None:
    response = await openai.responses.create(model="hang-mid", input="hi", background=True)
    url = f"{service.url}/v1/responses/{response.id}"
    async with client.get(f"{url}?stream=true&starting_after=x") as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == "starting_after"
    run_id = response.id.removeprefix("resp_")
    assert (await show(client, service.url, run_id))["readers"] == 0
    await openai.responses.cancel(response.id)


async def test_a_cancelled_response_stays_cancelled_and_its_provider_is_closed(
    openai: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    response = await openai.responses.create(
        model="forever?interval=0.01", input="hi", background=True
    )
    stream = await openai.responses.retrieve(response.id, stream=True)
    events = [await anext(aiter(stream)) for _ in range(10)]
    cancelled = await openai.responses.cancel(response.id)
    await upstream.wait_for(gone)
    assert (cancelled.status, cancelled.completed_at, cancelled.error) == ("cancelled", None, None)
    assert cancelled.output_text
    assert cancelled.output[-1].to_dict()["status"] == "incomplete"
    events += [event async for event in stream]
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response == cancelled
    assert await openai.responses.cancel(response.id) == cancelled
    assert await openai.responses.retrieve(response.id) == cancelled


async def test_cancelling_what_has_ended_shows_it_and_what_is_not_in_the_background_is_refused(
    openai: AsyncOpenAI,
) -> None:
    response = await openai.responses.create(model="answer?tokens=3", input="hi", background=True)
    final = await ended(openai, response.id)
    assert await openai.responses.cancel(response.id) == final
    other = await openai.responses.create(model="answer?tokens=3", input="hi")
    with pytest.raises(BadRequestError, match="Cannot cancel a synchronous response"):
        await openai.responses.cancel(other.id)


@pytest.mark.parametrize("background", [True, False])
async def test_a_run_that_is_ended_at_any_of_its_first_events_is_never_stuck(
    openai: AsyncOpenAI, background: bool
) -> None:
    for count in range(1, 51):
        stream = await openai.responses.create(
            model="forever?interval=0", input="hi", background=background, stream=True
        )
        seen = [await anext(aiter(stream)) for _ in range(count)]
        assert seen[0].type == "response.created"
        response_id = seen[0].response.id
        if background:
            await openai.responses.cancel(response_id)
        await stream.close()
        assert (await ended(openai, response_id)).status == "cancelled"


async def test_a_client_that_does_not_wait_for_its_answer_stops_the_run(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    body = {"model": "forever?interval=0.01", "input": "hi"}
    waiting = asyncio.create_task(raw(client, service, **body))
    await upstream.wait_for()
    waiting.cancel()
    await upstream.wait_for(gone)
    upstream.clear()
    async with client.post(
        f"{service.url}/v1/responses", json={**body, "stream": True}
    ) as response:
        await response.content.readline()
        await upstream.wait_for()
        response.close()
    await upstream.wait_for(gone)


async def test_items_are_found_by_their_ids_alone(
    openai: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    first = await openai.responses.create(model="answer?tokens=3", input="hi")
    reference: Any = {"type": "item_reference", "id": first.output[0].id}
    items: Any = [{"role": "user", "content": "hi"}, reference, {"role": "user", "content": "more"}]
    second = await openai.responses.create(model="answer?tokens=3", input=items)
    assert [message["content"] for message in upstream.requests[-1].body["messages"]] == [
        "hi",
        THREE,
        "more",
    ]
    third = await openai.responses.create(
        model="answer?tokens=3", input="and?", previous_response_id=second.id
    )
    assert len(upstream.requests[-1].body["messages"]) == 5
    listed = [item.id async for item in openai.responses.input_items.list(third.id, limit=2)]
    ascending = openai.responses.input_items.list(third.id, order="asc")
    assert [item.id async for item in ascending] == listed[::-1]
    assert len(listed) == len(set(listed)) == 5
    assert first.output[0].id in listed
    with pytest.raises(NotFoundError, match="Item with id 'msg_x' not found"):
        await openai.responses.create(
            model="answer", input=[{"type": "item_reference", "id": "msg_x"}]
        )


async def test_a_deleted_response_is_gone_and_a_chain_cannot_go_on_from_it(
    openai: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    response = await openai.responses.create(
        model="forever?interval=0.01", input="hi", background=True
    )
    await upstream.wait_for()
    await openai.responses.delete(response.id)
    await upstream.wait_for(gone)
    with pytest.raises(NotFoundError) as raised:
        await openai.responses.retrieve(response.id)
    error: Any = raised.value.body
    assert error == {
        "message": f"Response with id '{response.id}' not found.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    with pytest.raises(BadRequestError) as refused:
        await openai.responses.create(model="answer", input="x", previous_response_id=response.id)
    assert (refused.value.code, refused.value.param) == (
        "previous_response_not_found",
        "previous_response_id",
    )
    for call in (
        openai.responses.cancel,
        openai.responses.delete,
        openai.responses.input_items.list,
    ):
        with pytest.raises(NotFoundError):
            await call(response.id)


async def test_what_is_not_stored_is_only_its_own_readers(openai: AsyncOpenAI) -> None:
    response = await openai.responses.create(model="answer?tokens=3", input="hi", store=False)
    assert response.to_dict()["store"] is False
    with pytest.raises(NotFoundError):
        await openai.responses.retrieve(response.id)
    with pytest.raises(BadRequestError):
        await openai.responses.create(model="answer", input="x", previous_response_id=response.id)
    background = await openai.responses.create(
        model="answer?tokens=3", input="hi", store=False, background=True
    )
    assert (await ended(openai, background.id)).output_text == THREE


async def test_nobody_finds_the_responses_of_another_key(upstream: ScriptedUpstream) -> None:
    keys = ("key-of-the-first-owner-1", "key-of-the-second-owner-2")
    async with (
        Service(upstream_url=upstream.url, api_keys=",".join(keys)) as service,
        client_of(service, keys[0]) as mine,
        client_of(service, keys[1]) as theirs,
    ):
        response = await mine.responses.create(model="answer?tokens=3", input="hi")
        item: Any = {"type": "item_reference", "id": response.output[0].id}
        for refused in (
            theirs.responses.retrieve(response.id),
            theirs.responses.retrieve(response.id, stream=True),
            theirs.responses.cancel(response.id),
            theirs.responses.delete(response.id),
            theirs.responses.input_items.list(response.id),
            theirs.responses.create(model="answer", input=[item]),
        ):
            with pytest.raises(NotFoundError):
                await refused
        with pytest.raises(BadRequestError):
            await theirs.responses.create(model="a", input="x", previous_response_id=response.id)
        assert await mine.responses.retrieve(response.id) == response


async def test_a_failure_before_the_stream_is_a_status_and_one_in_it_an_error(
    openai: AsyncOpenAI,
) -> None:
    with pytest.raises(BadRequestError, match="Range of max_tokens") as raised:
        await openai.responses.create(model="bad-request", input="hi")
    assert raised.value.code == "upstream_rejected"
    stream = await openai.responses.create(model="reset-mid", input="hi", stream=True)
    first: Any = await anext(aiter(stream))
    with pytest.raises(APIError, match="upstream_disconnected"):
        await count(stream)
    final = await openai.responses.retrieve(first.response.id)
    assert final.status == "failed"
    assert final.error is not None
    assert final.error.code == "server_error"
    assert final.output[0].to_dict()["status"] == "incomplete"
    with pytest.raises(BadRequestError, match="is failed"):
        await openai.responses.create(model="answer", input="x", previous_response_id=final.id)


async def test_a_run_of_another_door_is_a_response_and_a_response_is_a_run(
    service: Service, client: aiohttp.ClientSession, openai: AsyncOpenAI
) -> None:
    chat = await openai.chat.completions.create(
        model="answer?tokens=3", messages=[{"role": "user", "content": "hi"}]
    )
    run_id = chat.id.removeprefix("chatcmpl-")
    assert (await openai.responses.retrieve(f"resp_{run_id}")).output_text == THREE
    for after in (0, 1, 3, 5):
        url = f"{service.url}/ai/runs/{run_id}/events?dialect=responses&after={after}"
        async with client.get(url) as response:
            body = await response.read()
        if after < 5:
            reader = StrictReader.read(events_of(body), holes=True)
            assert reader.items[0]["content"][0]["text"] == THREE
    for change in (openai.responses.delete, openai.responses.cancel):
        with pytest.raises(BadRequestError, match="not started as a response"):
            await change(f"resp_{run_id}")
    assert (await openai.responses.retrieve(f"resp_{run_id}")).output_text == THREE
    response = await openai.responses.create(model="answer?tokens=3", input="hi")
    url = (
        f"{service.url}/ai/runs/{response.id.removeprefix('resp_')}/events?dialect=chat-completions"
    )
    async with client.get(url) as stream:
        assert (await stream.read()).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?limit=0", "limit"),
        ("?limit=x", "limit"),
        ("?limit=101", "limit"),
        ("?order=up", "order"),
        ("?after=msg_x", "after"),
    ],
)
async def test_a_wrong_page_is_refused_by_its_parameter(
    service: Service, client: aiohttp.ClientSession, openai: AsyncOpenAI, query: str, param: str
) -> None:
    response = await openai.responses.create(model="answer?tokens=3", input="hi")
    url = f"{service.url}/v1/responses/{response.id}/input_items{query}"
    async with client.get(url) as refused:
        assert (refused.status, (await refused.json())["error"]["param"]) == (400, param)


async def test_the_same_start_twice_is_the_same_response(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    headers = {"Idempotency-Key": "a-key-of-16-letters"}
    body = {"model": "answer?tokens=3", "input": "hi", "background": True}
    seen: list[Json] = []
    for _ in range(2):
        async with client.post(
            f"{service.url}/v1/responses", json=body, headers=headers
        ) as response:
            seen.append(await response.json())
    assert {one["id"] for one in seen} == {"resp_a-key-of-16-letters"}
    await upstream.wait_for()
    assert len(upstream.requests) == 1
    assert seen[0].keys() == seen[1].keys()
    assert DONE not in str(seen)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("name", ["instructions", "tools"])
async def test_what_a_response_would_repeat_is_refused_above_what_a_run_keeps(
    openai: AsyncOpenAI, upstream: ScriptedUpstream, name: str, *, background: bool
) -> None:
    large = "x" * 800_000
    more: Json = {"instructions": large, "tools": [{**TOOLS[0], "description": large}]}
    with pytest.raises(BadRequestError, match="786432 bytes together") as raised:
        await openai.responses.create(
            model="answer?tokens=3",
            input="hi",
            background=background,
            extra_body={name: more[name]},
        )
    assert raised.value.param == name
    assert upstream.requests == []


async def test_an_input_above_what_a_run_keeps_is_answered_and_not_kept(
    openai: AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    large = "x" * 800_000
    found = await openai.responses.create(model="answer?tokens=3", input=large, instructions="Be.")
    assert (found.output_text, found.instructions) == (THREE, "Be.")
    assert found.model_dump()["store"] is False
    assert upstream.requests[0].body["messages"][-1]["content"] == large
