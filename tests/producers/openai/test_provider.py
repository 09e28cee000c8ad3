"""A producer that asks an OpenAI-compatible provider, over real sockets: how its answer ends."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_serve.errors import (
    UpstreamDisconnected,
    UpstreamError,
    UpstreamFailed,
    UpstreamIncomplete,
)
from stream_serve.producers.base import Finish, Patience
from stream_serve.producers.openai.endpoint import Endpoint, Traits
from stream_serve.producers.openai.provider import OpenAIProvider
from stream_serve.producers.provider import ChatRequest
from stream_serve.testing import ScriptedUpstream
from support.deltas import content_of
from support.http1 import Server, reset
from support.properties import steady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Delta

STEADY = steady(1.5)
DOCUMENTED = {"stop", "length", "tool_calls", "content_filter"}
ERRORS = "endmc"
PATIENCE = Patience(first_token=60, idle=60)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
TEXT = b'data: {"choices":[{"delta":{"content":"%b"}}]}'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}'


async def play(
    server: ScriptedUpstream | Server, steps: str, *, require_finish: bool = True
) -> tuple[str, Finish | UpstreamError]:
    """Ask for the steps; return the text that came, and how it ended."""
    provider = OpenAIProvider(
        Endpoint(
            server.url, "", "m", "upstream_api_key", traits=Traits(require_finish=require_finish)
        ),
        patience=PATIENCE,
        connect_timeout=5,
        max_event_bytes=100_000,
    )
    text: list[str] = []

    def emit(deltas: Sequence[Delta]) -> None:
        text.extend(content_of(delta) for delta in deltas)

    producer = provider.ask(
        ChatRequest(f"steps?steps={steps}", [{"role": "user", "content": "a"}], {})
    )
    try:
        end: Finish | UpstreamError = await producer.produce(emit)
    except UpstreamError as error:
        end = error
    finally:
        await producer.close()
        await provider.close()
    return "".join(text), end


def whole_text(steps: str) -> str:
    """The text up to what ends a stream: [DONE], or an error in any shape."""
    read = re.split(f"[D{ERRORS}/]", steps)[0]
    return "".join(f"{number} " for number, step in enumerate(read) if step in "ts")


@pytest.mark.parametrize(
    ("steps", "reason", "word"),
    [
        ("ttf#D", "stop", None),
        ("ttf#", "stop", None),
        ("ttf/", "stop", None),
        ("ttf#D/", "stop", None),
        ("sssD", "stop", None),
        ("sss", "stop", None),
        ("ftttD", "stop", None),
        ("ftttf", "stop", None),
        ("ttpuD", "stop", "stand_by"),
        ("ttfDe", "stop", None),
    ],
)
async def test_an_answer_is_whole_where_the_provider_said_so(
    upstream: ScriptedUpstream, steps: str, reason: str, word: str | None
) -> None:
    text, end = await play(upstream, steps)
    assert text == whole_text(steps)
    assert isinstance(end, Finish)
    assert (end.reason, end.word) == (reason, word)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ("ttD", UpstreamIncomplete),
        ("ttD/", UpstreamIncomplete),
        ("tt#D", UpstreamIncomplete),
        ("tt", UpstreamIncomplete),
        ("", UpstreamIncomplete),
        ("D", UpstreamIncomplete),
        ("tt/", UpstreamDisconnected),
        ("sss/", UpstreamDisconnected),
        ("tft/", UpstreamDisconnected),
        ("ttx#D", UpstreamFailed),
        ("ttx/", UpstreamFailed),
        ("xfD", UpstreamFailed),
        ("fxD", UpstreamFailed),
        ("xe", UpstreamFailed),
        *((f"tt{error}D", UpstreamFailed) for error in ERRORS),
        *((f"ttf{error}D", UpstreamFailed) for error in ERRORS),
        *((f"tt{error}fD", UpstreamFailed) for error in ERRORS),
        *((f"tt{error}/", UpstreamFailed) for error in ERRORS),
    ],
)
async def test_an_answer_that_may_be_cut_is_an_error_and_its_text_stays(
    upstream: ScriptedUpstream, steps: str, kind: type[UpstreamError]
) -> None:
    text, end = await play(upstream, steps)
    assert text == whole_text(steps)
    assert type(end) is kind
    assert isinstance(end, UpstreamError)
    assert end.retryable


async def test_a_provider_may_be_trusted_to_end_with_done_alone(upstream: ScriptedUpstream) -> None:
    text, end = await play(upstream, "tt#D", require_finish=False)
    assert (text, type(end)) == ("0 1 ", Finish)
    assert isinstance(end, Finish)
    assert (end.reason, end.word) == ("unknown", None)
    for steps in ("tt", "D", "ttxD", "tteD", "tt/"):
        text, end = await play(upstream, steps, require_finish=False)
        assert text == whole_text(steps)
        assert isinstance(end, UpstreamError)


async def say(body: bytes, *, whole: bool = True) -> tuple[str, Finish | UpstreamError]:
    """Ask a server that answers with these bytes; return the text that came, and how it ended."""

    async def answer(server: Server) -> None:
        reader, writer = await server.connections.get()
        await reader.readuntil(b'"include_usage":true}}')
        writer.write(HEAD % (len(body) + (not whole)) + body)
        await writer.drain()
        if not whole:
            writer.close()

    async with Server() as server:
        answering = asyncio.ensure_future(answer(server))
        played = await play(server, "")
        await answering
        return played


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (TEXT % b"b", "whole"),
        (b"data: [DONE]", "whole"),
        (b"data: [DO", "whole"),
        (b": a comment", "whole"),
        (b"data:", "whole"),
        (TEXT % b"b" + b"\n", "whole"),
        ((TEXT % b"b")[:-3], "cut"),
        ((TEXT % b"b")[:-3] + b"\n", "cut"),
        (b"data: {", "cut"),
    ],
)
async def test_an_event_that_the_end_of_the_stream_leaves_by_half_is_read_or_is_a_cut(
    last: bytes, end: str
) -> None:
    begin = TEXT % b"a" + b"\n\n" + FINISH + b"\n\n"
    text, finish = await say(begin + last)
    assert text == ("ab" if b'"b"}}]}' in last else "a")
    assert type(finish) is (Finish if end == "whole" else UpstreamIncomplete)
    text, finish = await say(begin + last, whole=False)
    assert text == "a"
    harmless = b"{" not in last
    assert type(finish) is (Finish if harmless else UpstreamDisconnected)


def test_in_any_order_nothing_is_lost_or_doubled_and_no_cut_is_called_whole() -> None:
    with asyncio.Runner() as runner:
        server = ScriptedUpstream()
        runner.run(server.start())

        @STEADY
        @given(st.text("ttsfux#Dpendmc", max_size=8), st.sampled_from("|/"))
        @example("sst", "/")
        @example("fe", "|")
        def check(steps: str, last: str) -> None:
            text, end = runner.run(play(server, steps + last))
            assert text == whole_text(steps)
            read = steps.partition("D")[0]
            if isinstance(end, Finish):
                assert end.reason in DOCUMENTED
                assert set(read) & set("sfu"), "it said that it ended"
                assert not set(read) & set(ERRORS + "x"), "no error of any shape"
                if last == "/" and "D" not in steps:
                    assert re.fullmatch("[tp#]*[sfu][fup#]*", read), "its first end was its last"
            else:
                assert end.retryable
                if set(read) & set("sfu") and last == "|":
                    assert set(read) & set(ERRORS + "x"), "an end that was said is one"

        try:
            check()
        finally:
            runner.run(server.stop())


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("how", ["reset", "close"])
async def test_connections_that_a_provider_ends_one_by_one_cost_no_question(
    how: str, *, at_once: bool
) -> None:
    """200 kept connections, each of which ends at its next request: a fresh one answers."""
    many = 200
    asked = ended = 0
    holding = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked, ended
        with suppress(OSError, asyncio.IncompleteReadError):
            for turn in range(2):
                await reader.readuntil(b'"include_usage":true}}')
                asked += 1
                if asked == many:
                    holding.set()
                await holding.wait()
                if turn:
                    ended += 1
                    break
                body = b"\n\n".join([TEXT % b"a", FINISH, b"data: [DONE]", b""])
                head = HEAD if asked <= many else HEAD.replace(b"C", b"Connection: close\r\nC", 1)
                writer.write(head % len(body) + body)
        reset(writer) if how == "reset" else writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=many)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    provider = OpenAIProvider(
        Endpoint(url, "", "m"), patience=PATIENCE, connect_timeout=30, max_event_bytes=100_000
    )

    async def question() -> bool | None:
        producer = provider.ask(ChatRequest("m", [{"role": "user", "content": "a"}], {}))
        try:
            await producer.produce(lambda _: None)
        finally:
            await producer.close()
        return producer.closed

    kept = await asyncio.gather(*(question() for _ in range(many)))
    assert not any(kept), "all connections are kept"
    if at_once:
        await asyncio.gather(*(question() for _ in range(many)))
    else:
        for _ in range(many):
            await question()
    assert ended == many
    assert asked == 3 * many
    await provider.close()
    listening.close()
    await listening.wait_closed()
