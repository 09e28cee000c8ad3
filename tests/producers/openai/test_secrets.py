"""Whatever a provider repeats of the secrets in its configuration, an error does not show it."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import UpstreamError
from stream_serve.producers.base import Patience
from stream_serve.producers.http1 import Access, Proxy
from stream_serve.producers.openai.endpoint import Endpoint
from stream_serve.producers.openai.provider import OpenAIProvider
from stream_serve.producers.provider import ChatRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

HEADER, QUERY, BODY = "t0ken-of-a-gateway", "qu3ry-secret", "b0dy-secret-value"
LETTERS, PASSWORD = "only-letters-and-secret", "pass-word-of-a-proxy"
CODED = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
SECRETS = (HEADER, QUERY, BODY, LETTERS, PASSWORD, CODED)
REQUEST = ChatRequest("m", [{"role": "user", "content": "a"}], {})


SENT_ANYWAY = ("Accept", "Content-", "Host", "User-Agent")


def refusal(said: str) -> tuple[str, str, str]:
    """A status, a media type and a body that repeat a request."""
    error = {"error": {"message": said, "code": HEADER, "request_id": QUERY}}
    return "400 Bad Request", "application/json", json.dumps(error)


def stream(said: str) -> tuple[str, str, str]:
    """The same in a stream."""
    return "200 OK", "text/event-stream", f"data: {refusal(said)[2]}\n\n"


def answer(said: str) -> tuple[str, str, str]:
    """An answer that ends with a word of the request's."""
    del said
    choice = {"delta": {"content": "a"}, "finish_reason": HEADER}
    return "200 OK", "text/event-stream", f"data: {json.dumps({'choices': [choice]})}\n\n"


@asynccontextmanager
async def parrot(
    repeat: Callable[[str], tuple[str, str, str]],
) -> AsyncGenerator[OpenAIProvider]:
    """A provider, behind a proxy, whose server repeats what it was sent, as `repeat` says."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int((head.lower().partition(b"content-length: ")[2] or b"0").split(b"\r\n")[0])
        sent = (head + await reader.readexactly(length)).decode().splitlines()
        said = " ".join(line for line in sent if not line.startswith(SENT_ANYWAY))
        status, kind, body = repeat(said)
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            f"{body}".encode()
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = OpenAIProvider(
        Endpoint(
            f"http://provider.example/v1?sig={QUERY}",
            "",
            "m",
            extra_headers={
                "X-Gateway": f"Token {HEADER}",
                "X-Team": "production",
                "X-Auth": LETTERS,
            },
            extra_body={"user": {"ids": [BODY]}, "title": "production"},
        ),
        patience=Patience(5, 5),
        connect_timeout=5,
        max_event_bytes=10_000,
        access=Access(proxy=f"http://user:{PASSWORD}@127.0.0.1:{port}"),
    )
    try:
        yield provider
    finally:
        await provider.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("repeat", [refusal, stream])
async def test_an_error_repeats_no_secret_of_headers_query_or_body(
    repeat: Callable[[str], tuple[str, str, str]],
) -> None:
    async with parrot(repeat) as provider:
        producer = provider.ask(REQUEST)
        with pytest.raises(UpstreamError) as failed:
            await producer.produce(lambda _: None)
        await producer.close()
        with pytest.raises(UpstreamError) as refused:
            await provider.list_models()
    for error in (failed.value, refused.value):
        shown = f"{error} {error.provider_code} {error.request_id} {error.args}"
        for secret in SECRETS:
            assert secret not in shown
    assert str(failed.value).count("***") == len(SECRETS) - 1  # the password goes out only coded
    assert str(failed.value).count("production") == 2


async def test_the_word_that_an_answer_ends_with_repeats_none_either() -> None:
    async with parrot(answer) as provider:
        producer = provider.ask(REQUEST)
        finish = await producer.produce(lambda _: None)
        await producer.close()
    assert (finish.reason, finish.word) == ("stop", "***")


def test_of_a_proxys_url_the_password_is_secret_or_what_stands_in_its_place() -> None:
    assert Proxy.of(f"http://user:{PASSWORD}@proxy:3128").secrets == [CODED, PASSWORD]
    assert Proxy.of("http://t0ken@proxy:3128").secrets[1:] == ["t0ken"]
    assert Proxy.of("http://proxy:3128").secrets == []


async def test_a_proxy_that_wants_a_password_says_so_of_the_list_of_models_too() -> None:
    async with parrot(lambda _: ("407 Proxy Authentication Required", "text/html", "")) as provider:
        with pytest.raises(UpstreamError, match="wants a user and password"):
            await provider.list_models()


@pytest.mark.parametrize("header", ["Content-Type", "Content-Encoding"])
@pytest.mark.parametrize("key", ["sk-0123456789", "sk-" + 20 * "0123456789"])
async def test_no_header_of_the_answer_shows_the_key(header: str, key: str) -> None:
    head = f"HTTP/1.1 200 OK\r\n{header}: {key}\r\nConnection: close\r\n\r\nhello"
    said = await _error(head, Endpoint("http://provider.test/v1", key, "m"))
    assert key[:20] not in said
    assert "***" in said


@pytest.mark.parametrize("shown", ["pa55word", "dXNlcjpwYTU1d29yZA=="])
async def test_no_answer_of_a_proxy_shows_its_password(shown: str) -> None:
    head = f"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nYou sent Basic {shown} to me"
    said = await _error(head, Endpoint("http://provider.test/v1", "", "m"), "user:pa55word")
    assert said.endswith("You sent Basic *** to me")


async def _error(answer: str, endpoint: Endpoint, user: str = "user") -> str:
    """Return the error after an answer that a proxy gives in the provider's place."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = OpenAIProvider(
        endpoint,
        patience=Patience(5, 5),
        connect_timeout=5,
        max_event_bytes=10_000,
        access=Access(proxy=f"http://{user}@127.0.0.1:{port}"),
    )
    producer = provider.ask(REQUEST)
    try:
        with pytest.raises(UpstreamError) as failed:
            await producer.produce(lambda _: None)
    finally:
        await producer.close()
        await provider.close()
        server.close()
        await server.wait_closed()
    return str(failed.value)
