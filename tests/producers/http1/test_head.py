"""The head of a response: what servers write, and what it says of the body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.producers.http1 import ProtocolError
from stream_serve.producers.http1.head import Head, HeadReader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: 7\r\n"


def read(head: bytes) -> Head:
    found = HeadReader().feed(head + b"the body")
    assert found is not None
    assert found[1] == b"the body"
    return found[0]


def framing(head: Head) -> str:
    return "chunked" if head.chunked else "close" if head.length is None else str(head.length)


@pytest.mark.parametrize(
    ("head", "framed", "persistent"),
    [
        (OK + CHUNKED, "chunked", True),
        (OK + LENGTH, "7", True),
        (OK, "close", False),
        (OK + LENGTH + CHUNKED, "chunked", False),
        (OK + CHUNKED + b"Content-Length: no\r\n", "chunked", False),
        (OK + LENGTH + LENGTH, "7", True),
        (OK + b"Content-Length: 7, 7\r\n", "7", True),
        (OK + b"Content-Length: 0007\r\nContent-Length:\r\n", "7", True),
        (OK + b"Content-Length:\r\n", "close", False),
        (OK + CHUNKED + CHUNKED, "chunked", True),
        (OK + b"transfer-encoding:Chunked;q=1\r\n", "chunked", True),
        (OK + b"Transfer-Encoding: identity\r\n" + LENGTH, "7", False),
        (OK + b"Transfer-Encoding: identity\r\n", "close", False),
        (OK + b"Transfer-Encoding: gzip\r\n" + LENGTH, "close", False),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n", "chunked", True),
        (OK + LENGTH + b"Connection: Keep-Alive, Close\r\n", "7", False),
        (b"HTTP/1.0 200 OK\r\n" + LENGTH, "7", False),
        (b"HTTP/1.0 200 OK\r\n" + LENGTH + b"Connection: keep-alive\r\n", "7", True),
        (b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"Connection: keep-alive\r\n", "chunked", False),
        (b"HTTP/2.0 200 OK\r\n" + LENGTH, "7", False),
        (b"http/1.1 200\r\n" + LENGTH, "7", True),
        (b"HTTP/1.1  200\tFine  \r\n" + LENGTH, "7", True),
        (b"\r\n\r\nHTTP/1.1 200 \xff\xfe\r\n" + LENGTH, "7", True),
        (b"HTTP/1.1 204 No Content\r\n" + CHUNKED, "0", True),
        (b"HTTP/1.1 304 Not Modified\r\n" + LENGTH, "0", True),
    ],
)
def test_a_head_says_how_the_body_ends_and_whether_the_connection_is_kept(
    head: bytes, framed: str, persistent: bool
) -> None:
    large = head + b"X: " + b"y" * 5_000 + b"\r\n\r\n"
    for text in (head + b"\r\n", head.replace(b"\r\n", b"\n") + b"\n", head + b"\n", large):
        found = read(text)
        assert (framing(found), found.persistent) == (framed, persistent)
        again = read(found.canonical)
        assert framing(again) == framed
        assert again.headers.keys() <= {"content-length", "transfer-encoding"}


def test_headers_are_found_however_they_are_written() -> None:
    found = read(
        OK
        + b" folded before the first\r\nA : 1\r\nb:2\r\n\t3\r\n  4\r\nB:\t5 \r\nno colon\r\n: no name\r\n"
        b"od(d) n\xe4me: x\r\nevil: a\x1b[1mb\rc\x00d\r\n\r\n"
    )
    assert found.headers == {
        "a": "1",
        "b": "2 3 4, 5",
        "od(d) n\xe4me": "x",
        "evil": "a [1mb c d",
    }


def test_the_codings_are_those_of_the_body_and_then_the_transfers() -> None:
    head = b"Content-Encoding: Deflate\r\nContent-Encoding: identity, x-gzip\r\n"
    found = read(OK + head + b"Transfer-Encoding: gzip, chunked\r\n\r\n")
    assert found.codings == ("deflate", "x-gzip", "gzip")


@pytest.mark.parametrize("word", [b"none", b"UTF-8", b"8bit", b"binary", b"identity, none"])
def test_what_is_no_coding_is_none(word: bytes) -> None:
    assert read(OK + b"Content-Encoding: " + word + b"\r\n\r\n").codings == ()


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"<html>",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/x 200 OK\r\n\r\n",
        b"HTTP/1.1200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        OK + b"Content-Length: 7\r\nContent-Length: 8\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: +1\r\n\r\n",
        OK + b"Content-Length: 1_0\r\n\r\n",
        OK + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
        OK + b"X: " + b"y" * 100_000,
        OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        OK + b"A: b\r\n" * 20_000,
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 10_000,
        b"\r\n" * 50_000,
    ],
    ids=lambda head: str(head[-40:]),
)
def test_what_has_no_one_meaning_is_refused(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        HeadReader().feed(head)
    reader = HeadReader()

    def feed_in_pieces() -> None:
        for at in range(0, len(head), 1_000):
            reader.feed(head[at : at + 1_000])

    with pytest.raises(ProtocolError):
        feed_in_pieces()


@given(
    st.lists(
        st.sampled_from(
            [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\nLink: x\n\n", b"\r\n"]
        ),
        max_size=3,
    ),
    st.sampled_from([b"\r\n", b"\n"]),
    st.lists(st.integers(1, 9), max_size=20),
)
def test_interim_responses_are_left_out_and_every_cut_reads_the_same(
    interim: list[bytes], line_end: bytes, sizes: list[int]
) -> None:
    final = line_end.join([b"HTTP/1.1 200", b"A: 1", b"Content-Length: 9", b"", b""])
    data = b"".join(interim) + final + b"the body"
    reader, at, found = HeadReader(), 0, None
    assert reader.empty
    for size in [*sizes, len(data)]:
        found = reader.feed(data[at : at + size])
        at += size
        assert not reader.empty
        if found is not None:
            break
    assert found is not None
    head, rest = found
    assert head.headers == {"a": "1", "content-length": "9"}
    assert rest + data[at:] == b"the body"
