"""`Lines`: whatever a program prints in whatever pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_serve.commands.lines import MAX_LINE, Line, Lines

PIECES = st.lists(
    st.one_of(st.binary(max_size=6), st.sampled_from([b"\r", b"\n", b"\r\n", "é漢".encode()]))
)


def lines(*pieces: bytes) -> list[Line]:
    made = Lines()
    found = [line for piece in pieces for line in made.feed(piece)]
    return [*found, *made.feed(b"", last=True)]


@given(PIECES)
def test_the_pieces_make_no_difference(pieces: list[bytes]) -> None:
    whole = lines(b"".join(pieces))
    assert lines(*pieces) == whole
    assert lines(*(bytes([byte]) for byte in b"".join(pieces))) == whole


@given(PIECES)
def test_nothing_but_line_ends_is_lost(pieces: list[bytes]) -> None:
    text = b"".join(pieces).decode(errors="replace")
    assert "".join(line.text for line in lines(*pieces)) == text.replace("\r", "").replace("\n", "")


def test_every_kind_of_line_end_ends_a_line() -> None:
    assert [one.text for one in lines(b"a\r\n\nb\rc\r\rd\r\n")] == ["a", "", "b", "c", "d"]
    assert [one.text for one in lines(b"last\r")] == ["last"]


def test_what_is_no_utf_8_is_seen_as_such() -> None:
    assert lines(b"a\xffb\n", b"\xe6\xbc") == [Line("a\ufffdb"), Line("\ufffd")]


def test_a_line_without_an_end_is_divided() -> None:
    found = lines(b"x" * MAX_LINE, b"y" * MAX_LINE, b"z\n")
    assert [(len(one.text), one.partial) for one in found] == [
        (MAX_LINE, True),
        (MAX_LINE, True),
        (1, False),
    ]


@given(st.lists(st.one_of(st.none(), st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"bc"]))))
def test_a_silence_makes_no_difference(pieces: list[bytes | None]) -> None:
    made = Lines()
    found: list[Line] = []
    for piece in pieces:
        found.extend(made.rest() if piece is None else made.feed(piece))
    found.extend(made.feed(b"", last=True))
    whole = lines(b"".join(piece for piece in pieces if piece is not None))
    assert joined(found) == [line.text for line in whole]


def joined(found: list[Line]) -> list[str]:
    """Return the lines as a reader sees them: a beginning goes on in the next one."""
    seen: list[str] = []
    begun = ""
    for line in found:
        begun += line.text
        if not line.partial:
            seen.append(begun)
            begun = ""
    return [*seen, begun] if begun else seen


def test_what_comes_after_a_silence_begins_no_line_that_is_not_there() -> None:
    made = Lines()
    assert not list(made.feed(b"50%\r"))
    assert list(made.rest()) == [Line("50%")]
    assert not list(made.feed(b"\n")), "it belongs to the return"
    assert not list(made.feed(b"60%"))
    assert list(made.rest()) == [Line("60%", partial=True)]
    assert list(made.feed(b"\r70%\n")) == [Line(""), Line("70%")]


def test_the_beginning_of_a_line_can_be_taken_before_its_end() -> None:
    made = Lines()
    assert not made.pending
    assert not list(made.feed(b"Password: "))
    assert made.pending
    assert list(made.rest()) == [Line("Password: ", partial=True)]
    assert not list(made.rest())
    assert list(made.feed(b"ok\n")) == [Line("ok")]
