"""Whatever calls a model makes, in whatever form and order they come: they are what was meant."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.transcript import Transcript
from stream_serve.producers.openai.chunks import Reading
from support.chunks import choice, wire
from support.properties import steady

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from stream_serve.events.types import Delta

Entry = dict[str, Any]
Meant = tuple[str, str]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
NAMES = st.sampled_from(["f", "g", "get_weather"])


def function(index: int | str | None, **fields: object) -> Entry:
    """One entry of `tool_calls`."""
    inner = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    place = {} if index is None else {"index": index}
    return {**place, **fields, "function": inner}


@st.composite
def cuts(draw: DrawFn, text: str) -> list[str]:
    """A text in pieces, which may be cut between the halves of a surrogate pair."""
    units = text.encode("utf-16-le")
    places = draw(st.lists(st.integers(0, len(units) // 2), max_size=4))
    edges = [0, *sorted(2 * place for place in places), len(units)]
    return [units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(edges)]


@st.composite
def fragments(draw: DrawFn, number: int, meant: Meant) -> list[Entry]:
    """The fragments of a call that says its index each time, in a form that an engine sends."""
    name, arguments = meant
    index: int | str = draw(st.sampled_from([number, str(number)]))
    id_ = draw(st.sampled_from([{"id": f"call_{number}"}, {"id": ""}, {"id": None}, {}]))
    pieces = draw(cuts(arguments))
    form = draw(st.sampled_from(["first", "together", "null", "empty", "repeated", "late"]))
    begin: Entry = {**id_, "type": "function", "name": name}
    if form == "first":
        return [
            function(index, **begin, arguments=""),
            *(function(index, arguments=piece) for piece in pieces),
        ]
    if form == "together":
        return [
            function(index, **begin, arguments=pieces[0]),
            *(function(index, arguments=piece) for piece in pieces[1:]),
        ]
    if form == "null":
        later = [function(index, name=None, arguments=piece) for piece in pieces]
        return [function(index, **begin, arguments=None), *later]
    if form == "empty":
        later = [function(index, id="", name="", arguments=piece) for piece in pieces]
        return [function(index, **begin), *later]
    if form == "repeated":
        return [function(index, **begin, arguments=piece) for piece in pieces]
    return [
        *(function(index, arguments=piece) for piece in pieces),
        function(index, **begin, arguments=""),
    ]


@st.composite
def in_turn(draw: DrawFn, calls: list[Meant]) -> list[Entry]:
    """The fragments of calls that come one after the other, without an index that tells them apart."""
    entries: list[Entry] = []
    place = draw(st.sampled_from([None, 0]))
    for number, (name, arguments) in enumerate(calls):
        ids = [{"id": f"call_{number}"}]
        if place is None:
            ids.append({})
        id_ = draw(st.sampled_from(ids))
        whole = draw(st.booleans()) or not id_
        if whole and draw(st.booleans()):
            given_: object = json.loads(arguments)
            entries.append(function(place, **id_, name=name, arguments=given_))
            continue
        pieces = [arguments] if whole else draw(cuts(arguments))
        entries.append(function(place, **id_, name=name, arguments=pieces[0]))
        again = id_ if draw(st.booleans()) else {}
        entries += [function(place, **again, arguments=piece) for piece in pieces[1:]]
    return entries


@st.composite
def mixed(draw: DrawFn, lines: list[list[Entry]]) -> list[Entry]:
    """The fragments of several calls, mixed; those of one call keep their order."""
    order = [number for number, line in enumerate(lines) for _ in line]
    if draw(st.booleans()):
        order = draw(st.permutations(order))
    left = [iter(line) for line in lines]
    return [next(left[number]) for number in order]


@st.composite
def answers(draw: DrawFn) -> tuple[list[object], list[Meant], str, str]:
    """The chunks of an answer, and what is meant by them: calls, text, thoughts."""
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, 1]))
    calls = [
        (draw(NAMES), json.dumps(draw(OBJECTS), ensure_ascii=ascii_only, indent=indent))
        for _ in range(draw(st.integers(1, 4)))
    ]
    if draw(st.booleans()):
        each = [draw(fragments(number, call)) for number, call in enumerate(calls)]
        entries = draw(mixed(each))
    else:
        entries = draw(in_turn(calls))
    chunks: list[object] = []
    while entries:
        size = draw(st.sampled_from([1, 1, 1, 2]))
        chunks.append(choice({"tool_calls": entries[:size]}))
        del entries[:size]
    text, thoughts = draw(TEXTS), draw(TEXTS)
    beside: list[object] = [choice({"content": letter}) for letter in text]
    beside += [choice({"reasoning_content": letter}) for letter in thoughts]
    order = [0] * len(chunks) + [1] * len(beside)
    if draw(st.booleans()):
        order = draw(st.permutations(order))
    left = [iter(chunks), iter(beside)]
    return [next(left[number]) for number in order], calls, text, thoughts


def repeated(chunks: list[object], calls: list[Meant]) -> object:
    """A message with all calls, each with the id that it came with."""
    said = json.dumps(chunks)
    whole: list[Entry] = []
    for number, (name, arguments) in enumerate(calls):
        id_ = {"id": f"call_{number}"} if f'"call_{number}"' in said else {}
        whole.append(function(None, **id_, name=name, arguments=arguments))
    return {"choices": [{"message": {"tool_calls": whole}}]}


def compact(arguments: str) -> object:
    return json.loads(arguments)


@steady(10)
@given(answers(), st.booleans())
def test_whatever_calls_come_in_whatever_form_they_are_what_was_meant(
    answer: tuple[list[object], list[Meant], str, str], repeats: bool
) -> None:
    chunks, calls, text, thoughts = answer
    reading, deltas = Reading(), list[Any]()
    for chunk in chunks:
        reading.add(wire(chunk), deltas)
    if repeats:
        reading.add(wire(repeated(chunks, calls)), deltas)
    deltas += reading.rest()
    came = in_order(deltas)
    assert reading.unread.lost is None
    assert sorted((one.name, json.dumps(compact(one.arguments))) for one in came) == sorted(
        (name, json.dumps(compact(arguments))) for name, arguments in calls
    )
    assert len({one.id for one in came}) == len(calls)
    transcript = Transcript()
    transcript.add(deltas)
    assert (transcript.text, transcript.reasoning) == (text, thoughts)


def in_order(deltas: list[Delta]) -> list[Any]:
    transcript = Transcript()
    transcript.add(deltas)
    return transcript.tool_calls
