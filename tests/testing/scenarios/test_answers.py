"""The scenarios in which everything goes well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER, THOUGHT

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops


async def test_the_default_text_has_what_breaks_clients() -> None:
    for needed in ("你好", "Streaming", "🚀", "👩‍💻", "```python", "**", "العربية"):
        assert needed in ANSWER


async def test_an_answer_is_role_text_finish_and_done(client: Client) -> None:
    answer = await client.ask("answer")
    first, *_, last = answer.chunks
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert "Content-Length" not in answer.headers
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["object"] == "chat.completion.chunk"
    assert last["choices"][0] == {
        "index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop",
    }  # fmt: skip
    assert answer.finishes == ["stop"]
    assert answer.text == ANSWER
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert len({chunk["id"] for chunk in answer.chunks}) == 1


async def test_totals_come_when_asked_for_and_the_other_chunks_have_none(client: Client) -> None:
    answer = await client.ask("answer?tokens=3", usage=True)
    *others, last = answer.chunks
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 3
    assert all(chunk["usage"] is None for chunk in others)


@pytest.mark.parametrize(("model", "asked", "comes"), [
    ("answer", False, False), ("answer?usage=1", False, True), ("answer?usage=0", True, False),
])  # fmt: skip
async def test_a_parameter_forces_or_forbids_the_totals(
    client: Client, model: str, asked: bool, comes: bool
) -> None:
    answer = await client.ask(model, usage=asked)
    assert any(chunk.get("usage") for chunk in answer.chunks) is comes


async def test_an_answer_that_was_not_to_be_streamed_is_one_object(client: Client) -> None:
    answer = await client.ask("answer", stream=False)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["object"] == "chat.completion"
    assert answer.json["choices"][0]["message"]["content"] == ANSWER


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("answer?hold=2&size=1&text=abcd", 3),
        ("answer?hold=4&size=1&text=abcd", 5),
        ("answer?hold=2&size=1&text=abcd&interval=60", 2),
        ("thinking?hold=2&size=1&text=abcd&thought=T", 4),
        ("only-thinks?hold=2", 2),
        ("error-mid?hold=2", 3),
    ],
)
async def test_an_answer_is_held_after_some_pieces_until_it_is_released(
    client: Client, model: str, sent: int
) -> None:
    upstream = client.upstream
    async with client.post(model) as response:
        record = await upstream.wait_for(lambda record: record.events_sent == sent)
        assert (await client.ask("answer?tokens=100")).status == 200  # what is not held comes
        assert (record.events_sent, record.closed_by) == (sent, None)
        upstream.release()
        await response.read()
    assert (record.phase, record.closed_by) == ("done", "script")
    assert record.events_sent > sent + 1


async def test_one_answer_is_released_and_the_others_are_held(client: Client) -> None:
    upstream = client.upstream
    async with client.post("answer?hold=1") as first, client.post("answer?hold=1") as second:
        await upstream.until(lambda: [one.events_sent for one in upstream.requests] == [2, 2])
        upstream.release(upstream.requests[1])
        await second.read()
        assert [one.closed_by for one in upstream.requests] == [None, "script"]
        async with client.post("answer?hold=1"):
            await upstream.wait_for(lambda record: record.id == 3 and record.events_sent == 2)
            upstream.release()
            await first.read()
            await upstream.until(lambda: all(one.closed_by for one in upstream.requests))


async def test_what_is_asked_after_a_release_is_not_held(client: Client) -> None:
    async with client.session.post(f"{client.upstream.origin}/release") as response:
        assert await response.json() == {"status": "ok"}
    assert (await client.ask("answer?hold=1&interval=60&text=abcd&size=1")).text == "abcd"
    assert len(client.upstream.requests) == 1


@pytest.mark.parametrize("content", ["你好 👋", "lone \ud83d", "", "\0\r\n"])
async def test_echo_says_what_the_user_said_last(client: Client, content: str) -> None:
    parts = [{"type": "text", "text": content}]
    messages = [
        {"role": "user", "content": "before"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "after"},
    ]
    assert (await client.ask("echo", messages=messages)).text == content


async def test_flood_sends_so_many_tokens(client: Client) -> None:
    answer = await client.ask("flood?tokens=1000&text=ab&size=1", usage=True)
    assert answer.text == "ab" * 500
    assert client.upstream.requests[0].events_sent == 1000 + 4
    assert answer.chunks[-1]["usage"]["completion_tokens"] == 1000


async def test_thinking_comes_before_the_answer_with_content_null(client: Client) -> None:
    answer = await client.ask("thinking", usage=True)
    deltas = [chunk["choices"][0]["delta"] for chunk in answer.chunks if chunk["choices"]]
    thoughts = [delta for delta in deltas if "reasoning_content" in delta]
    assert "".join(delta["reasoning_content"] for delta in thoughts) == THOUGHT
    assert all(delta["content"] is None for delta in thoughts)
    assert deltas[: len(thoughts)] == thoughts
    assert answer.text == ANSWER
    details = answer.chunks[-1]["usage"]["completion_tokens_details"]
    assert details == {"text_tokens": 844, "reasoning_tokens": 798}
    assert answer.chunks[-1]["usage"]["completion_tokens"] == 844


async def test_later_fragments_of_a_tool_call_have_no_id_and_no_name(client: Client) -> None:
    answer = await client.ask("tools")
    calls = [
        call
        for chunk in answer.chunks
        for call in chunk["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert [call["id"] for call in calls if call["id"]] == ["call_w1", "call_t2"]
    assert all(call["function"]["name"] == "" for call in calls if not call["id"])
    assert answer.finishes == ["tool_calls"]


async def test_a_refusal_has_no_content(client: Client) -> None:
    answer = await client.ask("refusal")
    said = [chunk["choices"][0]["delta"].get("refusal") or "" for chunk in answer.chunks]
    assert "".join(said) == "I'm sorry, but I can't help with that."
    assert answer.text == ""


async def test_an_interval_spaces_the_tokens(client: Client) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    assert (await client.ask("answer?tokens=4&interval=0.05")).status == 200
    assert loop.time() - before >= 0.19
