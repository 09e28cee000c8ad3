"""Scenarios of HTTP itself: complete answers in odd heads, and bodies that are compressed.

The heads are what gateways and hand-written servers send, and what large HTTP clients read.
"""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Final

from stream_serve.testing.script import scenario
from stream_serve.testing.speech import TEXT, Speech

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask

_BEGIN: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
HEADS: Final[dict[str, bytes]] = {
    "length-and-chunks": _BEGIN + b"Content-Length: 9\r\n" + _CHUNKED,
    "chunks-and-length": _BEGIN + _CHUNKED + b"Content-Length: 9\r\n",
    "length-twice": _BEGIN + b"Content-Length: %d\r\nContent-Length: %d\r\n",
    "chunked-twice": _BEGIN + _CHUNKED + _CHUNKED,
    "identity": _BEGIN + b"Transfer-Encoding: identity\r\n",
    "folded": _BEGIN + b"X-Folded: one\r\n two\r\n" + _CHUNKED,
    "spaces": b"HTTP/1.1  200 OK \r\nContent-Type : text/event-stream\r\n" + _CHUNKED,
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Type: text/event-stream\nContent-Length: %d\n",
    "bare-lf-chunks": b"HTTP/1.1 200 OK\nContent-Type: text/event-stream\n"
    + _CHUNKED.replace(b"\r", b""),
    "no-reason": b"HTTP/1.1 200\r\nContent-Type: text/event-stream\r\n" + _CHUNKED,
    "small": b"http/1.1 200 ok\r\ncontent-type: text/event-stream\r\n" + _CHUNKED.lower(),
    "old": b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n",
    "odd-lines": _BEGIN + b"no colon\r\n: no name\r\nX(Y) Z: \xff\r\n" + _CHUNKED,
    "interim": b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n"
    + _BEGIN
    + _CHUNKED,
}


def _flushes(events: Iterator[bytes], window: int) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=window)
    for one in events:
        yield packer.compress(one) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


CODINGS: Final[dict[str, tuple[str, Callable[[Iterator[bytes]], Iterator[bytes]]]]] = {
    "gzip": ("gzip", lambda events: _flushes(events, 31)),
    "members": ("x-gzip", lambda events: map(gzip.compress, events)),
    "zlib": ("deflate", lambda events: _flushes(events, 15)),
    "deflate": ("deflate", lambda events: _flushes(events, -15)),
    "twice": ("deflate, gzip", lambda events: map(gzip.compress, _flushes(events, -15))),
}


@scenario("odd-head", f"an answer whose head is written {'|'.join(HEADS)}", form="interim", **TEXT)
async def odd_head(reply: Reply, ask: Ask) -> None:
    """The connection is closed after the answer, whatever the head says."""
    body = b"".join(Speech(reply, ask).events())
    head = HEADS[ask.string("form")]
    head = head % ((len(body),) * head.count(b"%d")) if b"%d" in head else head
    end = b"\r\n" if b"\r" in head else b"\n"
    chunked = b"encoding: chunked" in head.lower()
    if chunked:
        body = end.join([b"%x" % len(body), body, b"0", b"", b""])
    reply.raw(head + end + body)
    await reply.close()


@scenario(
    "compressed",
    f"a body compressed though nobody asked: {'|'.join(CODINGS)}",
    form="members",
    **TEXT,
)
async def compressed(reply: Reply, ask: Ask) -> None:
    """Each event can be decompressed as soon as it has come."""
    label, pack = CODINGS[ask.string("form")]
    await reply.open(headers={"Content-Encoding": label})
    for one in pack(Speech(reply, ask).events()):
        await reply.write(one, events=1)
        await reply.pause(ask.number("interval"))
    await reply.end()


@scenario("unknown-coding", "a body that says it is compressed with br, which nobody asked for")
async def unknown_coding(reply: Reply, ask: Ask) -> None:
    """A coding that a client without it cannot undo."""
    del ask
    await reply.open(headers={"Content-Encoding": "br"})
    await reply.write(b"\x8b\x01\x80data: [DONE]\x03")
    await reply.end()


@scenario("gzip-bomb", "a small body that is `size` bytes when it is decompressed", size=50_000_000)
async def gzip_bomb(reply: Reply, ask: Ask) -> None:
    """Events without an end of work; a thousandth of them comes over the wire."""
    line = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"A" * 900 + b'"}}]}\n\n'
    await reply.open(headers={"Content-Encoding": "gzip"})
    await reply.write(gzip.compress(line * (ask.integer("size") // len(line)), 6))
    await reply.end()
