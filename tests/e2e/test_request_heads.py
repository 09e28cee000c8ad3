"""Heads of requests that are larger than a head may be: refused in words, and nobody else waits."""

from __future__ import annotations

import asyncio
import gc
import json
from contextlib import asynccontextmanager, suppress
from itertools import product, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.server.protocol import HttpProtocol
from support.client import ask, text
from support.process import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

    import aiohttp

    from support.process import Server
    from support.service import Service

PATIENCE: Final = 30.0
LIMIT: Final = 32_768
MEGABYTE: Final = 1_000_000
PADDED: Final = b"X-Long: " + b"a" * 300 + b"\r\n"
GET: Final = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
POST: Final = (
    b"POST /ai/chat/stream-sse HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"
FLOODS: Final[dict[str, Callable[[], tuple[bytes, Iterable[bytes]]]]] = {
    "one header": lambda: (GET + b"X-Long: ", repeat(b"a" * MEGABYTE, 100)),
    "a header of spaces": lambda: (GET + b"X-Long: ", repeat(b" " * MEGABYTE, 100)),
    "one header's name": lambda: (GET, repeat(b"a" * MEGABYTE, 100)),
    "a million headers": lambda: (GET, repeat(b"X-Small: abcdefg\r\n" * 10_000, 100)),
    "the shortest headers": lambda: (GET, repeat(b"a:\r\n" * 100_000, 100)),
    "a path": lambda: (b"GET /", repeat(b"a" * MEGABYTE, 100)),
    "a query": lambda: (b"GET /health?", repeat(b"a=1&" * 250_000, 100)),
    "a method": lambda: (b"", repeat(b"\r\n" * 500_000, 100)),
    "trailers": lambda: (
        CHUNKED + b"2\r\n{}\r\n0\r\n",
        repeat(b"X-Small: abcdefg\r\n" * 10_000, 100),
    ),
    "one trailer": lambda: (CHUNKED + b"2\r\n{}\r\n0\r\nX-Long: ", repeat(b"a" * MEGABYTE, 100)),
    "the extension of a chunk": lambda: (CHUNKED + b"2;x=", repeat(b"a" * MEGABYTE, 100)),
}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A real process, with the demo model."""
    async with serving() as running:
        yield running


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(PATIENCE):
            yield reader, writer
    finally:
        writer.transport.abort()


async def send(writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> None:
    """Send as much as the other side takes."""
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()


def check_refused(answer: bytes, *, limit: int = LIMIT) -> None:
    """Check that the whole answer says what was wrong, and that the connection ends."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 431 request header fields too large"
    assert "content-type: application/problem+json" in lines
    assert "connection: close" in lines
    assert f"content-length: {len(body)}" in lines
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (431, "head_too_large")
    assert str(limit) in problem["detail"]
    assert "STREAM_SERVE_MAX_HEAD_BYTES" in problem["detail"]


def peak(server: Server) -> int:
    """Return the most memory that the process had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


async def test_a_head_without_an_end_is_refused_and_takes_no_memory(server: Server) -> None:
    async with connected(server.url) as (_, writer):
        await send(writer, [GET])
    before = peak(server)
    for name, flood in FLOODS.items():
        async with connected(server.url) as (reader, writer):
            first, more = flood()
            await send(writer, [first])
            # All of it is sent before anything is read, as a simple client does.
            await send(writer, more)
            answer = await reader.read()
            try:
                check_refused(answer)
            except AssertionError as error:
                error.add_note(name)
                raise
    assert peak(server) - before < 20 * MEGABYTE


async def test_while_a_head_without_an_end_comes_others_are_served(
    server: Server, client: aiohttp.ClientSession
) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        await send(writer, [GET + b"X-Long: "])
        await send(writer, repeat(b"a" * MEGABYTE, 1_000))

    async with connected(server.url) as (_, writer):
        flood = asyncio.create_task(endless(writer))
        async with ask(client, server.url, message="hello") as stream:
            assert text(await stream.rest())
        for _ in range(20):
            async with client.get(f"{server.url}/health") as response:
                assert response.status == 200
        flood.cancel()
        await asyncio.wait([flood])


async def test_a_head_that_comes_byte_by_byte_is_counted_too(server: Server) -> None:
    async with connected(server.url) as (reader, writer):
        sending = asyncio.create_task(
            send(writer, (bytes([byte]) for byte in GET + b"X-Long: " + b"a" * LIMIT))
        )
        check_refused(await reader.read())
        await sending


async def test_a_head_may_have_as_many_bytes_as_the_limit_says_and_no_more(server: Server) -> None:
    start, end = GET + b"X-Long: ", b"\r\nConnection: close\r\n\r\n"
    for size, split in product((LIMIT - 1, LIMIT, LIMIT + 1), (1, 7_000, 32_760, 10**6)):
        head = start + b"a" * (size - len(start) - len(end)) + end
        assert len(head) == size
        async with connected(server.url) as (reader, writer):
            await send(writer, [head[:split], head[split:]])
            answer = await reader.read()
        if size > LIMIT:
            check_refused(answer)
        else:
            assert answer.startswith(b"HTTP/1.1 200 "), (size, split)


async def test_a_later_head_on_the_same_connection_has_the_same_limit(server: Server) -> None:
    for long in (b"X-Small: a\r\n" * 2_700, b"X-Long: " + b"a" * 32_000 + b"\r\n"):
        async with connected(server.url) as (reader, writer):
            for _ in range(3):
                await send(writer, [GET + long + b"\r\n"])
                assert (await answered(reader)).startswith(b"HTTP/1.1 200 ")
            await send(writer, [GET + long, long, b"\r\n"])
            check_refused(await reader.read())


async def test_a_head_that_comes_behind_another_request_is_refused_after_its_answer(
    server: Server,
) -> None:
    long = GET + b"X-Long: " + b"a" * LIMIT + b"\r\n\r\n"
    for first, status in ((GET + b"\r\n", b"200"), (POST + b"Content-Length: 2\r\n\r\n{}", b"422")):
        async with connected(server.url) as (reader, writer):
            await send(writer, [first + long])
            assert (await answered(reader)).startswith(b"HTTP/1.1 " + status)
            check_refused(await reader.read())


async def test_a_stream_that_goes_on_is_not_cut_by_the_head_behind_it(server: Server) -> None:
    body = b'{"message": "hello"}'
    async with connected(server.url) as (reader, writer):
        await send(writer, [POST + b"Content-Length: %d\r\n\r\n" % len(body) + body])
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        first = await reader.readuntil(b'"type":"start"')
        await send(writer, [GET + b"X-Long: "])
        await send(writer, repeat(b"a" * MEGABYTE, 10))
        stream, end, refusal = (first + await reader.read()).partition(b"\r\n0\r\n\r\n")
        assert b'"type":"end"' in stream
        assert end
        check_refused(refusal)


async def test_a_body_is_no_head_and_its_trailers_are_no_headers(server: Server) -> None:
    question = json.dumps({"message": "x" * 500_000, "runId": "a" * 16, "model": 1}).encode()
    chunk = b"%x\r\n%b\r\n" % (len(question), question)
    async with connected(server.url) as (reader, writer):
        for end in (b"0\r\n\r\n", b"0\r\nIdempotency-Key: wrong\r\n\r\n"):
            await send(writer, [CHUNKED + chunk + end])
            answer = await answered(reader)
            assert answer.startswith(b"HTTP/1.1 422 ")
            assert b"Idempotency-Key" not in answer
        small = b"".join(b"1\r\n%c\r\n" % byte for byte in question[-60_000:])
        await send(writer, [CHUNKED + small + b"0\r\n\r\n"])
        assert (await answered(reader)).startswith(b"HTTP/1.1 400 ")


async def test_the_limit_is_a_setting(client: aiohttp.ClientSession) -> None:
    async with serving(STREAM_SERVE_MAX_HEAD_BYTES="2000") as server:
        async with connected(server.url) as (reader, writer):
            await send(writer, [GET + b"X-Long: " + b"a" * 2_000 + b"\r\n\r\n"])
            check_refused(await reader.read(), limit=2_000)
        async with client.get(f"{server.url}/health", headers={"X": "a" * 1_000}) as response:
            assert response.status == 200


async def test_an_address_that_is_too_long_is_refused_in_words_whatever_is_asked_for(
    client: aiohttp.ClientSession,
) -> None:
    head = b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n"
    fits, long = b"?" + b"a" * 60_000, b"?" + b"a" * 70_000
    async with serving(STREAM_SERVE_MAX_HEAD_BYTES="200000") as server:
        for start in (b"GET /health", b"POST /ai/chat/stream-sse", b"POST /v1/stream/one"):
            whole = start + long + head + b"{}"
            for before in (b"", GET + b"\r\n"):
                for split in (len(whole), len(whole) - 1, len(whole) - 2, 66_000):
                    async with connected(server.url) as (reader, writer):
                        await send(writer, [before, whole[:split]])
                        if before:
                            assert (await answered(reader)).startswith(b"HTTP/1.1 200 ")
                        await send(writer, [whole[split:]])
                        answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
                    assert answer.startswith(b"HTTP/1.1 400 "), (start, before, split)
                    assert json.loads(body)["detail"].endswith("may have at most 65535 bytes")
            async with connected(server.url) as (reader, writer):
                await send(writer, [start + fits + head + b"{}"])
                assert not (await answered(reader)).startswith(b"HTTP/1.1 400 bad"), start
        async with client.get(f"{server.url}/health") as response:
            assert response.status == 200


async def test_nothing_is_left_of_who_was_refused(service: Service) -> None:
    for _ in range(20):
        async with connected(service.url) as (reader, writer):
            await send(writer, [CHUNKED + b"2\r\n{}\r\n0\r\nX-Long: " + b"a" * 2 * LIMIT])
            check_refused(await reader.read())
    async with asyncio.timeout(PATIENCE):
        while open_requests():
            await asyncio.sleep(0)
    assert service.runs.running == 0


@pytest.mark.parametrize(
    "request_",
    [GET + PADDED + b"\r\n", POST + PADDED + b"Content-Length: 2\r\n\r\n{}"],
    ids=["get", "post"],
)
async def test_no_more_requests_are_read_than_wait_for_their_turn(
    service: Service, request_: bytes
) -> None:
    bound = 2 * 262_144 // len(request_)  # two reads
    many, most = 2_000, 0
    assert many > bound
    async with connected(service.url) as (reader, writer):
        sending = asyncio.ensure_future(send(writer, repeat(request_ * 1_000, many // 1_000)))
        answers, rest = 0, await reader.read(65_536)
        protocols = [one for one in gc.get_objects() if issubclass(type(one), HttpProtocol)]
        while answers < many:
            parts = (rest + await reader.read(65_536)).split(b"HTTP/1.1 ")
            answers, rest = answers + len(parts) - 1, parts[-1][-12:]
            most = max(most, *(len(one.pipeline) for one in protocols))
        await sending
    assert 0 < most <= bound


def open_requests() -> list[Any]:
    """Return the tasks that answer a request."""
    return [task for task in asyncio.all_tasks() if "run_asgi" in repr(task)]


async def answered(reader: asyncio.StreamReader) -> bytes:
    """Read one answer of a known length."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    length = next(line for line in lines if line.startswith("content-length: "))
    return head + await reader.readexactly(int(length.partition(": ")[2]))
