"""The core of the clients of streams: what is a message, and what is the service's own word."""

from __future__ import annotations

from math import inf

import pytest

from stream_serve.client.tail import StreamCourse
from stream_serve.errors import RunFailure, ServiceProtocol
from stream_serve.events import codec, sse
from stream_serve.events.types import Error

STREAM = {"content-type": "text/event-stream"}
REMOVED = Error("it was deleted", "stream_not_found", retryable=False)


def course() -> StreamCourse:
    made = StreamCourse("a")
    made.accept(200, STREAM)
    return made


@pytest.mark.parametrize("before", [b"", b"id: 12\ndata: 1\n\n"], ids=["first", "after a message"])
@pytest.mark.parametrize("together", [True, False])
def test_an_error_without_an_id_ends_the_reading(before: bytes, *, together: bool) -> None:
    one = course()
    last = sse.UNNUMBERED % codec.encode(REMOVED)
    if not together:
        list(one.feed(before))
    piece = before + last if together else last
    with pytest.raises(RunFailure) as caught:
        list(one.feed(piece))
    assert caught.value.code == "stream_not_found"
    assert one.over
    assert one.cursor == (12 if before else 0)


@pytest.mark.parametrize("before", [b"", b"9" * 5000 + b","], ids=["alone", "after a large number"])
@pytest.mark.parametrize(
    "data", [b"[" * 100_000 + b"]" * 100_000, b'"\xff"', b"no"], ids=["deep", "no UTF-8", "no JSON"]
)
def test_a_message_that_cannot_be_read_is_an_error_of_the_client(
    before: bytes, data: bytes
) -> None:
    with pytest.raises(ServiceProtocol):
        list(course().feed(b"id: 9\ndata: [" + before + data + b"]\n\n"))


def test_a_number_that_is_larger_than_pythons_is_infinite() -> None:
    data = b'{"a":[1e999,-1e999],"b":%b,"c":1}' % (b"9" * 5000)
    assert list(course().feed(b"id: 9\ndata: " + data + b"\n\n")) == [
        {"a": [inf, -inf], "b": inf, "c": 1}
    ]
