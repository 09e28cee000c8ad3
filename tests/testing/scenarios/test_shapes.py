"""The scenarios whose chunks, or whose whole body, have an unusual shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER, THOUGHT

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops


@pytest.mark.parametrize(
    ("repeats", "said", "message"),
    [
        ("whole", ANSWER, ANSWER),
        ("prefix", ANSWER, ANSWER[: len(ANSWER) // 2]),
        ("alone", "", ANSWER),
    ],
)
async def test_the_last_chunk_can_be_a_message(
    client: Client, repeats: str, said: str, message: str
) -> None:
    *chunks, last = (await client.ask(f"message-last?repeats={repeats}")).chunks
    assert "".join(one["choices"][0]["delta"]["content"] for one in chunks) == said
    assert last["choices"][0]["message"]["content"] == message


async def test_a_stream_can_have_another_label(client: Client) -> None:
    answer = await client.ask("label?type=text/plain")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text == ANSWER


async def test_a_completion_can_come_whole_in_one_line_or_many_or_cut(client: Client) -> None:
    for pretty in (0, 1):
        answer = await client.ask(f"whole?pretty={pretty}")
        message = answer.json["choices"][0]["message"]
        assert (message["content"], message["reasoning_content"]) == (ANSWER, THOUGHT)
        assert (b"\n" in answer.body) is bool(pretty)
    with pytest.raises(json.JSONDecodeError):
        _ = (await client.ask("whole?cut=1")).json


async def test_json_can_be_no_answer_at_all(client: Client) -> None:
    assert "choices" not in (await client.ask("json-other")).json


async def test_one_line_end_can_divide_the_events(client: Client) -> None:
    assert b"\n\n" not in (await client.ask("one-line-end")).body
    assert (await client.ask("one-line-end?bare=1")).body.startswith(b"{")


@pytest.mark.parametrize("form", ["parts", "object", "list", "details", "both"])
async def test_thinking_can_have_another_form(client: Client, form: str) -> None:
    answer = await client.ask(f"odd-thinking?form={form}&size=1000")
    delta = answer.chunks[1]["choices"][0]["delta"]
    assert THOUGHT in json.dumps(delta, ensure_ascii=False)
    assert "reasoning_content" not in delta


async def test_fields_and_parts_can_be_odd(client: Client) -> None:
    assert (await client.ask("odd-fields?tokens=2")).chunks[0]["choices"][0]["index"] == []
    assert b'{"odd":"words"}' in (await client.ask("lost-part")).body


async def test_thinking_can_be_between_tags_that_are_never_closed(client: Client) -> None:
    assert (await client.ask("think-tags")).text == f"\n<think>\n{THOUGHT}</think>\n\n{ANSWER}"
    assert (await client.ask("think-tags?tag=a&closed=0")).text == f"\n<a>\n{THOUGHT}"


@pytest.mark.parametrize("kind", ["comment", "empty", "tools"])
async def test_signs_of_life_come_before_and_between_the_tokens(client: Client, kind: str) -> None:
    body = (await client.ask(f"life?kind={kind}&beats=3&pause=0&mid=1")).body
    sign = {"comment": b": PROCESSING", "empty": b'{"content":""}', "tools": b"tool_calls"}[kind]
    assert body.count(sign) == 3


async def test_words_and_errors_can_stand_outside_of_chunks(client: Client) -> None:
    pings = (await client.ask("pings")).body
    assert b"data: ping\n\n" in pings
    assert pings.endswith(b"data:  \t[DONE]\n\n")
    assert b'\n{"error":' in (await client.ask("error-line")).body.replace(b": ", b":")
    assert b"event: error\ndata: the" in (await client.ask("error-event")).body
