"""Compressed bodies."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_serve.producers.http1 import IncompleteResponse, ProtocolError
from stream_serve.producers.http1.inflate import Decoder, decoded
from support.http1 import CHUNKED, OK, chunk, talk

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT: Final = bytes(range(256)) * 40


def raw(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


def flushed(data: bytes) -> bytes:
    """Compress as one stream, flushed every 100 bytes."""
    packer = zlib.compressobj(wbits=31)
    parts = [
        packer.compress(data[at : at + 100]) + packer.flush(zlib.Z_SYNC_FLUSH)
        for at in range(0, len(data), 100)
    ]
    return b"".join(parts) + packer.flush()


def members(data: bytes, pack: Callable[[bytes], bytes]) -> bytes:
    """Compress every 100 bytes as a stream of their own."""
    return b"".join(pack(data[at : at + 100]) for at in range(0, len(data), 100))


FORMS: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "flushes": ("gzip", flushed),
    "members": ("gzip", partial(members, pack=gzip.compress)),
    "padding": ("gzip", lambda data: gzip.compress(data) + bytes(600)),
    "bare padding": ("deflate", lambda data: raw(data) + bytes(600)),
    "zlib called gzip": ("gzip", zlib.compress),
    "gzip called deflate": ("deflate", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "bare deflate": ("deflate", raw),
    "zlib streams": ("deflate", partial(members, pack=zlib.compress)),
    "twice": ("deflate, gzip", lambda data: gzip.compress(raw(data))),
    "a line after it": ("gzip", lambda data: gzip.compress(data) + b"\r\n"),
    "a byte after it": ("gzip", lambda data: gzip.compress(data) + b"\n"),
    "a line after zlib": ("deflate", lambda data: zlib.compress(data) + b"\r\n\r\n"),
    "beside nothing": ("identity, gzip,", gzip.compress),
    "nothing": ("identity", bytes),
}


ALONE: Final = {
    *("nothing", "beside nothing", "twice"),
    *("a line after it", "a byte after it", "a line after zlib"),
}
"""Those of which no two may follow each other."""


@pytest.mark.both_loops
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_compressed_body_is_whole_however_it_is_compressed_and_cut(
    form: str, size: int
) -> None:
    label, pack = FORMS[form]
    packed = pack(TEXT)
    async with talk() as one:
        one.say(OK + b"Content-Encoding: %b\r\n" % label.encode())
        one.say(b"Content-Length: %d\r\n\r\n" % len(packed))
        await one.exchange.read_head()
        reading = asyncio.ensure_future(one.read())
        for at in range(0, len(packed), size):
            one.connection.data_received(packed[at : at + size])
        assert await reading == TEXT


@pytest.mark.both_loops
async def test_a_transfer_may_be_compressed_too() -> None:
    async with talk() as one:
        one.say(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n")
        one.say(chunk(gzip.compress(TEXT)), b"0\r\n\r\n")
        assert await one.read() == TEXT


@given(
    st.lists(st.binary(max_size=50), max_size=8),
    st.sampled_from(sorted(FORMS.keys() - ALONE)),
    st.lists(st.integers(1, 60), max_size=20),
)
@example(texts=[b"", b"", b""], form="bare deflate", sizes=[1, 1, 1])
def test_what_was_compressed_stream_by_stream_is_whole_at_every_cut(
    texts: list[bytes], form: str, sizes: list[int]
) -> None:
    label, pack = FORMS[form]
    data = b"".join(map(pack, texts))
    pieces: list[bytes] = []
    receive = decoded([label.lower()], pieces.append)
    assert isinstance(receive, Decoder)
    for size in [*sizes, len(data)]:
        receive(data[:size])
        data = data[size:]
    assert b"".join(pieces) == b"".join(texts)
    assert receive.complete


@pytest.mark.both_loops
async def test_each_piece_is_passed_on_as_soon_as_it_is_there() -> None:
    async with talk() as one:
        one.say(OK + b"Content-Encoding: gzip\r\n" + CHUNKED.partition(b"\r\n")[2])
        await one.exchange.read_head()
        reading = asyncio.ensure_future(one.read())
        await asyncio.sleep(0)
        for word in (b"one", b"two"):
            one.connection.data_received(chunk(gzip.compress(word)))
            assert one.pieces[-1] == word
        one.say(b"0\r\n\r\n")
        assert await reading == b"onetwo"


@pytest.mark.both_loops
@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
async def test_a_body_that_never_was_compressed_as_it_says_is_no_answer(coding: bytes) -> None:
    async with talk() as one:
        one.say(OK + b"Content-Encoding: %b\r\nContent-Length: 4\r\n\r\nnope" % coding)
        with pytest.raises(ProtocolError, match="decompress"):
            await one.read()


@pytest.mark.both_loops
async def test_a_body_that_breaks_in_the_middle_of_its_coding_is_incomplete() -> None:
    packed = gzip.compress(b"one")
    async with talk() as one:
        one.say(OK + b"Content-Encoding: gzip\r\n")
        one.say(b"Content-Length: %d\r\n\r\n" % (len(packed) + 4), packed, b"\x1f\x8bno")
        with pytest.raises(IncompleteResponse, match="decompress"):
            await one.read()


@pytest.mark.both_loops
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


@pytest.mark.both_loops
@pytest.mark.parametrize("early", [True, False])
async def test_what_comes_before_a_fault_in_a_coding_is_passed_on_however_much_is_read_at_once(
    *, early: bool
) -> None:
    packer = zlib.compressobj(wbits=31)
    begin = packer.compress(b"said") + packer.flush(zlib.Z_SYNC_FLUSH)
    body = OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    said, broken = chunk(begin), chunk(b"\xff" * 40)
    async with talk() as one:
        one.say(body + said + broken if early else body)
        await one.exchange.read_head()
        reading = asyncio.ensure_future(one.read())
        await asyncio.sleep(0)
        one.say(b"" if early else said + broken)
        with pytest.raises(IncompleteResponse, match="decompressed"):
            await reading
        assert one.body == b"said"


@pytest.mark.both_loops
@pytest.mark.parametrize("label", [b"br", b"zstd", b"gzip, br", b"gzip, gzip, gzip, gzip, gzip"])
async def test_a_coding_that_is_not_known_is_named_and_nobody_gets_the_body(label: bytes) -> None:
    async with talk() as one:
        one.say(OK + b"Content-Encoding: %b\r\nContent-Length: 4\r\n\r\nno" % label)
        with pytest.raises(ProtocolError, match=r"encoded (as (br|zstd)|more than 4 times)"):
            await one.read()
        one.connection.data_received(b"pe")
        assert not one.pieces


@pytest.mark.both_loops
@pytest.mark.parametrize("times", [1, 2])
async def test_what_a_small_piece_may_grow_to_is_bounded(times: int) -> None:
    """A megabyte of zeros is a kilobyte as gzip; a gigabyte of them twice compressed is even less."""
    packed = bytes(50_000_000)
    for _ in range(times):
        packed = gzip.compress(packed, 1)
    async with talk() as one:
        one.say(OK + b"Content-Encoding: %b\r\n" % b", ".join([b"gzip"] * times))
        one.say(b"Content-Length: %d\r\n\r\n" % len(packed), packed)
        with pytest.raises(ProtocolError, match="nobody asked for"):
            await one.read()
        assert not one.pieces


def test_a_long_answer_that_comes_compressed_in_one_piece_is_read() -> None:
    """A gateway may hold a whole answer back: 20,000 events in one read."""
    events = b"".join(
        b'data: {"choices":[{"index":0,"delta":{"content":" %x"}}]}\n\n' % (n * 7919 % 65_521)
        for n in range(20_000)
    )
    pieces: list[bytes] = []
    decoded(["gzip"], pieces.append)(gzip.compress(events))
    assert b"".join(pieces) == events
