"""The unusual ways to write an answer that goes well."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER
from stream_serve.testing.scenarios.formats import MARKUP, SEPARATORS, SURROGATES
from testing.client import plain

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops


async def test_the_finish_reason_may_come_with_text(client: Client) -> None:
    answer = await client.ask("text-with-finish?text=abcdef")
    assert answer.text == "abcdef"
    choice = answer.chunks[-1]["choices"][0]
    assert (choice["delta"]["content"], choice["finish_reason"]) == ("ef", "stop")


async def test_choices_may_be_null_beside_the_usage(client: Client) -> None:
    last = (await client.ask("choices-null?tokens=2")).chunks[-1]
    assert last["choices"] is None
    assert last["usage"]["completion_tokens"] == 2


async def test_usage_may_be_null_missing_or_with_the_finish(client: Client) -> None:
    null = await client.ask("usage-null")
    assert all(chunk["usage"] is None for chunk in null.chunks)
    missing = await client.ask("usage-missing", usage=True)
    assert not any("usage" in chunk for chunk in missing.chunks)
    last = (await client.ask("usage-with-finish?tokens=2")).chunks[-1]
    assert last["usage"]["completion_tokens"] == 2
    assert last["choices"][0]["finish_reason"] == "stop"


async def test_keys_come_in_more_than_one_order(client: Client) -> None:
    answer = await client.ask("key-order")
    assert len({tuple(chunk) for chunk in answer.chunks}) == 2
    assert answer.text == ANSWER


async def test_done_and_the_finish_reason_can_each_be_missing(client: Client) -> None:
    no_done = await client.ask("no-done")
    assert b"[DONE]" not in no_done.body
    assert no_done.finishes == ["stop"]
    no_finish = await client.ask("done-without-finish")
    assert no_finish.body.endswith(b"data: [DONE]\n\n")
    assert no_finish.finishes == []


async def test_events_can_follow_done(client: Client) -> None:
    head, _, tail = (await client.ask("after-done")).body.partition(b"data: [DONE]\n\n")
    assert plain(head) == ANSWER
    assert b"LATE" in tail


async def test_the_space_after_the_colon_can_be_missing(client: Client) -> None:
    body = (await client.ask("no-space")).body
    assert b"data: " not in body
    assert plain(body) == ANSWER


@pytest.mark.parametrize(
    ("name", "end"), [("crlf", b"\r\n"), ("crlf-split", b"\r\n"), ("cr", b"\r")]
)
async def test_lines_can_end_otherwise(client: Client, name: str, end: bytes) -> None:
    body = (await client.ask(name)).body
    assert body.endswith(b"data: [DONE]" + end + end)
    assert plain(body.replace(end, b"\n")) == ANSWER
    assert b"\n" not in body.replace(end, b"")


async def test_a_byte_order_mark_comes_once_at_the_start(client: Client) -> None:
    body = (await client.ask("bom")).body
    assert body.startswith(b"\xef\xbb\xbfdata: {")
    assert body.count(b"\xef\xbb\xbf") == 1


async def test_comments_come_between_the_chunks(client: Client) -> None:
    body = (await client.ask("comments?comments=2&tokens=3")).body
    assert body.count(b": keep-alive\n\n") == 2 * (3 + 3)
    assert plain(body) == "你好！这是一段**流式输"[:12]


async def test_only_comments_for_ever_holds_no_event(client: Client) -> None:
    async with client.post("comments-forever?interval=0") as response:
        for _ in range(100):
            assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"


async def test_named_events_spread_their_data_over_lines(client: Client) -> None:
    body = (await client.ask("named-events")).body
    first, *_ = events = body.removesuffix(b"\n\n").split(b"\n\n")
    assert first.startswith(b"id:1\nevent: completion\nretry: 3000\nunknown: x\nalone\n")
    assert first.count(b"\ndata: ") > 5
    joined = [
        b"\n".join(line[6:] for line in one.split(b"\n") if line.startswith(b"data: "))
        for one in events
    ]
    chunks: list[Any] = [json.loads(one) for one in joined[:-1]]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == ANSWER
    assert joined[-1] == b"[DONE]"


async def test_surrogates_and_nul_come_as_escapes(client: Client) -> None:
    answer = await client.ask("surrogates")
    assert answer.body.isascii()
    assert b"\0" not in answer.body
    assert answer.text == "".join(SURROGATES)


async def test_line_separators_come_raw_and_line_ends_escaped(client: Client) -> None:
    answer = await client.ask("line-separators")
    assert answer.text == "".join(SEPARATORS)
    for raw in ("\u2028", "\u2029", "\x85"):
        assert raw.encode() in answer.body
    assert b"\r" not in answer.body
    assert b'\ndata: {"type"' not in answer.body


async def test_markup_comes_as_it_is(client: Client) -> None:
    assert (await client.ask("markup")).text == "".join(MARKUP)


async def test_empty_deltas_say_nothing_more(client: Client) -> None:
    answer = await client.ask("empty-deltas")
    assert answer.text == ANSWER
    assert any(chunk["choices"] == [] for chunk in answer.chunks)
    assert any(chunk["choices"] and not chunk["choices"][0]["delta"] for chunk in answer.chunks)


async def test_a_role_alone_is_an_empty_answer(client: Client) -> None:
    answer = await client.ask("role-only")
    assert (answer.text, answer.finishes) == ("", ["stop"])


async def test_ascii_json_says_the_same(client: Client) -> None:
    answer = await client.ask("ascii-json")
    assert answer.body.isascii()
    assert answer.text == ANSWER


async def test_gzip_comes_unasked_and_can_be_read_at_once(client: Client) -> None:
    unpacker = zlib.decompressobj(wbits=31)
    async with client.post("gzip?interval=3600") as response:
        assert response.headers["Content-Encoding"] == "gzip"
        text = b""
        while not text.endswith(b"\n\n"):
            text += unpacker.decompress(await response.content.readany())
    assert b"assistant" in text
    answer = await client.ask("gzip")
    assert plain(zlib.decompress(answer.body, wbits=31)) == ANSWER


async def test_byte_by_byte_is_one_byte_a_chunk_of_the_body(client: Client) -> None:
    sizes: list[int] = []
    async with client.post("byte-by-byte?text=好&tokens=1") as response:
        async for piece, whole in response.content.iter_chunks():
            if whole:
                sizes.append(len(piece))
    assert sizes
    assert client.upstream.requests[0].events_sent == 4
    assert plain((await client.ask("byte-by-byte?text=好&tokens=1")).body) == "好"
