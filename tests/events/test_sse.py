"""Server-Sent Events: the parser against the standard's rules, and our frames through it."""

from __future__ import annotations

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_serve.events.codec import encode
from stream_serve.events.sse import HEARTBEAT, EventTooLarge, Parser, ServerSentEvent, frame
from stream_serve.events.types import Chunk
from support.properties import steady

PLENTY = 1 << 24
STEADY = steady(4)
BOM = b"\xef\xbb\xbf"

NASTY_TEXTS = [
    "data: forged\n\nevent: end\ndata: x\n\n",
    "\r\r\n\n",
    "\0",
    "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e",
    "😀👨‍👩‍👧",
    "\ufeff",
    ": comment",
    "id: 7",
    "",
]

streams = st.lists(
    st.sampled_from(
        [
            b"\r",
            b"\n",
            b"\r\n",
            b"\n\n",
            b":",
            b" ",
            b"data",
            b"event",
            b"id",
            b"retry",
            b"data: ",
            b"data:x\n",
            b"\ndata\n\n",
            b"\nid:7\n",
            b"\nevent:e\n",
            b"\nretry:50\n",
            b"Data",
            b"x",
            b"12",
            b"\0",
            b"\xc2\x85",
            b"\xe2\x80\xa8",
            b"\xf0\x9f\x98\x80",
            b"\xef",
            b"\xbb",
            b"\xbf",
            BOM,
        ]
    ),
    max_size=40,
).map(b"".join)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream, and the same bytes in pieces, of which some are empty."""
    whole = draw(streams)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    edges = [0, *cuts, len(whole)]
    return whole, [whole[a:b] for a, b in pairwise(edges)]


def parse(*pieces: bytes, cap: int = PLENTY) -> list[ServerSentEvent]:
    parser = Parser(cap)
    return [event for piece in pieces for event in parser.feed(piece)]


def data_of(*pieces: bytes, cap: int = PLENTY) -> list[bytes]:
    return [event.data for event in parse(*pieces, cap=cap)]


def flood(parser: Parser, piece: bytes, times: int) -> None:
    for _ in range(times):
        parser.feed(piece)


def by_the_book(stream: bytes) -> tuple[list[ServerSentEvent], int | None]:
    """WHATWG HTML, 9.2.6, with nothing of the parser's: the events, and `retry`."""
    events: list[ServerSentEvent] = []
    data = kind = last_id = b""
    retry = None
    for line in lines_by_the_book(stream):
        field, value = line, b""
        if b":" in line:
            colon = line.index(b":")
            field, value = line[:colon], line[colon + 1 :]
            if value[:1] == b" ":
                value = value[1:]
        if line == b"":
            if data:
                events.append(ServerSentEvent(data[:-1], kind or b"message", last_id))
            data = kind = b""
        elif field == b"data":
            data += value + b"\n"
        elif field == b"event":
            kind = value
        elif field == b"id" and 0 not in value:
            last_id = value
        elif field == b"retry" and value and all(0x30 <= byte <= 0x39 for byte in value):
            retry = int(value)
    return events, retry


def lines_by_the_book(stream: bytes) -> list[bytes]:
    """The finished lines, byte by byte."""
    lines: list[bytes] = []
    line = b""
    previous = 0
    for byte in stream.removeprefix(BOM):
        if byte == 0x0A and previous == 0x0D:
            pass
        elif byte in {0x0A, 0x0D}:
            lines.append(line)
            line = b""
        else:
            line += bytes([byte])
        previous = byte
    return lines


@STEADY
@given(cut_streams())
@example((b"data:x\r\n\r\n", [b"data:x\r", b"\n\r", b"\n"]))
@example((b"data:x\r\ndata:y\n\n", [b"data:x\r", b"", b"\ndata:y\n\n"]))
@example((b"data:x\r\rdata:y\r\r", [b"data:x\r", b"", b"\rdata:y\r", b"\r"]))
@example((BOM + b"data:x\n\n", [b"\xef", b"", b"\xbb", b"\xbfdata:x\n\n"]))
@example((b"\xef\xbbdata:x\n\n", [b"\xef\xbb", b"data:x\n\n"]))
def test_any_cut_of_a_stream_gives_what_the_standard_says(case: tuple[bytes, list[bytes]]) -> None:
    whole, pieces = case
    parser = Parser(PLENTY)
    events = [event for piece in pieces for event in parser.feed(piece)]
    assert (events, parser.retry) == by_the_book(whole)
    parser = Parser(PLENTY)
    assert [data for piece in pieces for data in parser.data(piece)] == [e.data for e in events]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: a\n\n", b"data: b\n\n"],
        [b"data: a\n\n", b"data: b\r\n\n"],
        [b"data: a\n\n", b"data: b\rdata: c\n\n"],
        [b"data: a\n\n", b"data: b\n", b"data: c\n\n"],
        [b"data: a\n\n", b"event: x\n\n", b"data: b\n\n"],
        [b"data: a\n\n", b"data: b\n\ndata: c\n\n"],
        [b"data: a\n\ndata: b\n\n", b"data: c\n\ndata: d\n\n"],
        [b"data: a\n\ndata: b\n", b"\ndata: c\n\ndata: d\n\n"],
        [b"data: a\n\n\ndata: b\n\n", b"data: c\ndata: d\n\ndata: e\n\n"],
        [b"data: a\n\ndata: b\r\r", b"data: c\n\nevent: x\ndata: d\n\n"],
        [b"data: a\n\n: b\n\ndata: c\n\n"],
        [BOM + b"data: a\n\ndata: b\n\n", BOM + b"data: c\n\ndata: d\n\n"],
        [b"\xef\xbb", b"data: a\n\ndata: b\n\n"],
        [b"data: a\r", b"\n\r\n", b"data: b\n\n", b"data:c\n\n", b"\n\n", b""],
    ],
)
def test_the_short_way_gives_the_same_data(pieces: list[bytes]) -> None:
    parser = Parser(PLENTY)
    assert [data for piece in pieces for data in parser.data(piece)] == data_of(*pieces)


@STEADY
@given(streams)
def test_one_byte_at_a_time_gives_the_same_as_all_at_once(stream: bytes) -> None:
    assert parse(*(bytes([byte]) for byte in stream)) == parse(stream)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_line_end_of_the_standard_ends_a_line_however_it_is_cut(end: bytes) -> None:
    stream = b"id: 1" + end + b"data: a" + end + b"data: b" + end * 2 + b"data: c" + end * 2
    for cut in range(len(stream) + 1):
        assert parse(stream[:cut], stream[cut:]) == [
            ServerSentEvent(b"a\nb", id=b"1"),
            ServerSentEvent(b"c", id=b"1"),
        ]


def test_a_cr_and_the_lf_of_the_next_piece_are_one_line_end() -> None:
    assert data_of(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [b"a\nb"]


def test_a_lone_cr_ends_the_event_without_waiting_for_what_follows() -> None:
    assert data_of(b"data: a\r\r") == [b"a"]


@pytest.mark.parametrize("text", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_no_other_character_ends_a_line(text: str) -> None:
    value = f"a{text}b".encode()
    assert data_of(b"data: " + value + b"\n\n") == [value]


def test_a_character_cut_in_the_middle_of_its_bytes_comes_out_whole() -> None:
    stream = "data: é中😀\n\n".encode()
    for cut in range(len(stream) + 1):
        assert data_of(stream[:cut], stream[cut:]) == ["é中😀".encode()]


def test_a_byte_order_mark_is_dropped_at_the_very_start_only() -> None:
    for cut in range(4):
        stream = BOM + b"data: a\n\n"
        assert data_of(stream[:cut], stream[cut:]) == [b"a"]
    assert data_of(b"data: a\n\n", BOM + b"data: b\n\n", b"data: c\n\n") == [b"a", b"c"]
    assert data_of(BOM + BOM + b"data: a\n\n") == []
    assert data_of(b"data: a\n\n" + BOM + b"data: b\n\ndata: c\n\n") == [b"a", b"c"]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"data:x", b"x"),
        (b"data: x", b"x"),
        (b"data:  x", b" x"),
        (b"data:\tx", b"\tx"),
        (b"data: x ", b"x "),
        (b"data: a: b:c", b"a: b:c"),
        (b"data::x", b":x"),
        (b"data:", b""),
        (b"data: ", b""),
        (b"data", b""),
    ],
)
def test_the_value_is_what_follows_the_first_colon_and_one_space(line: bytes, value: bytes) -> None:
    assert data_of(line + b"\n\n") == [value]


@pytest.mark.parametrize(
    "line",
    [b": data: x", b":", b"Data: x", b"DATA: x", b" data: x", b"data : x", b"foo: x", b"foo"],
)
def test_comments_and_unknown_fields_are_ignored(line: bytes) -> None:
    assert data_of(line + b"\n\n") == []
    assert data_of(b"data: a\n" + line + b"\ndata: b\n\n") == [b"a\nb"]


def test_data_lines_are_joined_with_lf() -> None:
    assert data_of(b"data: a\ndata\ndata: b\ndata:\n\n") == [b"a\n\nb\n"]


def test_an_event_without_data_is_none_and_its_type_is_forgotten() -> None:
    assert parse(b"event: ping\n\ndata: x\n\n") == [ServerSentEvent(b"x")]


def test_the_type_lasts_for_one_event_and_the_newest_counts() -> None:
    assert parse(b"event: a\nevent: b\ndata: x\n\ndata: y\n\nevent\ndata: z\n\n") == [
        ServerSentEvent(b"x", b"b"),
        ServerSentEvent(b"y"),
        ServerSentEvent(b"z"),
    ]


def test_the_id_lasts_until_it_is_changed_and_one_with_nul_is_ignored() -> None:
    stream = b"id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\nid: 3\0\ndata: d\n\nid\ndata: e\n\n"
    assert [event.id for event in parse(stream)] == [b"1", b"1", b"2", b"2", b""]


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+1", b"1.5", b"1e3", b"0x10", b" 1", b"1 ", b"\xc2\xb2"]
)
def test_a_reconnection_time_that_is_not_digits_is_ignored(value: bytes) -> None:
    parser = Parser(PLENTY)
    parser.feed(b"retry: 1500\nretry: " + value + b"\n")
    assert parser.retry == 1500


def test_a_reconnection_time_of_thousands_of_digits_does_no_harm() -> None:
    parser = Parser(PLENTY)
    assert [e.data for e in parser.feed(b"retry: " + b"9" * 10_000 + b"\ndata: x\n\n")] == [b"x"]


@pytest.mark.parametrize(
    "tail", [b"data: b", b"data: b\n", b"data: b\r", b"id: 2\ndata: b\n", b"\r"]
)
def test_an_event_that_no_empty_line_closed_is_discarded(tail: bytes) -> None:
    assert data_of(b"data: a\n\n" + tail) == [b"a"]


@pytest.mark.parametrize("start", [b"data: ", b": ", b"", b"id: ", b"data: x\n: ", BOM])
@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_line_that_never_ends_is_refused_soon_after_the_cap(start: bytes, size: int) -> None:
    cap, parser = 1000, Parser(1000)
    parser.feed(start)
    with pytest.raises(EventTooLarge, match="1000 bytes"):
        flood(parser, b"x" * size, cap // size + 2)


@pytest.mark.parametrize("line", [b"data: 0123456789\n", b"data\n", b"data:\r", b"data: x\r\n"])
def test_data_lines_without_end_are_refused(line: bytes) -> None:
    cap, parser = 1000, Parser(1000)
    with pytest.raises(EventTooLarge):
        flood(parser, line, cap + 1)
    with pytest.raises(EventTooLarge):
        Parser(cap).feed(line * (cap + 1))


def test_what_the_lines_hold_and_the_unfinished_line_count_together() -> None:
    parser = Parser(1000)
    parser.feed(b"data: " + b"x" * 600 + b"\ndata: ")
    with pytest.raises(EventTooLarge):
        parser.feed(b"x" * 600)


def test_an_event_larger_than_the_cap_is_refused_also_when_it_comes_at_once() -> None:
    with pytest.raises(EventTooLarge):
        Parser(1000).feed(b"data: " + b"x" * 1100 + b"\n\n")


@pytest.mark.parametrize("size", [1, 7, 4096, PLENTY])
def test_a_big_event_under_the_cap_comes_whole_in_any_pieces(size: int) -> None:
    data = b"x" * 60_000
    stream = b"id: 1\ndata: " + data + b"\n\n"
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert data_of(*pieces, cap=61_000) == [data]


def test_only_an_unfinished_event_counts_not_the_whole_stream() -> None:
    parser = Parser(1000)
    events: list[ServerSentEvent] = []
    for _ in range(100):
        events += parser.feed(b"data: " + b"x" * 900 + b"\n\n")
        events += parser.feed(HEARTBEAT * 10 + b"unknown: " + b"x" * 900 + b"\n")
    assert len(events) == 100


@STEADY
@given(st.integers(1, 2**63), st.one_of(st.text(), st.sampled_from(NASTY_TEXTS)), st.data())
def test_a_frame_of_any_text_is_one_event_and_comes_back_as_it_was(
    seq: int, text: str, data: st.DataObject
) -> None:
    wire = HEARTBEAT + frame(seq, encode(Chunk(text))) + HEARTBEAT
    cut = data.draw(st.integers(0, len(wire)))
    (event,) = parse(wire[:cut], wire[cut:])
    assert event.id == b"%d" % seq
    assert event.event == b"message"
    assert json.loads(event.data) == {"type": "chunk", "content": text}


@pytest.mark.slow
@STEADY
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_frame_of_any_json_is_three_lines_and_comes_back_as_it_was(value: object) -> None:
    wire = frame(7, msgspec.json.encode(value))
    assert wire.count(b"\n") == 3
    assert b"\r" not in wire
    (event,) = parse(wire)
    assert json.loads(event.data) == value


def test_a_heartbeat_is_no_event() -> None:
    assert parse(HEARTBEAT * 3) == []
    assert data_of(frame(1, b"a"), HEARTBEAT, frame(2, b"b")) == [b"a", b"b"]
