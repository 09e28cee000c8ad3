"""Compressed bodies."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from stream_serve.producers.http1 import IncompleteResponse, ProtocolError
from support.http1 import OK, talk

pytestmark = pytest.mark.both_loops


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
async def test_a_compressed_body_is_inflated_piece_by_piece(encoding: str) -> None:
    text = bytes(1_000_000) + b"end"
    packed = zlib.compress(text) if encoding == "deflate" else gzip.compress(text)
    async with talk() as one:
        one.say(OK + b"Content-Encoding: %b\r\n" % encoding.encode())
        one.say(b"Content-Length: %d\r\n\r\n" % len(packed), packed)
        assert await one.read() == text
        assert max(map(len, one.pieces)) <= 65_536


async def test_a_body_that_is_not_compressed_as_it_says_is_broken() -> None:
    async with talk() as one:
        one.say(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")
        with pytest.raises(IncompleteResponse, match="decompress"):
            await one.read()


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("cut", [1, 8, 9, 100])
async def test_a_body_that_ends_before_what_it_encodes_is_cut(cut: int, *, early: bool) -> None:
    packed = gzip.compress(bytes(range(256)) * 4)[:-cut]
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with talk() as one:
        one.say(head, packed if early else b"")
        await one.exchange.read_head()
        reading = asyncio.ensure_future(one.read())
        await asyncio.sleep(0)
        one.say(b"" if early else packed)
        with pytest.raises(IncompleteResponse, match="coding"):
            await reading


async def test_a_coding_that_is_not_known_is_named_and_nobody_gets_the_body() -> None:
    async with talk() as one:
        one.say(OK + b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nno")
        with pytest.raises(ProtocolError, match="br"):
            await one.read()
        one.connection.data_received(b"pe")
        assert not one.pieces
