"""Heads that come again: which data is a request with the same head, and what its body is."""

from __future__ import annotations

from typing import Final

import pytest

from stream_serve.server.heads import HeaderLines, known

HEAD: Final = b"POST /v1/stream/a HTTP/1.1\r\nHost: b\r\nContent-Length: %b\r\nX: y\r\n\r\n"
FIRST: Final = HEAD % b"5" + b"hello"


@pytest.mark.parametrize("body", [b"x", b"other", b"\r\n\r\n", b"." * 100_000])
def test_a_head_is_known_whatever_the_length_of_the_body_is(body: bytes) -> None:
    head = known(FIRST, "what it says")
    assert head is not None
    assert head.says == "what it says"
    assert head.body_of(HEAD % (b"%d" % len(body)) + body) == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD % b"0",
        FIRST[:-1],
        FIRST + b"x",
        FIRST[:20],
        FIRST + FIRST,
        b"\r\n" + FIRST,
        FIRST.replace(b"/a", b"/b"),
        FIRST.replace(b"X: y", b"X: z"),
        FIRST.replace(b"X: y\r\n", b""),
        HEAD % b"" + b"hello",
        HEAD % b"+5" + b"hello",
        HEAD % b" 5" + b"hello",
        HEAD % b"5 " + b"hello",
        HEAD % b"5_0" + b"." * 50,
        HEAD % b"0x5" + b"hello",
        HEAD % b"0000000005" + b"hello",
    ],
)
def test_what_is_not_a_whole_request_with_the_head_is_none(data: bytes) -> None:
    head = known(FIRST, None)
    assert head is not None
    assert head.body_of(data) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        FIRST[:-1],
        FIRST + b"x",
        FIRST + FIRST,
        b"\r\n\r\n" + FIRST,
        FIRST.replace(b"Content-Length", b"X-Content-Length"),
        FIRST.replace(b"X: y", b"X: " + b"y" * 1_024),
    ],
)
def test_no_head_is_kept_of_what_is_not_one_whole_request_with_a_short_one(data: bytes) -> None:
    assert known(data, None) is None


def test_the_length_is_found_in_its_own_header_however_that_is_written() -> None:
    first = b"POST / HTTP/1.1\r\nX: content-length: 7\r\ncontent-LENGTH:\t5\r\n\r\nhello"
    head = known(first, None)
    assert head is not None
    assert head.body_of(first.replace(b"\t5", b"\t2").replace(b"hello", b"ab")) == b"ab"
    assert head.body_of(first.replace(b": 7", b": 5")) == b""


def test_lines_are_written_anew_for_other_headers() -> None:
    lines = HeaderLines()
    first, second = [(b"date", b"now"), (b"a", b"b")], [(b"date", b"later")]
    assert lines.of(first) == lines.of(first) == b"date: now\r\na: b\r\n"
    assert lines.of(second) == b"date: later\r\n"
