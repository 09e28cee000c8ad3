"""The answers without an end, of great size, of unexpected shapes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER
from testing.client import plain

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops


async def test_tokens_can_go_on_for_ever(client: Client) -> None:
    async with client.post("forever?interval=0&text=ab&size=1") as response:
        for _ in range(1000):
            assert b"data: {" in await response.content.readuntil(b"\n\n")


@pytest.mark.parametrize(("name", "missing"), [("endless-line", b"\n"), ("endless-event", b"\n\n")])
async def test_a_line_and_an_event_can_be_endless(
    client: Client, name: str, missing: bytes
) -> None:
    got = b""
    async with client.post(name) as response:
        while len(got) < 2_000_000:
            got += await response.content.readany()
    *events, endless = got.split(b"\n\n", 4)
    assert len(events) == 4
    assert len(endless) > 1_900_000
    assert missing not in endless


async def test_one_event_can_be_huge(client: Client) -> None:
    assert (await client.ask("huge-event?megabytes=2")).text == "x" * 2 * 1024 * 1024


async def test_a_whole_stream_can_come_in_one_write(client: Client) -> None:
    answer = await client.ask("one-write?megabytes=1", usage=True)
    assert 900_000 < len(answer.body) < 1_200_000
    assert answer.text.startswith(ANSWER * 2)
    assert answer.finishes == ["stop"]


@pytest.mark.parametrize("name", ["not-json", "unknown-shape"])
async def test_good_chunks_surround_the_bad_ones(client: Client, name: str) -> None:
    events = (await client.ask(name)).body.split(b"\n\n")
    good = [one for one in events if b'"delta":{"content":"' in one and b"OTHER" not in one]
    text = "".join(json.loads(one[6:])["choices"][0]["delta"]["content"] for one in good)
    assert text == ANSWER[:12] * 2
    assert events[-2:] == [b"data: [DONE]", b""]
    if name == "unknown-shape":
        for one in events[:-2]:
            json.loads(one[6:])


async def test_nesting_can_be_deeper_than_a_parser_allows(client: Client) -> None:
    events = (await client.ask("deep-json")).body.split(b"\n\n")
    deep = next(one for one in events if len(one) > 200_000)
    with pytest.raises(RecursionError):
        json.loads(deep[6:])


async def test_many_events_come_in_few_writes(client: Client) -> None:
    body = (await client.ask("many-events?events=5000", usage=True)).body
    assert plain(body.partition(b'"choices":[],')[0].rpartition(b"data: ")[0]) == "x" * 5000
