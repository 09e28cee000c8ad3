"""Tool calls: each form in which engines send them, and what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.events.transcript import Transcript
from stream_serve.events.types import Chunk, Extra, Reasoning, ToolArguments, ToolCall
from stream_serve.producers.openai.chunks import Reading
from stream_serve.producers.openai.tool_calls import MAX_CALLS, MAX_ID, MAX_NAME
from support.chunks import choice, read, wire

if TYPE_CHECKING:
    from stream_serve.events.types import Delta

PARIS = '{"city": "Paris"}'
ROME = '{"city": "Rome"}'


def called(**fields: object) -> dict[str, Any]:
    """One entry of `tool_calls`; `name` and `arguments` are those of its function."""
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {**fields, "function": function} if function else fields


def delta(*calls: object) -> dict[str, object]:
    return choice({"tool_calls": [*calls]})


def message(*calls: object) -> dict[str, object]:
    whole = {"role": "assistant", "content": None, "tool_calls": [*calls]}
    return {"choices": [{"index": 0, "message": whole, "finish_reason": "tool_calls"}]}


def finished(*chunks: object) -> tuple[Reading, list[Delta]]:
    reading, deltas = read(*chunks)
    deltas += reading.rest()
    return reading, deltas


def calls_of(*chunks: object) -> list[tuple[str, str]]:
    """The names and arguments of the calls; nothing is lost, and no id comes twice."""
    reading, deltas = finished(*chunks)
    assert reading.unread.lost is None
    begun = [one for one in deltas if isinstance(one, ToolCall)]
    assert [one.index for one in begun] == [*range(len(begun))]
    assert len({one.id for one in begun}) == len(begun)
    assert all(begun.id for begun in begun)
    transcript = Transcript()
    transcript.add(deltas)
    return [(one.name, one.arguments) for one in transcript.tool_calls]


FIRST = called(index=0, id="call_1", type="function", name="f", arguments="")
PIECES = [called(index=0, arguments=piece) for piece in (PARIS[:5], PARIS[5:])]
ONE: dict[str, list[object]] = {
    "OpenAI": [delta(FIRST), *map(delta, PIECES)],
    "first without arguments": [delta(called(index=0, id="c", name="f")), *map(delta, PIECES)],
    "first with null arguments": [
        delta(called(index=0, id="c", name="f", arguments=None)),
        *map(delta, PIECES),
    ],
    "first with {": [
        delta(called(index=0, id="c", name="f", arguments="{")),
        delta(called(index=0, arguments=PARIS[1:])),
    ],
    "empty id and name later": [
        delta(FIRST),
        *(delta({**piece, "id": "", "type": ""}) for piece in PIECES),
        delta(called(index=0, id="", name="", arguments="")),
    ],
    "id and name repeated": [
        delta(called(index=0, id="call_1", name="f", arguments=piece))
        for piece in ("", PARIS[:5], PARIS[5:])
    ],
    "name repeated without any id": [
        delta(called(index=0, name="f", arguments=piece)) for piece in (PARIS[:5], PARIS[5:])
    ],
    "no index": [
        delta(called(id="call_1", name="f", arguments="")),
        *(delta(called(arguments=piece)) for piece in (PARIS[:5], PARIS[5:])),
    ],
    "index only later": [
        delta(called(id="call_1", name="f", arguments="")),
        *(delta(called(index=0, arguments=piece)) for piece in (PARIS[:5], PARIS[5:])),
    ],
    "index as text": [
        delta(called(index="0", id="c", name="f", arguments=PARIS[:5])),
        delta(called(index=0, arguments=PARIS[5:])),
    ],
    "index as a fraction": [
        delta(called(index=0.0, id="c", name="f", arguments=PARIS[:5])),
        delta(called(index=0, arguments=PARIS[5:])),
    ],
    "whole": [delta(called(index=0, id="c", name="f", arguments=PARIS))],
    "whole twice": [delta(called(index=0, id="c", name="f", arguments=PARIS))] * 2,
    "name at the end": [
        delta(called(index=0, id="c", arguments=PARIS[:5])),
        delta(called(index=0, arguments=PARIS[5:])),
        delta(called(index=0, name="f")),
    ],
    "no id, no index": [delta(called(name="f", arguments=PARIS))],
    "one call instead of a list": [
        choice({"tool_calls": called(index=0, name="f", arguments=PARIS)})
    ],
    "calls by their index": [
        choice({"tool_calls": {"0": called(id="c", name="f", arguments=PARIS)}})
    ],
    "flat": [delta({"index": 0, "id": "c", "name": "f", "arguments": PARIS})],
    "message": [message(called(id="c", type="function", name="f", arguments=PARIS))],
    "message after deltas": [
        delta(called(index=0, id="c", name="f", arguments=PARIS)),
        message(called(id="c", type="function", name="f", arguments=PARIS)),
    ],
    "message after a part": [
        delta(called(index=0, id="c", name="f", arguments=PARIS[:5])),
        message(called(id="c", type="function", name="f", arguments=PARIS)),
    ],
    "message written otherwise": [
        delta(called(index=0, id="c", name="f", arguments=PARIS)),
        message(called(id="c", name="f", arguments={"city": "Paris"})),
    ],
    "message without an id after deltas": [
        delta(called(index=0, id="c", name="f", arguments=PARIS)),
        message(called(name="f", arguments=PARIS)),
    ],
    "pieces in messages": [
        {"choices": [{"message": {"tool_calls": [call]}}]}
        for call in (called(index=0, id="c", name="f", arguments=""), *PIECES)
    ],
    "function_call": [
        choice({"function_call": {"name": "f", "arguments": ""}}),
        choice({"function_call": {"arguments": PARIS[:5]}}),
        choice({"function_call": {"arguments": PARIS[5:]}}),
    ],
    "function_call beside tool_calls": [
        choice(
            {
                "tool_calls": [called(index=0, id="c", name="f", arguments=PARIS)],
                "function_call": {"name": "f", "arguments": PARIS},
            }
        )
    ],
    "function_call in a message": [
        {"choices": [{"message": {"function_call": {"name": "f", "arguments": PARIS}}}]}
    ],
    "odd types": [
        delta(called(index=[], id={}, type=7, name="f", arguments=PARIS[:5])),
        delta(7, None, called(index=True, name=None, arguments=PARIS[5:])),
    ],
}


@pytest.mark.parametrize("chunks", ONE.values(), ids=ONE)
def test_a_call_is_joined_in_every_form_that_engines_send(chunks: list[object]) -> None:
    assert calls_of(*chunks) == [("f", PARIS)]
    assert calls_of(choice({"role": "assistant"}), *chunks) == [("f", PARIS)]
    assert calls_of(*[choice({"content": "a"})] * 3, *chunks) == [("f", PARIS)]


TWO: dict[str, list[object]] = {
    "interleaved": [
        delta(called(index=0, id="a", name="f", arguments="")),
        delta(called(index=1, id="b", name="g", arguments="")),
        delta(called(index=0, arguments=PARIS[:5]), called(index=1, arguments=ROME[:7])),
        delta(called(index=1, arguments=ROME[7:]), called(index=0, arguments=PARIS[5:])),
    ],
    "index 0 with another id": [
        delta(called(index=0, id="a", name="f", arguments=PARIS)),
        delta(called(index=0, id="b", name="g", arguments=ROME)),
    ],
    "index 0 without ids": [
        delta(called(index=0, id="", name="f", arguments=PARIS)),
        delta(called(index=0, id="", name="g", arguments=ROME)),
    ],
    "index 0 and one id": [
        delta(called(index=0, id="a", name="f", arguments=PARIS)),
        delta(called(index=0, id="a"), called(index=1, id="a", name="g", arguments=ROME)),
    ],
    "one index and one id": [
        delta(called(index=0, id="a", name="f", arguments=PARIS)),
        delta(called(index=0, id="a", name="g", arguments=ROME)),
    ],
    "index 0, pieces between": [
        delta(called(index=0, id="a", name="f", arguments=PARIS[:5])),
        delta(called(index=0, id="b", name="g", arguments=ROME[:5])),
        delta(called(index=0, id="a", arguments=PARIS[5:])),
        delta(called(index=0, id="b", arguments=ROME[5:])),
    ],
    "no index, one after the other": [
        delta(called(id="a", name="f", arguments=PARIS[:5])),
        delta(called(arguments=PARIS[5:])),
        delta(called(id="b", name="g", arguments=ROME[:5])),
        delta(called(arguments=ROME[5:])),
    ],
    "whole, at once": [delta(called(name="f", arguments=PARIS), called(name="g", arguments=ROME))],
    "indexes that begin later": [
        delta(called(index=3, id="a", name="f", arguments=PARIS)),
        delta(called(index=7, id="b", name="g", arguments=ROME)),
    ],
    "whole messages": [
        message(called(id="a", name="f", arguments=PARIS)),
        message(called(id="b", name="g", arguments=ROME)),
    ],
    "a message that brings the second": [
        delta(called(index=0, id="a", name="f", arguments=PARIS)),
        message(
            called(id="a", name="f", arguments=PARIS), called(id="b", name="g", arguments=ROME)
        ),
    ],
}


@pytest.mark.parametrize("chunks", TWO.values(), ids=TWO)
def test_two_calls_stay_two_in_every_form_that_engines_send(chunks: list[object]) -> None:
    assert calls_of(*chunks) == [("f", PARIS), ("g", ROME)]


@pytest.mark.parametrize("index", [{}, {"index": 0}])
@pytest.mark.parametrize("arguments", [(PARIS, ROME), ("{}", "{}"), ({}, {})])
def test_the_same_tool_called_twice_at_once_is_two_calls(
    index: dict[str, int], arguments: tuple[object, object]
) -> None:
    each = [delta(called(**index, name="f", arguments=one)) for one in arguments]
    texts = [one if isinstance(one, str) else "{}" for one in arguments]
    assert calls_of(*each) == [("f", text) for text in texts]
    if not index:
        together = delta(*(called(name="f", arguments=one) for one in arguments))
        assert calls_of(together) == [("f", text) for text in texts]


def test_arguments_as_an_object_become_its_json_and_an_empty_one_may_only_stand_for_text() -> None:
    whole = {"city": "Zürich", "days": [1, 2.5], "x": None}
    expected = '{"city":"Zürich","days":[1,2.5],"x":null}'
    assert calls_of(delta(called(name="f", arguments=whole))) == [("f", expected)]
    assert calls_of(
        delta(called(index=0, id="a", name="f", arguments={})),
        delta(called(index=0, arguments=PARIS)),
    ) == [("f", PARIS)]


def test_arguments_wait_for_the_name() -> None:
    first = delta(called(index=0, id="a", arguments=PARIS[:5]))
    reading, deltas = read(first)
    assert deltas == []
    reading.add(wire(delta(called(index=0, name="f"))), deltas)
    assert deltas == [ToolCall(0, "a", "f"), ToolArguments(0, PARIS[:5])]


def test_text_thoughts_and_calls_keep_their_order() -> None:
    everything = {
        "reasoning_content": "hm",
        "content": "so",
        "tool_calls": [called(index=0, id="a", name="f", arguments="{")],
    }
    _, deltas = finished(
        choice(everything), choice({"content": "x"}), delta(called(index=0, arguments="}"))
    )
    assert deltas == [
        *(Reasoning("hm"), Chunk("so"), ToolCall(0, "a", "f"), ToolArguments(0, "{")),
        *(Chunk("x"), ToolArguments(0, "}")),
    ]


def test_white_space_that_could_have_begun_a_thought_comes_before_the_call() -> None:
    reading, deltas = Reading(split_thinking=True), list[Any]()
    for chunk in (choice({"content": "\n\n"}), delta(FIRST), choice({"content": "<think>"})):
        reading.add(wire(chunk), deltas)
    assert deltas == [Chunk("\n\n"), ToolCall(0, "call_1", "f"), Chunk("<think>")]


def test_a_surrogate_pair_that_is_split_over_two_pieces_is_joined() -> None:
    halves = [
        delta(called(index=0, arguments=half)) for half in ('{"\ud83d', '\ude00"', ":1}\ud83d")
    ]
    assert calls_of(delta(FIRST), *halves) == [("f", '{"\U0001f600":1}\ufffd')]


@pytest.mark.parametrize(
    ("word", "ending"),
    [
        ("stop", ("tool_calls", "stop")),
        ("STOP", ("tool_calls", "STOP")),
        ("stand_by", ("tool_calls", "stand_by")),
        ("tool_calls", ("tool_calls", None)),
        ("function_call", ("tool_calls", "function_call")),
        ("length", ("length", None)),
        (None, (None, None)),
    ],
)
def test_an_answer_with_calls_ends_with_them_whatever_the_provider_calls_it(
    word: str | None, ending: tuple[str | None, str | None]
) -> None:
    reading, _ = read(delta(FIRST), choice({}, word))
    assert reading.ending == ending
    assert read(choice({"content": "a"}), choice({}, "stop"))[0].ending == ("stop", None)


def test_a_part_of_a_call_takes_an_end_back_and_a_repeated_call_does_not() -> None:
    whole = called(id="c", name="f", arguments=PARIS)
    reading, _ = read(delta({**whole, "index": 0}), choice({}, "tool_calls"), message(whole))
    assert (reading.settled, reading.doubtful) == (True, False)
    reading, _ = read(choice({}, "stop"), delta(FIRST))
    assert (reading.settled, reading.doubtful) == (False, True)


LOST: dict[str, list[object]] = {
    "no name": [delta(called(index=0, id="a", arguments=PARIS))],
    "words instead of a call": [delta("f(1)")],
    "arguments that no JSON has": [b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f",'
                                   b'"arguments":{"x":NaN}}}]}}]}'],
    "too many": [delta(*(called(name="f", arguments="{}") for _ in range(MAX_CALLS + 1)))],
    "a message that says something else": [
        delta(called(index=0, id="c", name="f", arguments='{"city": "P')),
        message(called(id="c", name="f", arguments=ROME)),
    ],
    "an object after other arguments": [
        delta(called(index=0, id="c", name="f", arguments='{"city": "P')),
        delta(called(index=0, arguments={"city": "Rome"})),
    ],
}  # fmt: skip


@pytest.mark.parametrize("chunks", LOST.values(), ids=LOST)
def test_a_call_that_cannot_be_read_is_lost_text(chunks: list[object]) -> None:
    reading, _ = finished(choice({"content": "a"}), *chunks)
    assert reading.unread.lost is not None


@pytest.mark.parametrize("value", ["none", 7, True, {}, [], [{}], [{"index": 0}], [[]], [None]])
def test_what_is_no_call_costs_nothing(value: object) -> None:
    both = choice({"content": "a", "tool_calls": value, "function_call": value})
    reading, deltas = finished(both, choice({"content": "b"}))
    assert deltas == [Chunk("a"), Chunk("b")]
    assert reading.unread.lost is None
    assert reading.ending == (None, None)


def test_ids_and_names_are_clean_bounded_and_unique() -> None:
    _, deltas = finished(
        delta(called(index=0, id="a\x1b[2J\nb", name="f\x00\u202e", arguments="{}")),
        delta(called(index=1, id="x" * (MAX_ID + 1), name="g", arguments="{}")),
        delta(called(index=2, id=7, name="h", arguments="{}")),
        delta(called(index=3, id="7", name="i", arguments="{}")),
    )
    begun = [one for one in deltas if isinstance(one, ToolCall)]
    assert [one.name for one in begun] == ["f", "g", "h", "i"]
    assert (begun[0].id, begun[2].id) == ("a b", "7")
    assert begun[1].id.startswith("call_")
    assert begun[3].id.startswith("call_")
    reading, _ = finished(delta(called(index=0, name="f" * (MAX_NAME + 1), arguments="{}")))
    assert reading.unread.lost is not None


def test_unknown_fields_of_a_call_come_beside_it_under_our_index() -> None:
    signed = {**called(index=5, id="a", name="f", arguments="{}"), "extra_content": {"sign": "x"}}
    _, deltas = finished(delta(signed))
    assert deltas[-1] == Extra(
        "delta", {"tool_calls": [{"index": 0, "extra_content": {"sign": "x"}}]}
    )
