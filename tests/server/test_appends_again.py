"""Appends with the head of the one before, which is not parsed: the answer is that of the application."""

from __future__ import annotations

import asyncio
import re
from contextlib import closing
from typing import Final

import pytest

from stream_serve.streams.decisions import Appended
from stream_serve.streams.errors import StreamsUnavailable
from support.appends import APPEND, MADE, READS, Client, Held, Request, asked, exchanged
from support.service import Service
from support.waiting import until

MOST: Final = 300
ASKED: Final = re.compile(rb'"asked":"[^"]*"')


def with_body(body: bytes, kind: str = "text", how: str = "whole") -> Request:
    """Return an append; all of the same type have the same head, but for the length."""
    return Request("POST", kind, [f"Content-Type: {TYPES[kind]}"], body, how)


TYPES: Final = {"text": "text/plain", "json": "application/json"}
CLOSE: Final = Request("POST", "text", ["Stream-Closed: true"], b"", "whole")
STOP: Final = Request("POST", "text/stop", [], b"", "whole")
DELETE: Final = Request("DELETE", "text", [], b"", "unsaid")
ONE: Final = with_body(b"one")
SAME_HEADS: Final[dict[str, tuple[list[Request], list[bool]]]] = {
    "of any size": (
        [with_body(b"x" * size) for size in (1, 2, 0, MOST, MOST + 1, 3, 3)],
        [True, False, True],
    ),
    "of JSON": (
        [with_body(body, "json") for body in (b"1", b"[2, 3]", b"[]", b"4", b"{", b"[5]", b"6")],
        [True, False, False, True],
    ),
    "in chunks": ([ONE, with_body(b"two", how="chunked"), ONE, ONE], [True]),
    "closed": ([ONE, ONE, CLOSE, ONE, ONE], [True]),
    "removed": ([ONE, ONE, DELETE, ONE, ONE], [True]),
    "asked to stop": ([ONE, ONE, STOP, ONE, ONE], [True, True]),
}
"""Appends in a row, and which of them had a head that was known, and were taken."""


@pytest.mark.parametrize("case", SAME_HEADS)
async def test_an_append_with_the_head_of_the_one_before_has_the_same_response(
    case: str, again: list[bool]
) -> None:
    appended, known = SAME_HEADS[case]
    said: list[list[bytes]] = []
    for direct in (True, False):
        async with Service(streams_url="memory", max_append_bytes=MOST, direct=direct) as service:
            answers = await asyncio.to_thread(asked, service.url, [*MADE, *appended, *READS])
            said.append([ASKED.sub(b"", one) for one in answers])
    assert said[0] == said[1]
    assert again == known


@pytest.mark.parametrize("room", [0, 1, 2, 3, 4, 40])
async def test_a_longer_length_does_not_lead_past_the_limit_of_a_head(room: int) -> None:
    said: list[bytes] = []
    for direct in (True, False):
        async with Service(streams_url="memory", max_head_bytes=1_024, direct=direct) as service:
            await asyncio.to_thread(asked, service.url, MADE)
            size = ONE.written("", "").index(b"one")
            padding = "X: " + "x" * (1_024 - room - size - len("X: \r\n"))
            appends = [
                Request("POST", "text", [*ONE.headers, padding], body, "whole")
                for body in (b"x", b"x" * 1_000)
            ]
            said.append((await asyncio.to_thread(asked, service.url, appends))[1])
    assert said[0] == said[1]


async def test_a_body_that_reads_like_the_append_before_is_a_body(service: Service) -> None:
    with closing(Client(service.url)) as client:
        await asyncio.to_thread(exchanged, client, [ONE], "", "")
        data = ONE.written("", "")
        head = b"POST /v1/stream/text HTTP/1.1\r\nHost: localhost\r\nX: y\r\nContent-Type: text/plain\r\n"
        await asyncio.to_thread(client.send, head + b"Content-Length: %d\r\n\r\n" % len(data))
        (connection,) = service.connections
        await until(lambda: (b"x", b"y") in connection.headers)
        await asyncio.to_thread(client.send, data)
        assert (await asyncio.to_thread(client.answer)).startswith(b"HTTP/1.1 204")
        read = await asyncio.to_thread(exchanged, client, READS[:1], "", "")
    assert read[0].endswith(b"\r\n\r\none" + data)


async def test_an_append_with_a_known_head_that_waits_is_not_done_again(
    service: Service, again: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Client(service.url)) as client:
        await asyncio.to_thread(exchanged, client, [APPEND], "", "")
        held = Held(monkeypatch)
        first = asyncio.create_task(asyncio.to_thread(exchanged, client, [APPEND], "", ""))
        done = await held.asked.get()
        done.set_result(Appended(new=True, tail=10, closed=False, stop=False))
        assert b"stream-next-offset: 0000000000000010" in (await first)[0]
        second = asyncio.create_task(asyncio.to_thread(exchanged, client, [APPEND], "", ""))
        (await held.asked.get()).set_exception(StreamsUnavailable("away"))
        assert (await second)[0].startswith(b"HTTP/1.1 503")
        assert held.asked.empty()
    assert again == [True]  # the second one had to wait, and its head was not kept


async def test_a_connection_is_kept_for_as_long_after_an_append_with_a_known_head(
    service: Service, again: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Client(service.url)) as client:
        await asyncio.to_thread(exchanged, client, [APPEND, APPEND], "", "")
        assert again == [True]
        (connection,) = service.connections
        now, first = connection.loop.time(), connection.timeout_keep_alive_task
        connection.timeout_keep_alive_handler()  # as the timer of the first one would
        assert not connection.transport.is_closing()
        assert connection.timeout_keep_alive_task is not first
        assert connection.timeout_keep_alive_task.when() > now
        monkeypatch.setattr(connection, "timeout_keep_alive", 0)
        connection.timeout_keep_alive_handler()
        assert connection.transport.is_closing()
