"""The answers that were cut, or seem to be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from stream_serve.testing import ANSWER
from stream_serve.testing.scenarios.endings import SHAPES, WORDS
from testing.client import plain

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops


async def test_every_chunk_or_the_first_can_have_the_finish_reason(client: Client) -> None:
    every = await client.ask("finish-every?tokens=3")
    assert (every.text, every.finishes) == (ANSWER[:12], ["stop"] * 3)
    first = await client.ask("finish-first?tokens=3")
    assert (first.text, first.finishes) == (ANSWER[:12], ["stop"])
    assert first.chunks[0]["choices"][0]["finish_reason"] == "stop"
    async with client.post("finish-every?tokens=2&hang=1") as response:
        got = b"".join([await response.content.readuntil(b"\n\n") for _ in range(3)])
    assert plain(got) == ANSWER[:8]


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_error_can_have_many_shapes_and_done_can_follow(
    client: Client, shape: str
) -> None:
    body = (await client.ask(f"error-shape?shape={shape}")).body
    head, _, tail = body.partition(SHAPES[shape])
    assert plain(head) == ANSWER[:12]
    assert WORDS.encode() in SHAPES[shape]
    assert tail == b"data: [DONE]\n\n"


@pytest.mark.parametrize("name", ["error-choice", "error-with-text"])
async def test_an_error_can_come_with_a_choice(client: Client, name: str) -> None:
    events = (await client.ask(name)).body.split(b"\n\n")
    last = json.loads(events[-3][6:])
    assert WORDS in str(last)
    assert last["choices"][0]["finish_reason"] in {"error", "stop"}


async def test_the_index_can_count_up(client: Client) -> None:
    answer = await client.ask("index-counts?tokens=3")
    assert [chunk["choices"][0]["index"] for chunk in answer.chunks] == [0, 1, 2, 3]
    assert answer.text == ANSWER[:12]


@pytest.mark.parametrize(
    ("name", "done"), [("done-cut", True), ("finish-every-cut", False), ("steps?steps=sss/", False)]
)
async def test_a_cut_can_follow_what_looks_like_an_end(
    client: Client, name: str, *, done: bool
) -> None:
    got = b""
    with pytest.raises(aiohttp.ClientPayloadError):  # noqa: PT012 - what came before counts
        async with client.post(name) as response:
            while True:
                got += await response.content.readuntil(b"\n\n")
    assert (b"[DONE]" in got) is done
    assert (b'"finish_reason":"stop"' in got) is not done


async def test_steps_come_in_their_order(client: Client) -> None:
    body = (await client.ask("steps?steps=tsfux#endmcpD|")).body
    marks = (
        *("0 ", "1 ", '"delta":{}', "stand_by", "abort", "prompt_tokens", '{"error"'),
        *('"object":"error"', "detail", "base_resp", '"finish_reason":"error"', "ping", "[DONE]"),
    )
    places = [body.find(mark.encode()) for mark in marks]
    assert places == sorted(places)
    assert -1 not in places
