"""Whatever a provider repeats of the secrets in its configuration, an error does not show it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import UpstreamError
from stream_serve.producers.base import Patience
from stream_serve.producers.openai.endpoint import Endpoint
from stream_serve.producers.openai.provider import OpenAIProvider
from stream_serve.producers.provider import ChatRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HEADER, QUERY, BODY = "t0ken-of-a-gateway", "qu3ry-secret", "b0dy-secret-value"
REQUEST = ChatRequest("m", [{"role": "user", "content": "a"}], {})


@asynccontextmanager
async def parrot(*, stream: bool) -> AsyncGenerator[OpenAIProvider]:
    """A provider whose server repeats the whole request in its error, first or in its stream."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int((head.lower().partition(b"content-length: ")[2] or b"0").split(b"\r\n")[0])
        said = (head + await reader.readexactly(length)).decode()
        error = {"error": {"message": said[-400:], "code": HEADER, "request_id": QUERY}}
        text = json.dumps({**error, "choices": []})
        body = f"data: {text}\n\n" if stream else text
        kind = "text/event-stream" if stream else "application/json"
        status = "200 OK" if stream else "400 Bad Request"
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            f"{body}".encode()
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = OpenAIProvider(
        Endpoint(
            f"http://127.0.0.1:{port}/v1?sig={QUERY}",
            "",
            "m",
            extra_headers={"X-Gateway": f"Token {HEADER}", "X-Team": "production"},
            extra_body={"user": {"ids": [BODY]}, "title": "production"},
        ),
        patience=Patience(5, 5),
        connect_timeout=5,
        max_event_bytes=10_000,
    )
    try:
        yield provider
    finally:
        await provider.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_repeats_no_secret_of_headers_query_or_body(stream: bool) -> None:
    async with parrot(stream=stream) as provider:
        producer = provider.ask(REQUEST)
        with pytest.raises(UpstreamError) as failed:
            await producer.produce(lambda _: None)
        await producer.close()
        with pytest.raises(UpstreamError) as refused:
            await provider.list_models()
    for error in (failed.value, refused.value):
        shown = f"{error} {error.provider_code} {error.request_id} {error.args}"
        for secret in (HEADER, QUERY, BODY):
            assert secret not in shown
    assert "***" in str(failed.value)
    assert "production" in str(failed.value)
