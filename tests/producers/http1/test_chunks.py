"""Chunks in any writing, at every cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.producers.http1 import ProtocolError
from stream_serve.producers.http1.chunks import ChunkReader, reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.producers.http1 import Receiver

LINE_ENDS: Final = st.sampled_from([b"\n", b"\r\n", b" \t\r\n"])


class Heard:
    """Hears of a body."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends = 0
        self.more = 0
        self.on_body: Receiver = self.pieces.append

    def on_message_complete(self) -> None:
        self.ends += 1

    def on_message_begin(self) -> None:
        self.more += 1


@given(
    st.lists(st.tuples(st.text("a\r\n0", min_size=1, max_size=20), LINE_ENDS), max_size=6),
    LINE_ENDS,
    st.lists(st.integers(1, 9), max_size=30),
)
def test_a_body_of_chunks_is_the_same_in_every_writing_and_at_every_cut(
    chunks: list[tuple[str, bytes]], last: bytes, sizes: list[int]
) -> None:
    data = b"".join(
        b" %X;x=1%b%b%b" % (len(text), end, text.encode(), end.strip(b" \t"))
        for text, end in chunks
    )
    data += b"0" + last + b"Trailer: 1\n" + last
    heard = Heard()
    reader = ChunkReader(heard)
    for size in [*sizes, len(data)]:
        assert heard.ends == 0 or not data[:size]
        reader.feed_data(data[:size])
        data = data[size:]
    assert b"".join(heard.pieces) == "".join(text for text, _ in chunks).encode()
    assert (heard.ends, heard.more) == (1, 0)
    reader.feed_data(b"\r\nHTTP/1.1 200 OK\r\n")
    assert heard.more == 1


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=6), st.integers(0, 100))
def test_what_is_written_by_the_rules_is_read_as_the_parser_reads_it(
    chunks: list[bytes], cut: int
) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"
    ours, theirs = Heard(), Heard()
    reader, parser = ChunkReader(ours), httptools.HttpResponseParser(theirs)
    parser.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in (data[:cut], data[cut:]):
        reader.feed_data(part)
        parser.feed_data(part)
    assert b"".join(ours.pieces) == b"".join(theirs.pieces) == b"".join(chunks)
    assert ours.ends == theirs.ends == 1


class Line:
    """Where a body comes from, and a parser that only notes what it gets."""

    def __init__(self) -> None:
        self.parsed: list[bytes] = []
        self.parse: Callable[[bytes], None] = self.parsed.append

    def parse_with(self, parse: Callable[[bytes], None]) -> None:
        self.parse = parse


@pytest.mark.parametrize(
    ("data", "usual"),
    [
        (b"1\r\nx\r\n0\r\n\r\n", True),
        (b"01 \t\r\nx\r\n", True),
        (b"1;x=1\r\nx\r\n0\r\n\r\n", False),
        (b"1 ; x=a b\r\nx\r\n0\r\n\r\n", False),
        (b"1\nx\n0\n\n", False),
        (b" 1\r\nx\r\n0\r\n\r\n", False),
    ],
)
@pytest.mark.parametrize("cut", range(6))
def test_the_first_line_says_who_reads_the_chunks_wherever_it_is_cut(
    data: bytes, cut: int, *, usual: bool
) -> None:
    line, heard = Line(), Heard()
    line.parse = reading(data[:cut], line.parsed.append, heard, line)
    for part in (data[:cut], data[cut:]):
        line.parse(part)
    assert (b"".join(line.parsed), heard.pieces) == ((data, []) if usual else (b"", [b"x"]))
    with pytest.raises(ProtocolError, match="first line of the body's chunks is too long"):
        reading(b"", line.parsed.append, heard, line)(bytes(20_000))


@pytest.mark.parametrize(
    "data",
    [b"data: x\n", b"\n", b"-1\n", b"+1\n", b"0x1\n", b"1_0\n", b"f" * 16 + b"\n", b"1\nxy\n"],
)
def test_what_are_no_chunks_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=re.escape("the body")):
        ChunkReader(Heard()).feed_data(data)
