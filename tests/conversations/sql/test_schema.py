"""Any text in any database."""

from __future__ import annotations

from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from stream_serve.conversations.sql.schema import pack, unpack

ANY: Final = st.text(
    st.one_of(
        st.characters(),
        st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF, categories=["Cs"]),
        st.sampled_from("\x00\x1a\ue000\ue7ff\ue800\ue801"),
    )
)


@given(text=ANY)
@example(text="\x1a\ue800")
@example(text="\ud83d\ude00")
def test_a_packed_text_is_safe_and_comes_back_exactly(text: str) -> None:
    packed = pack(text)
    packed.encode("utf-8")
    assert "\x00" not in packed
    assert unpack(packed) == text


@given(text=ANY, inside=ANY)
def test_a_text_is_found_in_another_when_it_is_there(text: str, inside: str) -> None:
    assert (pack(inside) in pack(text + inside + text)) is True


@given(text=st.text(st.characters(exclude_characters="\x00\x1a", exclude_categories=["Cs"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert pack(text) == text
    assert unpack(text) == text


def test_what_was_not_packed_is_read_as_it_is() -> None:
    assert unpack("\x1a and \x1ax") == "\x1a and \x1ax"
