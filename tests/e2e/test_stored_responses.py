"""Responses are kept as long as conversations are: after their runs are forgotten, and in any process."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError

from stream_serve.testing import ANSWER, pieces
from support import process
from support.responses import serving
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp
    from openai.types.responses import Response

    from stream_serve.testing import ScriptedUpstream
    from support.service import Service

THREE = "".join(pieces(ANSWER, size=4, tokens=3))


async def made(openai: AsyncOpenAI, model: str) -> Response:
    """Return a response in the background at its end; one that goes on forever is cancelled."""
    response = await openai.responses.create(model=model, input="hi", background=True)
    if model.startswith("forever"):

        async def speaks() -> bool:
            return bool((await openai.responses.retrieve(response.id)).output_text)

        await until(speaks)
        return await openai.responses.cancel(response.id)

    async def has_ended() -> bool:
        found = await openai.responses.retrieve(response.id)
        return found.status not in {"queued", "in_progress"}

    await until(has_ended)
    return await openai.responses.retrieve(response.id)


async def shown(client: aiohttp.ClientSession, openai: AsyncOpenAI, title: str) -> list[str]:
    """Return what the messages of the conversation of this title say; [] if there is none."""
    url = str(openai.base_url).removesuffix("v1/") + "ai/conversations"
    async with client.get(url) as listed:
        found = (await listed.json())["conversations"]
    ids = [one["id"] for one in found if one["title"] == title]
    if not ids:
        return []
    async with client.get(f"{url}/{ids[0]}") as response:
        return [one["content"] for one in (await response.json())["messages"]]


async def test_a_response_alone_in_its_conversation_is_deleted_with_it(
    upstream: ScriptedUpstream, tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    async with serving(upstream, tmp_path / "a.db") as openai:
        items: Any = [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ]
        response = await openai.responses.create(model="answer?tokens=3", input=items)
        assert await shown(client, openai, "one") == ["one", "two", "three", THREE]
        await openai.responses.delete(response.id)
        assert await shown(client, openai, "one") == []


@pytest.mark.parametrize(
    "model",
    [
        "thinking?tokens=3",
        "only-thinks",
        "tools",
        "answer?tokens=3&finish=length",
        "forever?interval=0.01",
        "reset-mid",
        "bad-request",
    ],
)
async def test_a_response_is_the_same_when_its_run_is_long_forgotten(
    upstream: ScriptedUpstream, tmp_path: Path, model: str
) -> None:
    async with serving(upstream, tmp_path / "a.db") as openai:
        before = await made(openai, model)
        items = await openai.responses.input_items.list(before.id)
    async with serving(upstream, tmp_path / "a.db") as openai:
        assert await openai.responses.retrieve(before.id) == before
        assert await openai.responses.cancel(before.id) == before
        assert (await openai.responses.input_items.list(before.id)).data == items.data
        with pytest.raises(BadRequestError, match="can no longer be streamed"):
            await openai.responses.retrieve(before.id, stream=True)


async def test_a_chain_and_single_items_outlive_the_process(
    upstream: ScriptedUpstream, tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    async with serving(upstream, tmp_path / "a.db") as openai:
        first = await openai.responses.create(model="answer?tokens=3", input="one")
        second = await openai.responses.create(
            model="answer?tokens=3", input="two", previous_response_id=first.id
        )
    async with serving(upstream, tmp_path / "a.db") as openai:
        third = await openai.responses.create(
            model="answer?tokens=3", input="three", previous_response_id=second.id
        )
        messages = upstream.requests[-1].body["messages"]
        assert [one["content"] for one in messages] == ["one", THREE, "two", THREE, "three"]
        reference: Any = {"type": "item_reference", "id": first.output[0].id}
        await openai.responses.create(
            model="answer?tokens=3", input=[reference, {"role": "user", "content": "x"}]
        )
        assert upstream.requests[-1].body["messages"][0]["content"] == THREE
        assert (await shown(client, openai, "one")) == ["one", THREE, "two", THREE, "three", THREE]
        await openai.responses.delete(second.id)
        assert (await shown(client, openai, "one")) == ["one", THREE, "", "", "three", THREE]
        with pytest.raises(NotFoundError):
            await openai.responses.retrieve(second.id)
        with pytest.raises(BadRequestError) as raised:
            await openai.responses.create(model="answer", input="x", previous_response_id=third.id)
        assert raised.value.code == "previous_response_not_found"
        assert (await openai.responses.retrieve(third.id)).output_text == THREE


async def test_functions_may_be_called_by_several_processes_in_turns(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    tools: Any = [{"type": "function", "name": "get_weather", "parameters": {}, "strict": False}]
    async with serving(upstream, tmp_path / "a.db") as openai:
        asked = await openai.responses.create(model="tools", input="weather?", tools=tools)
        calls = [one for one in asked.output if one.type == "function_call"]
    assert [one.call_id for one in calls] == ["call_w1", "call_t2"]
    async with serving(upstream, tmp_path / "a.db") as openai:
        items: Any = [
            {"type": "function_call_output", "call_id": one.call_id, "output": "fine"}
            for one in calls
        ]
        with pytest.raises(BadRequestError, match="No tool output found for function call call_t2"):
            await openai.responses.create(
                model="answer", previous_response_id=asked.id, input=items[:1]
            )
        final = await openai.responses.create(
            model="answer?tokens=3", previous_response_id=asked.id, input=items, tools=tools
        )
        assert final.output_text == THREE
        roles = [one["role"] for one in upstream.requests[-1].body["messages"]]
        assert roles == ["user", "assistant", "tool", "tool"]


async def test_without_the_database_a_response_says_that_it_is_not_stored(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    async with serving(upstream, tmp_path / "file" / "a.db") as openai:
        response = await openai.responses.create(model="answer?tokens=3", input="hi")
        assert response.output_text == THREE
        assert response.to_dict()["store"] is False
        background = await made(openai, "answer?tokens=3")
        assert background.output_text == THREE
        with pytest.raises(APIStatusError) as raised:
            await openai.responses.retrieve(response.id)
        assert raised.value.status_code == 503


@pytest.mark.parametrize("model", ["answer?tokens=30&interval=0.02", "reset-mid?interval=0.1"])
async def test_a_response_that_could_not_be_stored_at_its_end_says_so(
    upstream: ScriptedUpstream, tmp_path: Path, model: str
) -> None:
    file = tmp_path / "a.db"
    async with serving(upstream, file) as openai:
        begun = await openai.responses.create(model=model, input="hi", background=True)
        assert begun.to_dict()["store"] is True
        file.rename(tmp_path / "away.db")

        async def has_ended() -> bool:
            found = await openai.responses.retrieve(begun.id)
            return found.status not in {"queued", "in_progress"}

        await until(has_ended)
        found = await openai.responses.retrieve(begun.id)
        assert found.to_dict()["store"] is False
        (tmp_path / "away.db").rename(file)


async def test_a_response_whose_process_is_killed_or_ends_has_failed_and_is_never_stuck(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    settings = {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "hang-mid",
        "STREAM_SERVE_DATABASE_URL": f"sqlite:///{tmp_path}/a.db",
        "STREAM_SERVE_LEASE": "1",
    }
    async with (
        process.serving(**settings) as server,
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any") as openai,
    ):
        killed = await openai.responses.create(model="hang-mid", input="hi", background=True)
        server.process.kill()
        await server.process.wait()
    async with serving(upstream, tmp_path / "a.db") as openai:
        ended = await openai.responses.create(model="hang-mid", input="hi", background=True)
        await upstream.wait_for()
    async with serving(upstream, tmp_path / "a.db") as openai:
        for response in (killed, ended):

            async def has_ended(response: Response = response) -> bool:
                found = await openai.responses.retrieve(response.id)
                return found.status not in {"queued", "in_progress"}

            await until(has_ended)
            final = await openai.responses.retrieve(response.id)
            assert final.status == "failed"
            assert final.error is not None
            assert final.error.code == "server_error"
            assert "run_interrupted" in final.error.message
            assert (await openai.responses.input_items.list(response.id)).data


async def test_a_cancel_after_a_crash_shows_no_response_that_goes_on(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    settings = {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_DATABASE_URL": f"sqlite:///{tmp_path}/a.db",
        "STREAM_SERVE_LEASE": "6",
    }
    async with (
        process.serving(**settings) as server,
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any") as openai,
    ):
        killed = await openai.responses.create(model="hang-mid", input="hi", background=True)
        server.process.kill()
        await server.process.wait()
    async with serving(upstream, tmp_path / "a.db") as openai:
        with pytest.raises(APIStatusError, match="try again") as raised:
            await openai.responses.cancel(killed.id)
        assert raised.value.status_code == 503

        async def cancels() -> bool:
            with suppress(APIStatusError):
                return (await openai.responses.cancel(killed.id)).status == "failed"
            return False

        await until(cancels)


async def test_where_there_is_no_more_room_a_response_says_that_it_is_not_stored(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with serving(upstream, tmp_path / "a.db", max_conversations_per_key=1) as openai:
        stored: list[bool] = []
        for _ in range(2):
            response = await openai.responses.create(model="answer?tokens=3", input="hi")
            assert response.output_text == THREE
            stored.append(response.to_dict()["store"] is True)
        assert stored == [True, False]


async def test_an_item_may_be_named_once_in_a_question(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    url = f"{service.url}/v1/responses"
    body: dict[str, Any] = {"model": "answer?tokens=3", "input": "hi"}
    async with client.post(url, json=body) as response:
        item = (await response.json())["output"][0]
    reference = {"type": "item_reference", "id": item["id"]}
    question = {"role": "user", "content": "more"}
    for times, status in ((1, 200), (2, 400)):
        asked = {**body, "input": [*[reference] * times, question]}
        async with client.post(url, json=asked) as response:
            assert response.status == status
            if times > 1:
                assert "Duplicate item found" in (await response.json())["error"]["message"]
    assert len(upstream.requests) == 2
    async with client.get(f"{url}/resp_{item['id'][4:-2]}/input_items?limit=0001000000") as page:
        assert page.status == 400


async def test_where_the_operator_keeps_no_responses_each_says_so_and_clients_send_their_history(
    upstream: ScriptedUpstream, tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    model = "answer?tokens=3"
    async with serving(upstream, tmp_path / "a.db", store_responses=False) as openai:
        first = await openai.responses.create(model=model, input="hi", store=True)
        assert (first.output_text, first.to_dict()["store"]) == (THREE, False)
        with pytest.raises(NotFoundError):
            await openai.responses.retrieve(first.id)
        with pytest.raises(BadRequestError) as refused:
            await openai.responses.create(model=model, input="more", previous_response_id=first.id)
        assert refused.value.code == "previous_response_not_found"
        later = await made(openai, model)
        assert (later.status, later.output_text) == ("completed", THREE)
        assert later.to_dict()["store"] is False
        next_one = await openai.responses.create(
            model=model, input="more", previous_response_id=later.id
        )
        assert next_one.output_text == THREE
        assert await shown(client, openai, "hi") == []


@pytest.mark.parametrize("kept", [False, True])
async def test_a_run_of_another_door_is_stored_only_where_a_conversation_keeps_it(
    service: Service, client: aiohttp.ClientSession, *, kept: bool
) -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    if kept:
        body = {"message": "hi", "conversationId": "new"}
    url = f"{service.url}/ai/chat/stream-sse"
    async with client.post(url, json=body) as response:
        await response.read()
        run_id = response.headers["X-Run-Id"]
    async with client.get(f"{service.url}/v1/responses/resp_{run_id}") as response:
        assert response.status == 200
        assert (await response.json())["store"] is kept
