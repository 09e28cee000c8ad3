"""A response as it arrives, whole and cut, in order and broken."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from stream_serve.producers.http1 import IncompleteResponse, ProtocolError
from support.http1 import CHUNKED, END, OK, chunk, talk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from support.http1 import Talk

pytestmark = pytest.mark.both_loops

BARE = CHUNKED.replace(b"\r\n", b"\n")


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (CHUNKED + chunk(b"one") + chunk(b"two") + END, b"onetwo"),
        (CHUNKED + b"3;ext=1\r\none\r\n0\r\nTrailer: x\r\n\r\n", b"one"),
        (BARE + b"3\none\n3;x\n\n\n\n\n0\nTrailer: x\n\n", b"one\n\n\n"),
        (BARE + b"\t1\r\nx\n0\n\n", b"x"),
        (OK + b"Content-Length: 6\r\n\r\nonetwo", b"onetwo"),
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + CHUNKED + chunk(b"late") + END, b"late"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", b"x"),
        (CHUNKED + b'0003 ;a="b;c"\r\none\r\n000;x\r\n\r\n', b"one"),
        (CHUNKED + b"3 ; a=b c\r\none\r\n0\r\n\r\n", b"one"),
        (CHUNKED + b" 3\r\none\r\n0\r\n\r\n", b"one"),
        (CHUNKED + b"3\r\none\r\n0\r\nContent-Length: 9\r\nTrailer: x\n\r\n", b"one"),
        (CHUNKED + b"3\t \r\none\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", b"one"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_body_is_read_to_its_end_however_it_is_framed_and_cut(
    response: bytes, body: bytes, size: int
) -> None:
    async with talk() as one:
        for at in range(0, len(response), size):
            one.say(response[at : at + size])
            await asyncio.sleep(0)
        assert await one.read() == body
        assert one.exchange.status == 200
        assert "link" not in one.exchange.headers
        assert await one.exchange.finish(5)


async def test_chunks_that_come_with_the_head_say_themselves_how_they_are_written() -> None:
    async with talk() as one:
        one.say(CHUNKED + b" 3 \none\n0\n\n")
        assert await one.read() == b"one"
        assert await one.exchange.finish(5)


async def test_what_came_of_a_body_before_it_is_read_is_one_piece() -> None:
    async with talk() as one:
        one.connection.data_received(CHUNKED + chunk(b"one"))
        one.connection.data_received(chunk(b"two") + END)
        assert await one.read() == b"onetwo"
        assert one.pieces == [b"onetwo"]


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with talk() as one:
        one.say(OK + b"Content-Type: text/event-stream\r\n\r\nall of ")
        await one.exchange.read_head()
        one.say(b"it")
        one.writer.close()
        assert await one.read() == b"all of it"
        assert not await one.exchange.finish(5)


@pytest.mark.parametrize(
    "response",
    [
        CHUNKED + chunk(b"one"),
        CHUNKED + b"5\r\non",
        OK + b"Content-Length: 10\r\n\r\none",
        CHUNKED + chunk(b"one") + b"what?\r\n",
        BARE + b"3\none\nwhat?\n",
        BARE + b"3\none\n0\n",
        BARE + b"3\nones\n0\n\n",
        BARE + b"3\none\n1;" + b"x" * 20_000,
    ],
)
async def test_a_body_that_breaks_off_is_an_error_after_what_came(response: bytes) -> None:
    async with talk() as one:
        one.say(response)
        one.writer.close()
        with pytest.raises(IncompleteResponse):
            await one.read()
        assert one.body in {b"one", b"on"}
        assert not await one.exchange.finish(5)


@pytest.mark.parametrize("early", [b"", b"HTTP/1.1 20", OK])
async def test_a_connection_that_is_closed_before_the_head_is_broken(early: bytes) -> None:
    async with talk() as one:
        one.say(early)
        one.writer.close()
        with pytest.raises(IncompleteResponse):
            await one.exchange.read_head()


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        OK + b"X: " + b"y" * 100_000,
        OK + b"A: b\r\n" * 20_000,
        b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000,
    ],
    ids=["ssh", "upgrade", "long line", "many lines", "many interim responses"],
)
async def test_what_is_no_response_to_a_post_is_not_http(response: bytes) -> None:
    async with talk() as one:
        one.say(response)
        with pytest.raises(ProtocolError):
            await asyncio.wait_for(one.exchange.read_head(), 10)


async def test_a_discarded_body_is_read_to_its_end_and_nobody_is_told() -> None:
    async with talk() as one:

        def receive(piece: bytes) -> None:
            one.pieces.append(piece)
            one.exchange.discard_rest()

        one.say(CHUNKED + chunk(b"one"))
        await one.exchange.read_head()
        await one.exchange.read_body(receive)
        finishing = asyncio.ensure_future(one.exchange.finish(5))
        one.say(chunk(b"two") + END)
        assert await finishing
        assert one.body == b"one"


async def test_a_body_that_does_not_end_in_time_closes_the_connection() -> None:
    async with talk() as one:
        one.say(CHUNKED + chunk(b"one"))
        await one.exchange.read_head()
        assert not await one.exchange.finish(0.01)
        assert one.connection.socket.fileno() == -1
        assert not await one.exchange.finish(5)


async def test_a_cancelled_finish_closes_the_connection() -> None:
    async with talk() as one:
        one.say(CHUNKED + chunk(b"one"))
        await one.exchange.read_head()
        finishing = asyncio.ensure_future(one.exchange.finish(60))
        await asyncio.sleep(0)
        finishing.cancel()
        await asyncio.wait([finishing])
        assert finishing.cancelled()
        assert one.connection.socket.fileno() == -1


async def test_closing_an_exchange_ends_who_waits_for_it_and_closes_the_socket() -> None:
    async with talk() as one:
        one.say(CHUNKED + chunk(b"one"))
        reading = asyncio.ensure_future(one.read())
        while not one.pieces:
            await asyncio.sleep(0)
        await one.exchange.close()
        assert one.connection.socket.fileno() == -1
        with pytest.raises(IncompleteResponse):
            await reading
        await one.exchange.close()


async def test_what_the_receiver_raises_is_raised_to_who_waits() -> None:
    async with talk() as one:

        def receive(piece: bytes) -> None:
            one.pieces.append(piece)
            raise ValueError(piece)

        await asyncio.sleep(0)
        one.say(CHUNKED + chunk(b"one") + chunk(b"two"))
        await one.exchange.read_head()
        with pytest.raises(ValueError, match="one"):
            await one.exchange.read_body(receive)
        assert len(one.pieces) == 1


@asynccontextmanager
async def reading_chunks() -> AsyncGenerator[tuple[Talk, asyncio.Future[None]]]:
    """Yield an exchange whose body is being read, which comes in chunks."""
    async with talk() as one:
        one.say(CHUNKED)
        await one.exchange.read_head()
        reading = asyncio.ensure_future(one.exchange.read_body(one.pieces.append))
        await asyncio.sleep(0)
        yield one, reading


async def test_what_one_read_brings_of_a_body_is_passed_on_as_one_piece() -> None:
    async with reading_chunks() as (one, reading):
        one.connection.data_received(chunk(b"one") + chunk(b"two"))
        one.connection.data_received(chunk(b"three") + END)
        await reading
        assert one.pieces == [b"onetwo", b"three"]


async def test_what_came_before_a_defect_in_the_framing_is_passed_on() -> None:
    async with reading_chunks() as (one, reading):
        one.connection.data_received(chunk(b"one") + chunk(b"two") + b"no size\r\n")
        with pytest.raises(IncompleteResponse):
            await reading
        assert one.pieces == [b"onetwo"]


async def test_after_an_error_of_the_receiver_no_piece_is_stored() -> None:
    async with talk() as one:

        def receive(piece: bytes) -> None:
            one.pieces.append(piece)
            raise ValueError(piece)

        one.say(OK + b"Content-Length: 6\r\n\r\none")
        await one.exchange.read_head()
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="one"):
            await one.exchange.read_body(receive)
        one.connection.data_received(b"two")
        await one.exchange.read_body(one.pieces.append)
        assert one.body == b"one"


async def test_what_comes_while_an_exchange_finishes_is_not_stored() -> None:
    async with talk() as one:
        one.say(CHUNKED)
        await one.exchange.read_head()
        finishing = asyncio.ensure_future(one.exchange.finish(5))
        await asyncio.sleep(0)
        one.connection.data_received(chunk(b"one") + END)
        assert await finishing
        await one.exchange.read_body(one.pieces.append)
        assert not one.pieces


async def test_a_cancelled_reading_is_told_nothing_more() -> None:
    async with talk() as one:
        one.say(CHUNKED + chunk(b"one"))
        await one.exchange.read_head()
        reading = asyncio.ensure_future(one.exchange.read_body(one.pieces.append))
        while not one.pieces:
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        one.say(chunk(b"two") + END)
        await one.exchange.finish(5)
        assert one.body == b"one"


@pytest.mark.parametrize(
    "response",
    [
        OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        OK + b"Content-Length: 1\r\n\r\nx" + OK + b"Content-Length: 1\r\n\r\ny",
        OK + b"Content-Length: 1\r\n\r\nxGARBAGE",
        BARE + b"1\nx\n0\n\nGARBAGE\n",
        OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x") + END,
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(response: bytes) -> None:
    async with talk() as one:
        one.say(response)
        assert await one.read() == b"x"
        assert not await one.exchange.finish(5)
