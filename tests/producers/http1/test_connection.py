"""A connection between the loop and the exchange that it carries."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from stream_serve.producers.http1 import IncompleteResponse
from support.http1 import CHUNKED, END, chunk, talk

if TYPE_CHECKING:
    from types import FrameType

pytestmark = pytest.mark.both_loops


async def test_a_piece_of_the_body_costs_three_calls() -> None:
    """`data_received`, `deliver` and the receiver: neither a task nor a queue is in between."""
    async with talk() as one:
        one.say(CHUNKED + chunk(b"first"))
        await one.exchange.read_head()
        reading = asyncio.ensure_future(one.exchange.read_body(lambda _: None))
        await asyncio.sleep(0)
        data = chunk(b"token")
        calls: list[str] = []

        def profile(frame: FrameType, event: str, _: object) -> None:
            if event == "call":
                calls.append(frame.f_code.co_name)

        sys.setprofile(profile)
        try:
            one.connection.data_received(data)
        finally:
            sys.setprofile(None)
        assert calls == ["data_received", "deliver", "<lambda>"]
        reading.cancel()
        await asyncio.wait([reading])


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux has it")
async def test_small_segments_of_a_stream_are_not_acknowledged_one_by_one() -> None:
    async with talk() as one:
        sock = one.connection.socket
        one.say(CHUNKED + chunk(b"one"))
        await one.exchange.read_head()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 0
        one.say(END)
        assert await one.read() == b"one"


async def test_a_request_over_a_closed_connection_is_an_incomplete_response() -> None:
    async with talk() as one:
        await one.connection.close()
        exchange = one.connection.send(b"POST / HTTP/1.1\r\n\r\n")
        with pytest.raises(IncompleteResponse, match="before the request was sent"):
            await exchange.read_head()
        assert not one.connection.release()
