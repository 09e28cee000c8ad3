"""Messages of JSON streams, and offsets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import BadRequest
from stream_serve.streams import messages, offsets

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab\n\r", max_size=3), inner),
    max_leaves=4,
)


@given(
    st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=4),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_whatever_is_appended_is_read_as_the_same_values_in_the_same_order(
    batches: list[list[Any]], indent: int | None, ascii_only: bool
) -> None:
    kept = [
        messages.pack(json.dumps(batch, indent=indent, ensure_ascii=ascii_only).encode())
        for batch in batches
    ]
    values = [value for batch in batches for value in batch]
    data = b"".join(kept)
    assert json.loads(messages.unpack(data)) == values
    assert data.count(messages.END) == len(values)
    for count in range(len(values) + 1):
        place = messages.after(data, count)
        assert place is not None
        assert json.loads(messages.unpack(data[:place])) == values[:count]
    assert messages.after(data, len(values) + 1) is None


def test_one_level_of_an_array_is_flattened() -> None:
    assert messages.pack(b" [ [1, 2], [3] ] ") == b"[1,2]\n[3]\n"
    assert messages.pack(b' {"a" : 1.0} ') == b'{"a":1.0}\n'
    assert messages.pack(b" [ ] ") == b""
    assert messages.unpack(b"") == b"[]"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"NaN",
        b'"\n"',
        b'"\xff"',
        b"1 2",
        b"\xef\xbb\xbf1",
        b"[" * 100_000,
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="not valid JSON"):
        messages.pack(body)


@given(st.text(), st.integers(0, 20))
def test_a_text_is_cut_between_two_characters(text: str, cut: int) -> None:
    data = text.encode("utf-8", "surrogatepass")[:cut]
    place = messages.whole(data)
    assert len(data) - 4 < place <= len(data)
    data[:place].decode("utf-8", "surrogatepass")


def test_what_is_no_text_is_whole_as_it_is() -> None:
    assert messages.whole(b"\x80\x80\x80\x80\x80") == 5
    assert messages.whole(b"a\xff") in {1, 2}


@given(st.integers(0, 10**16 - 1), st.integers(0, 10**16 - 1))
def test_offsets_sort_as_their_positions(one: int, other: int) -> None:
    assert (offsets.text(one) < offsets.text(other)) == (one < other)
    assert offsets.position(offsets.text(one)) == one


@pytest.mark.parametrize("offset", ["", "0", "-2", "1,2", "１" * 16, "0" * 17, "x" * 16, " " * 16])
def test_an_offset_that_we_did_not_give_is_refused(offset: str) -> None:
    with pytest.raises(BadRequest, match="offset"):
        offsets.position(offset)


def test_the_beginning_and_the_end_have_names() -> None:
    assert offsets.position("-1") == 0
    assert offsets.position("0" * 16 + "_" + "0" * 16) == 0
    assert offsets.position("now") is None


def test_an_append_has_a_bounded_number_of_messages() -> None:
    most = messages.MAX_MESSAGES
    assert messages.pack(b"[" + b"1," * (most - 1) + b"1]").count(b"\n") == most
    with pytest.raises(BadRequest, match="100000 messages"):
        messages.pack(b"[" + b"1, " * most + b"1]")


def test_what_is_behind_more_messages_than_there_are_is_not_looked_for() -> None:
    class Counted(bytes):
        def find(self, *_: object) -> int:
            raise AssertionError("each message is looked for")

    assert messages.after(Counted(b"1\n2\n"), 2**53) is None
