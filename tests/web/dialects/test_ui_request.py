"""The bodies of `useChat`, read into questions."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import InvalidFields
from stream_serve.web.dialects import ui_history, ui_replay, ui_request
from support.strict import check_strictly
from support.ui_messages import Message

Json = dict[str, Any]
STEP: Json = {"type": "step-start"}
IMAGE = "data:image/png;base64,AAAA"


def text(said: str, **more: Any) -> Json:
    return {"type": "text", "text": said, **more}


def tool(state: str, call_id: str = "call-1", **more: Any) -> Json:
    base = {"type": "tool-weather", "toolCallId": call_id, "state": state}
    return {**base, "input": {"city": "杭州"}, **more}


def user(*parts: Json | str) -> Json:
    return {
        "id": "u",
        "role": "user",
        "parts": [text(p) if isinstance(p, str) else p for p in parts],
    }


def assistant(*parts: Json | str) -> Json:
    return {**user(*parts), "id": "a", "role": "assistant"}


def told(*messages: Json) -> list[Json]:
    return ui_request.read({"messages": [*messages]}).question.messages


def call(call_id: str = "call-1", arguments: str = '{"city":"杭州"}') -> Json:
    function = {"name": "weather", "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def test_what_is_too_much_is_refused_whatever_it_is_made_of() -> None:
    said, called = [STEP, text("x")], tool("output-available")
    for parts in (said * 10_000, [STEP] + [called] * 10_000, [STEP, called] * 5_000):
        with pytest.raises(InvalidFields, match="at most 10000 messages, steps and calls"):
            told(user("?"), assistant(*parts))
    assert len(told(user("?"), assistant(*[STEP, called] * 4_999))) == 1 + 2 * 4_999
    assert len(told(user("?"), assistant(*[STEP] * 50_000, called))) == 3


def test_texts_are_told_as_they_are_and_what_no_model_reads_is_left_out() -> None:
    source = {"type": "source-url", "sourceId": "1", "url": "https://example.org"}
    data = {"type": "data-weather", "data": {"c": 21}}
    answer = assistant(
        STEP, {"type": "reasoning", "text": "hm"}, text("a"), source, text("b"), data
    )
    system = {"id": "s", "role": "system", "parts": [text("Be "), text("brief.")]}
    assert told(system, user("one", data), answer, user("two")) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "ab"},
        {"role": "user", "content": "two"},
    ]


def test_files_become_the_parts_that_models_read() -> None:
    def file(media_type: str, url: str, **more: str) -> Json:
        return {"type": "file", "mediaType": media_type, "url": url, **more}

    pdf = "data:application/pdf;base64,BBBB"
    (message,) = told(
        user(
            file("image/png", IMAGE),
            file("application/pdf", pdf, filename="a.pdf"),
            file("audio/mpeg", "data:audio/mpeg;base64,CCCC"),
            "what?",
        )
    )
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": IMAGE}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}},
        {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "mp3"}},
        {"type": "text", "text": "what?"},
    ]
    with pytest.raises(
        InvalidFields, match=r"messages\[0\]\.parts\[1\]\.mediaType: may be an image"
    ):
        told(user("what?", file("video/mp4", "data:video/mp4;base64,AAAA")))
    with pytest.raises(InvalidFields, match="should have a mediaType and a url"):
        told(user({"type": "file", "mediaType": "image/png"}))


def test_each_step_is_a_message_with_its_calls_and_then_their_results() -> None:
    answer = assistant(
        STEP,
        {"type": "reasoning", "text": "hm"},
        text("let me look"),
        tool("output-available", output={"c": 21}),
        tool("output-error", "call-2", input=None, errorText="no such city"),
        STEP,
        text("21 °C"),
    )
    expected = [
        {"role": "user", "content": "?"},
        {
            "role": "assistant",
            "content": "let me look",
            "tool_calls": [call(), call("call-2", "{}")],
        },
        {"role": "tool", "tool_call_id": "call-1", "content": '{"c":21}'},
        {"role": "tool", "tool_call_id": "call-2", "content": "no such city"},
        {"role": "assistant", "content": "21 °C"},
    ]
    assert told(user("?"), answer, user("!")) == [*expected, {"role": "user", "content": "!"}]
    expected[1]["reasoning_content"] = "hm"
    assert told(user("?"), answer) == expected


@pytest.mark.parametrize(
    ("part", "result"),
    [
        (tool("input-streaming", input={"ci": None}), None),
        (tool("input-available"), None),
        (tool("approval-requested", approval={"id": "1"}), None),
        (tool("approval-responded", approval={"id": "1", "approved": True}), None),
        (tool("approval-responded", approval={"approved": False, "reason": "no"}), "no"),
        (
            tool("approval-responded", approval={"approved": False}),
            "The user has denied this call.",
        ),
        (tool("output-denied"), "The user has denied this call."),
        (tool("output-available", output="sunny"), "sunny"),
        (tool("output-available", output=None), "null"),
        (tool("output-available", output=[1], preliminary=True), "[1]"),
        (tool("output-available", output=1, providerExecuted=True), "1"),
        (tool("output-error", errorText="broken"), "broken"),
        (
            {**tool("output-available", output=1), "type": "dynamic-tool", "toolName": "weather"},
            "1",
        ),
    ],
)
def test_a_call_goes_out_only_with_its_result(part: Json, result: str | None) -> None:
    messages = told(user("?"), assistant(STEP, text("so"), part), user("!"))
    if result is None:
        assert [one["role"] for one in messages] == ["user", "assistant", "user"]
        assert "tool_calls" not in messages[1]
    else:
        assert messages[1]["tool_calls"] == [call()]
        assert messages[2] == {"role": "tool", "tool_call_id": "call-1", "content": result}


def test_an_aborted_answer_counts_and_an_empty_one_disappears() -> None:
    cut = assistant(STEP, text("ha", state="streaming"), tool("input-streaming"))
    empty = assistant(STEP, {"type": "reasoning", "text": "hm"}, tool("input-streaming"))
    assert told(user("one"), cut, user("two"), empty, user("three")) == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "ha"},
        {"role": "user", "content": "two\n\nthree"},
    ]


def test_a_greeting_before_the_first_question_is_left_out() -> None:
    greeting = assistant("Hello!", tool("output-available", output=1))
    assert told(greeting, user("hi")) == [{"role": "user", "content": "hi"}]
    with pytest.raises(InvalidFields, match="should have a user's message"):
        told(greeting)


plain = st.sampled_from(["", " ", "a", "b"]).map(text)
states = st.sampled_from(
    ["input-streaming", "input-available", "output-available", "output-error", "output-denied"]
)


def any_call(state: str) -> Json:
    return tool(state, output=1, errorText="e")


calls = states.map(any_call)
users = st.lists(plain, max_size=2).map(lambda parts: user(*parts))
answers = st.lists(plain | calls | st.just(STEP), max_size=6).map(lambda parts: assistant(*parts))


@given(history=st.lists(users | answers, max_size=6))
def test_whatever_the_history_is_the_strictest_provider_takes_it(history: list[Json]) -> None:
    messages = told(*history, user("last"))
    unanswered: set[str] = set()
    end: Json = {"role": "end"}
    for one, after in itertools.pairwise([*messages, end]):
        assert one["role"] == "tool" or not unanswered
        unanswered |= {each["id"] for each in one.get("tool_calls", ())}
        if one["role"] == "tool":
            unanswered.discard(one["tool_call_id"])
        elif "tool_calls" not in one:
            assert one["role"] != after["role"]
    without = [one for one in messages if one["role"] != "tool" and "tool_calls" not in one]
    assert all(str(one["content"]).strip() for one in without)
    if len(without) == len(messages):
        check_strictly(messages)


def test_an_application_names_the_model_its_options_and_tools() -> None:
    fields = {
        "id": "chat-1",
        "messages": [user("?")],
        "model": "m",
        "system": "Be brief.",
        "maxOutputTokens": 5,
        "topP": 0.5,
        "toolChoice": "auto",
        "tools": {"weather": {"description": "d", "parameters": {"type": "object"}}},
        "webSearch": True,
        "trigger": "regenerate-message",
        "messageId": "a1",
    }
    asked = ui_request.read(fields)
    assert (asked.chat, asked.again, asked.stored) == ("chat-1", True, True)
    assert (asked.question.model, asked.question.system_prompt) == ("m", "Be brief.")
    function = {"name": "weather", "parameters": {"type": "object"}, "description": "d"}
    tools = [{"type": "function", "function": function}]
    options = {"max_tokens": 5, "top_p": 0.5, "tool_choice": "auto", "tools": tools}
    assert asked.question.options == options
    assert asked.ignored == ["webSearch"]
    as_they_are = ui_request.read({"messages": [user("?")], "tools": tools})
    assert as_they_are.question.options["tools"] == tools


WRONG: list[tuple[Json, str]] = [
    ({}, "messages: should be a list of 1 to"),
    ({"messages": "hi"}, "messages: should be a list of 1 to"),
    ({"messages": [1]}, "messages\\[0\\].role: should be one of"),
    ({"messages": [{"role": "user"}]}, "messages\\[0\\].parts: should be a list"),
    ({"messages": [{"role": "user", "parts": [1]}]}, "messages\\[0\\].parts: should be a list"),
    (
        {"messages": [{"role": "user", "parts": [], "id": 1}]},
        "messages\\[0\\].id: should be text",
    ),
    ({"messages": [user("a"), user(" ")]}, "messages\\[1\\].parts: should have a text"),
    ({"message": {"role": "user", "parts": "x"}}, "message.parts: should be a list"),
    ({"messages": [user("?")], "id": 7}, "id: should be text"),
    ({"messages": [user("?")], "store": 1}, "store: should be true or false"),
    ({"message": user("?")}, "id: should be the chat's id"),
    ({"id": "c", "message": assistant("a")}, "message: should be a user's, or an assistant's"),
    ({"id": "c", "message": {**user("a"), "role": "system"}}, "message: should be a user's"),
    ({"id": "c", "message": user(" ")}, "messages\\[0\\].parts: should have a text"),
    ({"messages": [user("?")], "model": 7}, "model: should be text"),
    ({"messages": [user("?")], "trigger": "go"}, "trigger: should be one of"),
    (
        {"messages": [user("?")], "maxOutputTokens": 0},
        "maxOutputTokens: should be a whole number",
    ),
    (
        {"messages": [user("?")], "thinkingBudget": "9"},
        "thinkingBudget: should be a whole number",
    ),
    ({"messages": [user("?")], "tools": 1}, "tools: should be a list of tools"),
    ({"messages": [user("?")], "tools": {"w": {}}}, "tools.w: should have parameters"),
]


@pytest.mark.parametrize(("fields", "words"), WRONG)
def test_what_is_wrong_with_a_body_is_said_with_the_field(fields: Json, words: str) -> None:
    with pytest.raises(InvalidFields, match=f"^{words}"):
        ui_request.read(fields)


def test_a_message_without_parts_may_have_content() -> None:
    assert told({"role": "user", "content": "hi"}) == [{"role": "user", "content": "hi"}]


def test_only_a_body_that_ends_with_an_answer_goes_on_with_it() -> None:
    assert ui_request.read({"messages": [user("?")]}).door is None
    answered = assistant(STEP, tool("output-available", output=1))
    door = ui_request.read({"messages": [user("?"), answered]}).door
    assert door is not None
    assert door["messageId"] == "a"


class _Any:
    """The parts of any message that a client may have."""

    odd = st.sampled_from(
        [
            {"type": "source-url", "sourceId": "1", "url": "u", "title": None},
            {"type": "source-url", "sourceId": 1, "url": "u"},
            {"type": "source-document", "sourceId": "1", "mediaType": "m", "title": "t"},
            {"type": "file", "url": "data:,", "mediaType": "image/png"},
            {"type": "data-weather", "id": "1", "data": None},
            {"type": "data-weather"},
            {"type": "reasoning", "text": "hm"},
            {"type": "custom"},
            {},
            {"type": 7},
            {
                **tool("output-available", "call-9", output=None),
                "type": "dynamic-tool",
                "toolName": "x",
            },
            {**tool("output-available"), "toolCallId": None},
        ]
    )
    parts = st.lists(plain | odd | st.just(STEP), max_size=8)


@given(parts=_Any.parts, state=states)
def test_a_message_is_told_again_in_parts_that_make_the_same_message(
    parts: list[Json], state: str
) -> None:
    distinct = [
        {**part, "toolCallId": f"call-{n}"} if part.get("toolCallId") else part
        for n, part in enumerate([STEP, *parts, tool(state, output=1, errorText="e")])
    ]
    message = Message()
    message.add({"type": "start", "messageId": "a"})
    for part in ui_replay.before(distinct):
        message.add(part)
    assert [part["type"] for part in message.parts].count("text") == sum(
        part.get("type") == "text" for part in parts
    )
    shown = message.parts[-1]
    asked = state in {"input-streaming", "input-available"}
    assert shown["state"] == ("input-streaming" if asked else shown["state"])
    if state == "output-available":
        assert (shown["state"], shown["output"]) == (state, 1)
    again = ui_history.messages([user("?"), {**message.sendable, "role": "assistant"}])
    assert again[-1:] == ui_history.messages([user("?"), assistant(*distinct)])[-1:]
