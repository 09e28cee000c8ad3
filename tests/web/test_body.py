"""How a wrong body is described: the path of each wrong field, within bounds."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from stream_serve.errors import BadRequest, InvalidFields
from stream_serve.web.body import (
    Body,
    ValueBudget,
    check_values,
    field_name,
    read_json,
    read_object,
)
from stream_serve.web.conversations import ConversationBody, RatingBody
from stream_serve.web.dialects.native import ChatBody
from support.bodies import request

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("loc", "name"),
    [
        ((), "body"),
        (("message",), "message"),
        (("messages", 2, "content"), "messages[2].content"),
        (("messages", 0), "messages[0]"),
        (("messages", 0, "content", 1, "text"), "messages[0].content[1].text"),
        ((0,), "[0]"),
        ((0, "a"), "[0].a"),
        (("", "a"), "a"),
    ],
)
def test_a_field_is_named_as_a_client_would_write_it(loc: tuple[int | str, ...], name: str) -> None:
    assert field_name(loc) == name


def test_a_name_that_the_caller_made_up_is_cut() -> None:
    assert field_name(("x" * 10_000,)) == "x" * 100
    assert len(field_name(tuple(["ab"] * 1000))) == 100


@pytest.mark.parametrize(("model", "field"), [(ChatBody, "message"), (ConversationBody, "title")])
def test_the_parser_keeps_no_text_of_a_body_when_the_body_is_gone(
    model: type[Body], field: str
) -> None:
    def read(first: int) -> None:
        for number in range(first, first + 1000):
            model.model_validate_json(f'{{"{field}": "{field} number {number}"}}')

    read(0)
    blocks = sys.getallocatedblocks()
    read(1000)
    assert sys.getallocatedblocks() - blocks < 500


# Bodies in which everything is wrong

SIZE = 1_000_000
MESSAGE = '{"role": "user", "content": "a"}'


def filled(start: str, item: str, end: str) -> str:
    """Return a body of a megabyte that is full of one item; `#` in it becomes its number."""
    count = (SIZE - len(start) - len(end)) // (len(item) + 6)
    return start + ",".join(item.replace("#", str(number)) for number in range(count)) + end


WRONG: dict[str, tuple[str, str, int]] = {
    "unknown fields": (filled('{"message": "a",', '"a#":1', "}"), "a0", 10),
    "one near miss": (filled('{"message": "a",', '"topp":1', "}"), "topp", 1),
    "unknown fields and a near miss": (
        filled('{"message": "a", "topp": 1,', '"a#":1', "}"),
        "topp",
        10,
    ),
    "wrong messages": (filled('{"messages": [', "1", "]}"), "messages[0]", 1),
    "empty messages": (filled('{"messages": [', "{}", "]}"), "messages[0].role", 2),
    "lists as messages": (filled('{"messages": [', "[]", "]}"), "messages[0]", 1),
    "too many messages": (filled('{"messages": [', MESSAGE, "]}"), "messages", 1),
    "unknown fields of a message": (
        filled('{"messages": [{"role": "user", "content": "a",', '"a#":1', "}]}"),
        "messages[0].a0",
        10,
    ),
    "unknown fields of messages": (
        filled('{"messages": [', '{"role": "user", "content": "a", "b": 1}', "]}"),
        "messages[0].b",
        1,
    ),
    "wrong stops": (filled('{"message": "a", "stop": [', "1", "]}"), "stop", 1),
    "too many stops": (filled('{"message": "a", "stop": [', '"a"', "]}"), "stop", 1),
    "wrong parts": (
        filled('{"messages": [{"role": "user", "content": [', "1", "]}]}"),
        "messages[0].content",
        1,
    ),
    "too many parts": (
        filled('{"messages": [{"role": "user", "content": [', "{}", "]}]}"),
        "messages[0].content",
        1,
    ),
    "too many values in a part": (
        filled('{"messages": [{"role": "user", "content": [{"a": [', "1", "]}]}]}"),
        "messages[0].content",
        1,
    ),
    "too many values in all parts": (
        filled(
            '{"messages": [', '{"role": "user", "content": [{"a": [' + "1," * 500 + "1]}]}", "]}"
        ),
        "messages[247].content",
        1,
    ),
    "an integer that nobody can read": (
        '{"messages": [{"role": "user", "content": [{"a": -' + "9" * 4_000 + "}]}]}",
        "messages[0].content",
        1,
    ),
    "a list": (filled("[", "1", "]"), "body", 1),
}


@pytest.mark.parametrize("case", WRONG)
async def test_of_a_body_in_which_everything_is_wrong_only_some_errors_are_made(case: str) -> None:
    body, field, most = WRONG[case]
    with pytest.raises(ValidationError) as made:
        ChatBody.model_validate_json(body, context=ValueBudget())
    assert made.value.error_count() <= most
    with pytest.raises(InvalidFields) as caught:
        await read_json(request(body), ChatBody, max_bytes=2 * SIZE)
    assert field in [name for name, _ in caught.value.fields]
    assert len(caught.value.fields) <= most
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "value",
    [
        "9" * 5_000,
        "9" * SIZE,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
    ids=["digits", "more digits", "lists", "objects"],
)
@pytest.mark.parametrize("place", ["maxTokens", "unknown", "stop", "messages"])
async def test_what_no_parser_takes_is_no_json(place: str, value: str) -> None:
    with pytest.raises(BadRequest):
        await read_json(request(f'{{"{place}": {value}}}'), ChatBody, max_bytes=2 * SIZE)


async def test_a_conversation_may_be_long() -> None:
    part = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    many = {"messages": [part] * 10_000, "stop": ["a"] * 16}
    body = await read_json(request(json.dumps(many)), ChatBody, max_bytes=2 * SIZE)
    assert body.messages is not None
    assert len(body.messages) == 10_000
    parts = {"messages": [{"role": "user", "content": [{"a": 1}] * 1_000}]}
    await read_json(request(json.dumps(parts)), ChatBody, max_bytes=2 * SIZE)


LONG: dict[str, tuple[str, list[Any]]] = {
    "chat": ("messages", [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
    "ag-ui": ("messages", [{"id": "1", "role": "user", "content": "a"}]),
    "ai-sdk": (
        "messages",
        [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "a"}]}],
    ),
    "responses": ("input", [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]),
    "tools": (
        "messages",
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "a"},
        ],
    ),
}


@pytest.mark.parametrize("door", LONG)
async def test_a_history_of_any_door_may_fill_a_whole_body(door: str) -> None:
    name, turn = LONG[door]
    one = len(msgspec.json.encode(turn))
    body = msgspec.json.encode({name: turn * (SIZE // (one + 1))})
    found = await read_object(request(body.decode()), max_bytes=len(body))
    assert len(found[name]) >= 10_000


@pytest.mark.parametrize("rubbish", ["1", "[]", "[1]", '{"a":1}', "null", '""'])
async def test_a_body_of_nothing_but_small_values_is_refused_in_words(rubbish: str) -> None:
    body = filled('{"a": [', rubbish, "]}")
    with pytest.raises(BadRequest, match=r"may have at most \d+ values in its contents"):
        await read_object(request(body), max_bytes=2 * SIZE)


async def test_unknown_fields_hide_no_field_that_is_missing_or_wrong() -> None:
    unknown = {f"a{number}": 1 for number in range(100)}
    body = json.dumps({**unknown, "topP": 5, "messages": [{**unknown, "role": "x"}]})
    with pytest.raises(InvalidFields) as caught:
        await read_json(request(body), ChatBody, max_bytes=SIZE)
    names = [name for name, _ in caught.value.fields]
    assert {"topP", "messages[0].role", "messages[0].content"} <= set(names)


@pytest.mark.parametrize("model", [ChatBody, ConversationBody, RatingBody])
def test_every_list_of_a_body_is_bounded_and_ends_at_its_first_wrong_item(
    model: type[Body],
) -> None:
    def lists(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            found = cast("dict[str, Any]", part)
            if found.get("type") in ("array", "list"):
                yield found
            for inner in found.values():
                yield from lists(inner)
        elif isinstance(part, list):
            for inner in cast("list[Any]", part):
                yield from lists(inner)

    assert all("maxItems" in part for part in lists(model.model_json_schema()))
    # What refers to itself is `JsonValue`, which has validators of our own in front.
    core = [
        part
        for part in lists(model.__pydantic_core_schema__)
        if "items_schema" in part and part["items_schema"]["type"] != "definition-ref"
    ]
    assert len(core) == (2 if model is ChatBody else 0)
    assert all(part.get("fail_fast") and part.get("max_length") for part in core)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        *(('"text"', 0), ("[]", 0), ("{}", 0), ("[1]", 1), ('{"a": "b"}', 1)),
        *(('[[], {}, ""]', 1), ("[[1]]", 2), ('{"a": [{"b": 1}]}', 3), ("[1, [2], [[]]]", 2)),
    ],
)
def test_a_level_is_what_has_values_in_it(text: str, levels: int) -> None:
    value = json.loads(text)
    check_values(value, None, levels=levels)
    if levels:
        with pytest.raises(ValueError, match=f"{levels - 1} levels deep"):
            check_values(value, None, levels=levels - 1)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([2**64 - 1, 2**64, 1 - 2**64, -(2**64), 10**19 - 1, 10**19]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def nested(value: object, levels: int) -> object:
    for _ in range(levels):
        value = [value]
    return value


@given(VALUES, st.sampled_from([0, 1, 197, 198, 199, 200, 201, 300]))
@example([0] * 50_000, 0)
@example([0] * 49_999, 0)
@example("[" * 300 + "9" * 30, 0)
async def test_a_body_of_a_foreign_format_is_taken_as_its_values_are(
    inner: object, levels: int
) -> None:
    value = {"a": nested(inner, levels)}
    raw = json.dumps(value, separators=(",", ":"))
    try:
        check_values(value, ValueBudget(len(raw)))
    except ValueError:
        with pytest.raises(BadRequest, match="the body cannot be taken"):
            await read_object(request(raw), max_bytes=SIZE)
    else:
        assert await read_object(request(raw), max_bytes=SIZE) == value
