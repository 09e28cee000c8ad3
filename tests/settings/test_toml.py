"""TOML with the line of each key: whatever a right document looks like."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.settings import toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def paths(value: object, path: toml.Path = ()) -> Iterator[toml.Path]:
    """All ways to the values of a document, and to its tables and items."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in cast("dict[str, object]", value).items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(cast("list[object]", value)):
            yield from paths(inner, (*path, number))


DOCUMENT = '''# first line
a = 1 # not a = 2
"b c" = "[x]\\n # no comment"
d.e."f.g" = 'C:\\'

[t]
long = """
[not.a.table]
x = 1 \\"""
""\\""""
raw = \'\'\'
]]
\'\'\'
empty = []
none = {}
when = 1979-05-27 07:32:00

[[list]]
one = [ 1,
  2, # a comment with ]
  [ 3, "x" ],
]
[list.inner]
deep = { a = { b = [ { c = 1 } ] } }
[[list.more]]
x = 1
[[list.more]]
  x = 2

[[list]]
two = 2
'''


def test_each_key_and_item_has_its_line() -> None:
    document = toml.read(DOCUMENT)
    assert document.values == tomllib.loads(DOCUMENT)
    assert set(document.lines) == set(paths(document.values))
    for path, line in {
        ("a",): 2,
        ("b c",): 3,
        ("d", "e", "f.g"): 4,
        ("t",): 6,
        ("t", "long"): 7,
        ("t", "raw"): 11,
        ("t", "empty"): 14,
        ("t", "when"): 16,
        ("list",): 18,
        ("list", 0, "one", 0): 19,
        ("list", 0, "one", 1): 20,
        ("list", 0, "one", 2, 1): 21,
        ("list", 0, "inner"): 23,
        ("list", 0, "inner", "deep", "a", "b", 0, "c"): 24,
        ("list", 0, "more", 0, "x"): 26,
        ("list", 0, "more", 1, "x"): 28,
        ("list", 1): 30,
        ("list", 1, "two"): 31,
    }.items():
        assert document.line(path) == line, path


def test_what_is_missing_is_at_the_table_around_it() -> None:
    document = toml.read("\n[[p]]\nname = 1\n")
    assert document.line(("p", 0, "url")) == 2
    assert document.line(("nothing",)) == 1


def test_line_ends_of_windows_count_once() -> None:
    assert toml.read("a = 1\r\nb = 2\r\n").line(("b",)) == 2


def test_a_wrong_document_is_refused_with_its_line() -> None:
    with pytest.raises(tomllib.TOMLDecodeError, match="line 2"):
        toml.read("a = 1\nb == 2\n")


KEYS = st.text('ab-_ ."#é[]=', min_size=1, max_size=4)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-9, 9),
    st.text("ab]}[{#=,\"'\\\n", max_size=8),
    st.sampled_from([1.5, -0.0]),
)


def quoted(text: str, form: int) -> str:
    basic = text.replace("\\", "\\\\").replace('"', '\\"')
    if form == 1 and "'" not in text and "\n" not in text:
        return f"'{text}'"
    if form == 2:
        return f'"""\n{basic}"""'
    if form == 3 and "'" not in text:
        return f"'''{text}'''"
    return '"' + basic.replace("\n", "\\n") + '"'


def written(value: object, draw: st.DrawFn) -> str:
    """A value as TOML, in one of the ways to write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value, draw(st.integers(0, 3)))
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return "{ " + ", ".join(f"{quoted(k, 0)} = {written(v, draw)}" for k, v in pairs) + " }"
    if isinstance(value, list):
        gap = draw(st.sampled_from(["", " ", "\n", " # ]\n"]))
        items = cast("list[object]", value)
        return "[" + "".join(f"{gap}{written(one, draw)},{gap}" for one in items) + "]"
    return str(value)


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A document: keys, tables and arrays of tables, with comments and blank lines between."""
    lines: list[str] = []

    def add(table: Mapping[str, object]) -> None:
        for key, value in table.items():
            lines.append(f"{quoted(key, 0)} = {written(value, draw)}")
            lines.extend(draw(st.lists(st.sampled_from(["", "# [x]", "  "]), max_size=2)))

    add(draw(TABLES))
    for number in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            lines.append(f"[t{number}.in]")
            add(draw(TABLES))
        else:
            for _ in range(draw(st.integers(1, 3))):
                lines.append(f"[[ l{number} ]]  # one")
                add(draw(TABLES))
                lines.append(f'[l{number}."$in"]')
                add(draw(TABLES))
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


@given(documents())
def test_every_key_of_every_document_has_a_line(text: str) -> None:
    document = toml.read(text)
    assert set(document.lines) == set(paths(document.values))
    assert all(1 <= line <= text.count("\n") + 1 for line in document.lines.values())
