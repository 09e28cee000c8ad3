"""The items of an input as messages of chat completions."""

from __future__ import annotations

from typing import Any

import pytest

from stream_serve.errors import InvalidFields
from stream_serve.web.dialects.responses import input as input_items

Json = dict[str, Any]

RUN = "run_0123456789-ab"


def told(value: object) -> list[Json]:
    return input_items.messages(input_items.read(value, RUN))


def call(call_id: str = "call_1", **fields: Any) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}", **fields}


def output(value: object = "fine", call_id: str = "call_1") -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": value}


def calls(*call_ids: str) -> list[Json]:
    function = {"name": "f", "arguments": "{}"}
    return [{"id": one, "type": "function", "function": function} for one in call_ids]


def test_a_text_is_a_users_message_and_its_item_has_an_id() -> None:
    (item,) = input_items.read("hi", RUN)
    assert item == {
        "id": f"msg_{RUN}_i0",
        "status": "completed",
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "hi"}],
    }
    assert told("hi") == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("kind", [{}, {"type": "message"}])
def test_messages_keep_their_roles_and_texts_become_one(kind: Json) -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]
    said = [{"type": "output_text", "text": "c"}, {"type": "refusal", "refusal": "d"}]
    items = [
        {"role": "system", "content": "s", **kind},
        {"role": "developer", "content": "t", **kind},
        {"role": "user", "content": parts, **kind},
        {"role": "assistant", "content": said, "id": "msg_1", "status": "completed", **kind},
        {"role": "assistant", "content": "!", "phase": "x", **kind},
    ]
    assert told(items) == [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": "t"},
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "cd!"},
    ]


def test_images_files_and_sound_are_passed_on() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
    file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:x", "more": 1}
    sound = {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}
    content = [{"type": "input_text", "text": "a"}, image, file, sound]
    assert told([{"role": "user", "content": content}])[0]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": image["image_url"], "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:x"}},
        sound,
    ]


def test_all_that_an_assistant_says_in_a_row_is_one_message() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "content": None, "encrypted_content": None}
    text = {"role": "assistant", "content": "let me see"}
    items: list[Json] = [
        {"role": "user", "content": "hi"},
        {**reasoning, "summary": []},
        call("call_1"),
        text,
        call("call_2", id="fc_2", status="completed"),
        output("one"),
        output([{"type": "input_text", "text": "two"}], "call_2"),
        {**reasoning, "summary": None},
        {"role": "assistant", "content": "done"},
    ]
    assert told(items) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "let me see", "tool_calls": calls("call_1", "call_2")},
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
        {"role": "tool", "tool_call_id": "call_2", "content": "two"},
        {"role": "assistant", "content": "done"},
    ]


def test_a_message_with_calls_alone_has_no_content() -> None:
    first, *_ = told([call(), output()])
    assert first == {"role": "assistant", "content": None, "tool_calls": calls("call_1")}


def test_images_of_a_tool_come_in_a_users_message_after_all_outputs() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA"}
    items = [call("call_1"), call("call_2"), output([image]), output("two", "call_2")]
    assert [message["role"] for message in told(items)] == ["assistant", "tool", "tool", "user"]
    assert told(items)[1]["content"] == ""
    shown = {"type": "image_url", "image_url": {"url": image["image_url"]}}
    assert told(items)[3]["content"] == [shown]


@pytest.mark.parametrize(
    "items",
    [
        [call()],
        [call(), {"role": "user", "content": "never mind"}, output()],
        [call(), {"role": "user", "content": "never mind"}],
    ],
)
def test_a_call_without_its_output_is_refused(items: list[Json]) -> None:
    with pytest.raises(InvalidFields, match="No tool output found for function call call_1"):
        told(items)


@pytest.mark.parametrize("items", [[output()], [call(), output(), output()]])
def test_an_output_without_its_call_is_refused(items: list[Json]) -> None:
    with pytest.raises(InvalidFields, match=r"No tool call found .* with call_id call_1"):
        told(items)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (1, "input"),
        ([1], "input[0]"),
        ([{"type": "web_search_call", "id": "ws_1"}], "input[0]"),
        ([{"role": "tool", "content": "x"}], "input[0].role"),
        ([{"role": "user", "content": None}], "input[0].content"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "input[0].content[0]"),
        ([{"role": "user", "content": [{"type": "input_file", "file_url": "f"}]}], "input[0].content[0]"),
        ([{"role": "assistant", "content": [{"type": "input_image"}]}], "input[0].content[0]"),
        ([call(name="")], "input[0].name"),
        ([call(arguments={})], "input[0].arguments"),
        ([output(None)], "input[0].output"),
        ([{"type": "item_reference"}], "input[0].id"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused_by_its_place(value: object, field: str) -> None:
    with pytest.raises(InvalidFields) as raised:
        input_items.read(value, RUN)
    assert [name for name, _ in raised.value.fields] == [field]
    assert str(raised.value).startswith(field + ":")


def test_items_that_other_servers_do_not_have_are_named_as_such() -> None:
    with pytest.raises(InvalidFields, match="'computer_call'") as raised:
        input_items.read([{"type": "computer_call"}], RUN)
    assert raised.value.code == "unsupported_parameter"


def test_items_that_are_only_about_the_request_are_skipped() -> None:
    items: list[Json] = [
        {"type": "additional_tools", "tools": []},
        {"role": "user", "content": "hi"},
    ]
    assert told(items) == [{"role": "user", "content": "hi"}]


def test_references_stay_until_they_are_resolved() -> None:
    assert input_items.read([{"type": "item_reference", "id": "msg_1"}], RUN) == [
        {"type": "item_reference", "id": "msg_1"}
    ]
