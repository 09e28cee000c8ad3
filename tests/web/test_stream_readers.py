"""Readers of streams when their process ends: each lets go at once, and nobody waits on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_serve.jobs.store import StorePlace
from stream_serve.streams import messages
from stream_serve.streams.decisions import Append, Create
from stream_serve.streams.errors import StreamsUnavailable
from stream_serve.web.streams.control import ControlReader
from stream_serve.web.streams.events import EventsReader
from stream_serve.web.streams.readable import StreamReadable
from stream_serve.web.streams.stopping import stop
from support.streams import Place
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Message

    from stream_serve.streams.service import Streams

KEY = ("", "a")


@pytest.fixture
async def streams(tmp_path: Path) -> Streams:
    """Streams in memory, one of which is there."""
    made = await Place("memory", tmp_path).streams()
    await made.create(KEY, Create(content_type="application/json", data=b"1\n"))
    return made


async def receive() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def test_readers_end_when_their_process_does(streams: Streams) -> None:
    control = ControlReader(await streams.follow(KEY))
    events = EventsReader(
        StreamReadable(streams, KEY), await streams.follow(KEY), start=0, ends=False
    )
    assert await control.read() is not None
    assert await events.read() is not None
    reading = [asyncio.create_task(one.read()) for one in (control, events)]
    await asyncio.sleep(0)
    await streams.close()
    assert await asyncio.gather(*reading) == [None, None]


async def test_a_stop_waits_no_longer_than_its_process_lives(streams: Streams) -> None:
    stopping = asyncio.create_task(stop(streams, KEY, 60, receive))

    async def is_asked() -> bool:
        return (await streams.describe(KEY)).stop is not None

    await until(is_asked)
    for _ in range(5):
        await asyncio.sleep(0)
    await streams.close()
    assert (await stopping).acknowledged is None


async def test_a_job_that_listens_for_its_stop_lets_its_process_end(streams: Streams) -> None:
    listening = asyncio.create_task(StorePlace(streams, KEY).stopped())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not listening.done()
    await streams.close()
    with pytest.raises(StreamsUnavailable):
        await listening


async def test_a_message_that_can_hardly_be_read_ends_no_stream(streams: Streams) -> None:
    events = EventsReader(
        StreamReadable(streams, KEY), await streams.follow(KEY), start=0, ends=False
    )
    assert await events.read() is not None
    reading = asyncio.create_task(events.read())
    await asyncio.sleep(0)
    # Deeper than it could be taken from a request, so that it fails at any depth of calls.
    deep = b'{"type":"end","x":' + b"[" * 5_000 + b"]" * 5_000 + b',"finishReason":"x"}\n'
    await streams.append(KEY, Append(data=deep, content_type="application/json"))
    assert messages.unpack(deep)[1:-1] in (await reading or b"")
    more = Append(data=b"2\n", content_type="application/json")
    assert (await asyncio.wait_for(streams.append(KEY, more), 5)).new
    events.close()
