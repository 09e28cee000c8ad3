"""Reading of a stream: at once, by long polls, and live (Durable Streams 1.0, sections 5.6 to 5.8)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from stream_serve.streams import messages, offsets
from stream_serve.streams.errors import StreamNotFound
from stream_serve.web.stream import EventStream
from stream_serve.web.streams import cursors
from stream_serve.web.streams.live import Live, LiveReader, encodes
from stream_serve.web.streams.response import BROWSER, Raw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive

    from stream_serve.streams.entry import Follower
    from stream_serve.streams.service import Page
    from stream_serve.web.streams.readable import Readable
    from stream_serve.web.streams.request import Headers, Reading

_PAGE: Final = 1_048_576
"""Bytes of one response; a client asks for the next ones where it ends."""

_LOOKED_AT: Final = "private, no-cache"
"""Whose a stream is, and whether it is there, is asked each time, and answered by its ETag: a browser
keeps what it has read for whoever uses it next, with another key or none."""

_NOT_KEPT: Final = "no-store"
_EVENTS: Final = "text/event-stream"
"""Without a charset: clients of the protocol compare it so."""


async def catch_up(readable: Readable, reading: Reading, headers: Headers) -> Raw:
    """Return what is there from the offset on. Raises `StreamError`, `BadRequest`."""
    page = await readable.read(reading.start, _PAGE)
    said = _said(page)
    if reading.start is None:
        return _respond(page, {**said, "cache-control": _NOT_KEPT})
    tag = _tag(page)
    said["etag"] = tag
    said["cache-control"] = _LOOKED_AT
    if _matches(headers.get(b"if-none-match"), tag):
        return Raw(304, said)
    return _respond(page, said)


async def long_poll(readable: Readable, reading: Reading, receive: Receive, timeout: float) -> Raw:
    """Return what comes after the offset, as soon as something does; 204 after `timeout` seconds.

    Raises `StreamError`, `BadRequest`.
    """
    follower = await readable.follow()
    watcher = asyncio.get_running_loop().create_task(_watch(receive, follower))
    try:
        page = await readable.read(reading.start, _PAGE)
        start = page.start
        deadline = time.monotonic() + timeout
        while not page.data and not page.state.closed:
            left = deadline - time.monotonic()
            if left <= 0 or watcher.done() or follower.closed:
                break
            state = follower.state
            if state is None or state.data != page.state.data:
                raise StreamNotFound("the stream was deleted")
            if state.tail == page.end and not state.closed:
                try:
                    await follower.wait(left)
                except TimeoutError:
                    break
            page = await readable.read(start, _PAGE)
    finally:
        watcher.cancel()
        follower.close()
    said = _said(page)
    if not page.state.closed or not page.last:
        said["stream-cursor"] = str(cursors.above(reading.cursor, time.time()))
    if not page.data:
        return Raw(204, {**said, "cache-control": _NOT_KEPT})
    return _respond(page, {**said, "etag": _tag(page), "cache-control": _LOOKED_AT})


async def live(
    readable: Readable, reading: Reading, *, heartbeat: float, headers: Mapping[str, str]
) -> ASGIApp:
    """Return the stream as Server-Sent Events. Raises `StreamError`, `BadRequest`."""
    follower = await readable.follow()
    try:
        if reading.start is not None:
            # A wrong offset is said before the stream begins.
            await readable.read(reading.start, 1)
        reader = LiveReader(readable, follower, reading.start, reading.cursor)
        encoding = {"Stream-SSE-Data-Encoding": "base64"} if encodes(reader.content_type) else {}
    except BaseException:
        follower.close()
        raise
    more = {"Content-Type": _EVENTS, **BROWSER, **encoding, **headers}
    return EventStream(Live(reader), heartbeat=heartbeat, headers=more)


async def _watch(receive: Receive, follower: Follower) -> None:
    """End the wait when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    follower.nudge()


def _respond(page: Page, said: dict[str, str]) -> Raw:
    return Raw(200, said, messages.unpack(page.data) if page.state.json else page.data)


def _said(page: Page) -> dict[str, str]:
    """Return the headers that say what was read."""
    state = page.state
    said = {
        "content-type": state.content_type,
        "stream-next-offset": offsets.text(page.end),
    }
    if page.last:
        said["stream-up-to-date"] = "true"
        if state.closed:
            said["stream-closed"] = "true"
        if state.lost:
            said["stream-lost"] = "true"
    return said


def _tag(page: Page) -> str:
    end = ":c" if page.last and page.state.closed else ""
    return f'"{page.state.data}:{page.start}:{page.end}{end}"'


def _matches(given: bytes | None, tag: str) -> bool:
    """Return whether a client has this (RFC 9110, 13.1.2: weak comparison)."""
    if given is None:
        return False
    tags = [one.strip().removeprefix("W/") for one in given.decode("latin-1").split(",")]
    return tag in tags or tags == ["*"]
