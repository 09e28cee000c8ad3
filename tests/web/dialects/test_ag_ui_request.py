"""What the body of `POST /ag-ui` becomes: the thread as the provider is told it, and the run's id."""

from __future__ import annotations

from typing import Any

import pytest

from stream_serve.errors import InvalidFields
from stream_serve.runs import names as run_names
from stream_serve.runs.spec import OnDisconnect
from stream_serve.settings import Settings
from stream_serve.web.dialects import ag_ui_request
from stream_serve.web.dialects.ag_ui_request import Asked, Names

Json = dict[str, Any]

USER: Json = {"id": "u1", "role": "user", "content": "Hi"}
NAMES = Names("t", "r")


def called(*names: str, **more: Any) -> Json:
    """Return an answer that calls tools."""
    calls = [
        {"id": name, "type": "function", "function": {"name": f"f_{name}", "arguments": "{}"}}
        for name in names
    ]
    return {"id": f"a-{'-'.join(names)}", "role": "assistant", "toolCalls": calls, **more}


def result(name: str, content: Any = "ok", **more: Any) -> Json:
    return {"id": f"t-{name}", "role": "tool", "toolCallId": name, "content": content, **more}


def read(*messages: Json, settings: Json | None = None, **fields: Any) -> Asked:
    body: Json = {"threadId": "t", "runId": "r", "messages": [*messages], **fields}
    made = Settings.load(**(settings or {}))
    return ag_ui_request.read(body, NAMES, made, on_disconnect=OnDisconnect.STOP)


def told(*messages: Json) -> list[Json]:
    """Return the messages that the provider is told."""
    return read(*messages).question.messages


def refused(*messages: Json, **fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidFields) as caught:
        read(*messages, **fields)
    return dict(caught.value.fields)


# Ids


def test_any_text_is_a_run_of_its_own_for_each_owner_thread_and_run() -> None:
    texts = ["", "run-1", "运行", "a/b", "a" * 1000, "a\nb", "\u2028"]
    found = {
        Names(thread, run).derived(owner)
        for thread in texts
        for run in texts
        for owner in (None, "anna", "bob")
    }
    assert len(found) == 3 * len(texts) ** 2
    assert all(map(run_names.fits, found))
    assert Names("t", "r").derived("anna") == Names("t", "r").derived("anna")


def test_two_ids_that_run_together_are_still_two() -> None:
    assert Names("ab", "c").derived(None) != Names("a", "bc").derived(None)
    assert Names("ab", "c").fingerprint != Names("a", "bc").fingerprint


@pytest.mark.parametrize("wrong", [None, "", 5, [], "x" * 1001])
@pytest.mark.parametrize("field", ["threadId", "runId"])
def test_an_id_that_is_no_text_is_refused(field: str, wrong: Any) -> None:
    with pytest.raises(InvalidFields) as caught:
        ag_ui_request.names_of({"threadId": "t", "runId": "r", field: wrong})
    assert [name for name, _ in caught.value.fields] == [field]


def test_a_thread_that_has_a_part_of_the_answer_tells_that_the_run_was_started() -> None:
    run_id = NAMES.derived(None)
    own: Json = {"id": f"msg-{run_id}", "role": "assistant", "content": "Hal"}
    assert ag_ui_request.has_answer({"messages": [USER, own]}, run_id)
    thoughts = {"id": f"reasoning-{run_id}-1", "role": "reasoning", "content": "hm"}
    assert ag_ui_request.has_answer({"messages": [USER, thoughts]}, run_id)
    for messages in ([USER], [], None, "x", [None, 5, {"id": 5}]):
        assert not ag_ui_request.has_answer({"messages": messages}, run_id)
    assert not ag_ui_request.has_answer({"messages": [own]}, Names("t", "r2").derived(None))


# Messages


def test_a_conversation_goes_on_as_it_is() -> None:
    answer: Json = {"id": "a1", "role": "assistant", "content": "Hello"}
    asked = read(USER, answer, {**USER, "id": "u2", "name": "anna"})
    assert asked.question.system_prompt is None
    assert asked.question.bare is False
    assert asked.question.messages == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Hi", "name": "anna"},
    ]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_what_a_thread_begins_with_is_the_system_prompt(role: str) -> None:
    first: Json = {"id": "s", "role": role, "content": "Be kind."}
    asked = read(first, USER, settings={"system_prompt": "ours"})
    assert asked.question.system_prompt == "Be kind."
    assert asked.question.messages == [{"role": "user", "content": "Hi"}]
    later = told(USER, first)
    assert later[1] == {"role": role, "content": "Be kind."}


def test_what_a_page_tells_of_itself_is_a_part_of_the_system_prompt() -> None:
    context = [{"description": "page", "value": "prices"}, {"description": "city", "value": "Rome"}]
    expected = "Context:\npage: prices\ncity: Rome"
    alone = read(USER, context=context, settings={"system_prompt": ""})
    assert alone.question.system_prompt == expected
    ours = read(USER, context=context, settings={"system_prompt": "ours"})
    assert ours.question.system_prompt == f"ours\n\n{expected}"
    own: Json = {"id": "s", "role": "system", "content": "Be kind."}
    theirs = read(own, USER, context=context, settings={"system_prompt": "ours"})
    assert theirs.question.system_prompt == f"Be kind.\n\n{expected}"
    assert theirs.question.spelled["system_prompt"] == "context"


def test_thoughts_and_activities_are_not_told() -> None:
    thoughts: Json = {"id": "r", "role": "reasoning", "content": "hm", "encryptedValue": "x"}
    activity: Json = {"id": "x", "role": "activity", "activityType": "plan", "content": {"a": 1}}
    assert told(thoughts, USER, activity) == [{"role": "user", "content": "Hi"}]


def test_a_call_is_told_with_its_result_behind_it_wherever_that_stands() -> None:
    messages = told(USER, called("c1", "c2"), USER, result("c2", "two"), result("c1", "one"))
    assert [one["role"] for one in messages] == ["user", "assistant", "tool", "tool", "user"]
    assert messages[1]["content"] is None
    assert messages[1]["tool_calls"] == [
        {"id": name, "type": "function", "function": {"name": f"f_{name}", "arguments": "{}"}}
        for name in ("c1", "c2")
    ]
    assert messages[2] == {"role": "tool", "tool_call_id": "c1", "content": "one"}
    assert messages[3] == {"role": "tool", "tool_call_id": "c2", "content": "two"}


def test_a_call_without_a_result_and_a_result_without_a_call_are_left_out() -> None:
    cut: Json = called("c1", "c2", content="Let me see")
    cut["toolCalls"][1]["function"]["arguments"] = '{"ci'
    messages = told(USER, cut, result("c1"), called("c3"), result("c4"))
    assert [one["role"] for one in messages] == ["user", "assistant", "tool"]
    assert messages[1]["content"] == "Let me see"
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["c1"]


def test_a_result_that_is_an_error_says_so() -> None:
    messages = told(USER, called("c1", "c2"), result("c1", "", error="no such city"), result("c2"))
    assert [one["content"] for one in messages[2:]] == ["no such city", "ok"]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "a"}, {"type": "text", "text": "a"}),
        (
            {"type": "image", "source": {"type": "data", "value": "AA", "mimeType": "image/png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        ),
        (
            {"type": "image", "source": {"type": "url", "value": "https://a.example/x.png"}},
            {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
        ),
        (
            {"type": "audio", "source": {"type": "data", "value": "AA", "mimeType": "audio/mpeg"}},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        ),
        (
            {
                "type": "document",
                "source": {"type": "data", "value": "AA", "mimeType": "application/pdf"},
                "metadata": {"filename": "a.pdf"},
            },
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
            },
        ),
    ],
    ids=["text", "image", "address", "audio", "document"],
)
def test_a_content_part_is_told_in_the_providers_words(part: Json, expected: Json) -> None:
    (asked,) = told({**USER, "content": [part]})
    assert asked["content"] == [expected]
    messages = told(USER, called("c1"), result("c1", [part]))
    assert messages[2]["content"] == [expected]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "file", "value": "f-1"}},
        {"type": "audio", "source": {"type": "url", "value": "https://a.example/x.mp3"}},
        {"type": "document", "source": {"type": "url", "value": "https://a.example/x.pdf"}},
        {"type": "video", "source": {"type": "data", "value": "AA", "mimeType": "video/mp4"}},
        {"type": "binary", "mimeType": "image/png", "data": "AA"},
        {"type": "image", "source": {"type": "data", "value": "AA"}},
        {"type": "image"},
        {"type": "text"},
        {},
        "text",
    ],
)
def test_a_part_that_no_provider_can_be_told_is_refused_in_words(part: Any) -> None:
    (name,) = refused({**USER, "content": [part]})
    assert name.startswith("messages[0].content[0]")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({**USER, "content": None}, "messages[0].content"),
        ({**USER, "content": 5}, "messages[0].content"),
        ({"role": "user", "content": "Hi"}, "messages[0].id"),
        ({**USER, "role": "function"}, "messages[0].role"),
        ({"id": "s", "role": "system", "content": []}, "messages[0].content"),
        ({"id": "t", "role": "tool", "content": "x"}, "messages[0].toolCallId"),
        (
            {"id": "a", "role": "assistant", "toolCalls": [{"id": 5}]},
            "messages[0].toolCalls[0].id",
        ),
        (
            {"id": "a", "role": "assistant", "toolCalls": [{"id": "c", "function": {"name": "f"}}]},
            "messages[0].toolCalls[0].function.arguments",
        ),
        ({"id": "a", "role": "assistant", "toolCalls": {}}, "messages[0].toolCalls"),
    ],
)
def test_a_message_that_is_wrong_is_named(message: Json, field: str) -> None:
    assert field in refused(message)


def test_a_thread_without_a_question_is_refused() -> None:
    assert list(refused()) == ["messages"]
    assert list(refused(called("c1"))) == ["messages"]
    assert list(refused(messages="Hi")) == ["messages"]


# Tools and options


def test_tools_are_told_as_functions() -> None:
    schema: Json = {"type": "object", "properties": {}}
    tools: list[Json] = [
        {"name": "f", "description": "d", "parameters": schema},
        {"name": "g", "description": "", "parameters": None},
    ]
    assert read(USER, tools=tools).question.options == {
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": schema},
            },
            {"type": "function", "function": {"name": "g", "description": ""}},
        ]
    }
    assert read(USER, tools=[]).question.options == {}
    assert list(refused(USER, tools=[{"description": "d"}])) == ["tools[0].name"]


def test_options_are_forwarded_props_in_either_spelling() -> None:
    props = {"model": "m", "temperature": 0.5, "maxTokens": 5, "top_p": 0.1, "toolChoice": "auto"}
    asked = read(USER, forwardedProps=props)
    assert asked.question.model == "m"
    assert asked.question.options == {
        "temperature": 0.5,
        "max_tokens": 5,
        "top_p": 0.1,
        "tool_choice": "auto",
    }
    assert asked.ignored == []


def test_what_is_not_known_is_ignored_by_name_and_not_told_to_the_provider() -> None:
    props: Json = {"mine": 1, "messages": [], "stream": False, "n": 3}
    asked = read(USER, forwardedProps=props, state={"a": 1}, resume=[{"interruptId": "i"}])
    assert asked.question.options == asked.question.extra == {}
    assert asked.ignored == ["state", "resume", *(f"forwardedProps.{name}" for name in props)]
    assert read(USER, forwardedProps="x", state={}, context=[]).ignored == []


def test_extra_body_goes_to_the_provider_where_the_operator_allows_it() -> None:
    props: Json = {"extraBody": {"top_k": 5, "messages": []}}
    assert read(USER, forwardedProps=props).question.extra == {"top_k": 5}
    strict = read(USER, forwardedProps=props, settings={"allowed_extra_body": "other"})
    assert strict.question.extra == {}
    assert strict.ignored == ["top_k"]


def test_a_caller_says_what_becomes_of_a_run_that_nobody_reads() -> None:
    assert read(USER).on_disconnect is OnDisconnect.STOP
    going = read(USER, forwardedProps={"onDisconnect": "continue"})
    assert going.on_disconnect is OnDisconnect.CONTINUE
    wrong = refused(USER, forwardedProps={"onDisconnect": "maybe"})
    assert list(wrong) == ["forwardedProps.onDisconnect"]


def test_what_goes_out_with_the_start_is_the_thread_without_nulls() -> None:
    given: Json = {**USER, "name": None, "metadata": {"a": None}}
    asked = read(given, called("c1", content=None, encryptedValue=None), parentRunId="r0")
    assert asked.door == {
        "name": "ag-ui",
        "threadId": "t",
        "runId": "r",
        "parentRunId": "r0",
        "messages": [{**USER, "metadata": {"a": None}}, called("c1")],
    }
